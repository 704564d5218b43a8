from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncmetrics", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="syncrun",
            name="api_wait_ms",
            field=models.FloatField(
                default=0, help_text="How long requests were held back after refusals and failures, added up."
            ),
        ),
        migrations.CreateModel(
            name="SyncDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(help_text="The UTC day on which the runs started.")),
                ("instance_key", models.BigIntegerField(default=0)),
                ("connection_key", models.BigIntegerField(default=0)),
                (
                    "mode",
                    models.CharField(
                        choices=[("full", "Full"), ("incremental", "Incremental")], max_length=20
                    ),
                ),
                ("first_start", models.DateTimeField(help_text="When the first of the runs started.")),
                ("completed", models.BigIntegerField(default=0)),
                ("partial", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cancelled", models.BigIntegerField(default=0)),
                ("lost", models.BigIntegerField(default=0)),
                (
                    "duration_ms",
                    models.BigIntegerField(default=0, help_text="Of the completed and the partial runs."),
                ),
                (
                    "durations",
                    models.JSONField(
                        default=dict,
                        help_text="Histogram of the same: bucket to number of runs.",
                    ),
                ),
                ("api_calls_made", models.BigIntegerField(default=0)),
                ("api_calls_failed", models.BigIntegerField(default=0)),
                ("total_api_duration_ms", models.BigIntegerField(default=0)),
                ("api_wait_ms", models.BigIntegerField(default=0)),
                ("api_rate_limit_hits", models.BigIntegerField(default=0)),
                ("api_retries", models.BigIntegerField(default=0)),
                ("db_operations", models.BigIntegerField(default=0)),
                ("db_duration_ms", models.BigIntegerField(default=0)),
                ("db_rows_written", models.BigIntegerField(default=0)),
                ("grades_processed", models.BigIntegerField(default=0)),
                (
                    "entities",
                    models.JSONField(
                        default=dict,
                        help_text="Entity to its counts, as in SyncCount; what is zero is left out.",
                    ),
                ),
            ],
            options={
                "verbose_name": "day of syncs",
                "verbose_name_plural": "days of syncs",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "instance_key", "connection_key", "mode"),
                        name="syncday_once_per_connection",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SyncUserDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(help_text="The UTC day on which the runs started.")),
                ("instance_key", models.BigIntegerField(default=0)),
                ("connection_key", models.BigIntegerField(default=0)),
                (
                    "mode",
                    models.CharField(
                        choices=[("full", "Full"), ("incremental", "Incremental")], max_length=20
                    ),
                ),
                ("first_start", models.DateTimeField(help_text="When the first of the runs started.")),
                ("completed", models.BigIntegerField(default=0)),
                ("partial", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cancelled", models.BigIntegerField(default=0)),
                ("lost", models.BigIntegerField(default=0)),
                (
                    "duration_ms",
                    models.BigIntegerField(default=0, help_text="Of the completed and the partial runs."),
                ),
                (
                    "durations",
                    models.JSONField(
                        default=dict,
                        help_text="Histogram of the same: bucket to number of runs.",
                    ),
                ),
                ("api_calls_made", models.BigIntegerField(default=0)),
                ("api_calls_failed", models.BigIntegerField(default=0)),
                ("total_api_duration_ms", models.BigIntegerField(default=0)),
                ("api_wait_ms", models.BigIntegerField(default=0)),
                ("api_rate_limit_hits", models.BigIntegerField(default=0)),
                ("api_retries", models.BigIntegerField(default=0)),
                ("db_operations", models.BigIntegerField(default=0)),
                ("db_duration_ms", models.BigIntegerField(default=0)),
                ("db_rows_written", models.BigIntegerField(default=0)),
                ("grades_processed", models.BigIntegerField(default=0)),
                (
                    "entities",
                    models.JSONField(
                        default=dict,
                        help_text="Entity to its counts, as in SyncCount; what is zero is left out.",
                    ),
                ),
                ("user_id", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "day of a user's syncs",
                "verbose_name_plural": "days of users' syncs",
                "indexes": [models.Index(fields=["user_id", "day"], name="syncuserday_user_day")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "connection_key", "user_id", "instance_key", "mode"),
                        name="syncuserday_once_per_user",
                    )
                ],
            },
        ),
    ]
