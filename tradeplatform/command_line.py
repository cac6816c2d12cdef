"""The command line of this installation: wrong use is answered in one line, like bad input."""

from __future__ import annotations

from typing import Any

from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, CommandParser


class OneLineUtility(ManagementUtility):
    """Django's own, without the usage text that argparse puts before its error (exit 2)."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        made = command.create_parser

        def create_parser(*args: Any, **kwargs: Any) -> CommandParser:
            parser = made(*args, **kwargs)
            parser.print_usage = _silent  # type: ignore[method-assign]
            return parser

        command.create_parser = create_parser  # type: ignore[method-assign]
        return command


def _silent(file: Any = None) -> None:
    """``--help`` tells the usage; the error alone says what was wrong and what is allowed."""
