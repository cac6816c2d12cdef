"""Yesterday judged: decided again, stored; a person is told of what nothing explains."""

from __future__ import annotations

from datetime import date

from monitoring.models import Severity
from monitoring.services import alert_raise, alert_resolve
from research.models import ParityDay
from research.parity import parity_of
from research.parity_services import parity_store
from trades.models import TradingRun

CODE = "PARITY_UNEXPLAINED"


def parity_run(run: TradingRun, day: date) -> ParityDay:
    """Judge one day of a run and store what it came to.

    The alert is of the run: a later day without an unexplained difference resolves it, an earlier
    one that is judged again does not.
    """
    row = parity_store(run=run, day=day, found=parity_of(run, day))
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
