"""A symbol that the venue no longer lists, while a run trades it and when it starts again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market.errors import DataError
from monitoring.models import Alert
from tests.practice_process import KEY, SECRET, PracticeProcess, practice_process
from tradeplatform.configuration import Configuration
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.lease import lease_acquire
from trades.models import Analysis, ControlState, TradingRun
from trades.runner import RunningSession

pytestmark = pytest.mark.django_db(transaction=True)
BTC, ETH = "BTC/USDT", "ETH/USDT"


@pytest.fixture
def venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[PracticeProcess]:
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    monkeypatch.setattr("trades.venue_rules.GAP_S", 0.01)
    monkeypatch.setattr("trades.venue_rules.AGAIN_S", 0.01)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    with practice_process(tmp_path / "venue") as process:
        settings.PRACTICE_URL = process.url
        yield process


def started(run: TradingRun, code_version: str) -> RunningSession:
    fence = lease_acquire(run=run, holder="test", code_version=code_version)
    assert fence is not None
    return running_session(run, fence)


def delist(venue: PracticeProcess, symbol: str) -> None:
    venue.admin("POST", "/instrument", {"symbol": symbol, "listed": False})


def analysed(symbol: str) -> int:
    return Analysis.objects.filter(symbol=symbol).count()


def test_other_symbols_trade_on_beside_a_delisted_one_and_after_a_restart(
    venue: PracticeProcess, settings: Any
) -> None:
    """F-055: it is halted alone and told of; the session neither fails nor refuses to start."""
    run = run_ensure(Configuration(), actor="test")
    assert {BTC, ETH} <= set(run.symbols)
    session = started(run, settings.CODE_VERSION)
    venue.step()
    assert session.advance().outcome == "advanced"
    delist(venue, BTC)
    venue.step()
    before = analysed(BTC), analysed(ETH)
    assert session.advance().outcome == "venue unavailable", "the first look proves nothing"
    time.sleep(0.02)
    assert session.advance().outcome == "advanced"
    assert (analysed(BTC), analysed(ETH)) == (before[0], before[1] + 1)
    (halted,) = ControlState.objects.exclude(state="ACTIVE")
    assert (halted.scope.rpartition("symbol:")[2], halted.state) == (BTC, "HALTED")
    told = Alert.objects.get(code="SYMBOL_CLOSED", resolved_at__isnull=True)
    assert BTC in told.text and "is kept" in told.text
    session.close()
    again = started(run, settings.CODE_VERSION)
    venue.step()
    again.advance()
    time.sleep(0.02)
    assert again.advance().outcome == "advanced"
    assert (analysed(BTC), analysed(ETH)) == (before[0], before[1] + 2)
    venue.admin("POST", "/instrument", {"symbol": BTC, "listed": True})
    time.sleep(0.02)
    again.advance()  # its refused question reads the list anew
    venue.step()
    assert again.advance().outcome == "advanced"
    assert analysed(BTC) > before[0], "what it missed is caught up with"


def test_a_run_of_which_the_venue_lists_nothing_does_not_start(
    venue: PracticeProcess, settings: Any
) -> None:
    """F-055: then it is not a delisting but another venue, or an empty answer."""
    run = run_ensure(Configuration(), actor="test")
    for symbol in run.symbols:
        delist(venue, symbol)
    with pytest.raises(DataError, match="allowed: a symbol the venue lists"):
        started(run, settings.CODE_VERSION)
