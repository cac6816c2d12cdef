"""Checks venue, key, limits, database and broker before money depends on them; 1 on any red."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from market.preflight import Verdict
from tradeplatform.configuration import load_accounts
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.preflight import adopt_practice_address, preflight_run
from tradeplatform.several_accounts import account_named


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", default=MAIN, help="of the section accounts")
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            accounts = load_accounts(settings.CONFIG_FILE)
            config = account_named(accounts, options["account"])
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        adopt_practice_address(accounts)
        report = preflight_run(config, actor="command line")
        out = self.stderr if options["json"] else self.stdout
        for finding in report.findings:
            out.write(f"{finding.verdict.upper():8} {finding.name:14} {finding.detail}")
            if finding.fix:
                out.write(f"{'':23} fix: {finding.fix}")
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self.stdout.write(
                f"{report.count(Verdict.RED)} red, {report.count(Verdict.AMBER)} amber"
            )
        if not report.passed:
            sys.exit(1)
