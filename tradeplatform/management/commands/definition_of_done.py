"""Writes which promise of the optimization layer is proven by which tests (OPT-93)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tradeplatform.acceptance import (
    AcceptanceInputError,
    Row,
    matrix,
    read_results,
    results_path,
)

# the definition of done of the layer's mission, and the rows that stand for each item
DONE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "All 5 integration points implemented and exercised",
        ("OPT-02", "OPT-03", "OPT-08", "OPT-17", "OPT-29", "OPT-37"),
    ),
    ("Zero regression with the layer off", ("OPT-01", "OPT-43", "OPT-46")),
    ("Backward compatible: runs unchanged when disabled", ("OPT-42", "OPT-47", "OPT-53")),
    ("Safe by default: off until switched on", ("OPT-06", "OPT-41", "OPT-51", "OPT-55")),
    (
        "Validated: six checks, each able to fail",
        ("OPT-48", "OPT-49", "OPT-50", "OPT-52", "OPT-54"),
    ),
    ("Risk constraints hold", ("OPT-14", "OPT-15", "OPT-18", "OPT-23", "OPT-74", "OPT-75")),
    ("A failing layer never stops or loosens trading", ("OPT-07", "OPT-76")),
    ("Documented: overview, quick reference, index, example, rollout", ("OPT-92", "OPT-95")),
    (
        "Monitored: status, alerts and log lines in place",
        ("OPT-61", "OPT-62", "OPT-65", "OPT-68", "OPT-69", "OPT-94"),
    ),
)
PAGE = Path("docs") / "optimization" / "definition-of-done.md"


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--results", type=Path, default=None, metavar="FILE")
        parser.add_argument("--out", type=Path, default=settings.BASE_DIR / PAGE, metavar="FILE")

    def handle(self, **options: Any) -> None:
        try:
            run = read_results(options["results"] or results_path(settings.BASE_DIR))
        except AcceptanceInputError as error:
            raise CommandError(str(error), returncode=2) from error
        page = definition_of_done(run)
        options["out"].write_text(page)
        self.stdout.write(f"{options['out']}: {page.count('| done |')} of {len(DONE)} items done")


def definition_of_done(run: dict[str, Any]) -> str:
    """Return the page: an item is done where each of its rows has a test and all of them passed."""
    ids = [row_id for _, rows in DONE for row_id in rows]
    rows = {row.id: row for row in matrix(ids, run["tests"], ())}
    lines = [
        "# Definition of done of the optimization layer",
        "",
        f"Written by `manage.py definition_of_done` from the tests of {run['date']} at"
        f" {run['commit']}. An item is done where every row it stands for has a passing test and"
        " no failing one.",
        "",
        "How well these tests notice a fault (OPT-44): `python -m tests.mutation.run --jobs 2`"
        " plants every mutant of the layer and of its seam, `--sample 200` some of them, a file's"
        " name those of one file. What survives and why: `results.md`. Limits under random harm:"
        " `python -m benchmarks.phase7_fuzz --steps 10000000`.",
        "",
        "| Item | Verdict | Rows |",
        "|---|---|---|",
    ]
    for item, wanted in DONE:
        open_rows = [row_id for row_id in wanted if not rows[row_id].passed]
        verdict = "done" if not open_rows else f"open: {', '.join(open_rows)}"
        lines.append(f"| {item} | {verdict} | {', '.join(wanted)} |")
    lines += ["", "## Tests of each row"]
    for row_id in dict.fromkeys(ids):
        lines += ["", f"**{row_id}** {_verdict(rows[row_id])}"]
        lines += [f"- `{test}`" for test in rows[row_id].tests]
    return "\n".join(lines) + "\n"


def _verdict(row: Row) -> str:
    if not row.tests:
        return "no test"
    return "passed" if row.passed else "not passed"
