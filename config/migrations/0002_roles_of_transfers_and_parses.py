"""Gives the roles what is new in the console, and drops the schedule of a task that another one took over."""

from django.db import migrations

from config.roles import make_roles_in_migration


def drop_old_schedule(apps, schema_editor):
    """`syncmetrics.prune_records` does what `syncmetrics.delete_old_runs` did, and more."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(
        task="syncmetrics.delete_old_runs"
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0001_roles"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [
        migrations.RunPython(make_roles_in_migration, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(drop_old_schedule, migrations.RunPython.noop, elidable=True),
    ]
