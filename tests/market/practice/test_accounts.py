"""Several accounts at one practice venue: one market, and books of their own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from market.errors import DataError
from market.practice.ledger import Balance
from market.practice.private import account_info, create_order, my_trades
from market.practice.tape import SyntheticTape
from market.practice.venue import OtherAccount, Venue, VenueSettings
from tests.practice_process import practice_process

START_MS, BTC = 1_700_000_040_000, "BTC/USDT"


def opened(folder: Path, *names: str, cash: int = 5000) -> Venue:
    others = [OtherAccount(n, f"key-{n}", f"secret-{n}", Decimal(cash)) for n in names]
    settings = VenueSettings(
        folder, speed=0.0, keys={"key": "secret"}, others=others, warmup_bars=5
    )
    return Venue(settings, SyntheticTape(1, [BTC], START_MS, 60_000))


def buy(venue: Venue, quantity: str, **more: str) -> Any:
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": quantity}
    return create_order(venue, given | more)


def test_a_key_opens_its_own_account_and_no_other(tmp_path: Path) -> None:
    """D-59, I-3: balances, orders and trades are each account's own."""
    venue = opened(tmp_path, "second")
    main, second = venue.seen_by("key"), venue.seen_by("key-second")
    buy(second, "0.01")
    assert main.ledger.balances() == {"USDT": Balance(Decimal(10_000), Decimal(0))}
    assert second.ledger.balance("BTC").free == Decimal("0.01")
    assert my_trades(main, {"symbol": "BTCUSDT"}) == []
    assert len(my_trades(second, {"symbol": "BTCUSDT"})) == 1
    held = {row["asset"]: row["free"] for row in account_info(main, {})["balances"]}
    assert Decimal(held.get("BTC", "0")) == 0


def test_no_order_or_trade_of_one_account_has_the_number_of_another(tmp_path: Path) -> None:
    """I-3: the check of our books against the venue's compares numbers."""
    venue = opened(tmp_path, "second", "third")
    for name in ("", "second", "third"):
        buy(venue.named(name), "0.01")
    ledgers = venue.ledgers().values()
    numbers = [(o.order_id, f.trade_id) for lg in ledgers for o in lg.orders() for f in lg.fills()]
    assert len({order for order, _ in numbers}) == 3
    assert len({trade for _, trade in numbers}) == 3
    assert max(max(pair) for pair in numbers) < 2**53


def test_resting_orders_of_every_account_meet_the_bars_once(tmp_path: Path) -> None:
    """D-59: a venue killed between two ledgers' commits closes the bar again for one only."""
    venue = opened(tmp_path, "second")
    second = venue.named("second")
    close_ms = venue.clock.next_close_ms
    assert close_ms is not None
    buy(second, "0.01")
    stop = {"type": "STOP_LOSS", "side": "SELL", "stopPrice": "1000.00"}
    buy(second, "0.01", **stop)
    second.exchange.step(close_ms)  # committed, and then the venue died
    venue.close()
    again = opened(tmp_path, "second")
    assert again.clock.next_close_ms == close_ms
    told = again.step()
    assert told is not None and set(told) == {""}
    told = again.step()
    assert told is not None and set(told) == {"", "second"}
    again.close()


def test_an_account_that_comes_later_joins_the_market_with_its_cash(tmp_path: Path) -> None:
    """D-59: the first account's ledger goes on; other cash for the same name is refused."""
    alone = opened(tmp_path)
    buy(alone, "0.01")
    alone.step()
    alone.close()
    venue = opened(tmp_path, "second")
    assert venue.ledger.balance("BTC").free == Decimal("0.01")
    assert venue.named("second").ledger.balance("USDT").free == Decimal(5000)
    venue.close()
    with pytest.raises(DataError, match="cash of account second was 7000, allowed: 5000"):
        opened(tmp_path, "second", cash=7000)


def test_the_process_serves_each_key_its_own_balance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-59: over the wire, signed by ccxt; a key with another's secret is refused."""
    monkeypatch.setenv("PRACTICE_API_KEY__SECOND", "key-of-second")
    monkeypatch.setenv("PRACTICE_API_SECRET__SECOND", "secret-of-second")
    with practice_process(tmp_path / "state", "--account", "second=750.5") as practice:
        second = practice.client(key="key-of-second", secret="secret-of-second")
        assert second.fetch_balance()["USDT"]["free"] == 750.5
        assert practice.client().fetch_balance()["USDT"]["free"] == 10_000
        with pytest.raises(ccxt.ExchangeError, match="Signature for this request is not valid"):
            practice.client(key="key-of-second").fetch_balance()
        second.create_order(BTC, "market", "buy", 0.001)
        assert practice.client().fetch_my_trades(BTC) == []
        practice.admin("POST", "/balance", {"asset": "BTC", "delta": "1", "account": "second"})
        assert practice.client().fetch_balance().get("BTC", {}).get("free", 0) == 0
        assert len(practice.ledger()["orders"]) == 1
