"""Which book the layer learns from, and what time it is there.

Strategy rows are one set for the installation, so one book leads: where real money trades that of
the live run, then paper's, then practice's; of several that of the account ``main``, then the one
that started last. What a simulated venue shows never moves a status that gates real money. Trades
of several runs of one account on one venue in one mode are one book; modes never mix.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from engine.side_books import SHADOW
from trades.models import Analysis, Lot, Mode, SideTrade, Trade, TradingRun
from trades.queues import is_apart


def leading_run() -> TradingRun | None:
    """Return the open run the layer follows; None where nothing trades."""
    open_runs = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    nearness = (Mode.LIVE, Mode.PAPER, Mode.PRACTICE)
    return min(
        open_runs.order_by("-started_at", "-id"),
        key=lambda run: (nearness.index(Mode(run.mode)), is_apart(run.config)),
        default=None,
    )


def book_of(run: TradingRun) -> str:
    return f"{run.mode}:{run.venue}:{run.account}"


def trades_of(run: TradingRun) -> QuerySet[Trade]:
    """Return the closed trades of the run's book, oldest row first."""
    return Trade.objects.filter(**_same_book(run)).order_by("pk")


def shadow_trades_of(run: TradingRun) -> QuerySet[SideTrade]:
    """Return the virtual trades of suspended strategies beside that book, oldest row first."""
    return SideTrade.objects.filter(book=SHADOW, **_same_book(run)).order_by("pk")


def _same_book(run: TradingRun) -> dict[str, str]:
    return {"run__mode": run.mode, "run__venue": run.venue, "run__account": run.account}


def open_lots() -> int:
    """Return how many lots are open in open runs (OPT-66)."""
    runs = TradingRun.objects.filter(ended_at__isnull=True)
    return Lot.objects.filter(run__in=runs, is_open=True).count()


def venue_time(run: TradingRun, wall: datetime) -> datetime:
    """Return the venue time of the run at a moment of wall time, exact to one bar.

    A practice venue's clock may run sixty times as fast as ours, and years away from it (D-24).
    """
    seen = Analysis.objects.filter(run=run, created_at__lte=wall).order_by("-id")
    first = Analysis.objects.filter(run=run).order_by("id")
    found = seen.values_list("bar_close_at", flat=True).first()
    if found is None:
        found = first.values_list("bar_close_at", flat=True).first()
    return found or run.last_event_at or wall


def period_start(now: datetime, interval_s: float) -> datetime:
    """Return the start of the update period that ``now`` falls in, counted from the epoch."""
    seconds = now.timestamp()
    return now - timedelta(seconds=seconds % interval_s)
