"""The lines of the transfer logs: one table for every kind."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from logmonitor.models.sources import LogSource


class LogLine(models.Model):
    """One line of one log. Its key says where it stands, so that no line can be stored twice.

    `id` is `segment << 41 | offset << 1 | sub`: the segment's key, the byte of the (unpacked) file where
    the line begins, and 1 for a line that was found inside a damaged one. It passes 2^53: outside
    Python it is a text. Texts hold no control characters: the parser puts pictures of them in their
    place (`logmonitor/transfers/lines.py`).
    """

    class Kind(models.TextChoices):
        """What a line tells of."""

        TRANSFER = "transfer", "Transfer"
        COMMAND = "command", "Command"
        HTTP = "http", "HTTP request"
        WEBDAV = "webdav", "WebDAV request"
        LOGIN = "login", "Login"
        LOGIN_FAILED = "login_failed", "Failed login"
        DEFENDER = "defender", "Defender"
        APP = "app", "Message"

    class Outcome(models.TextChoices):
        """How what it tells of ended; empty where the line does not say."""

        SUCCEEDED = "succeeded", "Succeeded"
        PARTIAL = "partial", "Partial"
        FAILED = "failed", "Failed"

    class Flag(models.IntegerChoices):
        """What is odd about a line; bits of `flags`."""

        CLAMPED = 1, "a number was out of range"
        CUT = 2, "a text was cut"
        CLEANED = 4, "control characters or half characters were replaced, or a password masked"
        UNTERMINATED = 8, "the end of the line was never written"
        RECOVERED = 16, "found inside a damaged line"
        AMBIGUOUS = 32, "of the hour that comes twice in autumn: told apart by the order of lines"
        NONEXISTENT = 64, "of the hour that spring leaves out: the time zone of the source may be wrong"

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(
        LogSource, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    at = models.DateTimeField(help_text="Of a transfer: when it ended.")
    day = models.DateField(help_text="The calendar day in the time zone of the source.")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    sender = models.TextField(blank=True, help_text="Upload, Download, Rename, SFTP, …")
    level = models.TextField(blank=True)
    username = models.TextField(blank=True)
    address = models.TextField(blank=True, help_text="The client's, without its port.")
    protocol = models.TextField(blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    size_bytes = models.BigIntegerField("bytes", null=True, blank=True)
    elapsed_ms = models.BigIntegerField("milliseconds", null=True, blank=True)
    path = models.TextField(blank=True)
    target_path = models.TextField(blank=True)
    connection_id = models.TextField("session", blank=True)
    message = models.TextField(blank=True)
    flags = models.SmallIntegerField(default=0)

    class Meta:
        verbose_name = "log line"
        constraints = [
            models.CheckConstraint(
                condition=Q(size_bytes=None) | Q(size_bytes__gte=0), name="logline_size_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["source", "at"], name="logline_source_at"),
            models.Index(
                fields=["connection_id", "at"], name="logline_session", condition=~Q(connection_id="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M:%S}"

    @property
    def segment_id(self) -> int:
        """The segment it stands in."""
        return self.pk >> 41

    @property
    def offset(self) -> int:
        """The byte of the unpacked file where it begins."""
        return (self.pk >> 1) & ((1 << 40) - 1)
