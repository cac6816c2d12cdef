"""Eleven planted bugs: each turns its check red, and the check is green without it (T4)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from engine.limits import RiskLimits
from engine.ports import TradingState
from engine.types.opinions import Side
from engine.types.orders import OrderStatus, Purpose
from optimization import services as optimization
from optimization.models import UpdatePeriod
from optimization.services import optimization_update
from tests.crash import mutants
from tests.crash.history import Act, Rows, Send, judge_history
from tests.engine.phases.scene import BTC, risk
from tests.engine.phases.sizing import ask, times
from tests.local_venue import LocalVenue
from tests.optimization.scene import Watch, make_book, make_trades
from tests.trades.order_factory import World, age, held_fence, lose_lease, make_run
from trades import failpoints, models
from trades.errors import LeaseLost
from trades.failpoints import FailpointRaised
from trades.invariants import controls, orders
from trades.services import control_set

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, WRITES = 4, 12


@pytest.fixture(autouse=True)
def _harmless_afterwards() -> Iterator[None]:
    yield
    failpoints.disarm()


@dataclass
class Scene:
    """A run on a venue in this process; what is checked is the venue's ledger against rows."""

    venue: LocalVenue
    world: World

    def dies_at(self, place: str, act: Callable[[], object]) -> None:
        """Do something that ends at a failpoint, then start anew on what is on disk."""
        failpoints.arm(failpoints.parse(f"{place}=raise@1"))
        with pytest.raises(FailpointRaised):
            act()
        failpoints.disarm()
        self.world.reboot(reconciled=False)

    def recover(self) -> None:
        """What every start does, until nothing is undecided, with time enough between."""
        for _ in range(4):
            for order in models.Order.objects.filter(run=self.world.run):
                age(order, 60)
            self.world.reconciler.reconcile()
            self.world.book(sweep=True)

    def holds_a_position(self) -> None:
        entry = self.world.intend(quantity="0.00200")
        self.world.broker.submit(entry, self.world.event)
        self.world.book()

    def assert_ledgers_agree(self) -> None:
        """I-2, I-3: at most one accepted order an id, none unknown, the same trades once."""
        ours = set(models.Order.objects.values_list("client_order_id", flat=True))
        accepted = [order.client_id for order in self.venue.venue.ledger.orders()]
        assert sorted(accepted) == sorted(set(accepted)), "an order was accepted twice"
        assert set(accepted) <= ours, "the venue has an order that has no row"
        booked = sorted(models.Fill.objects.values_list("trade_id", flat=True))
        assert booked == self.venue.trade_ids()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    venue = LocalVenue(tmp_path / "venue")
    return Scene(venue, World(make_run(), venue.client, venue.now_ms))


# -- the checks, one a bug ----------------------------------------------------------------------


def killed_after_the_accept_is_adopted(scene: Scene) -> None:
    """F-002."""
    world = scene.world
    intent = world.intend()
    scene.dies_at("oms.after_send", lambda: world.broker.submit(intent, world.event))
    scene.recover()
    scene.assert_ledgers_agree()


def timeout_is_settled_by_client_id(scene: Scene) -> None:
    """F-045."""
    world = scene.world
    scene.venue.fault("order.create", "accept_then_timeout")
    intent = world.intend()
    world.broker.submit(intent, world.event)
    scene.recover()
    scene.assert_ledgers_agree()
    assert world.order(intent).status == OrderStatus.FILLED


def fill_of_a_rolled_back_event_is_fetched_again(scene: Scene) -> None:
    """F-003, F-016."""
    world = scene.world
    intent = world.intend()
    world.broker.submit(intent, world.event)
    scene.dies_at("fills.mid", world.book)
    scene.recover()
    scene.assert_ledgers_agree()


def exit_the_venue_does_not_show_yet_is_not_resent(scene: Scene) -> None:
    """F-047: queries lag behind what the venue has accepted."""
    world = scene.world
    scene.holds_a_position()
    scene.venue.fault("order.create", "accept_then_timeout")
    scene.venue.fault("order.query", "not_found_lag", nth=None, lag_s=5)
    leave = world.intend(side=Side.SELL, purpose=Purpose.EXIT, quantity="0.00100")
    world.broker.submit(leave, world.event)
    for _ in range(3):
        world.reconciler.reconcile()
    scene.venue.now_s += 60
    scene.recover()
    scene.assert_ledgers_agree()


def one_update_a_period(_: Scene) -> None:
    """F-079: a second worker is knocked on while the first one thinks."""
    models.TradingRun.objects.update(ended_at=timezone.now())
    run = make_book()
    make_trades(run, "ema-trend", [1.5, -0.5] * 15)
    computed, inner = optimization._computed, []

    def overtaken(*given: Any) -> Any:
        found = computed(*given)
        if not inner:
            inner.append(None)
            inner.append(optimization_update(now=timezone.now(), watch=Watch()).outcome)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimization, "_computed", overtaken)
        outer = optimization_update(now=timezone.now(), watch=Watch()).outcome
    assert (outer, inner[1]) == ("done", "not due")
    assert UpdatePeriod.objects.count() == 1
    assert list(controls.weights_move_by_steps()) == []


def writers_side_by_side_all_succeed(_: Scene) -> None:
    """F-033: reading and then writing in one transaction, from several connections at once."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has transactions that cannot be upgraded")
    control_set(scope="global", state=TradingState.ACTIVE, actor="ada", reason="first")
    failures: list[str] = []

    def write() -> None:
        try:
            for _ in range(WRITES):
                control_set(scope="global", state=TradingState.REDUCING, actor="ada", reason="on")
        except OperationalError as error:
            failures.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert models.ControlState.objects.get(scope="global").epoch == THREADS * WRITES + 1


def worker_that_lost_its_lease_sends_nothing(scene: Scene) -> None:
    """F-010: frozen beyond its lease, while somebody else took over and traded."""
    late = scene.world
    intent = late.intend()
    lose_lease(late.run)
    held_fence(late.run, "worker-2")
    with pytest.raises(LeaseLost):
        late.broker.submit(intent, late.event)
    assert scene.venue.accepted(intent.client_order_id) == []
    assert list(orders.fencing_tokens_never_fall_back()) == []


def nothing_is_sent_after_a_halt_was_acknowledged(scene: Scene) -> None:
    """F-103, T6: the history of acts and sends, as the crash harness judges it."""
    world = scene.world
    scene.holds_a_position()
    began = datetime.now(UTC)
    row = control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="stop")
    halt = Act("halt", began, datetime.now(UTC), epoch=row.epoch)
    late = world.intend()
    world.broker.submit(late, world.event)
    sends = [
        Send(event.order.client_order_id, event.order.purpose, event.at)
        for event in models.OrderEvent.objects.filter(to_status="SENDING")
    ]
    assert (
        judge_history([halt], Rows(sends, frozenset({(row.epoch, row.state)}), frozenset())) == []
    )
    assert list(controls.nothing_was_sent_against_the_kill_switch()) == []
    assert scene.venue.accepted(late.client_order_id) == []


def what_is_no_number_sizes_like_one(_: Scene) -> None:
    """F-075, I-11."""
    base = ask(policy=times(1.0)).sizing.quantity_base
    for raw in (math.nan, math.inf, -math.inf):
        answer = ask(policy=times(raw)).sizing
        assert (answer.multiplier_applied, answer.quantity_base) == (1.0, base)


def caps_hold_whatever_the_multiplier(_: Scene) -> None:
    """F-086, I-10: a symbol that is nearly full, and each multiplier there is."""
    limits = RiskLimits()
    for raw in (0.1, 0.5, 1.0, 2.0):
        held = risk(exposure_by_symbol={BTC: limits.max_position_size * 10_000 - 100})
        assert ask(policy=times(raw), risk=held).sizing.notional_quote <= 100


CHECKS: dict[str, Callable[[Scene], None]] = {
    "record-after-send": killed_after_the_accept_is_adopted,
    "random-client-ids": timeout_is_settled_by_client_id,
    "retry-on-timeout": timeout_is_settled_by_client_id,
    "dedup-at-receipt": fill_of_a_rolled_back_event_is_fetched_again,
    "no-grace-before-resend": exit_the_venue_does_not_show_yet_is_not_resent,
    "no-unique-period": one_update_a_period,
    "deferred-transactions": writers_side_by_side_all_succeed,
    "lease-without-fence": worker_that_lost_its_lease_sends_nothing,
    "kill-flag-cached": nothing_is_sent_after_a_halt_was_acknowledged,
    "clamp-before-finite": what_is_no_number_sizes_like_one,
    "cap-before-multiplier": caps_hold_whatever_the_multiplier,
}


def test_every_bug_has_a_check() -> None:
    assert CHECKS.keys() == mutants.MUTANTS.keys()
    assert len(mutants.MUTANTS) == 11


@pytest.mark.parametrize("name", dict.fromkeys(CHECKS.values()), ids=lambda check: check.__name__)
def test_the_product_passes_each_check(name: Callable[[Scene], None], scene: Scene) -> None:
    """F-002, F-010, F-016, F-033, F-045, F-047, F-075, F-079, F-086, F-103."""
    name(scene)


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_planted_bug_is_seen(name: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.MUTANTS[name].plant(monkeypatch.setattr)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[name](scene)
