"""The digest of a stored run: the same number a replay of the same bars gives (D-24, D-25)."""

from __future__ import annotations

from collections.abc import Iterator

from engine.digest import RunDigest, decision_line, fill_line
from trades import models, records


def run_digest(run: models.TradingRun) -> str:
    """Return the digest of all decisions and fills of a run, ids and wall time left out."""
    digest = RunDigest()
    for line in decision_lines(run):
        digest.add_decision(line)
    for line in fill_lines(run):
        digest.add_fill(line)
    return digest.hexdigest()


def decision_lines(run: models.TradingRun) -> Iterator[str]:
    """Yield canonical lines by bar, then symbol in the run's order, then strategy."""
    rank = {symbol: number for number, symbol in enumerate(run.symbols)}
    bar: list[models.Decision] = []
    rows = models.Decision.objects.filter(run=run).order_by("bar_close_at", "strategy")
    for row in rows.iterator(chunk_size=2000):
        if bar and bar[0].bar_close_at != row.bar_close_at:
            yield from _in_order(bar, rank)
            bar = []
        bar.append(row)
    yield from _in_order(bar, rank)


def _in_order(bar: list[models.Decision], rank: dict[str, int]) -> Iterator[str]:
    for row in sorted(bar, key=lambda r: (rank[r.symbol], r.strategy)):
        yield decision_line(
            symbol=row.symbol,
            bar_close_ms=records.milliseconds(row.bar_close_at),
            strategy=row.strategy,
            action=row.action,
            quantity_base=row.quantity_base,
            reason_code=row.reason_code,
            confidence=row.confidence,
        )


def fill_lines(run: models.TradingRun) -> Iterator[str]:
    """Yield canonical lines by time of execution, then symbol, strategy and booking."""
    rank = {symbol: number for number, symbol in enumerate(run.symbols)}
    rows = models.Fill.objects.filter(run=run).order_by("executed_at", "pk")
    keyed = sorted(
        rows.iterator(chunk_size=2000),
        key=lambda r: (r.executed_at, rank[r.symbol], r.strategy, r.pk),
    )
    for row in keyed:
        yield fill_line(
            symbol=row.symbol,
            ts_ms=records.milliseconds(row.executed_at),
            strategy=row.strategy,
            side=row.side,
            price=row.price,
            quantity_base=row.quantity_base,
            fee=row.fee,
            fee_asset=row.fee_asset,
        )
