"""Makes the groups Viewer, Operator and Administrator."""

from django.db import migrations

from config.roles import make_roles_in_migration


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_roles_in_migration, migrations.RunPython.noop, elidable=False)]
