from importlib import import_module

from django.apps import AppConfig


class TradeplatformConfig(AppConfig):
    name = "tradeplatform"
    verbose_name = "Tradeplatform"

    def ready(self) -> None:
        # registers the system checks, and what a worker says when it stops
        import_module("tradeplatform.checks")
        import_module("tradeplatform.shutdown")
