"""``manage.py acceptance``: the contract row by row, from the last test run."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tradeplatform.acceptance import (
    AcceptanceInputError,
    both_runs,
    contract_ids,
    matrix,
    postgres_results_path,
    read_results,
    results_path,
)


class Command(BaseCommand):
    help = "Print which rows of the contract have a passing test; exit 1 while some have none."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        root = Path(settings.BASE_DIR)
        parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
        parser.add_argument("--results", type=Path, default=results_path(root))
        parser.add_argument("--postgres", type=Path, default=postgres_results_path(root))
        parser.add_argument("--bench", type=Path, default=root / "benchmarks" / "results.json")
        parser.add_argument("--ids", type=Path, default=root / "docs" / "contract-ids.txt")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = read_results(options["results"])
            more = read_results(options["postgres"]) if options["postgres"].exists() else {}
            bench = read_results(options["bench"]) if options["bench"].exists() else {}
        except AcceptanceInputError as error:
            raise CommandError(str(error), returncode=2) from error
        ids = contract_ids(options["ids"])
        rows = matrix(ids, both_runs(run, more), bench.get("benchmarks", ()))
        passed = sum(row.passed for row in rows)
        if options["json"]:
            document = {
                "commit": run["commit"],
                "date": run["date"],
                "bench": {key: bench.get(key) for key in ("commit", "date")},
                "rows": [
                    {"id": row.id, "tests": list(row.tests), "passed": row.passed} for row in rows
                ],
                "passed": passed,
                "total": len(rows),
            }
            self.stdout.write(json.dumps(document))
        else:
            for row in rows:
                word = "PASS" if row.passed else "FAIL" if row.tests else "----"
                self.stdout.write(f"{word}  {row.id:<8} {len(row.tests):>3} tests")
            self.stdout.write(f"Tests of {run['date']} at {run['commit']}")
            self.stdout.write(f"{passed} of {len(rows)} rows have a passing test")
        if passed < len(rows):
            raise SystemExit(1)
