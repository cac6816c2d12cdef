from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # the module needs the app registry, which is complete from here on
        logins = import_module("accounts.logins")
        logins.connect()
        post_migrate.connect(logins.roles_after_migrate, sender=self)
