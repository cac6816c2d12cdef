"""Keeps exchange keys sealed in the database; only processes with the master key can use them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import ExchangeKeyRefused
from accounts.exchange_keys import (
    Credentials,
    exchange_key_remove,
    exchange_key_set,
    exchange_keys_rotate,
)
from accounts.models import ExchangeKey
from tradeplatform.credentials import master_keys

ACTOR = "command line"
VERBS = ("newmaster", "set", "list", "remove", "rotate")


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument("--exchange", default="", help="as exchange.id in config.yaml")
        parser.add_argument("--account", default="main", help="as exchange.account in config.yaml")

    def handle(self, **options: Any) -> None:
        try:
            getattr(self, options["verb"])(options["exchange"], options["account"])
        except ExchangeKeyRefused as error:
            raise CommandError(str(error), returncode=2) from error

    def newmaster(self, exchange: str, account: str) -> None:
        self.stdout.write(Fernet.generate_key().decode())

    def set(self, exchange: str, account: str) -> None:
        credentials = Credentials(_asked("Key"), _asked("Secret"), _asked("Passphrase, or empty"))
        row = exchange_key_set(
            exchange=exchange,
            account=account,
            credentials=credentials,
            masters=master_keys(),
            actor=ACTOR,
        )
        self.stdout.write(f"{row}: sealed. Now manage.py preflight tells what it may do.")

    def list(self, exchange: str, account: str) -> None:
        for row in ExchangeKey.objects.all():
            self.stdout.write(f"{row}, since {row.created_at:%Y-%m-%d %H:%M} UTC")

    def remove(self, exchange: str, account: str) -> None:
        if not exchange_key_remove(exchange=exchange, account=account, actor=ACTOR):
            raise CommandError(f"no key is kept for {exchange!r} {account!r}", returncode=2)
        self.stdout.write("Forgotten here. End it at the exchange too.")

    def rotate(self, exchange: str, account: str) -> None:
        n_keys = exchange_keys_rotate(masters=master_keys(), actor=ACTOR)
        self.stdout.write(f"{n_keys} keys are sealed with the first master key now.")


def _asked(what: str) -> str:
    """Never an argument: those stand in the shell's history and in the list of processes."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return getpass(f"{what}: ")
