import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("syncmetrics", "0002_daily"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(help_text="What it is for.", max_length=100)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "ordering": ["-created_at", "-pk"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="JobRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task_id", models.CharField(max_length=255, unique=True, verbose_name="id")),
                ("name", models.CharField(max_length=255, verbose_name="task")),
                (
                    "arguments",
                    models.JSONField(
                        blank=True, default=dict, help_text="Secrets are masked, long values cut."
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("in_progress", "In progress"),
                            ("retried", "To be retried"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                            ("lost", "Lost"),
                        ],
                        default="queued",
                        max_length=20,
                    ),
                ),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("schedule", "Schedule"),
                            ("console", "Console"),
                            ("command", "Command"),
                            ("job", "Another job"),
                            ("code", "Code"),
                        ],
                        default="code",
                        max_length=20,
                    ),
                ),
                (
                    "triggered_by",
                    models.CharField(
                        blank=True,
                        help_text="The schedule, the person, the command or the job.",
                        max_length=255,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("logged_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("queued_at", models.DateTimeField(blank=True, null=True)),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True, help_text="Not begun by then, it is dropped.", null=True
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(blank=True, help_text="When its last attempt began.", null=True),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("error_message", models.TextField(blank=True)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("host", models.CharField(blank=True, max_length=300)),
                ("pid", models.BigIntegerField(default=0)),
                ("process_started", models.CharField(blank=True, max_length=40)),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The sync that it did or queued.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="jobs",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "background job",
                "ordering": ["-logged_at", "-pk"],
                "indexes": [
                    models.Index(fields=["-logged_at", "-id"], name="jobrun_time"),
                    models.Index(fields=["name", "-logged_at"], name="jobrun_name_time"),
                    models.Index(
                        condition=models.Q(("state__in", ["queued", "in_progress", "retried"])),
                        fields=["state"],
                        name="jobrun_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", True),
                                ("state__in", ["queued", "in_progress", "retried"]),
                            ),
                            models.Q(
                                models.Q(("state__in", ["queued", "in_progress", "retried"]), _negated=True),
                                ("ended_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="jobrun_end_when_ended",
                    )
                ],
            },
        ),
    ]
