"""A book with closed trades, and a watch that remembers what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from optimization.switches import optimization_settings_change
from strategies.models import Strategy
from tests.trades.rows import START, make_run, make_strategy, make_trade

NOON = START + timedelta(hours=12)


class Watch:
    """Implements ``optimization.services.LayerWatch``."""

    def __init__(self) -> None:
        self.standing: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.incidents: list[str] = []

    def alerts(self, standing: Sequence[Any]) -> None:
        self.standing = [alert.code for alert in standing]

    def changed(self, topic: str, data: dict[str, Any]) -> None:
        self.told.append((topic, data))

    def incident(self, where: str, error: BaseException) -> None:
        self.incidents.append(f"{where}: {error}")


def switch(**changes: Any) -> None:
    optimization_settings_change(changes=changes, actor="ada", reason="a test", source="api")


def make_book(at: datetime = NOON, **given: Any) -> Any:
    """Return an open run whose venue time is ``at``, with two strategies and the layer on."""
    for code in ("ema-trend", "fair-value-gap"):
        if not Strategy.objects.filter(code=code).exists():
            make_strategy(code)
    switch(enabled=True)
    return make_run(last_event_at=at, **given)


def make_trades(run: Any, strategy: str, results: Sequence[float], *, minute: int = 0) -> None:
    """Close one trade a minute from ``minute`` on, each with the R given."""
    for offset, r in enumerate(results):
        make_trade(run, r, minute=minute + offset, strategy=strategy, entry_regime="TRENDING")
