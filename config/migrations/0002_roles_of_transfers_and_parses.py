"""Gives the roles what is new in the console, and drops the schedules of tasks that another one took over."""

from django.db import migrations

from config.roles import make_roles_in_migration


def drop_old_schedules(apps, schema_editor):
    """`syncmetrics.prune_records` does what these did, and more."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(
        task__in=["syncmetrics.delete_old_runs", "logmonitor.delete_old_lines"]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0001_roles"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [
        migrations.RunPython(make_roles_in_migration, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(drop_old_schedules, migrations.RunPython.noop, elidable=True),
    ]
