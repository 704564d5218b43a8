"""The first form of the run tables."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import syncmetrics.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "sync_task_id",
                    models.CharField(default=syncmetrics.models.new_task_id, max_length=255, unique=True),
                ),
                ("user_id", models.BigIntegerField(blank=True, null=True)),
                ("sync_type", models.CharField(default="all", max_length=50)),
                ("sync_start_time", models.DateTimeField(default=django.utils.timezone.now)),
                ("sync_end_time", models.DateTimeField(blank=True, null=True)),
                ("total_duration_seconds", models.FloatField(blank=True, null=True)),
                (
                    "sync_status",
                    models.CharField(
                        choices=[
                            ("in_progress", "In progress"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("partial", "Partial"),
                            ("cancelled", "Cancelled"),
                            ("lost", "Lost"),
                        ],
                        default="in_progress",
                        max_length=20,
                    ),
                ),
                ("error_message", models.TextField(blank=True, null=True)),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("instance_key", models.BigIntegerField(blank=True, null=True)),
                ("connection_key", models.BigIntegerField(blank=True, null=True)),
                ("connection_name", models.CharField(blank=True, max_length=255)),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("command", "Command"),
                            ("console", "Console"),
                            ("schedule", "Schedule"),
                            ("code", "Code"),
                        ],
                        default="code",
                        max_length=20,
                    ),
                ),
                (
                    "genre",
                    models.CharField(
                        default="all", help_text="Runs of one genre wait for each other.", max_length=255
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[("full", "Full"), ("incremental", "Incremental")],
                        default="full",
                        max_length=20,
                    ),
                ),
                ("dry_run", models.BooleanField(default=False)),
                ("options", models.JSONField(blank=True, default=dict)),
                (
                    "canvas_clock",
                    models.DateTimeField(
                        blank=True, help_text="Canvas's own clock before the first request.", null=True
                    ),
                ),
                ("claim", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("host", models.CharField(blank=True, max_length=300)),
                ("pid", models.BigIntegerField(default=0)),
                ("process_started", models.CharField(blank=True, max_length=40)),
                ("heartbeat_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("cancel_requested", models.BooleanField(default=False)),
                ("api_calls_made", models.BigIntegerField(default=0)),
                ("api_calls_failed", models.BigIntegerField(default=0)),
                ("total_api_duration_ms", models.FloatField(default=0)),
                ("api_rate_limit_hits", models.BigIntegerField(default=0)),
                ("api_retries", models.BigIntegerField(default=0)),
                ("db_operations", models.BigIntegerField(default=0)),
                ("db_duration_ms", models.FloatField(default=0)),
                ("db_rows_written", models.BigIntegerField(default=0)),
                ("grades_processed", models.BigIntegerField(default=0)),
                (
                    "resumed_from",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="resumed_by",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "sync run",
                "ordering": ["-sync_start_time", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="SyncRejection",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("entity", models.CharField(max_length=100)),
                ("record_id", models.CharField(blank=True, max_length=255)),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rejections",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "rejected record",
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="SyncCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("entity", models.CharField(max_length=100)),
                ("processed", models.BigIntegerField(default=0, help_text="Distinct live records listed.")),
                ("created", models.BigIntegerField(default=0)),
                ("updated", models.BigIntegerField(default=0)),
                ("unchanged", models.BigIntegerField(default=0)),
                (
                    "deleted",
                    models.BigIntegerField(default=0, help_text="Records marked deleted; not in processed."),
                ),
                (
                    "rejected",
                    models.BigIntegerField(default=0, help_text="Records that could not be stored."),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="counts",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "sync count",
                "ordering": ["entity"],
            },
        ),
        migrations.CreateModel(
            name="SyncStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("title", models.CharField(blank=True, max_length=500)),
                ("position", models.IntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("in_progress", "In progress"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("skipped", "Skipped"),
                        ],
                        default="pending",
                        max_length=20,
                    ),
                ),
                ("attempts", models.IntegerField(default=0)),
                ("counters", models.JSONField(blank=True, default=dict)),
                (
                    "note",
                    models.TextField(blank=True, help_text="What this step could not conclude, and why."),
                ),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("error_message", models.TextField(blank=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "sync step",
                "ordering": ["run", "position", "pk"],
            },
        ),
        migrations.AddIndex(
            model_name="syncrun",
            index=models.Index(fields=["sync_start_time"], name="syncrun_start"),
        ),
        migrations.AddIndex(
            model_name="syncrun",
            index=models.Index(
                fields=["connection_key", "sync_status", "-sync_start_time"],
                name="syncrun_connection_status_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("sync_status", "in_progress")),
                fields=("instance_key", "genre"),
                name="syncrun_one_active_per_instance_and_genre",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("sync_end_time__isnull", True), ("sync_status", "in_progress")),
                    models.Q(
                        models.Q(("sync_status", "in_progress"), _negated=True),
                        ("sync_end_time__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="syncrun_end_time_when_ended",
            ),
        ),
        migrations.AddIndex(
            model_name="syncrejection",
            index=models.Index(fields=["run", "entity"], name="syncrejection_run_entity"),
        ),
        migrations.AddConstraint(
            model_name="synccount",
            constraint=models.UniqueConstraint(
                fields=("run", "entity"), name="synccount_one_per_run_and_entity"
            ),
        ),
        migrations.AddConstraint(
            model_name="syncstep",
            constraint=models.UniqueConstraint(fields=("run", "key"), name="syncstep_one_per_run_and_key"),
        ),
    ]
