from importlib import import_module

from django.apps import AppConfig


class TradeplatformConfig(AppConfig):
    name = "tradeplatform"
    verbose_name = "Tradeplatform"

    def ready(self) -> None:
        # registers the system checks
        import_module("tradeplatform.checks")
