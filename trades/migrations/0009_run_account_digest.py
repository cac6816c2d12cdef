from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trades", "0008_run_key_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="tradingrun",
            name="account_digest",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
    ]
