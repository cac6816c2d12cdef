"""The venue's own countdown over our resting entries."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderType, Purpose
from tests.trades.order_factory import make_intent, make_run, write_intent
from trades import models
from trades.dead_man import DeadMan

pytestmark = pytest.mark.django_db


@dataclass
class Venue:
    can_count_down: bool = True
    refuses: str = ""
    heard: list[float] = field(default_factory=list)

    def cancel_all_after(self, seconds: float) -> str:
        if not self.refuses:
            self.heard.append(seconds)
        return self.refuses


@dataclass
class Scene:
    venue: Venue
    run: models.TradingRun
    now_s: float = 100.0
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dead_man = DeadMan(
            self.run.pk, self.venue, told=self.told.append, monotonic=lambda: self.now_s
        )

    def order(self, purpose: Purpose, kind: OrderType) -> models.Order:
        side = Side.BUY if purpose is Purpose.ENTRY else Side.SELL
        intent = make_intent(purpose=purpose, kind=kind, side=side, limit="1", stop="1")
        order = write_intent(self.run, intent)
        models.Order.objects.filter(pk=order.pk).update(status="OPEN")
        return order

    def beat(self, after_s: float = 0.0) -> list[float]:
        self.now_s += after_s
        self.dead_man.beat()
        return self.venue.heard


@pytest.fixture
def scene() -> Scene:
    return Scene(Venue(), make_run())


def test_while_an_entry_rests_the_countdown_is_set_anew_every_twenty_seconds(scene: Scene) -> None:
    """CTL-14: 60 s, so that two beats may be lost."""
    assert scene.beat() == [], "nothing rests, nothing to cancel"
    entry = scene.order(Purpose.ENTRY, OrderType.LIMIT)
    assert scene.beat() == [60.0]
    assert scene.beat(19.9) == [60.0]
    assert scene.beat(0.1) == [60.0, 60.0]
    models.Order.objects.filter(pk=entry.pk).update(status="FILLED")
    assert scene.beat(1) == [60.0, 60.0, 0.0], "ended at once, once"
    assert scene.beat(60) == [60.0, 60.0, 0.0]


def test_a_countdown_never_takes_a_protective_stop_with_it(scene: Scene) -> None:
    """CTL-14, CTL-15: it cancels everything of the account, so it does not run beside a stop."""
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    assert scene.beat() == [60.0]
    scene.order(Purpose.EXIT, OrderType.STOP)
    assert scene.beat(1) == [60.0, 0.0]
    assert scene.beat(60) == [60.0, 0.0]


@pytest.mark.parametrize("status", ["SENDING", "UNKNOWN"])
def test_a_stop_without_an_answer_ends_the_countdown_too(scene: Scene, status: str) -> None:
    """CTL-14, CTL-15, F-045: it may rest at the venue."""
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    stop = scene.order(Purpose.EXIT, OrderType.STOP)
    models.Order.objects.filter(pk=stop.pk).update(status=status)
    assert scene.beat() == []


def test_the_countdown_of_a_process_that_died_is_ended_before_it_takes_a_stop(scene: Scene) -> None:
    """CTL-14, CTL-15: the entry rested, filled in part, and its stop rests by now."""
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    assert scene.beat() == [60.0]
    scene.order(Purpose.EXIT, OrderType.STOP)
    next_process = Scene(scene.venue, scene.run)
    assert next_process.beat(5) == [60.0, 0.0]
    assert next_process.beat(5) == [60.0, 0.0]


def test_a_stop_of_another_run_on_the_same_account_keeps_the_countdown_away(scene: Scene) -> None:
    """CTL-14: it cancels every order of the account."""
    other = Scene(Venue(), make_run())
    other.order(Purpose.EXIT, OrderType.STOP)
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    assert scene.beat() == []


def test_a_venue_without_a_countdown_is_never_asked(scene: Scene) -> None:
    """CTL-14"""
    scene.venue.can_count_down = False
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    assert scene.beat() == []


def test_a_countdown_that_cannot_be_set_is_told_and_asked_again(scene: Scene) -> None:
    """CTL-14"""
    scene.order(Purpose.ENTRY, OrderType.LIMIT)
    scene.venue.refuses = "EAPI: no permission"
    assert scene.beat() == []
    assert scene.beat(1) == []
    assert scene.told == ["EAPI: no permission"], "once, however often it is refused"
    scene.venue.refuses = ""
    assert scene.beat(1) == [60.0]
    assert scene.told == ["EAPI: no permission", ""]
