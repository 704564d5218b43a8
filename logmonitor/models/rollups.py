"""What the transfers and failed logins of a day, or of a month, come to. These stay for ever."""

from __future__ import annotations

from django.db import models

from logmonitor.models.sources import LogSource

ALL_PROTOCOLS = "*"
"""The protocol of rows that add up all of them."""


class Period(models.Model):
    """What a row adds up: the lines of one source and protocol, or all protocols, on a day or in a month.

    A day is the calendar day in the time zone of the source; a month is all of its days.
    """

    class Grain(models.TextChoices):
        """How long a row's time is."""

        DAY = "day", "Day"
        MONTH = "month", "Month"

    source = models.ForeignKey(
        LogSource, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    grain = models.CharField(max_length=5, choices=Grain.choices)
    protocol = models.TextField(blank=True)
    start = models.DateField(help_text="The day, or the first of the month.")

    class Meta:
        abstract = True


class TransferSums(Period):
    """What some transfers come to: how many by direction and outcome, and their bytes.

    Bytes stay at the largest 64-bit number once they would pass it.
    """

    upload_succeeded = models.BigIntegerField(default=0)
    upload_succeeded_bytes = models.BigIntegerField(default=0)
    upload_partial = models.BigIntegerField(default=0)
    upload_partial_bytes = models.BigIntegerField(default=0)
    upload_failed = models.BigIntegerField(default=0)
    upload_failed_bytes = models.BigIntegerField(default=0)
    download_succeeded = models.BigIntegerField(default=0)
    download_succeeded_bytes = models.BigIntegerField(default=0)
    download_partial = models.BigIntegerField(default=0)
    download_partial_bytes = models.BigIntegerField(default=0)
    download_failed = models.BigIntegerField(default=0)
    download_failed_bytes = models.BigIntegerField(default=0)
    empty_dav_downloads = models.BigIntegerField(
        default=0, help_text="Downloads of no byte over WebDAV: old versions log one for a listed folder."
    )

    class Meta:
        abstract = True


class UserTransfers(TransferSums):
    """What the transfers of one user come to."""

    username = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        permissions = [
            ("view_transfers", "Can see who transferred what"),
            ("export_transfers", "Can export who transferred what"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "protocol", "start", "source", "username"], name="usertransfers_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username}, {self.get_grain_display()} {self.start}"


class AllTransfers(TransferSums):
    """What the transfers of all users come to, and how fast those that succeeded were."""

    upload_speeds = models.JSONField(
        default=dict, help_text="Histogram of bytes per second (logmonitor/transfers/speeds.py)."
    )
    download_speeds = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "protocol", "start", "source"], name="alltransfers_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_grain_display()} {self.start}"


class FailedLogins(Period):
    """How many logins failed. Whose they were is known as long as their lines are kept.

    Names and addresses are what anybody on the internet may send: a row for each would be without end.
    """

    failures = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "protocol", "start", "source"], name="failedlogins_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_grain_display()} {self.start}"
