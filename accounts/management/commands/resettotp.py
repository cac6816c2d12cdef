"""Switches a person's second step off where the app and the recovery codes are lost."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from accounts.second_factor import second_factor_remove
from accounts.sessions import sessions_end_all
from accounts.users import locks_lift


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", default="lost second step")

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"no user is called {options['username']!r}", returncode=2)
        given = {"actor": "command line", "reason": options["reason"]}
        was_on = second_factor_remove(user, **given)
        sessions_end_all(user, **given)
        locks_lift(user)
        now = "is off now" if was_on else "was off already"
        self.stdout.write(f"The second step of {user.get_username()} {now}; every login has ended.")
