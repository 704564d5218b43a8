"""Canvas sites, the credentials on them, and the shard numbers their ids fold into."""

from __future__ import annotations

from django.conf import settings
from django.db import models, transaction
from django.db.models import Max, Q

from canvas import tokens
from easel.ids import MAX_SHARD_NUMBER, Folder, InvalidId


class Instance(models.Model):
    """One Canvas site. Data rows belong to it, whichever connection fetched them."""

    name = models.CharField(max_length=100, unique=True)
    base_url = models.URLField("base URL", unique=True)
    canvas_shard = models.BigIntegerField(
        null=True, blank=True, help_text="Canvas's own number of this site's home shard, where known."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        permissions = [("sync_instance", "Can start, resume and cancel syncs")]

    def __str__(self) -> str:
        return self.name

    def folder(self) -> Folder:
        """Return what folds this site's ids, allotting numbers to foreign shards as they are met."""
        shards = {shard.canvas_shard: shard.number for shard in self.shards.all()}
        home = shards.pop(None, None) or Shard.allot(self, None)
        return Folder(
            home,
            canvas_shard=self.canvas_shard,
            known={canvas: number for canvas, number in shards.items() if canvas is not None},
            allot=lambda canvas_shard: Shard.allot(self, canvas_shard),
        )


class Shard(models.Model):
    """Our number for one Canvas shard as one instance sees it. Numbers are never used again."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="shards")
    canvas_shard = models.BigIntegerField(null=True, blank=True, help_text="Empty: the home shard.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(number__gte=1, number__lte=MAX_SHARD_NUMBER), name="shard_number_below_900"
            ),
            models.UniqueConstraint(fields=["instance", "canvas_shard"], name="shard_once_per_instance"),
            models.UniqueConstraint(
                fields=["instance"], condition=Q(canvas_shard=None), name="shard_one_home_per_instance"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instance} shard {self.canvas_shard or 'home'}"

    @classmethod
    def allot(cls, instance: Instance, canvas_shard: int | None) -> int:
        """Return the number of a shard, taking the next free one when it is new; InvalidId when none is."""
        with transaction.atomic():
            # One at a time, or two would take the same number.
            list(Instance.objects.select_for_update(no_key=True).order_by("pk").values_list("pk"))
            known = cls.objects.filter(instance=instance, canvas_shard=canvas_shard).first()
            if known:
                return known.number
            highest = cls.objects.aggregate(Max("number"))["number__max"] or 0
            if highest >= MAX_SHARD_NUMBER:
                raise InvalidId("no shard number is left")
            return cls.objects.create(number=highest + 1, instance=instance, canvas_shard=canvas_shard).number


class Connection(models.Model):
    """One credential on a Canvas site: whose token it is, what it may see and when it ends."""

    class State(models.TextChoices):
        """What Canvas last said of the token."""

        OK = "ok", "working"
        REJECTED = "rejected", "token rejected"
        UNREACHABLE = "unreachable", "Canvas unreachable"

    class Expiry(models.TextChoices):
        """What is known of the token's end."""

        KNOWN = "known", "known"
        NEVER = "never", "never"
        UNKNOWN = "unknown", "unknown"

    name = models.SlugField(max_length=50, unique=True)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="connections")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    token_ciphertext = models.TextField(editable=False)
    authoritative = models.BooleanField(
        default=False, help_text="Sees everything: only then does absence from a listing mean deletion."
    )
    account_admin = models.BooleanField(default=False, editable=False)
    capabilities = models.JSONField(
        default=dict, editable=False, help_text="Per listing: what the probe was told."
    )
    canvas_user_id = models.BigIntegerField(null=True, editable=False)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OK, editable=False)
    state_message = models.TextField(blank=True, editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)
    token_expiry = models.CharField(
        max_length=8, choices=Expiry.choices, default=Expiry.UNKNOWN, editable=False
    )
    token_expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        permissions = [("connect_canvas", "Can connect a Canvas and replace tokens")]

    def __str__(self) -> str:
        return self.name

    @property
    def token(self) -> str:
        """The decrypted token; for the client only, never to be shown."""
        return tokens.decrypt(self.token_ciphertext)

    @token.setter
    def token(self, value: str) -> None:
        self.token_ciphertext = tokens.encrypt(value)
