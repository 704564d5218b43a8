import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import logmonitor.models.sources


class Migration(migrations.Migration):
    dependencies = [
        ("logmonitor", "0002_rollups"),
    ]

    operations = [
        migrations.CreateModel(
            name="FailedLogins",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("grain", models.CharField(choices=[("day", "Day"), ("month", "Month")], max_length=5)),
                ("protocol", models.TextField(blank=True)),
                ("start", models.DateField(help_text="The day, or the first of the month.")),
                ("failures", models.BigIntegerField(default=0)),
                (
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="logmonitor.logsource",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("grain", "protocol", "start", "source"), name="failedlogins_once"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="logsource",
            name="added_at",
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.AddField(
            model_name="gap",
            name="accepted_at",
            field=models.DateTimeField(
                blank=True, help_text="When somebody said that these lines are lost for good.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="gap",
            index=models.Index(
                condition=models.Q(("accepted_at", None), ("closed_at", None)),
                fields=["source"],
                name="gap_open",
            ),
        ),
        migrations.AlterField(
            model_name="logsource",
            name="name",
            field=models.CharField(
                max_length=100, unique=True, validators=[logmonitor.models.sources.validate_printable]
            ),
        ),
        migrations.AlterField(
            model_name="logsource",
            name="folder",
            field=models.CharField(
                help_text="An absolute path; its sub-folders are followed too.",
                max_length=1000,
                unique=True,
                validators=[logmonitor.models.sources.validate_printable],
            ),
        ),
        migrations.AlterField(
            model_name="logsource",
            name="live_name",
            field=models.CharField(
                default="sftpgo.log",
                help_text="The name of the file that SFTPGo is writing.",
                max_length=200,
                validators=[
                    logmonitor.models.sources.validate_printable,
                    logmonitor.models.sources.validate_live_name,
                ],
                verbose_name="live file",
            ),
        ),
    ]
