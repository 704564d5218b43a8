"""Where transfer logs come from, how far each of their files is read, and what could not be read."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

READ_NO_MORE = (".gz", ".part", ".tmp", ".swp", ".lock", ".bz2", ".xz", ".zst", ".zip", "~")
"""What a file ends in that nobody is writing a log into."""


def validate_printable(text: str) -> None:
    """Raise ValidationError for what cannot stand in one line: commands, lists and logs show it."""
    if not text.isprintable():
        raise ValidationError(
            "Write it in one line, without control characters and without bytes that are no text.",
            code="printable",
        )


def validate_time_zone(name: str) -> None:
    """Raise ValidationError for what is no time zone of the IANA's list."""
    if name not in available_timezones():
        raise ValidationError(
            f"{name!r} is no time zone; write one such as Europe/Stockholm or UTC.", code="time_zone"
        )


def validate_live_name(name: str) -> None:
    """Raise ValidationError for what is no plain file name."""
    if "/" in name or "\0" in name or name in (".", ".."):
        raise ValidationError("A file name, such as sftpgo.log, without a folder.", code="live_name")
    if name.lower().endswith(READ_NO_MORE):
        raise ValidationError(
            f"{name!r} is no name of a file that is being written, such as sftpgo.log.", code="live_name"
        )


class LogSource(models.Model):
    """A folder that an SFTPGo writes its log into, with its sub-folders; and how far it is followed.

    The columns after `keep_lines_days` are written by the process that follows it, which holds the lease.
    """

    name = models.CharField(max_length=100, unique=True, validators=[validate_printable])
    folder = models.CharField(
        max_length=1000,
        unique=True,
        validators=[validate_printable],
        help_text="An absolute path; its sub-folders are followed too.",
    )
    live_name = models.CharField(
        "live file",
        max_length=200,
        default="sftpgo.log",
        validators=[validate_printable, validate_live_name],
        help_text="The name of the file that SFTPGo is writing.",
    )
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="Of the times in the log, which do not say it: such as Europe/Stockholm. UTC where SFTPGo"
        " logs with --log-utc-time. A change counts for lines read from then on.",
    )
    enabled = models.BooleanField(default=True)
    poll_seconds = models.FloatField(
        "seconds between looks",
        default=1.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(3600)],
    )
    keep_lines_days = models.PositiveIntegerField(
        "days that lines are kept",
        null=True,
        blank=True,
        default=400,
        validators=[MinValueValidator(1)],
        help_text="Empty: for ever. The figures of days stay in any case.",
    )
    added_at = models.DateTimeField(default=timezone.now, editable=False)
    last_polled_at = models.DateTimeField("last looked at", null=True, blank=True, editable=False)
    behind_bytes = models.BigIntegerField(default=0, editable=False)
    behind_seconds = models.FloatField(default=0, editable=False)
    last_line_at = models.DateTimeField("last line", null=True, blank=True, editable=False)
    lag_seconds = models.FloatField(
        null=True,
        blank=True,
        editable=False,
        help_text="From the time in the last line to when it was stored.",
    )
    error = models.TextField(blank=True, editable=False)
    lines_kept_from = models.DateField(
        null=True,
        blank=True,
        editable=False,
        help_text="Lines of earlier days were deleted by age, wholly or in part. Empty: none were.",
    )
    lease_host = models.CharField(max_length=300, blank=True, editable=False)
    lease_pid = models.BigIntegerField(default=0, editable=False)
    lease_process = models.CharField(max_length=40, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "transfer log"
        ordering = ["name"]
        permissions = [("drain_logsource", "Can have transfer logs read")]
        constraints = [
            models.CheckConstraint(
                condition=Q(poll_seconds__gte=0.1, poll_seconds__lte=3600), name="logsource_poll_in_range"
            ),
            models.CheckConstraint(
                condition=Q(keep_lines_days=None) | Q(keep_lines_days__gte=1), name="logsource_keep_a_day"
            ),
            models.CheckConstraint(condition=~Q(folder=""), name="logsource_has_folder"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Spell a new folder in one way; refuse what is no whole path, and whose lines would count twice."""
        super().clean()
        if not self.folder.isprintable():
            return  # refused already
        if self.pk and LogSource.objects.filter(pk=self.pk, folder=self.folder).exists():
            return
        if not self.folder.startswith("/"):
            raise ValidationError({"folder": "Write the whole path, beginning with a slash."})
        self.folder = _plain_path(self.folder)
        if self.folder == "/":
            raise ValidationError({"folder": "Name the folder of the log itself: this one holds everything."})
        own = _where(self.folder)
        for name, folder in LogSource.objects.exclude(pk=self.pk).values_list("name", "folder"):
            other = _where(folder)
            if own.is_relative_to(other) or other.is_relative_to(own):
                raise ValidationError(
                    {"folder": f"{name} follows {folder} with its sub-folders: lines would be counted twice."}
                )


def _plain_path(folder: str) -> str:
    """Return a path without doubled slashes, `.` and `..`, and without a slash at its end."""
    return "/" + os.path.normpath(folder).lstrip("/")


def _where(folder: str) -> PurePosixPath:
    """Return where a folder is once links are followed, as far as this host has them."""
    return PurePosixPath(os.path.realpath(_plain_path(folder)))


class Segment(models.Model):
    """The content of one log file, whatever its name is now, and how far it is read.

    It is known by its first bytes (`head`) and by those before the place that is reached (`anchor`):
    names, inodes and sizes all come back with other content. Offsets count bytes of the unpacked file.
    """

    class State(models.TextChoices):
        """What may still come."""

        FOLLOWED = "followed", "Followed"
        ENDED = "ended", "Read to its end"
        LOST = "lost", "Gone before its end was read"

    source = models.ForeignKey(LogSource, on_delete=models.CASCADE, related_name="segments")
    path = models.CharField(max_length=1000, help_text="Below the folder, when last seen.")
    head_start = models.BigIntegerField(default=0, help_text="Bytes of zeros that the file begins with.")
    head_len = models.PositiveIntegerField()
    head = models.BinaryField(max_length=16)
    offset = models.BigIntegerField(default=0, help_text="Up to here it is read.")
    anchor_len = models.PositiveIntegerField(default=0)
    anchor = models.BinaryField(max_length=16, default=b"")
    packed = models.CharField(
        max_length=60, blank=True, help_text="Size and time of the compressed file that holds no more."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.FOLLOWED)
    first_seen = models.DateTimeField(auto_now_add=True)
    seen_bytes = models.BigIntegerField(default=0, help_text="Its size when last seen.")
    lines = models.BigIntegerField(default=0)
    bad_lines = models.BigIntegerField(default=0)
    hole_bytes = models.BigIntegerField(default=0, help_text="Zeros that stood between lines.")
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    last_stamp = models.CharField(
        max_length=40, blank=True, help_text="The time in its last line, as it was."
    )
    fold = models.PositiveSmallIntegerField(
        default=0, help_text="Of the hour that comes twice in autumn, which one was reached."
    )

    class Meta:
        indexes = [
            models.Index(fields=["source", "head"], name="segment_source_head"),
            models.Index(fields=["source", "state"], name="segment_source_state"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(offset__gte=0, offset__lt=1 << 40), name="segment_offset_fits_key"
            ),
            models.CheckConstraint(condition=Q(id__lt=1 << 22), name="segment_id_fits_key"),
        ]

    def __str__(self) -> str:
        return self.path


class BadLine(models.Model):
    """Bytes of a log that are no line anybody knows; kept, to be read again once the program knows them."""

    class State(models.TextChoices):
        """Whether it is still bad."""

        BAD = "bad", "Not readable"
        MENDED = "mended", "Read later"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="+")
    offset = models.BigIntegerField()
    length = models.BigIntegerField(help_text="Bytes that it had in the file.")
    raw = models.BinaryField(help_text="Its bytes, of a very long one the first; passwords are masked.")
    reason = models.CharField(max_length=300)
    seen = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.BAD)
    tried_at = models.DateTimeField(null=True, blank=True, help_text="When it was last read again.")

    class Meta:
        verbose_name = "bad line"
        constraints = [
            models.UniqueConstraint(fields=["segment", "offset"], name="badline_once_per_place"),
        ]
        indexes = [models.Index(fields=["-seen"], name="badline_seen")]

    def __str__(self) -> str:
        return f"Byte {self.offset} of {self.segment}"


class Gap(models.Model):
    """A time of which lines may be missing: a file went away before its end was read."""

    source = models.ForeignKey(LogSource, on_delete=models.CASCADE, related_name="gaps")
    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, related_name="gap")
    since = models.DateTimeField("from", null=True, help_text="The last line that was read of the file.")
    until = models.DateTimeField("to", null=True, help_text="The first line that is there again.")
    unread_bytes = models.BigIntegerField(
        default=0, help_text="Of these it is known; what was written after the last look is not counted."
    )
    reason = models.CharField(max_length=300)
    seen = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When the file was there again.")
    accepted_at = models.DateTimeField(
        null=True, blank=True, help_text="When somebody said that these lines are lost for good."
    )

    class Meta:
        indexes = [
            models.Index(fields=["source", "-seen"], name="gap_source_seen"),
            models.Index(fields=["source"], name="gap_open", condition=Q(closed_at=None, accepted_at=None)),
        ]

    def __str__(self) -> str:
        return f"Gap of {self.source}"

    @classmethod
    def open(cls) -> models.QuerySet[Gap]:
        """Return those of which neither the file came back nor anybody said that it will not."""
        return cls.objects.filter(closed_at=None, accepted_at=None)

    @property
    def is_open(self) -> bool:
        """Whether somebody ought to look at it."""
        return self.closed_at is None and self.accepted_at is None
