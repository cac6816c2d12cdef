"""Many decisions in a row and at once: nothing of one market or session reaches another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from strategies.core.registry import learned_sources, rule_sources
from tests.bar_factory import random_walk
from tests.engine.phases.scene import book_at, pipeline
from tests.engine.sessions import play, scene
from tests.trades.stored_run import StoredRun, market
from trades.models import Decision
from trades.stored import analysis_document

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT")


def first_phases(run: Any, symbol: str) -> list[tuple[Any, list[str]]]:
    """Bar and output digests of phases 1-3 of one symbol, in the order they were written."""
    rows = run.analyses.filter(symbol=symbol).order_by("pk")
    return [
        (row.bar_close_at, [r["output_digest"] for r in analysis_document(row)["records"][:3]])
        for row in rows
    ]


@pytest.mark.django_db
def test_a_hundred_decisions_in_turn_over_five_symbols_do_not_touch_each_other() -> None:
    """ORC-66: each symbol's analyses are those of a run that trades it alone, in bar order."""
    bars = market(*SYMBOLS, n_bars=430)
    together = StoredRun(bars).trade(20).run
    assert Decision.objects.filter(run=together).count() >= 100
    for symbol in SYMBOLS:
        alone = StoredRun({symbol: bars[symbol]}).trade(20).run
        told = first_phases(together, symbol)
        assert told == first_phases(alone, symbol)
        assert len(told) == 20
        times = [at for at, _ in told]
        assert times == sorted(times)


def decided(seed: int) -> list[str]:
    """The decisions and fills of one session over its own market."""
    bars = random_walk(seed, 500)
    run = scene(bars, pipeline(rule_sources(), learned_sources()), first_row=400)
    play(run, bars, range(400, 500), book=book_at)
    return run.journal.lines()


def test_twenty_sessions_at_once_decide_as_they_do_one_by_one() -> None:
    """ORC-66: twenty concurrent sessions over five markets, four of each."""
    one_by_one = {seed: decided(seed) for seed in range(5)}
    assert len({tuple(lines) for lines in one_by_one.values()}) == 5
    with ThreadPoolExecutor(20) as threads:
        at_once = list(threads.map(decided, [seed for seed in range(5) for _ in range(4)]))
    for place, lines in enumerate(at_once):
        assert lines == one_by_one[place // 4]
