import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("syncmetrics", "0003_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                ("url_ciphertext", models.TextField(editable=False)),
                ("service", models.CharField(blank=True, editable=False, max_length=100)),
                ("enabled", models.BooleanField(default=True)),
                ("on_failed", models.BooleanField(default=True, verbose_name="a sync fails")),
                ("on_partial", models.BooleanField(default=True, verbose_name="a sync is partial")),
                ("on_lost", models.BooleanField(default=True, verbose_name="a sync is lost")),
                (
                    "on_stale",
                    models.BooleanField(default=True, verbose_name="a promise of freshness is broken"),
                ),
                ("on_error_rate", models.BooleanField(default=True, verbose_name="many requests fail")),
                (
                    "connection_keys",
                    models.JSONField(blank=True, default=list, help_text="None: all connections."),
                ),
                ("last_sent_at", models.DateTimeField(editable=False, null=True, verbose_name="last sent")),
                ("last_error", models.TextField(blank=True, editable=False)),
                (
                    "last_error_at",
                    models.DateTimeField(editable=False, null=True, verbose_name="last failure"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name": "alert channel",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ReportRecipient",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="e-mail address")),
                ("weekly", models.BooleanField(default=True, verbose_name="weekly report")),
                ("monthly", models.BooleanField(default=True, verbose_name="monthly report")),
                ("enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name": "report recipient",
                "ordering": ["email"],
            },
        ),
        migrations.CreateModel(
            name="RunReview",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="review",
                        serialize=False,
                        to="syncmetrics.syncrun",
                    ),
                ),
                ("reviewed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name": "run review",
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("failed", "Sync failed"),
                            ("partial", "Sync partial"),
                            ("lost", "Sync lost"),
                            ("stale", "Promise of freshness broken"),
                            ("error_rate", "Many requests fail"),
                        ],
                        max_length=20,
                    ),
                ),
                ("subject", models.CharField(help_text="What it happens to, as one key.", max_length=300)),
                ("instance_key", models.BigIntegerField(blank=True, null=True)),
                ("connection_key", models.BigIntegerField(blank=True, null=True)),
                ("about", models.CharField(max_length=300, verbose_name="of")),
                ("text", models.TextField(blank=True, verbose_name="what was found")),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ending", models.TextField(blank=True, verbose_name="how it ended")),
                ("times", models.IntegerField(default=1, verbose_name="runs that ended so")),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="incidents",
                        to="syncmetrics.syncrun",
                    ),
                ),
            ],
            options={
                "ordering": ["-started_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "what",
                    models.CharField(choices=[("began", "Began"), ("recovered", "Recovered")], max_length=10),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sent", "Sent"),
                            ("given_up", "Given up"),
                            ("dropped", "Not needed any more"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("attempts", models.IntegerField(default=0)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="syncmetrics.alertchannel",
                    ),
                ),
                (
                    "incident",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="syncmetrics.incident",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert delivery",
                "verbose_name_plural": "alert deliveries",
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="ReportSending",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("report", models.CharField(max_length=10)),
                ("period_start", models.DateField()),
                ("attempts", models.IntegerField(default=0)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
                (
                    "recipient",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sendings",
                        to="syncmetrics.reportrecipient",
                    ),
                ),
            ],
            options={
                "verbose_name": "report sending",
                "ordering": ["-period_start", "-pk"],
            },
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(fields=["started_at"], name="incident_start"),
        ),
        migrations.AddConstraint(
            model_name="incident",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)),
                fields=("kind", "subject"),
                name="incident_one_open_per_kind_and_subject",
            ),
        ),
        migrations.AddConstraint(
            model_name="incident",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ended_at", None), ("ended_at__gte", models.F("started_at")), _connector="OR"
                ),
                name="incident_ends_after_its_start",
            ),
        ),
        migrations.AddIndex(
            model_name="alertdelivery",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["due_at"], name="alertdelivery_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertdelivery",
            constraint=models.UniqueConstraint(
                fields=("incident", "channel", "what"), name="alertdelivery_once_per_incident_and_channel"
            ),
        ),
        migrations.AddIndex(
            model_name="reportsending",
            index=models.Index(fields=["period_start"], name="reportsending_period"),
        ),
        migrations.AddConstraint(
            model_name="reportsending",
            constraint=models.UniqueConstraint(
                fields=("recipient", "report", "period_start"), name="reportsending_once_per_period"
            ),
        ),
    ]
