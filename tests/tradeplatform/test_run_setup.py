"""Opening a run, or going on with one: which mode, by which configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accounts.models import AuditEvent
from tests.practice_process import PracticeProcess
from tests.tradeplatform.test_running import started, venue  # noqa: F401  fixture
from tests.trades.order_factory import make_run
from tradeplatform.configuration import Configuration, from_mapping, load
from tradeplatform.run_setup import _check_books_are_there, run_ensure
from trades.errors import RunRefused
from trades.models import TradingRun

pytestmark = pytest.mark.django_db(transaction=True)


def configured(**trading: Any) -> Configuration:
    return from_mapping({"trading": trading}, source="test")


def test_live_needs_the_armed_setting_and_keys_of_its_own(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-093: refused before the venue is asked, and no run is opened."""
    live = from_mapping({"exchange": {"id": "binance"}, "trading": {"mode": "live"}}, source="t")
    settings.LIVE_ARMED = False
    with pytest.raises(RunRefused, match="TRADEPLATFORM_LIVE_ARMED was not true"):
        run_ensure(live, actor="test")
    settings.LIVE_ARMED = True
    monkeypatch.delenv("TRADEPLATFORM_EXCHANGE_KEY", raising=False)
    with pytest.raises(RunRefused, match="TRADEPLATFORM_EXCHANGE_KEY was not set"):
        run_ensure(live, actor="test")
    assert not TradingRun.objects.exists()


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_a_stop_limit_is_refused_where_it_could_not_be_followed(
    exchange: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-057: once triggered it rests under another id or in another list, unseen, and holds the
    coins that every way out needs."""
    settings.LIVE_ARMED = True
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", "k")
    asked = {
        "exchange": {"id": exchange},
        "trading": {"mode": "live", "protection": "stop_limit"},
    }
    with pytest.raises(RunRefused, match=rf"stop_limit, allowed on {exchange}: stop or"):
        run_ensure(from_mapping(asked, source="t"), actor="test")
    assert not TradingRun.objects.exists()


def test_books_of_one_mode_are_never_gone_on_with_in_another(
    venue: PracticeProcess,  # noqa: F811
) -> None:
    """F-093: the mode is in the run's row, and a file that says another one is refused."""
    run = run_ensure(Configuration(), actor="test")
    TradingRun.objects.filter(pk=run.pk).update(mode="paper")
    with pytest.raises(RunRefused, match=r"was practice, the open run of .* is paper"):
        run_ensure(Configuration(), actor="test")
    assert TradingRun.objects.get().mode == "paper"


def test_a_file_changed_while_trading_counts_from_the_next_start_and_is_audited(
    venue: PracticeProcess,  # noqa: F811
    tmp_path: Path,
    settings: Any,
) -> None:
    """F-088, D-31: no half of a file is ever read by a session: it has the run's own copy."""
    path = tmp_path / "config.yaml"
    path.write_text("risk:\n  max_risk_per_trade: 0.02\n")
    settings.CONFIG_FILE = str(path)
    run = run_ensure(load(path), actor="test")
    session = started(run)
    before = session._session._book._limits  # type: ignore[attr-defined]
    path.write_text("risk:\n  max_risk_per_tr")
    venue.step()
    assert session.advance().outcome == "advanced"
    assert session._session._book._limits is before  # type: ignore[attr-defined]
    path.write_text("risk:\n  max_risk_per_trade: 0.03\n")
    again = run_ensure(load(path), actor="olga")
    assert again.pk == run.pk
    assert again.config["risk"]["max_risk_per_trade"] == 0.03
    event = AuditEvent.objects.get(action="run.config")
    assert event.actor == "olga"
    assert event.before["config_digest"] == run.config_digest != event.after["config_digest"]


def test_real_money_is_not_traded_on_a_fresh_database_where_there_were_books(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-036: a file that was deleted, or the address of another server; a person decides."""
    settings.VAR_DIR, settings.LIVE_ARMED = tmp_path, True
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", "k")
    live = from_mapping({"exchange": {"id": "binance"}, "trading": {"mode": "live"}}, source="t")
    _check_books_are_there(live)
    (tmp_path / "traded-live").touch()
    with pytest.raises(RunRefused, match=r"restore a backup, or delete .*traded-live"):
        run_ensure(live, actor="test")
    make_run(mode="live")
    _check_books_are_there(live)
