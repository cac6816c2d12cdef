"""Writes of what opinions came to: settled bars and credited trades."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from engine.types.decisions import Settlement
from engine.types.learned import TradeCredit, Trial
from strategies.models import CreditedTrade, SettledBar

# About three weeks of five-minute bars of four symbols; a row has about 300 bytes.
KEPT_BARS = 20_000
KEPT_TRADES = 20_000


def moment(ts_ms: int) -> datetime:
    """Return aware UTC time of integer milliseconds."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC)


def settled_record(
    *, run_code: UUID, settled: Iterable[Settlement], trials: Iterable[Trial]
) -> int:
    """Keep settled opinions, one row a bar; the same bar twice is one row. Return the bars.

    Learned sources are kept with every answer they gave, rules with their opinions.
    """
    bars: dict[tuple[str, int], SettledBar] = {}

    def of(found: Settlement | Trial) -> SettledBar:
        return bars.setdefault(
            (found.symbol, found.opinion_at_ms),
            SettledBar(
                run_code=run_code,
                symbol=found.symbol,
                opinion_at=moment(found.opinion_at_ms),
                settled_at=moment(found.settled_at_ms),
                regime=found.regime,
                outcome_up=found.outcome_up,
                opinions={},
            ),
        )

    for settlement in settled:
        of(settlement).opinions[settlement.source] = round(settlement.probability_up, 6)
    for trial in trials:
        of(trial).opinions.update({name: round(p, 6) for name, p in trial.answers})
    SettledBar.objects.bulk_create(bars.values(), ignore_conflicts=True)
    return len(bars)


def credit_record(*, run_code: UUID, credit: TradeCredit) -> None:
    """Keep one closed trade with the opinions at its opening; the same trade twice is one row."""
    CreditedTrade.objects.get_or_create(
        run_code=run_code,
        trade_id=credit.trade_id,
        defaults={
            "strategy": credit.strategy,
            "symbol": credit.symbol,
            "regime": credit.regime,
            "side": credit.side.value,
            "pnl_quote": credit.pnl_quote,
            "r_multiple": credit.r_multiple,
            "opinions": {source: round(p, 6) for source, p in credit.opinions},
            "closed_at": moment(credit.closed_at_ms),
        },
    )


def scores_prune() -> int:
    """Delete what is older than the latest rows of each run; return how many."""
    deleted = 0
    for kind, kept in ((SettledBar, KEPT_BARS), (CreditedTrade, KEPT_TRADES)):
        rows = kind.objects.order_by()  # type: ignore[attr-defined]
        for run_code in rows.values_list("run_code", flat=True).distinct():
            of_run = rows.filter(run_code=run_code).order_by("-id")
            oldest = of_run.values_list("id", flat=True)[kept - 1 : kept].first()
            if oldest is not None:
                deleted += of_run.filter(id__lt=oldest).delete()[0]
    return deleted
