"""Yesterday judged: decided again, stored; a person is told of what nothing explains."""

from __future__ import annotations

from datetime import date

from monitoring.models import Severity
from monitoring.services import alert_raise, alert_resolve
from research.models import ParityDay
from research.parity import parity_of
from research.parity_services import MAX_ATTEMPTS, parity_store
from trades.models import TradingRun

CODE = "PARITY_UNEXPLAINED"
NOT_JUDGED = "PARITY_NOT_JUDGED"


def parity_run(run: TradingRun, day: date) -> ParityDay:
    """Judge one day of a run and store what it came to.

    The alert is of the run: a later day without an unexplained difference resolves it, an earlier
    one that is judged again does not. Before the last attempt at a day a person is told that the
    others ended without a word: should this one do so too, nobody is left to say it.
    """
    lost_key = f"parity_lost:{run.code}:{day}"
    if ParityDay.objects.filter(
        run=run, day=day, finished_at=None, attempts__gte=MAX_ATTEMPTS
    ).exists():
        alert_raise(
            code=NOT_JUDGED,
            severity=Severity.WARNING,
            text=f"{day} was begun to be judged {MAX_ATTEMPTS} times and has not ended; no other"
            f" attempt follows: manage.py parity --run {run.code} --day {day}",
            dedupe_key=lost_key,
            run_code=str(run.code),
        )
    row = parity_store(run=run, day=day, found=parity_of(run, day))
    alert_resolve(dedupe_key=lost_key)
    key = f"parity:{run.code}"
    newer = ParityDay.objects.filter(run=run, day__gt=day, finished_at__isnull=False)
    if row.unexplained:
        first = row.differences[0]
        alert_raise(
            code=CODE,
            severity=Severity.WARNING,
            text=f"{row.unexplained} differences of {day} are not explained; first"
            f" {first['symbol']} {first['strategy']} {first['what']}: was {first['then']},"
            f" is {first['now']}",
            dedupe_key=key,
            run_code=str(run.code),
        )
    elif not newer.exists():
        alert_resolve(dedupe_key=key)
    return row
