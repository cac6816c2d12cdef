"""Practice and replay over the same bars: the same decisions, the same fills (D-24, D-25, I-26)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.digest import decision_line
from engine.types.ledger import Trade as ClosedTrade
from engine.types.orders import Cause
from market.sources.history import HistorySource, load_history
from market.sources.synthetic_path import synthetic_bars
from monitoring.models import Incident
from tests.practice_process import KEY, SECRET, practice_process
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration, Trading
from tradeplatform.replay_run import Replay
from tradeplatform.reporters import LogReporter
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.digest import decision_lines, fill_lines, run_digest
from trades.lease import lease_acquire
from trades.models import Decision, Fill, Order, Trade, TradingRun
from trades.records import milliseconds

WARM_UP_BARS = 300
TRADED_BARS = 300
SEED = 3
START_MS = 1_700_000_000_000 // 60_000 * 60_000


@pytest.fixture
def bar_file(tmp_path: Path) -> Path:
    """Candles of the seeded market as a csv file, as a user would bring them."""
    bars = synthetic_bars(11, "BTC/USDT", START_MS, 60_000, WARM_UP_BARS + TRADED_BARS)
    path = tmp_path / "binance_spot_BTCUSDT_1m_walk.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume"]
    path.write_text("\n".join(lines + [",".join(map(repr, row)) for row in rows]))
    return path


@pytest.fixture
def practice_keys(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    # a clock stepped by hand looks like one that outruns every knock
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    # nobody competes for the run and no phase is late, however slow the machine
    settings.LEASE_SECONDS = 600
    monkeypatch.setattr("tradeplatform.running.PHASES_DEADLINE_S", 60.0)


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
def test_practice_and_replay_decide_and_fill_the_same(
    bar_file: Path, tmp_path: Path, settings: Any
) -> None:
    """I-26: the digest of a stored practice run equals that of a replay over the same file, with
    stops that rest at the exchange, fill there and are cancelled for exits."""
    run = trade_on_practice(bar_file, tmp_path, settings, WARM_UP_BARS, TRADED_BARS)
    wiring = replay_of(run, bar_file)
    assert Decision.objects.filter(run=run).count() >= TRADED_BARS - 1
    assert Fill.objects.filter(run=run).count() >= 2
    assert Trade.objects.filter(run=run).count() >= 1
    stops = Order.objects.filter(run=run, cause=Cause.PROTECTION)
    assert stops.filter(status="FILLED").exists() and stops.filter(status="CANCELED").exists()
    assert_same(run, wiring)


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_practice_and_replay_agree_on_entries_that_wait_and_are_priced_anew(
    bar_file: Path, tmp_path: Path, settings: Any
) -> None:
    """I-26, F-018: limit orders time out, end at the exchange, and their rest goes on as a leg."""
    trading = Trading(
        entry_order="limit", limit_offset_bps=4.0, order_timeout_bars=1, reprice_times=2
    )
    config = Configuration(trading=trading)
    run = trade_on_practice(bar_file, tmp_path, settings, WARM_UP_BARS, TRADED_BARS, config)
    entries = Order.objects.filter(run=run, purpose="entry")
    assert entries.filter(status="FILLED", order_type="limit").exists()
    legs = entries.filter(leg__gt=0)
    assert legs.exists() and not legs.filter(decision=None).exists()
    ended = entries.filter(status="CANCELED").first()
    assert ended is not None and ended.refusal_text.startswith("not filled within 1 bars")
    assert_same(run, replay_of(run, bar_file, config=config))


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_practice_and_replay_agree_on_real_candles(
    market_data: Path, tmp_path: Path, settings: Any
) -> None:
    """I-26: 400 real one-minute bars, a window of 2,500 against the whole history."""
    file = market_data / "ohlcv" / "binance_spot_BTCUSDT_1m_2025-05_2025-08.parquet"
    run = trade_on_practice(file, tmp_path, settings, 3_000, 400)
    assert Fill.objects.filter(run=run).count() >= 2
    assert_same(run, replay_of(run, file))


@pytest.mark.usefixtures("practice_keys")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_paper_and_replay_decide_and_fill_the_same(
    bar_file: Path, tmp_path: Path, settings: Any
) -> None:
    """I-26, T7: a stored paper run reads the venue's market and matches its orders itself."""
    run = trade_on_practice(bar_file, tmp_path, settings, WARM_UP_BARS, TRADED_BARS, mode="paper")
    assert Decision.objects.filter(run=run).count() >= TRADED_BARS - 1
    assert Fill.objects.filter(run=run).count() >= 2
    assert_same(run, replay_of(run, bar_file))


def trade_on_practice(
    file: Path,
    folder: Path,
    settings: Any,
    warm_up_bars: int,
    bars: int,
    config: Configuration | None = None,
    mode: str = "practice",
) -> TradingRun:
    """Trade ``bars`` bars of a file through ccxt on a practice exchange stepped bar by bar; on
    paper its market alone is read."""
    options = ("--data", str(file), "--seed", str(SEED), "--warmup-bars", str(warm_up_bars))
    with practice_process(folder / "venue", *options) as venue:
        settings.PRACTICE_URL = venue.url
        run = run_ensure(config or Configuration(), actor="test")
        # paper asks for a venue that is not the practice exchange; what serves it is the same
        TradingRun.objects.filter(pk=run.pk).update(mode=mode)
        run.refresh_from_db()
        fence = lease_acquire(run=run, holder="test", code_version=settings.CODE_VERSION)
        assert fence is not None
        session = running_session(run, fence)
        session.advance()
        for _ in range(bars):
            if venue.status()["next_close_ms"] is None:
                break
            venue.step()
            session.advance()
        assert bool(venue.ledger()["fills"]) == (mode == "practice")
    assert list(Incident.objects.values_list("where", "message")) == []
    return run


def replay_of(
    run: TradingRun,
    file: Path,
    on_trade: Callable[[ClosedTrade], None] | None = None,
    config: Configuration | None = None,
) -> Replay:
    """Replay the very bars that the run decided on, with the same book."""
    closes = Decision.objects.filter(run=run).order_by("bar_close_at")
    first, last = closes.first(), closes.last()
    assert first is not None and last is not None
    source = HistorySource(
        load_history([file]),
        from_ms=milliseconds(first.bar_close_at) - run.timeframe_ms,
        to_ms=milliseconds(last.bar_close_at),
        book_seed=SEED,
    )
    wiring = bootstrap.replay(
        config or Configuration(), source, cash_quote=Decimal(10_000), reporter=LogReporter()
    )
    if on_trade is not None:
        wiring.journal.record_trade = on_trade  # type: ignore[method-assign]
    wiring.run()
    return wiring


def assert_same(run: TradingRun, wiring: Replay) -> None:
    assert len(list(decision_lines(run))) == wiring.journal.counts.decisions
    assert len(list(fill_lines(run))) == wiring.journal.counts.fills
    assert run_digest(run) == wiring.journal.hexdigest()


def test_a_digest_line_leaves_out_ids_and_trailing_zeros() -> None:
    """D-24: what is digested is what was decided, however a database spells the number."""
    parts = {
        "symbol": "BTC/USDT",
        "bar_close_ms": 1,
        "strategy": "breakout",
        "action": "BUY",
        "reason_code": "ENTRY",
        "confidence": 0.5,
    }
    short = decision_line(**parts, quantity_base=Decimal("0.1"))
    assert short == decision_line(**parts, quantity_base=Decimal("0.100000000000"))
    assert short != decision_line(**parts, quantity_base=Decimal("0.2"))
