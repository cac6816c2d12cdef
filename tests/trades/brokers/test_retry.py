from __future__ import annotations

import random
from dataclasses import dataclass, field

import ccxt
import pytest

from engine.types.orders import Rejection
from market.ccxt_client import Unavailable
from market.errors import SourceUnavailable
from market.rate_budget import NoBudget, Urgency
from trades.brokers.retry import BackOff, Clock, VenuePaused, read
from trades.brokers.venue_client import VenueClient


@dataclass
class FakeTime:
    now_s: float = 100.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.sleep)


def answering(*answers: object):
    queue = list(answers)
    return lambda: queue.pop(0)


DOWN = Unavailable("503", "down")


def ask(time: FakeTime, *answers: object, **back_off: float) -> object:
    return read(
        answering(*answers),
        back_off=BackOff(**back_off),
        clock=time.clock,
        rng=random.Random(7),
    )


def test_read_is_repeated_until_it_is_answered() -> None:
    """F-048."""
    time = FakeTime()
    assert ask(time, DOWN, DOWN, "rows") == "rows"
    assert len(time.slept) == 2
    assert 0.1 <= time.slept[0] <= 0.2 <= time.slept[1] <= 0.4


def test_read_gives_up_after_its_attempts() -> None:
    time = FakeTime()
    with pytest.raises(SourceUnavailable, match="no answer after 3 tries: down"):
        ask(time, DOWN, DOWN, DOWN, "never asked")


def test_refusal_is_an_answer_and_is_not_repeated() -> None:
    """F-052: no retry storm."""
    refusal = Rejection("-2015", "bad key")
    assert ask(FakeTime(), refusal, "never asked") == refusal


def test_retry_after_is_waited_out_where_patience_allows() -> None:
    """I-22."""
    time = FakeTime()
    assert ask(time, Unavailable("429", "slow down", 2.0), "rows") == "rows"
    assert time.slept == [2.0]


def test_longer_retry_after_gives_up_and_says_until_when() -> None:
    """F-050: a wait beyond the patience would cost the lease."""
    time = FakeTime()
    with pytest.raises(VenuePaused) as paused:
        ask(time, Unavailable("418", "banned", 60.0), "never asked")
    assert paused.value.resume_s == 160.0
    assert time.slept == []


def test_dice_spread_the_waits_and_repeat_with_their_seed() -> None:
    waits = [BackOff().wait_s(1, random.Random(seed)) for seed in (1, 2, 1)]
    assert waits[0] == waits[2] != waits[1]


class SpentBudget(NoBudget):
    """Has room for whatever is more urgent than polling."""

    def wait_s(self, call: str, urgency: Urgency) -> float:
        return 3.0 if urgency is Urgency.POLL else 0.0


class Wallet:
    """A ccxt client whose lists of transfers do not answer."""

    id, has = "okx", {"fetchDeposits": True}

    def __init__(self) -> None:
        self.asked = 0

    def fetch_deposits(self, code: str | None, since: int) -> list[object]:
        self.asked += 1
        raise ccxt.RequestTimeout("no answer")


def test_a_list_of_transfers_is_asked_for_once_and_only_behind_everything_else() -> None:
    """D-59: no try of it is repeated, as each spends what orders need."""
    time, wallet = FakeTime(), Wallet()
    client = VenueClient(wallet, clock=time.clock, budget=SpentBudget())
    assert not client.has_room_for_transfers(is_deposit=True)
    assert not client.credits_trading_wallet
    with pytest.raises(SourceUnavailable, match="no answer after 1 tries"):
        client.transfers_since(0, is_deposit=True)
    assert (wallet.asked, time.slept) == (1, [])
    assert client.transfers_since(0, is_deposit=False) == []
