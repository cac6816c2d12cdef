from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import TokenRefused
from accounts.models import Scope
from accounts.services import token_create


class Command(BaseCommand):
    help = "Make an API token and print it once; only its SHA-256 is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--scope", required=True, choices=Scope.values)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            _, token = token_create(
                name=options["name"], scope=options["scope"], actor="command line"
            )
        except TokenRefused as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(token)
