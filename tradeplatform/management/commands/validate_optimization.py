"""Six checks of the optimization layer, with a total; exit 0 only where all pass (OPT-48)."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand

from tradeplatform.validation import run_checks


class Command(BaseCommand):
    help = __doc__
    # a broken integration is what the checks are for: they say which
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        results = run_checks()
        passed = sum(result.passed for result in results)
        if options["json"]:
            document = {
                "checks": [asdict(result) for result in results],
                "passed": passed,
                "total": len(results),
            }
            self.stdout.write(orjson.dumps(document).decode())
        else:
            for result in results:
                word = "PASS" if result.passed else "FAIL"
                self.stdout.write(f"{word}  {result.name}: {result.detail}")
            self.stdout.write(f"Result: {passed}/{len(results)}")
            verdict = "passed" if passed == len(results) else "FAILED"
            self.stdout.write(f"Validation {verdict}")
        if passed < len(results):
            raise SystemExit(1)
