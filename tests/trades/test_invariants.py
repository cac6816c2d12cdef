"""Each invariant finds the breach planted for it, and nothing in a healthy database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.audit import audit_record
from engine.ports import TradingState
from engine.types.bars import EventKind, MarketEvent
from engine.types.ledger import Lot
from engine.types.opinions import Side
from engine.types.orders import OrderState, OrderStatus, Purpose
from market.models import Candle, Instrument
from strategies.models import HealthChange, Strategy, WeightUpdate
from tests.practice_process import PracticeProcess
from tests.trades.brokers.conftest import practice, running, world  # noqa: F401  fixtures
from tests.trades.order_factory import (
    BTC,
    INSTRUMENT,
    START_MS,
    STRATEGY,
    World,
    held_fence,
    make_fill,
    make_intent,
    make_run,
)
from trades import models, oms, records
from trades.invariants import check_all
from trades.invariants.registry import CHECKS
from trades.journal import DatabaseJournal
from trades.services import control_set

pytestmark = pytest.mark.django_db
BAR_MS = 60_000


def found() -> list[str]:
    return [breach.id for breach in check_all().breaches]


@pytest.fixture
def order() -> models.Order:
    """A healthy run with one filled entry, its decision, candle, lot and equity point."""
    run = make_run()
    fence = held_fence(run)
    now = timezone.now()
    _write_candle(run)
    intent = make_intent(quantity="0.002")
    row = _write_decision_and_order(run, intent)
    oms.claim_for_send(intent.client_order_id, fence)
    word = OrderState(intent.client_order_id, "7", OrderStatus.FILLED, Decimal("0.002"), None, 1)
    oms.record_answer(intent.client_order_id, word, fence)
    journal = DatabaseJournal(run, fence, {})
    fill = make_fill(intent, "0.002", "50000", trade_id="11")
    with journal.event(MarketEvent(EventKind.CLOCK, "", START_MS, START_MS)):
        journal.record_fill(fill, intent)
        journal.record_lots([_lot(intent.client_order_id)], [])
    models.EquityPoint.objects.create(
        run=run,
        at=now,
        equity_quote=Decimal("9999.9"),
        cash_quote=Decimal("9899.9"),
        exposure_quote=Decimal(100),
        peak_equity_quote=Decimal(10_000),
        drawdown_fraction=0.00001,
        day_pnl_quote=Decimal("-0.1"),
    )
    row.refresh_from_db()
    assert found() == []
    return row


def _write_candle(run: models.TradingRun) -> None:
    instrument = Instrument.objects.create(
        venue=run.venue,
        symbol=BTC,
        base="BTC",
        quote="USDT",
        tick_size=INSTRUMENT.tick_size,
        lot_size=INSTRUMENT.lot_size,
        min_notional_quote=INSTRUMENT.min_notional_quote,
        min_quantity_base=INSTRUMENT.min_quantity_base,
        maker_fee_fraction=INSTRUMENT.maker_fee_fraction,
        taker_fee_fraction=INSTRUMENT.taker_fee_fraction,
        updated_at=timezone.now(),
    )
    Candle.objects.create(
        instrument=instrument,
        timeframe_ms=BAR_MS,
        opened_at=records.moment(START_MS - BAR_MS),
        open=50_000,
        high=50_010,
        low=49_990,
        close=50_000,
        volume=1.0,
    )


def _write_decision_and_order(run: models.TradingRun, intent) -> models.Order:
    at, now = records.moment(START_MS), timezone.now()
    analysis = models.Analysis.objects.create(
        run=run, symbol=BTC, bar_close_at=at, price=50_000.0, payload={}, created_at=now
    )
    decision = models.Decision.objects.create(
        code=uuid.uuid4(),
        run=run,
        analysis=analysis,
        strategy=STRATEGY,
        symbol=BTC,
        bar_close_at=at,
        action="BUY",
        confidence=0.7,
        quantity_base=intent.quantity_base,
        price=50_000.0,
        reason_code="X",
        reason="x",
        payload={"sizing": {"multiplier_applied": 1.0}},
        created_at=now,
    )
    row = records.order_row(run, decision, intent, now)
    row.limits_snapshot = {"final_quantity_base": str(intent.quantity_base)}
    row.save(force_insert=True)
    models.OrderEvent.objects.create(order=row, seq=1, from_status="", to_status="INTENT", at=now)
    return row


def _lot(client_order_id: str) -> Lot:
    return Lot(
        lot_id="lot-1",
        strategy=STRATEGY,
        symbol=BTC,
        side=Side.BUY,
        quantity_base=Decimal("0.002"),
        entry_price=Decimal(50_000),
        entry_fee_quote=Decimal("0.1"),
        risk_per_unit_quote=Decimal(0),
        stop_price=None,
        target_price=None,
        regime="",
        opened_at_ms=START_MS,
        entry_order_id=client_order_id,
    )


def _second_order(order: models.Order, **fields: object) -> models.Order:
    """Add an order beside the healthy one, with only its first event."""
    now = timezone.now()
    intent = make_intent(quantity="0.002")
    row = records.order_row(order.run, order.decision, intent, now)
    row.decision = None
    row.leg = 1
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(force_insert=True)
    models.OrderEvent.objects.create(order=row, seq=1, from_status="", to_status="INTENT", at=now)
    return row


def _second_order_of_the_decision(order: models.Order) -> None:
    snapshot = order.limits_snapshot
    row = _second_order(order, leg=0, limits_snapshot=snapshot)
    models.Order.objects.filter(pk=row.pk).update(decision=order.decision)


def _external_twin(order: models.Order) -> None:
    fill = order.fills.get()
    models.ExternalFill.objects.create(
        run=order.run,
        trade_id=fill.trade_id,
        symbol=fill.symbol,
        side=fill.side,
        price=fill.price,
        quantity_base=fill.quantity_base,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        executed_at=fill.executed_at,
        noticed_at=timezone.now(),
    )


def _tokens_fall(order: models.Order) -> None:
    models.OrderEvent.objects.filter(order=order, to_status="SENDING").update(
        detail={"epoch": 0, "token": 99}
    )


def _sent_in_a_halt(order: models.Order) -> None:
    control_set(scope="global", state=TradingState.HALTED, actor="anna", reason="because")
    models.OrderEvent.objects.filter(order=order, to_status="SENDING").update(
        detail={"epoch": 1, "token": 1}
    )


def _sent_at_an_epoch_to_come(order: models.Order) -> None:
    models.OrderEvent.objects.filter(order=order, to_status="SENDING").update(
        detail={"epoch": 5, "token": 1}
    )


def _oversell(order: models.Order) -> None:
    _second_order(
        order, purpose=Purpose.EXIT, side="SELL", quantity_base=Decimal("0.003"), status="OPEN"
    )


def _undecided(order: models.Order) -> None:
    _second_order(order, updated_at=timezone.now() - timedelta(seconds=121))


def _weight(old: float, new: float, period: str) -> None:
    WeightUpdate.objects.create(
        strategy=Strategy.objects.get(code=STRATEGY),
        at=timezone.now(),
        period_key=period,
        old_weight=old,
        new_weight=new,
        reason="r",
        actor="optimization",
    )


def _health(before: str, after: str, reason: str = "losing") -> None:
    HealthChange.objects.create(
        strategy=Strategy.objects.get(code=STRATEGY),
        at=timezone.now(),
        from_status=before,
        to_status=after,
        reason=reason,
        actor="optimization",
    )


def _suspended_before_the_send(order: models.Order) -> None:
    _health("ACTIVE", "SUSPENDED")
    HealthChange.objects.update(at=timezone.now() - timedelta(minutes=1))


def _weight_without_bounds(order: models.Order) -> None:
    """The table refuses it, so the constraint goes first; NaN passes it on PostgreSQL."""
    _weight(2.0, 2.0, "a")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        else:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(
                "ALTER TABLE strategies_weightupdate DROP CONSTRAINT weight_update_bounds"
            )
        WeightUpdate.objects.update(new_weight=2.2)
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def _break_the_audit_chain(order: models.Order) -> None:
    audit_record(actor="anna", action="something")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute("UPDATE accounts_auditevent SET actor = 'mallory'")


def _break_a_multiplier(value: object) -> Callable[[models.Order], None]:
    def plant(order: models.Order) -> None:
        assert order.decision is not None
        order.decision.payload = {"sizing": {"multiplier_applied": value}}
        order.decision.save()

    return plant


def _update(**fields: object) -> Callable[[models.Order], None]:
    return lambda order: models.Order.objects.filter(pk=order.pk).update(**fields) and None


PLANTS: dict[str, tuple[str, Callable[[models.Order], object]]] = {
    "two orders of one decision and leg": ("I-1", _second_order_of_the_decision),
    "a malformed client order id": ("I-1", _update(client_order_id="has space")),
    "a fill booked as ours and as external": ("I-3", _external_twin),
    "a filled quantity its fills do not have": ("I-4", _update(filled_base=Decimal("0.001"))),
    "an average price its fills do not have": ("I-4", _update(average_price=Decimal(49_999))),
    "a lot its fills do not explain": (
        "I-5",
        lambda o: models.Lot.objects.update(quantity_base=Decimal("0.003")),
    ),
    "cash its flows do not explain": (
        "I-6",
        lambda o: models.EquityPoint.objects.update(cash_quote=Decimal(10_000)),
    ),
    "an edge the table does not have": (
        "I-7",
        lambda o: o.events.filter(seq=2).update(to_status="EXPIRED"),
    ),
    "a status its history does not end in": (
        "I-7",
        lambda o: o.events.order_by("-seq").first().delete(),
    ),
    "a gap in a history": ("I-8", lambda o: o.events.filter(seq=3).update(seq=9)),
    "a send during a halt": ("I-9", _sent_in_a_halt),
    "a send at an epoch nobody has seen": ("I-9", _sent_at_an_epoch_to_come),
    "an order above its stored limits": (
        "I-10",
        _update(limits_snapshot={"final_quantity_base": "0.001"}),
    ),
    "an order without stored limits": ("I-10", _update(limits_snapshot={})),
    "a multiplier above the range": ("I-11", _break_a_multiplier(2.5)),
    "a missing multiplier": ("I-11", _break_a_multiplier(None)),
    "a weight step above 15 %": ("I-12", lambda o: _weight(1.0, 1.2, "a")),
    "a weight chain that does not join": (
        "I-12",
        lambda o: (_weight(1.0, 1.1, "a"), _weight(1.0, 1.1, "b")),
    ),
    "a health change without a cause": ("I-13", lambda o: _health("ACTIVE", "DEGRADED", " ")),
    "a health chain that does not join": (
        "I-13",
        lambda o: (_health("ACTIVE", "DEGRADED"), _health("ACTIVE", "SUSPENDED")),
    ),
    "a weight above the range": ("I-12", _weight_without_bounds),
    "an entry of a suspended strategy": ("I-13", _suspended_before_the_send),
    "a decision on a bar that is not stored": ("I-15", lambda o: Candle.objects.all().delete()),
    "an infinite volume": ("I-15", lambda o: Candle.objects.update(volume=float("inf"))),
    "a fencing token the lease never had": ("I-16", _tokens_fall),
    "a changed audit row": ("I-17", _break_the_audit_chain),
    "exits larger than the position": ("I-21", _oversell),
    "an order undecided for two minutes": ("I-23", _undecided),
    "a time ahead of now": (
        "I-27",
        lambda o: _update(created_at=timezone.now() + timedelta(hours=2))(o),
    ),
}


# one id a case: a test that carried all of them would prove each by any other
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, id=f"row_{i.replace('-', '_').lower()}_ {n}") for n, (i, _) in PLANTS.items()],
)
def test_planted_breach_is_found(order: models.Order, name: str) -> None:
    invariant_id, plant = PLANTS[name]
    plant(order)
    assert invariant_id in found()


def test_every_invariant_has_a_planted_breach() -> None:
    """Those with the venue, the database file and its migrations have tests of their own below."""
    planted = {invariant_id for invariant_id, _ in PLANTS.values()}
    assert set(CHECKS) == planted | {"I-2", "I-25"}


def test_a_local_time_zone_is_a_breach(settings) -> None:
    """I-27: times of rows would be read as what they are not."""
    settings.TIME_ZONE = "Europe/Vienna"
    assert found() == ["I-27"]


def test_another_book_begins_with_its_own_weights_and_that_is_no_jump(
    order: models.Order,
) -> None:
    """I-12: practice and live each have their own; within one book every step is judged."""
    for book, old, new in (("a", 1.0, 1.15), ("b", 1.15, 0.5), ("b", 0.5, 0.55)):
        _weight(old, new, f"{book}{new}")
        WeightUpdate.objects.filter(period_key=f"{book}{new}").update(evidence={"book": book})
    assert found() == []
    WeightUpdate.objects.update(evidence={"book": "a"})
    assert found() == ["I-12"]


def test_command_prints_the_breaches_and_exits_1(order: models.Order) -> None:
    models.Lot.objects.update(quantity_base=Decimal("0.003"))
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("check_invariants", "--json", stdout=out, stderr=StringIO())
    assert left.value.code == 1
    document = json.loads(out.getvalue().splitlines()[-1])
    assert [breach["id"] for breach in document["breaches"]] == ["I-5"]
    assert "holds 0.003 BTC/USDT, its fills say 0.002" in document["breaches"][0]["detail"]


def test_command_on_a_healthy_database_says_what_it_could_not_see(order: models.Order) -> None:
    out = StringIO()
    call_command("check_invariants", "--json", stdout=out, stderr=StringIO())
    document = json.loads(out.getvalue())
    assert document["breaches"] == []
    assert set(document["skipped"]) == {"I-2", "I-3"}
    assert "I-2" not in document["checked"]


def test_dangling_key_and_missing_migration_are_found(order: models.Order) -> None:
    """I-25."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL refuses a dangling key itself")
    events = models.OrderEvent.objects.filter(order=order, seq=1)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'trades'")
        events.update(order_id=order.pk + 1_000)
    details = [breach.detail for breach in check_all().breaches if breach.id == "I-25"]
    models.OrderEvent.objects.filter(order_id=order.pk + 1_000).update(order_id=order.pk)
    assert "migration trades.0001_initial is not applied" in details
    assert any("trades_orderevent points at no row of trades_order" in text for text in details)


def test_two_ledgers_agree_and_each_difference_is_named(
    world: World,  # noqa: F811
    practice: PracticeProcess,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I-2, I-3: against the practice exchange's own ledger."""
    monkeypatch.setenv(
        "TRADEPLATFORM_PRACTICE_ADMIN_URL", f"http://127.0.0.1:{practice.admin_port}"
    )
    intent = world.intend()
    world.broker.submit(intent, world.event)

    def two_ledgers() -> list[str]:
        checks = {key: CHECKS[key] for key in ("I-2", "I-3")}
        return [f"{b.id} {b.detail}" for b in check_all(checks).breaches]

    assert two_ledgers() == [], "its fills may still be on their way"
    (fill,) = world.book()
    assert two_ledgers() == []
    models.Fill.objects.update(trade_id="999999")
    assert two_ledgers() == [
        f"I-3 BTC/USDT trades not booked: {fill.trade_id}",
        "I-3 BTC/USDT trades unknown at venue: 999999",
    ]
    models.Fill.objects.update(trade_id=fill.trade_id)
    world.client.send(intent)
    assert f"I-2 order {intent.client_order_id} was accepted 2 times" in two_ledgers()
