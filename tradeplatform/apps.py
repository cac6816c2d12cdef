from django.apps import AppConfig


class TradeplatformConfig(AppConfig):
    name = "tradeplatform"
    verbose_name = "Tradeplatform"
