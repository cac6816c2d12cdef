"""Practice and replay read the same order flow, whatever happened before a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.types.decisions import Analysis, PhaseRecord
from market.sources.history import HistorySource, load_history
from market.sources.synthetic_path import synthetic_bars
from tests.practice_process import KEY, SECRET, practice_process
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration
from tradeplatform.reporters import LogReporter
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades import models
from trades.lease import lease_acquire
from trades.records import analysis_payload, milliseconds
from trades.stored import analysis_document

WARM_UP_BARS, BARS_A_PART = 300, 20
SEED = 3
START_MS = 1_700_000_000_000 // 60_000 * 60_000


@pytest.fixture
def bar_file(tmp_path: Path) -> Path:
    bars = synthetic_bars(11, "BTC/USDT", START_MS, 60_000, WARM_UP_BARS + 2 * BARS_A_PART)
    path = tmp_path / "binance_spot_BTCUSDT_1m_walk.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume"]
    path.write_text("\n".join(lines + [",".join(map(repr, row)) for row in rows]))
    return path


def traded(bar_file: Path, tmp_path: Path, settings: Any) -> models.TradingRun:
    """Trade the file on a practice exchange; the session is rebuilt from rows half-way."""
    options = ("--data", str(bar_file), "--seed", str(SEED), "--warmup-bars", str(WARM_UP_BARS))
    with practice_process(tmp_path / "venue", *options) as venue:
        settings.PRACTICE_URL = venue.url
        run = run_ensure(Configuration(), actor="test")
        for _ in range(2):
            fence = lease_acquire(run=run, holder="test", code_version=settings.CODE_VERSION)
            assert fence is not None
            session = running_session(run, fence)
            session.advance()
            for _ in range(BARS_A_PART):
                if venue.status()["next_close_ms"] is None:
                    break
                venue.step()
                session.advance()
    return run


def replayed(run: models.TradingRun, bar_file: Path) -> dict[int, Any]:
    """What a replay of the same bars reads, by bar close."""
    closes = models.Analysis.objects.filter(run=run).order_by("bar_close_at")
    first, last = closes.first(), closes.last()
    assert first is not None and last is not None
    source = HistorySource(
        load_history([bar_file]),
        from_ms=milliseconds(first.bar_close_at) - run.timeframe_ms,
        to_ms=milliseconds(last.bar_close_at),
        book_seed=SEED,
    )
    wiring = bootstrap.replay(
        Configuration(), source, cash_quote=Decimal(10_000), reporter=LogReporter()
    )
    found: dict[int, Any] = {}

    def keep(analysis: Analysis, learning: Sequence[PhaseRecord]) -> None:
        found[analysis.bar_close_ms] = analysis_payload(analysis, learning)["order_flow"]

    wiring.journal.record_analysis = keep  # type: ignore[method-assign]
    wiring.run()
    return found


@pytest.mark.django_db(transaction=True)
def test_a_rebuilt_practice_session_reads_what_a_replay_reads(
    bar_file: Path, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I-26, ORC-09: every field of every bar, the first one after the restart included."""
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    run = traded(bar_file, tmp_path, settings)
    practice = {
        milliseconds(row.bar_close_at): analysis_document(row)["order_flow"]
        for row in models.Analysis.objects.filter(run=run)
    }
    assert len(practice) >= 2 * BARS_A_PART - 2
    replay = json.loads(json.dumps(replayed(run, bar_file)))
    assert {str(ts_ms): view for ts_ms, view in practice.items()} == replay
    known = [view for view in practice.values() if isinstance(view["ofi_levels"], list)]
    assert len(known) == len(practice) - 1
    assert all(len(view["inputs"]["values"]) == 12 for view in practice.values())
