"""What is few among many and asked for often: failed jobs, a user's runs. And a run's listings."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("syncmetrics", "0006_declared_kinds")]

    operations = [
        migrations.AddField(
            model_name="syncrun",
            name="listings",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What its requests took, by listing (syncmetrics.listings).",
            ),
        ),
        migrations.AddIndex(
            model_name="jobrun",
            index=models.Index(
                condition=models.Q(("state", "failed")), fields=["logged_at"], name="jobrun_failed"
            ),
        ),
        migrations.AddIndex(
            model_name="syncrun",
            index=models.Index(
                condition=models.Q(("user_id__isnull", False)),
                fields=["user_id", "-sync_start_time"],
                name="syncrun_user_time",
            ),
        ),
    ]
