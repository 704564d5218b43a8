"""What goes wrong and who hears of it: incidents, channels and what was sent, reports by e-mail."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from easel import encryption
from syncmetrics.alerts.kinds import titles
from syncmetrics.models.runs import SyncRun


class AlertChannel(models.Model):
    """Where alerts are sent, and which. Its URL is a secret: encrypted, and shown to nobody again."""

    name = models.CharField(max_length=100, unique=True)
    url_ciphertext = models.TextField(editable=False)
    service = models.CharField(max_length=100, editable=False, blank=True)
    enabled = models.BooleanField(default=True)
    muted_kinds = models.JSONField(
        default=list, blank=True, help_text="Kinds of incidents it is not told of."
    )
    error_rate_percent = models.FloatField(
        "many are more than",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Percent of the requests; empty: ALERT_ERROR_RATE_PERCENT.",
    )
    connection_keys = models.JSONField(default=list, blank=True, help_text="None: all connections.")
    last_sent_at = models.DateTimeField("last sent", null=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    last_error_at = models.DateTimeField("last failure", null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "alert channel"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(error_rate_percent=None) | Q(error_rate_percent__range=(0, 100)),
                name="alertchannel_error_rate_is_a_percentage",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def url(self) -> str:
        """The decrypted URL, for sending only; `Undecipherable` when no key fits any more."""
        return encryption.decrypt(self.url_ciphertext, settings.CANVAS_TOKEN_KEYS)

    @url.setter
    def url(self, value: str) -> None:
        self.url_ciphertext = encryption.encrypt(value, settings.CANVAS_TOKEN_KEYS)

    @property
    def error_rate(self) -> float:
        """Of more failed requests than this, in percent, it is told."""
        own = self.error_rate_percent
        return settings.ALERT_ERROR_RATE_PERCENT if own is None else own

    def wants(self, kind: str, connections: frozenset[int], error_rate: float | None = None) -> bool:
        """Tell whether it is told of something of this kind, which touches these connections.

        `error_rate`: the percentage of requests that failed, where that is what is told.
        """
        chosen = set(self.connection_keys)
        told = kind not in self.muted_kinds and (not chosen or not chosen.isdisjoint(connections))
        return told and (error_rate is None or error_rate > self.error_rate)


class Incident(models.Model):
    """Something that went wrong, from its start to its recovery; only one of a kind and subject is open."""

    kind = models.CharField(max_length=20, choices=titles)
    subject = models.CharField(max_length=300, help_text="What it happens to, as one key.")
    instance_key = models.BigIntegerField(null=True, blank=True)
    connection_key = models.BigIntegerField(null=True, blank=True)
    about = models.CharField("of", max_length=300)
    text = models.TextField("what was found", blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.TextField("how it ended", blank=True)
    run = models.ForeignKey(
        SyncRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="incidents"
    )
    times = models.IntegerField("how often", default=1)
    page = models.CharField(
        max_length=300, blank=True, help_text="The path of the console's page where more is seen."
    )

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(ended_at=None),
                name="incident_one_open_per_kind_and_subject",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="incident_ends_after_its_start",
            ),
        ]
        indexes = [models.Index(fields=["started_at"], name="incident_start")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.about}"


class RunReview(models.Model):
    """Says that a run that has ended was looked at, so that no other worker opens an incident for it."""

    run = models.OneToOneField(SyncRun, on_delete=models.CASCADE, primary_key=True, related_name="review")
    reviewed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "run review"

    def __str__(self) -> str:
        return f"Run {self.run_id} was looked at."


class AlertDelivery(models.Model):
    """One message to one channel: that an incident began, or that it is over."""

    class What(models.TextChoices):
        """What it tells."""

        BEGAN = "began", "Began"
        RECOVERED = "recovered", "Recovered"

    class State(models.TextChoices):
        """How it stands."""

        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        GIVEN_UP = "given_up", "Given up"
        DROPPED = "dropped", "Not needed any more"

    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="deliveries")
    what = models.CharField(max_length=10, choices=What.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    interrupted = models.BooleanField(
        default=False, help_text="A worker was killed while it sent this: nobody knows whether it arrived."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = "alert delivery"
        verbose_name_plural = "alert deliveries"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "channel", "what"], name="alertdelivery_once_per_incident_and_channel"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="alertdelivery_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.incident}, {self.what}"


class ReportRecipient(models.Model):
    """Somebody who is sent reports by e-mail."""

    email = models.EmailField("e-mail address", unique=True)
    weekly = models.BooleanField("weekly report", default=True)
    monthly = models.BooleanField("monthly report", default=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "report recipient"
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email


class ReportSending(models.Model):
    """One report of one period to one recipient: sent, or why not yet."""

    recipient = models.ForeignKey(
        ReportRecipient, on_delete=models.CASCADE, related_name="sendings", db_index=False
    )
    report = models.CharField(max_length=10)
    period_start = models.DateField()
    attempts = models.IntegerField(default=0)
    claimed_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = "report sending"
        ordering = ["-period_start", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "report", "period_start"], name="reportsending_once_per_period"
            ),
        ]
        indexes = [models.Index(fields=["period_start"], name="reportsending_period")]

    def __str__(self) -> str:
        return f"{self.report} report from {self.period_start} to {self.recipient}"
