"""ccxt.pro against the practice exchange: market streams and the user stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from market.sources.ccxt_poll import CcxtPollSource
from tests.practice_process import PracticeProcess

BTC = "BTC/USDT"
PATIENCE_S = 10.0


@pytest.fixture
async def pro(practice: PracticeProcess) -> AsyncIterator[Any]:
    client = practice.client("pro")
    await client.load_markets()
    yield client
    await client.close()


async def stepping(practice: PracticeProcess, watch: Callable[[], Awaitable[Any]]) -> Any:
    """Step bars until the watched stream answers."""
    task = asyncio.ensure_future(watch())
    for _ in range(round(PATIENCE_S / 0.05)):
        await asyncio.wait({task}, timeout=0.05)
        if task.done():
            return task.result()
        await asyncio.to_thread(practice.step)
    task.cancel()
    raise AssertionError("the stream was silent")


async def quiet(task: Awaitable[Any], seconds: float = 0.5) -> bool:
    """True where nothing arrives within ``seconds``."""
    try:
        await asyncio.wait_for(task, seconds)
    except TimeoutError:
        return True
    return False


async def test_candles_are_pushed(practice: PracticeProcess, pro: Any) -> None:
    rows = await stepping(practice, lambda: pro.watch_ohlcv(BTC, "1m"))
    rest = await pro.fetch_ohlcv(BTC, "1m", rows[0][0], 1)
    assert rows[0] == rest[0]


async def test_order_book_stays_equal_to_the_rest_snapshot(
    practice: PracticeProcess, pro: Any
) -> None:
    """U and u are contiguous: a gap would raise ChecksumError in ccxt."""
    await pro.watch_order_book(BTC)
    for _ in range(5):
        book = await stepping(practice, lambda: pro.watch_order_book(BTC))
    await asyncio.sleep(0.2)
    snapshot = await pro.fetch_order_book(BTC, 1000)
    assert [list(level) for level in book["bids"]] == snapshot["bids"]
    assert [list(level) for level in book["asks"]] == snapshot["asks"]


async def test_public_trades_are_pushed(practice: PracticeProcess, pro: Any) -> None:
    trades = await stepping(practice, lambda: pro.watch_trades(BTC))
    assert trades[0]["price"] > 0


async def test_orders_fills_and_balances_are_pushed(practice: PracticeProcess, pro: Any) -> None:
    watching = asyncio.ensure_future(pro.watch_orders(BTC))
    balances = asyncio.ensure_future(pro.watch_balance())
    await asyncio.sleep(0.5)
    placed = await pro.create_order(BTC, "market", "buy", 0.001)
    orders = await asyncio.wait_for(watching, PATIENCE_S)
    held = await asyncio.wait_for(balances, PATIENCE_S)
    while orders[-1]["status"] != "closed":
        orders = await asyncio.wait_for(pro.watch_orders(BTC), PATIENCE_S)
    assert orders[-1]["id"] == placed["id"]
    assert orders[-1]["filled"] == 0.001
    assert held["BTC"]["free"] >= 0.001
    await pro.create_order(BTC, "market", "sell", 0.001)


async def test_my_trades_are_pushed_with_their_fee(practice: PracticeProcess, pro: Any) -> None:
    watching = asyncio.ensure_future(pro.watch_my_trades(BTC))
    await asyncio.sleep(0.5)
    placed = await pro.create_order(BTC, "market", "buy", 0.001)
    trades = await asyncio.wait_for(watching, PATIENCE_S)
    assert trades[-1]["order"] == placed["id"]
    assert trades[-1]["fee"]["currency"] == "USDT"
    await pro.create_order(BTC, "market", "sell", 0.001)


async def test_muted_stream_is_silent_though_open(practice: PracticeProcess, pro: Any) -> None:
    await stepping(practice, lambda: pro.watch_trades(BTC))
    await asyncio.sleep(0.2)
    practice.fault("ws.market", "mute_ws")
    watching = asyncio.ensure_future(pro.watch_trades(BTC))
    await asyncio.to_thread(practice.step, 3)
    assert await quiet(asyncio.shield(watching))
    practice.clear_faults()
    await asyncio.to_thread(practice.step)
    assert (await asyncio.wait_for(watching, PATIENCE_S))[0]["price"] > 0


async def test_a_muted_stream_delays_no_bar(practice: PracticeProcess, pro: Any) -> None:
    """F-059: bars are read by polling, so each is there at the first poll after its close."""
    client = practice.client()
    source = CcxtPollSource(client, [BTC], "1m")
    await asyncio.to_thread(lambda: list(source.events()))
    await stepping(practice, lambda: pro.watch_trades(BTC))
    await asyncio.to_thread(lambda: list(source.events()))
    practice.fault("ws.market", "mute_ws")
    watching = asyncio.ensure_future(pro.watch_trades(BTC))
    for _ in range(3):
        await asyncio.to_thread(practice.step)
        (event,) = await asyncio.to_thread(lambda: list(source.events()))
        assert event.now_ms - event.ts_ms < 60_000
        assert event.book is not None
    assert await quiet(asyncio.shield(watching)), "the stream told of none of them"
    practice.clear_faults()
    await asyncio.to_thread(practice.step)
    await asyncio.wait_for(watching, PATIENCE_S)


async def test_user_events_can_come_twice(practice: PracticeProcess, pro: Any) -> None:
    practice.fault("ws.user", "dup_event")
    reports = await user_events(practice, pro)
    assert [r["x"] for r in reports] == ["NEW", "NEW", "TRADE", "TRADE"]
    assert reports[2]["t"] == reports[3]["t"]


async def test_user_events_can_come_in_the_wrong_order(practice: PracticeProcess, pro: Any) -> None:
    """The fill before the accept."""
    practice.fault("ws.user", "reorder", nth=1)
    reports = await user_events(practice, pro)
    assert [r["x"] for r in reports] == ["TRADE", "NEW"]


async def user_events(practice: PracticeProcess, pro: Any) -> list[dict[str, Any]]:
    """Return the raw execution reports of one market order, by listen key."""
    session = pro.session
    headers = {"X-MBX-APIKEY": pro.apiKey}
    async with session.post(f"{practice.url}/api/v3/userDataStream", headers=headers) as answer:
        key = (await answer.json())["listenKey"]
    address = f"{practice.url.replace('http', 'ws')}/ws/{key}"
    reports = []
    async with session.ws_connect(address) as socket:
        await pro.create_order(BTC, "market", "buy", 0.001)
        while True:
            message = await asyncio.wait_for(socket.receive_json(), PATIENCE_S)
            if message["e"] == "outboundAccountPosition":
                break
            reports.append(message)
    practice.clear_faults()
    await pro.create_order(BTC, "market", "sell", 0.001)
    return reports


async def test_cut_socket_is_opened_again_by_ccxt(practice: PracticeProcess, pro: Any) -> None:
    await stepping(practice, lambda: pro.watch_trades(BTC))
    await asyncio.sleep(0.2)
    practice.fault("ws.market", "cut_ws", times=1)
    await asyncio.to_thread(practice.step)

    async def again() -> Any:
        while True:
            try:
                return await pro.watch_trades(BTC)
            except Exception as error:  # noqa: BLE001
                assert type(error).__name__ in ("NetworkError", "ExchangeClosedByUser")

    trades = await stepping(practice, again)
    assert trades[-1]["price"] > 0
