import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import logmonitor.models.sources


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="LogSource",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "folder",
                    models.CharField(
                        help_text="An absolute path; its sub-folders are followed too.",
                        max_length=1000,
                        unique=True,
                    ),
                ),
                (
                    "live_name",
                    models.CharField(
                        default="sftpgo.log",
                        help_text="The name of the file that SFTPGo is writing.",
                        max_length=200,
                        validators=[logmonitor.models.sources.validate_live_name],
                        verbose_name="live file",
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC",
                        help_text=(
                            "Of the times in the log, which do not say it: such as "
                            "Europe/Stockholm. UTC where SFTPGo logs with --log-utc-time. A change "
                            "counts for lines read from then on."
                        ),
                        max_length=64,
                        validators=[logmonitor.models.sources.validate_time_zone],
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "poll_seconds",
                    models.FloatField(
                        default=1.0,
                        validators=[
                            django.core.validators.MinValueValidator(0.1),
                            django.core.validators.MaxValueValidator(3600),
                        ],
                        verbose_name="seconds between looks",
                    ),
                ),
                (
                    "keep_lines_days",
                    models.PositiveIntegerField(
                        blank=True,
                        default=400,
                        help_text="Empty: for ever. The figures of days stay in any case.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="days that lines are kept",
                    ),
                ),
                (
                    "last_polled_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="last looked at"
                    ),
                ),
                ("behind_bytes", models.BigIntegerField(default=0, editable=False)),
                ("behind_seconds", models.FloatField(default=0, editable=False)),
                (
                    "last_line_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last line"),
                ),
                (
                    "lag_seconds",
                    models.FloatField(
                        blank=True,
                        editable=False,
                        help_text="From the time in the last line to when it was stored.",
                        null=True,
                    ),
                ),
                ("error", models.TextField(blank=True, editable=False)),
                (
                    "lines_kept_from",
                    models.DateField(
                        blank=True,
                        editable=False,
                        help_text=(
                            "Lines of earlier days were deleted by age, wholly or in part. Empty: none were."
                        ),
                        null=True,
                    ),
                ),
                ("lease_host", models.CharField(blank=True, editable=False, max_length=300)),
                ("lease_pid", models.BigIntegerField(default=0, editable=False)),
                ("lease_process", models.CharField(blank=True, editable=False, max_length=40)),
                ("lease_until", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "verbose_name": "transfer log",
                "permissions": [("drain_logsource", "Can have transfer logs read")],
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("poll_seconds__gte", 0.1), ("poll_seconds__lte", 3600)),
                        name="logsource_poll_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("keep_lines_days", None), ("keep_lines_days__gte", 1), _connector="OR"
                        ),
                        name="logsource_keep_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("folder", ""), _negated=True), name="logsource_has_folder"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Segment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("path", models.CharField(help_text="Below the folder, when last seen.", max_length=1000)),
                (
                    "head_start",
                    models.BigIntegerField(default=0, help_text="Bytes of zeros that the file begins with."),
                ),
                ("head_len", models.PositiveIntegerField()),
                ("head", models.BinaryField(max_length=16)),
                ("offset", models.BigIntegerField(default=0, help_text="Up to here it is read.")),
                ("anchor_len", models.PositiveIntegerField(default=0)),
                ("anchor", models.BinaryField(default=b"", max_length=16)),
                (
                    "packed",
                    models.CharField(
                        blank=True,
                        help_text="Size and time of the compressed file that holds no more.",
                        max_length=60,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("followed", "Followed"),
                            ("ended", "Read to its end"),
                            ("lost", "Gone before its end was read"),
                        ],
                        default="followed",
                        max_length=10,
                    ),
                ),
                ("first_seen", models.DateTimeField(auto_now_add=True)),
                ("seen_bytes", models.BigIntegerField(default=0, help_text="Its size when last seen.")),
                ("lines", models.BigIntegerField(default=0)),
                ("bad_lines", models.BigIntegerField(default=0)),
                (
                    "hole_bytes",
                    models.BigIntegerField(default=0, help_text="Zeros that stood between lines."),
                ),
                ("first_at", models.DateTimeField(null=True)),
                ("last_at", models.DateTimeField(null=True)),
                (
                    "last_stamp",
                    models.CharField(
                        blank=True, help_text="The time in its last line, as it was.", max_length=40
                    ),
                ),
                (
                    "fold",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Of the hour that comes twice in autumn, which one was reached."
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="segments",
                        to="logmonitor.logsource",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Gap",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(
                        help_text="The last line that was read of the file.", null=True, verbose_name="from"
                    ),
                ),
                (
                    "until",
                    models.DateTimeField(
                        help_text="The first line that is there again.", null=True, verbose_name="to"
                    ),
                ),
                (
                    "unread_bytes",
                    models.BigIntegerField(
                        default=0,
                        help_text=(
                            "Of these it is known; what was written after the last look is not counted."
                        ),
                    ),
                ),
                ("reason", models.CharField(max_length=300)),
                ("seen", models.DateTimeField(auto_now_add=True)),
                (
                    "closed_at",
                    models.DateTimeField(blank=True, help_text="When the file was there again.", null=True),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gaps",
                        to="logmonitor.logsource",
                    ),
                ),
                (
                    "segment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gap",
                        to="logmonitor.segment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BadLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("offset", models.BigIntegerField()),
                ("length", models.BigIntegerField(help_text="Bytes that it had in the file.")),
                (
                    "raw",
                    models.BinaryField(
                        help_text="Its bytes, of a very long one the first; passwords are masked."
                    ),
                ),
                ("reason", models.CharField(max_length=300)),
                ("seen", models.DateTimeField(auto_now_add=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("bad", "Not readable"), ("mended", "Read later")],
                        default="bad",
                        max_length=10,
                    ),
                ),
                (
                    "tried_at",
                    models.DateTimeField(blank=True, help_text="When it was last read again.", null=True),
                ),
                (
                    "segment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="logmonitor.segment"
                    ),
                ),
            ],
            options={
                "verbose_name": "bad line",
            },
        ),
        migrations.CreateModel(
            name="LogLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="Of a transfer: when it ended.")),
                ("day", models.DateField(help_text="The calendar day in the time zone of the source.")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("transfer", "Transfer"),
                            ("command", "Command"),
                            ("http", "HTTP request"),
                            ("webdav", "WebDAV request"),
                            ("login", "Login"),
                            ("login_failed", "Failed login"),
                            ("defender", "Defender"),
                            ("app", "Message"),
                        ],
                        max_length=12,
                    ),
                ),
                ("sender", models.TextField(blank=True, help_text="Upload, Download, Rename, SFTP, …")),
                ("level", models.TextField(blank=True)),
                ("username", models.TextField(blank=True)),
                ("address", models.TextField(blank=True, help_text="The client's, without its port.")),
                ("protocol", models.TextField(blank=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[("succeeded", "Succeeded"), ("partial", "Partial"), ("failed", "Failed")],
                        max_length=10,
                    ),
                ),
                ("size_bytes", models.BigIntegerField(blank=True, null=True, verbose_name="bytes")),
                ("elapsed_ms", models.BigIntegerField(blank=True, null=True, verbose_name="milliseconds")),
                ("path", models.TextField(blank=True)),
                ("target_path", models.TextField(blank=True)),
                ("connection_id", models.TextField(blank=True, verbose_name="session")),
                ("message", models.TextField(blank=True)),
                ("flags", models.SmallIntegerField(default=0)),
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
                "verbose_name": "log line",
                "indexes": [
                    models.Index(fields=["source", "at"], name="logline_source_at"),
                    models.Index(
                        condition=models.Q(("connection_id", ""), _negated=True),
                        fields=["connection_id", "at"],
                        name="logline_session",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("size_bytes", None), ("size_bytes__gte", 0), _connector="OR"),
                        name="logline_size_not_negative",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="segment",
            index=models.Index(fields=["source", "head"], name="segment_source_head"),
        ),
        migrations.AddIndex(
            model_name="segment",
            index=models.Index(fields=["source", "state"], name="segment_source_state"),
        ),
        migrations.AddConstraint(
            model_name="segment",
            constraint=models.CheckConstraint(
                condition=models.Q(("offset__gte", 0), ("offset__lt", 1099511627776)),
                name="segment_offset_fits_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="segment",
            constraint=models.CheckConstraint(
                condition=models.Q(("id__lt", 4194304)), name="segment_id_fits_key"
            ),
        ),
        migrations.AddIndex(
            model_name="gap",
            index=models.Index(fields=["source", "-seen"], name="gap_source_seen"),
        ),
        migrations.AddIndex(
            model_name="badline",
            index=models.Index(fields=["-seen"], name="badline_seen"),
        ),
        migrations.AddConstraint(
            model_name="badline",
            constraint=models.UniqueConstraint(fields=("segment", "offset"), name="badline_once_per_place"),
        ),
    ]
