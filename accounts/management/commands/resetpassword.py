"""Sets a lost password on the machine itself; ends the person's logins and lifts their lock."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.users import locks_lift, password_set


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", default="lost password")

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"no user is called {options['username']!r}", returncode=2)
        try:
            password_set(
                user=user,
                password=_asked(),
                actor="command line",
                reason=options["reason"],
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from error
        locks_lift(user)
        self.stdout.write(f"{user.get_username()} logs in with the new password now.")


def _asked() -> str:
    """Never an argument: those stand in the shell's history and in the list of processes."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("New password: ")
    if password != getpass("The same again: "):
        raise CommandError("the two passwords were not the same", returncode=2)
    return password
