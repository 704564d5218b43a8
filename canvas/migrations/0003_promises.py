import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("canvas", "0002_access")]

    operations = [
        migrations.CreateModel(
            name="Promise",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "resource",
                    models.CharField(
                        blank=True,
                        help_text="Empty: every resource without a promise of its own.",
                        max_length=40,
                    ),
                ),
                (
                    "hours",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How old the copy may be, in hours. Empty: nothing is promised.",
                        null=True,
                    ),
                ),
                (
                    "instance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="promises",
                        to="canvas.instance",
                    ),
                ),
            ],
            options={
                "verbose_name": "freshness promise",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("instance", "resource"), name="promise_once_per_resource"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("hours", None), ("hours__gte", 1), _connector="OR"),
                        name="promise_of_an_hour_or_more",
                    ),
                ],
            },
        ),
    ]
