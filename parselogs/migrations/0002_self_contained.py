from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("parselogs", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="datafile",
            name="self_contained",
            field=models.BooleanField(
                default=False,
                help_text="The archive holds everything its rows refer to: what is not in it is an error.",
                verbose_name="complete",
            ),
        ),
    ]
