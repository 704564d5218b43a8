"""Kinds of incidents are declared by the apps: a channel keeps those it does not want, whatever they are."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

import syncmetrics.alerts.kinds

KINDS = ("failed", "partial", "lost", "stale", "error_rate")


def mute(apps: Any, schema_editor: Any) -> None:
    """Keep what each channel does not want to hear of."""
    for channel in apps.get_model("syncmetrics", "AlertChannel").objects.all():
        channel.muted_kinds = [kind for kind in KINDS if not getattr(channel, f"on_{kind}")]
        channel.save(update_fields=["muted_kinds"])


def unmute(apps: Any, schema_editor: Any) -> None:
    """Put back what each channel does not want to hear of, of the kinds that there were."""
    for channel in apps.get_model("syncmetrics", "AlertChannel").objects.all():
        for kind in KINDS:
            setattr(channel, f"on_{kind}", kind not in channel.muted_kinds)
        channel.save(update_fields=[f"on_{kind}" for kind in KINDS])


class Migration(migrations.Migration):
    dependencies = [("syncmetrics", "0005_channel_error_rate")]

    operations = [
        migrations.AddField(
            model_name="alertchannel",
            name="muted_kinds",
            field=models.JSONField(
                blank=True, default=list, help_text="Kinds of incidents it is not told of."
            ),
        ),
        migrations.RunPython(mute, unmute),
        *(migrations.RemoveField(model_name="alertchannel", name=f"on_{kind}") for kind in KINDS),
        migrations.AlterField(
            model_name="incident",
            name="kind",
            field=models.CharField(choices=syncmetrics.alerts.kinds.titles, max_length=20),
        ),
        migrations.AlterField(
            model_name="incident",
            name="times",
            field=models.IntegerField(default=1, verbose_name="how often"),
        ),
        migrations.AddField(
            model_name="incident",
            name="page",
            field=models.CharField(
                blank=True, help_text="The path of the console's page where more is seen.", max_length=300
            ),
        ),
    ]
