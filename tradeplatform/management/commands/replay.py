"""Runs the real session over history with the paper broker and prints what it found."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from market.errors import DataError
from strategies.core.errors import StrategyError
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_request import add_arguments, read_request


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)
        parser.add_argument("--layer", choices=["on", "off"], default="off")

    def handle(self, **options: Any) -> None:
        try:
            request = read_request(options)
            _, result = request.run(with_layer=options["layer"] == "on")
        except (DataError, ConfigurationError, StrategyError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(asdict(result)).decode())
        else:
            for name, value in asdict(result).items():
                self.stdout.write(f"{name:24} {value}")
