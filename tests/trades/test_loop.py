"""What the loop says of itself: how far it lags behind its venue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.announce import EventOutcome
from engine.types.bars import EventKind, MarketEvent
from trades.loop import MAX_EVENTS_PER_ADVANCE, TradingLoop

MINUTE_MS = 60_000
NOW_MS = 1_700_000_020_000


class Venue:
    """Has closed bars that nobody read yet; hands out what is left of them."""

    def __init__(self, n_waiting: int) -> None:
        newest = NOW_MS // MINUTE_MS * MINUTE_MS
        self._left = [newest - i * MINUTE_MS for i in reversed(range(n_waiting))]

    def events(self) -> Any:
        for close_ms in list(self._left):
            self._left.remove(close_ms)
            yield MarketEvent(EventKind.BAR, "BTC/USDT", close_ms, NOW_MS)

    def now_ms(self) -> int:
        return NOW_MS


def loop_at(venue: Venue) -> TradingLoop:
    nothing = SimpleNamespace(
        run_if_due=lambda: None,
        on_event=EventOutcome,
        advanced=lambda summary: None,
        took=lambda outcome, seconds: None,
        source_answered=lambda: None,
    )
    parts: dict[str, Any] = dict.fromkeys(("fence", "session", "reconciler", "watch"), nothing)
    run: Any = SimpleNamespace(pk=1, timeframe_ms=MINUTE_MS)
    return TradingLoop(
        run=run,
        source=venue,  # type: ignore[arg-type]
        renew=lambda: None,
        has_news=lambda: False,
        monotonic=lambda: 0.0,
        sleep=lambda seconds: None,
        **parts,
    )


@pytest.mark.parametrize(("n_waiting", "behind"), [(0, 0), (1, 0), (2, 1), (40, 39)])
def test_a_loop_is_behind_by_the_bars_that_waited_beside_the_newest(n_waiting, behind):
    """The bar that has just closed is on time; a quiet market leaves nobody behind."""
    summary = loop_at(Venue(n_waiting)).advance()
    assert (summary.events, summary.behind_bars) == (n_waiting, behind)


def test_who_catches_up_in_several_advances_says_less_each_time_and_then_nothing():
    loop = loop_at(Venue(MAX_EVENTS_PER_ADVANCE + 30))
    said = [loop.advance().as_dict()["behind_bars"] for _ in range(3)]
    assert said == [MAX_EVENTS_PER_ADVANCE + 29, 29, 0]
