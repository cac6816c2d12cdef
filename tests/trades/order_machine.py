"""The order path under every order of events that a machine thinks of (T5).

The real rows, broker, reconciliation and book on a practice exchange in this process. A rule is
something that may happen to a trading process; after each of them the invariants hold, and at
the end, once everything has come to rest, both ledgers say the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.account import Account
from engine.announce import EventOutcome
from engine.limits import RiskLimits
from engine.policy import BasePolicy
from engine.ports import StrategyStatus, TradingState
from engine.quality import validate_event
from engine.trading_book import RunIdentity, TradingBook
from engine.types.bars import Bar, EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import OrderStatus, OrderType, Purpose, Rejection
from market.errors import SourceUnavailable
from market.practice.request import read_order
from strategies.models import Strategy
from tests.local_venue import BTC, LocalVenue
from tests.trades.order_factory import (
    INSTALLATION,
    INSTRUMENT,
    STRATEGY,
    World,
    age,
    held_fence,
    lose_lease,
    make_run,
)
from trades import failpoints, models, oms
from trades.alerts import Alert
from trades.books import restore_ledger
from trades.brokers import retry
from trades.errors import LeaseLost
from trades.failpoints import FailpointRaised
from trades.gate import DatabaseGatekeeper
from trades.invariants import books, controls, orders, platform
from trades.services import GLOBAL_SCOPE, control_set

LIMITS = RiskLimits(loss_streak=100_000)
# What must hold after every step; those that compare with the venue wait until all is at rest.
ALWAYS = (
    orders.one_order_a_decision,
    orders.ids_are_well_formed,
    orders.status_follows_the_fills,
    orders.edges_are_allowed,
    orders.histories_have_no_gap,
    orders.fencing_tokens_never_fall_back,
    orders.nobody_sells_more_than_is_held,
    controls.nothing_was_sent_against_the_kill_switch,
    books.no_fill_is_also_external,
    books.positions_are_the_sum_of_fills,
    books.cash_is_the_sum_of_flows,
    books.candles_are_finite,
    platform.times_are_utc_and_past,
)
SEND_PLACES = ("", "", "oms.before_claim", "oms.before_send", "oms.after_send", "oms.after_record")
BOOK_PLACES = ("", "", "fills.before", "fills.mid", "fills.after", "event.before_commit")
BOOK_PLACES_AFTER = (*BOOK_PLACES, "event.after_commit")
RECONCILE_PLACES = ("", "", "recon.start", "recon.each_step", "recon.end")
CANCEL_PLACES = ("", "cancel.before_send", "cancel.after_send")
WIRE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("accept_then_timeout", {}),
    ("drop", {}),
    ("5xx", {"accept": True}),
    ("5xx", {}),
    ("html", {}),
    ("truncate", {}),
    ("empty", {}),
    ("reject", {"code": -2010}),
)
READS = ("order.query", "myTrades", "openOrders", "account")
HEARD = ("as told", "backwards", "twice")
BAD_BARS = (
    Bar(0, float("nan"), 1.0, 1.0, 1.0, 1.0),
    Bar(0, 1.0, float("inf"), 1.0, 1.0, 1.0),
    Bar(0, 1.0, 0.5, 2.0, 1.0, 1.0),
    Bar(0, -1.0, 1.0, 1.0, 1.0, 1.0),
    Bar(0, 1.0, 1.0, 0.0, 0.0, 1.0),
)


class OrderMachine(RuleBasedStateMachine):
    """One run on one venue. ``steps`` counts what all machines of a process did."""

    steps: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        # everything of one example is rolled back: the next starts from nothing
        self._rows = transaction.atomic()
        self._rows.__enter__()
        self._folder = Path(tempfile.mkdtemp(prefix="tp-machine-"))
        self.venue = LocalVenue(self._folder / "venue")
        self.world = World(make_run(), self.venue.client, self.venue.now_ms)
        # a question that is asked again waits in this machine's time, not in ours
        self.world.client._clock = retry.Clock(lambda: self.venue.now_s, self._wait)
        self._true_trades = self.world.client.trades_since
        self.state = TradingState.ACTIVE
        self.suspended = False
        self.holders = 1
        self.barred: set[str] = set()
        self._start()
        self.world.reconciler.reconcile()

    def teardown(self) -> None:
        failpoints.disarm()
        try:
            self._come_to_rest()
        finally:
            transaction.set_rollback(True)
            self._rows.__exit__(None, None, None)
            shutil.rmtree(self._folder)

    # -- rules: what we do ----------------------------------------------------------------------

    @rule(
        quantity=st.sampled_from(["0.00200", "0.00400", "0.01000"]),
        place=st.sampled_from(SEND_PLACES),
        wire=st.none() | st.sampled_from(WIRE),
    )
    def enter(self, quantity: str, place: str, wire: tuple[str, dict[str, Any]] | None) -> None:
        self._submit(place, wire, quantity=quantity)

    @rule(place=st.sampled_from(SEND_PLACES), wire=st.none() | st.sampled_from(WIRE))
    def rest(self, place: str, wire: tuple[str, dict[str, Any]] | None) -> None:
        """An entry far below the market, which waits at the venue."""
        limit = {"kind": OrderType.LIMIT, "limit": "1000.00", "quantity": "0.02000"}
        self._submit(place, wire, **limit)

    @precondition(lambda self: self._free() >= Decimal("0.001"))
    @rule(
        whole=st.booleans(),
        place=st.sampled_from(SEND_PLACES),
        wire=st.none() | st.sampled_from(WIRE),
    )
    def leave(self, whole: bool, place: str, wire: tuple[str, dict[str, Any]] | None) -> None:
        quantity = self._free() if whole else self._free() / 2
        quantity = INSTRUMENT.quantity(float(quantity))
        self._submit(place, wire, quantity=str(quantity), side=Side.SELL, purpose=Purpose.EXIT)

    @precondition(lambda self: self._cancellable() is not None)
    @rule(
        place=st.sampled_from(CANCEL_PLACES),
        fills=st.sampled_from([None, "0.5", "1"]),
        wire=st.none() | st.sampled_from(WIRE[:4]),
    )
    def cancel(
        self, place: str, fills: str | None, wire: tuple[str, dict[str, Any]] | None
    ) -> None:
        """The order may fill while the request is on its way (F-014, F-015)."""
        order = self._cancellable()
        assert order is not None
        if fills is not None:
            self.venue.fault("order.cancel", "fill_on_cancel", fraction=fills)
        self._wire("order.cancel", wire)
        self._dies_at(
            place, lambda: self.world.broker.cancel(order.client_order_id, self.world.event)
        )
        self.venue.venue.faults.clear()

    @rule(
        heard=st.sampled_from(HEARD),
        place=st.sampled_from(BOOK_PLACES_AFTER),
        sweep=st.booleans(),
        lost=st.none() | st.sampled_from(READS[:2]),
    )
    def hear_of_fills(self, heard: str, place: str, sweep: bool, lost: str | None) -> None:
        """Executions in any order, each perhaps twice (F-016)."""
        if lost is not None:
            self.venue.fault(lost, "5xx", nth=None, times=1)
        self._listen(heard)
        if sweep:
            self.world.monotonic_s += 60
        self._dies_at(place, self._event)
        self._listen("as told")
        self.venue.venue.faults.clear()

    @rule(
        seconds=st.sampled_from([0, 6, 12, 60]),
        place=st.sampled_from(RECONCILE_PLACES),
        lost=st.none() | st.sampled_from(READS),
    )
    def reconcile(self, seconds: int, place: str, lost: str | None) -> None:
        self._pass_time(seconds)
        if lost is not None:
            self.venue.fault(lost, "html")
        self._dies_at(place, self._reconcile)
        self.venue.venue.faults.clear()

    @rule(settles=st.booleans())
    def crash(self, settles: bool) -> None:
        self._restart()
        if settles:
            self.settle()

    @rule()
    def settle(self) -> None:
        """Nothing happens for a while: the state in which entries may leave again."""
        for _ in range(3):
            self._pass_time(60)
            self._reconcile()
            self._event()

    @rule()
    def wake_up_too_late(self) -> None:
        """A process that lost its lease while it was frozen sends and books nothing (F-010)."""
        late = self.world.broker
        intent = self.world.intend()
        self._restart()
        try:
            late.submit(intent, self.world.event)
        except LeaseLost:
            assert self.venue.accepted(intent.client_order_id) == []
            return
        raise AssertionError("a broker without its lease was let through")

    # -- rules: what others do ------------------------------------------------------------------

    @rule(bars=st.integers(1, 3))
    def bars_close(self, bars: int) -> None:
        self.venue.step(bars)
        self.world.now_ms = self.venue.now_ms

    @rule(bar=st.sampled_from(BAD_BARS))
    def bad_bar(self, bar: Bar) -> None:
        """What the gate refuses is on record and nowhere else (F-069)."""
        event = MarketEvent(EventKind.BAR, BTC, self.world.now_ms, self.world.now_ms, bar=bar)
        reason = validate_event(event, None, self.world.run.timeframe_ms)
        assert reason is not None
        before = models.RejectedEvent.objects.count()
        self.world.journal.record_rejected_event(event, reason.text)
        assert models.RejectedEvent.objects.count() == before + 1

    @rule(state=st.sampled_from([TradingState.ACTIVE] * 3 + list(TradingState)))
    def person_sets_the_state(self, state: TradingState) -> None:
        control_set(scope=GLOBAL_SCOPE, state=state, actor="ada", reason="a rule")
        self.state = state

    @rule(suspended=st.sampled_from([False, False, False, True]))
    def strategy_changes_status(self, suspended: bool) -> None:
        status = StrategyStatus.SUSPENDED if suspended else StrategyStatus.ACTIVE
        Strategy.objects.filter(code=STRATEGY).update(status=status.value)
        self.suspended = suspended

    @rule(side=st.sampled_from(["BUY", "SELL"]))
    def somebody_trades_by_hand(self, side: str) -> None:
        """On the same account, past us: booked as external, never as ours (F-013)."""
        venue = self.venue.venue
        free = venue.ledger.balance("BTC").free
        if side == "SELL" and free < Decimal("0.001"):
            return
        order = read_order(
            {"side": side, "type": "MARKET", "quantity": "0.00100"},
            venue.exchange.instrument("BTCUSDT"),
            f"web_{self.venue.now_ms}_{len(self.venue.trade_ids())}",
        )
        venue.exchange.place(
            order, close_ms=venue.clock.close_ms, now_ms=venue.clock.now_ms(), source="manual"
        )

    # -- invariants ------------------------------------------------------------------------------

    @invariant()
    def rows_hold_together(self) -> None:
        found = [breach for check in ALWAYS for breach in check()]
        assert found == [], found

    @invariant()
    def venue_has_no_more_than_was_meant(self) -> None:
        """I-1, I-2: at most one order an id, never larger; nothing that was barred."""
        meant = dict(models.Order.objects.values_list("client_order_id", "quantity_base"))
        ours = [o for o in self.venue.venue.ledger.orders() if o.source != "manual"]
        counts = Counter(order.client_id for order in ours)
        assert set(counts) <= set(meant)
        assert max(counts.values(), default=1) == 1
        assert all(order.quantity <= meant[order.client_id] for order in ours)
        assert not self.barred & set(counts)

    @invariant()
    def nothing_is_booked_that_did_not_happen(self) -> None:
        """I-3, the half that holds at any time."""
        booked = Counter(models.Fill.objects.values_list("trade_id", flat=True))
        booked.update(models.ExternalFill.objects.values_list("trade_id", flat=True))
        assert set(booked) <= set(self.venue.trade_ids())
        assert max(booked.values(), default=1) == 1

    # -- how it is done --------------------------------------------------------------------------

    def _start(self) -> None:
        """Build what a process holds in memory from rows, as every start does."""
        world = self.world
        # the lease is lost where a rule says so, not where this machine is slow
        late = timezone.now() + timedelta(days=1)
        models.Lease.objects.filter(run=world.run).update(expires_at=late)
        world.reboot(reconciled=False)
        self.gate = DatabaseGatekeeper(world.run, world.reconciler.is_reconciled, Watch())
        self.book = TradingBook(
            identity=RunIdentity(
                INSTALLATION, world.run.account, str(world.run.code), world.run.timeframe_ms
            ),
            account=Account(restore_ledger(world.run, [INSTRUMENT])),
            limits=LIMITS,
            broker=world.broker,
            journal=world.journal,
            gatekeeper=self.gate,
            policy=BasePolicy({STRATEGY: 1.0}),
        )

    def _restart(self) -> None:
        failpoints.disarm()
        lose_lease(self.world.run)
        self.holders += 1
        self.world.fence = held_fence(self.world.run, f"worker-{self.holders}")
        self._start()

    def _dies_at(self, place: str, act: Callable[[], object]) -> None:
        """Do it, and start anew where the process died of it."""
        self.steps[place or "alive"] += 1
        if not place:
            act()
            return
        failpoints.arm(failpoints.parse(f"{place}=raise@1"))
        try:
            act()
        except FailpointRaised:
            self.steps["deaths"] += 1
            self._restart()
        finally:
            failpoints.disarm()

    def _submit(self, place: str, wire: tuple[str, dict[str, Any]] | None, **fields: Any) -> None:
        intent = self.world.intend(**fields)
        is_entry = intent.purpose is Purpose.ENTRY
        barred = self.state is TradingState.HALTED or (
            is_entry
            and (
                self.state is not TradingState.ACTIVE
                or self.suspended
                or not self.world.reconciler.is_reconciled()
            )
        )
        if barred:
            self.barred.add(intent.client_order_id)
        self._wire("order.create", wire)
        answer: list[Any] = []
        self._dies_at(
            place, lambda: answer.append(self.world.broker.submit(intent, self.world.event))
        )
        self.venue.venue.faults.clear()
        if barred:
            # an exit that nobody sent yet goes out after a restart, once nothing forbids it
            if not is_entry and self.world.order(intent).status == OrderStatus.INTENT:
                self.barred.discard(intent.client_order_id)
            elif answer:
                assert isinstance(answer[0], Rejection), answer
                assert self.world.order(intent).status == OrderStatus.DENIED

    def _wire(self, op: str, wire: tuple[str, dict[str, Any]] | None) -> None:
        if wire is not None:
            verb, args = wire
            self.venue.fault(op, verb, **args)

    def _listen(self, how: str) -> None:
        def trades_since(symbol: str, since_ms: int) -> Sequence[Any]:
            told = list(self._true_trades(symbol, since_ms))
            return {"as told": told, "backwards": told[::-1], "twice": told + told[::-1]}[how]

        # an instance attribute hides the method; the client's own code is untouched
        vars(self.world.client)["trades_since"] = trades_since

    def _event(self) -> None:
        """Book what happened, as ``TradingSession.on_event`` does for a clock tick."""
        event = self.world.event
        fills = self.world.broker.fills_at(event)
        outcome = EventOutcome(event)
        with self.world.journal.event(event):
            self.book.observe(event)
            self.book.book(fills, event, outcome, {})
            self.book.mark(event, outcome)
        assert outcome.alerts == []

    def _reconcile(self) -> None:
        try:
            self.world.reconciler.reconcile()
        except SourceUnavailable:
            self.steps["unreachable"] += 1

    def _pass_time(self, seconds: int) -> None:
        self.venue.now_s += seconds
        self.world.monotonic_s += seconds
        for order in oms.in_flight(self.world.run.pk):
            age(order, seconds)

    def _wait(self, seconds: float) -> None:
        self.venue.now_s += seconds

    def _free(self) -> Decimal:
        """Return what is held and not already on its way out, and what a hand has left there."""
        lots = models.Lot.objects.filter(run=self.world.run, is_open=True)
        held = sum(lots.values_list("quantity_base", flat=True), Decimal(0))
        leaving = models.Order.objects.filter(
            run=self.world.run, purpose="exit", status__in=oms.IN_FLIGHT
        )
        return held - sum((o.quantity_base - o.filled_base for o in leaving), Decimal(0))

    def _cancellable(self) -> models.Order | None:
        resting = ("OPEN", "PARTIAL", "UNKNOWN", "PENDING_CANCEL")
        return (
            models.Order.objects.filter(run=self.world.run, status__in=resting)
            .exclude(venue_order_id="")
            .first()
        )

    def _come_to_rest(self) -> None:
        """I-3, I-5, I-23: with no fault any more, a few passes settle everything."""
        self.venue.venue.faults.clear()
        self._listen("as told")
        self.person_sets_the_state(TradingState.ACTIVE)
        self._restart()
        for _ in range(6):
            self._pass_time(60)
            self.world.reconciler.reconcile()
            self._event()
            for order in oms.in_flight(self.world.run.pk):
                if order.status in ("OPEN", "PARTIAL") and order.order_type == OrderType.LIMIT:
                    self.world.broker.cancel(order.client_order_id, self.world.event)
        left = list(oms.in_flight(self.world.run.pk).values_list("client_order_id", "status"))
        assert left == [], left
        booked = list(models.Fill.objects.values_list("trade_id", flat=True))
        booked += models.ExternalFill.objects.values_list("trade_id", flat=True)
        assert sorted(booked) == self.venue.trade_ids()
        balance = self.venue.venue.ledger.balance("BTC")
        assert balance.free + balance.locked == self._owed()
        assert list(orders.no_order_stays_undecided()) == []
        self.rows_hold_together()
        self.venue_has_no_more_than_was_meant()
        self._a_second_pass_writes_nothing()
        self.steps["accepted"] += len(self.venue.venue.ledger.orders())
        self.steps["fills"] += len(booked)

    def _owed(self) -> Decimal:
        owed = Decimal(0)
        for model in (models.Fill, models.ExternalFill):
            for fill in model.objects.filter(run=self.world.run):
                owed += fill.quantity_base if fill.side == "BUY" else -fill.quantity_base
        return owed

    def _a_second_pass_writes_nothing(self) -> None:
        """F-005."""
        before = models.OrderEvent.objects.count()
        self.world.reconciler.reconcile()
        assert models.OrderEvent.objects.count() == before


class Watch:
    """Hears what a room above would tell people."""

    def alarm(self, alert: Alert) -> None:
        return None

    def control_changed(self, scope: str, state: TradingState, reason: str) -> None:
        return None
