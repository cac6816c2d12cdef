"""The ledger and the clock survive what the process does not."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from market.sources.files import read_bars
from market.sources.synthetic import synthetic_bars
from tests.practice_process import ROOT, PracticeProcess, practice_process

BTC = "BTC/USDT"


def run_once(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the exchange's command to its end."""
    command = [sys.executable, "-m", "market.practice", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def write_bars(path: Path, n_bars: int, symbol: str = BTC) -> Path:
    bars = synthetic_bars(5, symbol, 1_700_000_040_000, 60_000, n_bars)
    rows = zip(bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    lines = [",".join(repr(cell.item()) for cell in row) for row in rows]
    text = "\n".join(["timestamp,open,high,low,close,volume", *lines])
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_orders_fills_balances_and_clock_survive_a_kill(own_practice: PracticeProcess) -> None:
    """What was answered is on disk."""
    client = own_practice.client()
    own_practice.step(5)
    client.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "a" * 32})
    price = float(client.price_to_precision(BTC, client.fetch_ticker(BTC)["last"] * 0.5))
    client.create_order(BTC, "limit", "buy", 0.01, price, {"clientOrderId": "b" * 32})
    ledger, status = own_practice.ledger(), own_practice.status()
    own_practice.kill()
    own_practice.start()
    assert own_practice.ledger() == ledger
    assert own_practice.status()["close_ms"] == status["close_ms"]
    assert client.fetch_order(None, BTC, {"origClientOrderId": "b" * 32})["status"] == "open"
    own_practice.step()
    assert own_practice.status()["close_ms"] == status["close_ms"] + 60_000


def test_order_killed_before_its_answer_is_there_after_the_restart(
    own_practice: PracticeProcess,
) -> None:
    """Accepted once, found by its client id."""
    client = own_practice.client(timeout_s=0.5)
    client.load_markets()
    own_practice.fault("order.create", "accept_then_timeout", nth=1)
    with pytest.raises(ccxt.RequestTimeout):
        client.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "c" * 32})
    own_practice.kill()
    own_practice.start()
    assert client.fetch_order(None, BTC, {"origClientOrderId": "c" * 32})["status"] == "closed"
    assert len(own_practice.ledger()["orders"]) == 1


def test_cash_is_given_once(own_practice: PracticeProcess) -> None:
    own_practice.admin("POST", "/balance", {"asset": "USDT", "delta": "-1234.5"})
    assert own_practice.stop() == 0
    own_practice.start()
    assert own_practice.ledger()["balances"]["USDT"]["free"] == "8765.5"


def test_fills_and_balances_agree_after_a_busy_day(own_practice: PracticeProcess) -> None:
    """Balances are the sum of the fills, to the last digit."""

    client = own_practice.client()
    for i in range(20):
        side = "buy" if i % 2 == 0 else "sell"
        client.create_order(BTC, "market", side, 0.01)
        bid = client.fetch_order_book(BTC)["bids"][0][0]
        client.create_order("BTC/USDT", "limit", "buy", 0.001, bid)
        own_practice.step()
    ledger = own_practice.ledger()
    quote, base = Decimal(10_000), Decimal(0)
    for fill in ledger["fills"]:
        sign = 1 if fill["side"] == "BUY" else -1
        base += sign * Decimal(fill["quantity"])
        quote -= sign * Decimal(fill["quantity"]) * Decimal(fill["price"]) + Decimal(fill["fee"])
    usdt, btc = ledger["balances"]["USDT"], ledger["balances"]["BTC"]
    assert Decimal(usdt["free"]) + Decimal(usdt["locked"]) == quote
    assert Decimal(btc["free"]) + Decimal(btc["locked"]) == base
    resting = [o for o in ledger["orders"] if o["status"] in ("NEW", "PARTIALLY_FILLED")]
    assert Decimal(usdt["locked"]) == sum(Decimal(o["locked"]) for o in resting)


def test_state_of_another_market_is_refused_in_one_line(own_practice: PracticeProcess) -> None:
    own_practice.stop()
    result = run_once("--state", str(own_practice.state), "--seed", "2")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "state belongs to market synthetic:1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--data", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--speed", "-1"], "--speed was -1.0, allowed: 0 to 1000"),
        (["--cash", "lots"], "--cash was 'lots', allowed: an amount"),
        (["--timeframe", "7s"], "timeframe was '7s'"),
        (["--symbols", "BTCUSDT"], "--symbols was 'BTCUSDT'"),
    ],
)
def test_bad_input_ends_with_two_and_one_line(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    result = run_once("--state", str(tmp_path), *arguments)
    assert result.returncode == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_data_file_is_played_to_its_end_and_the_market_stays_there(tmp_path: Path) -> None:
    """D-24: warm-up from the file's beginning; when it ends, the last bar stays."""
    path = write_bars(tmp_path / "binance_spot_BTCUSDT_1m_test.csv.gz", 3010)
    bars = read_bars(path).bars
    with practice_process(tmp_path / "state", "--data", str(path)) as process:
        assert process.status()["bars"] == {BTC: 3000}
        assert process.step(7)["stepped"] == 7
        assert process.step(7)["stepped"] == 3
        status = process.status()
        assert status["status"] == "data ended"
        assert status["close_ms"] == int(bars.ts_ms[-1]) + 60_000
        client = process.client()
        assert client.fetch_time() == status["close_ms"]
        assert client.fetch_ohlcv(BTC, "1m", None, 1)[-1][4] == float(bars.close[-1])
        assert client.create_order(BTC, "market", "buy", 0.01)["status"] == "closed"


def test_several_files_share_one_clock_though_bars_are_missing(tmp_path: Path) -> None:
    first = write_bars(tmp_path / "binance_spot_BTCUSDT_1m_a.csv.gz", 40)
    second = write_bars(tmp_path / "binance_spot_ETHUSDT_1m_a.csv.gz", 60, "ETH/USDT")
    arguments = ("--data", str(first), str(second), "--warmup-bars", "10")
    with practice_process(tmp_path / "state", *arguments) as process:
        process.step(50)
        assert process.status()["bars"] == {BTC: 40, "ETH/USDT": 60}
        assert process.client().fetch_ticker(BTC)["last"] > 0


def test_running_clock_closes_bars_by_itself_and_speed_can_change(tmp_path: Path) -> None:
    with practice_process(tmp_path / "state") as process:
        start = process.status()["close_ms"]
        process.admin("POST", "/clock/speed", {"speed": 100})
        client = process.client()
        seen: list[int] = []
        while not seen or seen[-1] < start + 10 * 60_000:
            seen.append(client.fetch_time())
        process.admin("POST", "/clock/speed", {"speed": 0})
        assert seen == sorted(seen), "time never runs backwards"
        status = process.status()
        assert status["close_ms"] <= status["server_time_ms"] < status["next_close_ms"]
        assert status["close_ms"] >= start + 10 * 60_000


def test_keys_listed_in_the_state_folder_are_accepted_at_once(
    own_practice: PracticeProcess,
) -> None:
    (own_practice.state / "keys.json").write_text('{"second": "hush"}')
    client: Any = own_practice.client(key="second", secret="hush")
    assert client.fetch_balance()["USDT"]["total"] == 10_000


def test_both_doors_listen_on_loopback_only(own_practice: PracticeProcess) -> None:
    """SEC-46's spirit: nobody else on the network can trade or arm faults."""
    wanted = {f"{port:04X}" for port in (own_practice.port, own_practice.admin_port)}
    table = Path(f"/proc/{own_practice.pid}/net/tcp")
    if not os.access(table, os.R_OK):
        pytest.skip("no /proc/net/tcp here")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    addresses = {address for address, port in listening if port in wanted}
    assert addresses == {"0100007F"}
