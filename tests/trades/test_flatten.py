"""Flatten: a preview, its confirmation, exits, and a scope that ends flat and halted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.flattening import PAUSES_S
from engine.ports import TradingState
from engine.types.bars import MarketEvent
from engine.types.orders import OrderIntent, Rejection, SubmitResult
from engine.types.requests import Flatten
from tests.trades.asked_run import BTC, STRATEGY, AskedRun
from tests.trades.order_factory import make_intent, write_intent
from trades import models, oms, order_watch
from trades.brokers.paper import StoredPaperBroker
from trades.core.operating_limits import DEFAULTS
from trades.errors import PreviewStale, RequestRefused
from trades.flatten import flatten_confirm, flatten_preview
from trades.instructions import StoredInstructions
from trades.models import ControlState, OperatorRequest, RequestStatus
from trades.send_rules import refusal_of
from trades.services import control_set

pytestmark = pytest.mark.django_db


def confirmed(scope: str = "global") -> list[OperatorRequest]:
    preview = flatten_preview(scope=scope, actor="anna")
    return flatten_confirm(scope=scope, token=preview.token, actor="anna", reason="leaving")


def state_of(scope: str = "global") -> tuple[str, str]:
    row = ControlState.objects.get(scope=scope)
    return row.state, row.reason_code


def test_the_preview_changes_nothing_and_names_what_would_go_and_what_it_would_cost() -> None:
    """CTL-13: what would be closed, its result at the last close with the exit fee."""
    asked = AskedRun()
    asked.hold("0.01")
    preview = flatten_preview(scope="global", actor="anna")
    (closing,) = preview.closings
    assert (closing.position.strategy, closing.position.quantity_base) == (
        STRATEGY,
        Decimal("0.01"),
    )
    notional = Decimal("0.01") * closing.position.mark_price
    assert closing.exit_fee_quote == notional * Decimal("0.001")
    assert preview.result_quote == {
        "USDT": closing.position.unrealised_pnl_quote - closing.exit_fee_quote
    }
    assert not OperatorRequest.objects.exists()
    assert not ControlState.objects.exists()


def test_flatten_reduces_at_once_exits_and_halts_when_flat() -> None:
    """D-28, CTL-13, CTL-23: each of its orders cites the request."""
    asked = AskedRun()
    asked.hold("0.01")
    asked.hold("0.02", strategy="breakout")
    (row,) = confirmed()
    assert state_of() == ("REDUCING", "FLATTENING"), "entries stop before any worker looks"
    asked.tick()
    row.refresh_from_db()
    assert row.status == RequestStatus.WORKING
    assert {o.strategy for o in row.orders.all()} == {STRATEGY, "breakout"}
    assert asked.tick().submitted == [], "nothing is sent twice"
    asked.bar()
    asked.tick()
    row.refresh_from_db()
    assert (row.status, row.outcome) == (RequestStatus.DONE, "global is flat")
    assert asked.ledger.positions() == ()
    assert state_of() == ("HALTED", "FLATTENED")
    assert f"flatten request {row.pk}: leaving" in ControlState.objects.get().reason


def test_a_halted_scope_is_left_too() -> None:
    """D-28: HALTED allows no exits, so flatten lowers its scope first and halts it again."""
    asked = AskedRun()
    asked.hold("0.01")
    control_set(scope="global", state=TradingState.HALTED, actor="anna", reason="storm")
    (row,) = confirmed()
    asked.tick()
    asked.bar()
    asked.tick()
    row.refresh_from_db()
    assert row.status == RequestStatus.DONE
    assert state_of() == ("HALTED", "FLATTENED")


def test_a_drawdown_halt_does_not_stop_the_flatten_that_answers_it() -> None:
    """D-28, CTL-9: the breaker judges every event and would halt before the exit is sent."""
    asked = AskedRun()
    asked.hold("0.01")
    confirmed()
    for code, halted in (("MAX_DRAWDOWN", False), ("AUTH", True)):
        control_set(
            scope="global",
            state=TradingState.HALTED,
            actor="breaker",
            reason="lost",
            reason_code=code,
            is_breaker=True,
        )
        assert (state_of()[0] == "HALTED") is halted


def test_what_cannot_be_closed_keeps_the_scope_reducing_and_is_named() -> None:
    """F-013, D-28: a symbol that is halted on its own is not sold on a guess."""
    asked = AskedRun()
    asked.hold("0.01")
    control_set(scope=f"symbol:{BTC}", state=TradingState.HALTED, actor="b", reason="by hand")
    preview = flatten_preview(scope="global", actor="anna")
    assert preview.closings[0].hindrance == f"symbol:{BTC} is HALTED: by hand"
    (row,) = confirmed()
    asked.tick()
    row.refresh_from_db()
    assert row.status == RequestStatus.REFUSED
    assert "BTC/USDT is halted: by hand" in row.outcome
    assert state_of() == ("REDUCING", "FLATTEN_LEFT_OPEN")
    assert models.Order.objects.filter(purpose="exit").count() == 0


def test_rows_tell_how_often_and_when_the_last_exits_took_nothing() -> None:
    """CTL-13: pauses and patience hold over a restart; an exit that took something begins them
    anew, and no name is used twice."""
    asked = AskedRun()
    asked.hold("0.01")
    confirmed()
    asked.tick()
    instructions = StoredInstructions(asked.run)
    order = models.Order.objects.get(purpose="exit")
    key, at_ms = (order.strategy, order.symbol), round(order.decided_at.timestamp() * 1e3)

    def told() -> tuple[object, object, object]:
        (due,) = instructions.due(asked.now_ms)
        assert isinstance(due, Flatten)
        return due.legs, due.misses, due.missed_ms

    def another(filled: str) -> None:
        order.pk, order.client_order_id = None, f"{models.Order.objects.count():032d}"
        order.filled_base = Decimal(filled)
        order.save(force_insert=True)

    assert told() == ({key: 1}, {key: 1}, {key: at_ms})
    another("0")
    assert told() == ({key: 2}, {key: 2}, {key: at_ms})
    another("0.001")
    assert told() == ({key: 3}, {}, {}), "what went on is not held up"
    another("0")
    assert told() == ({key: 4}, {key: 1}, {key: at_ms})


class Refusing(StoredPaperBroker):
    """A venue that refuses every order, and the brakes that hear of it."""

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        claim = oms.claim_for_send(intent.client_order_id, self._fence)
        if not isinstance(claim, oms.Claim):
            return claim
        refusal = Rejection("-2010", "no market orders now")
        oms.record_answer(intent.client_order_id, refusal, self._fence)
        alert = order_watch.judged_refusal(self._run_id, refusal.message, DEFAULTS)
        if alert is not None:
            assert alert.brake is not None
            braked(alert.brake, alert.code)
        return refusal


def braked(state: TradingState, code: str) -> None:
    control_set(
        scope="global",
        state=state,
        actor="breaker",
        reason=f"{code} was told",
        reason_code=code,
        is_breaker=True,
    )


def test_refused_exits_of_several_positions_do_not_halt_the_flatten_they_belong_to() -> None:
    """D-28, CTL-13, CTL-17: the second exits of three positions are five and six in a row, the
    fourth are twelve; each has its five, and entries stay denied."""
    asked = AskedRun()
    asked.book.broker = Refusing(asked.run, asked.fence, asked.instruments)
    entry = write_intent(asked.run, make_intent())
    strategies = (STRATEGY, "breakout", "mean-reversion")
    for strategy in strategies:
        asked.hold("0.01", strategy=strategy)
    (row,) = confirmed()
    for _ in range(sum(PAUSES_S) + 10):
        if row.status == RequestStatus.REFUSED:
            break
        assert state_of() == ("REDUCING", "FLATTENING")
        asked.tick()
        row.refresh_from_db()
    exits = row.orders.filter(status="REJECTED")
    assert {s: exits.filter(strategy=s).count() for s in strategies} == dict.fromkeys(strategies, 5)
    assert (row.status, state_of()) == (
        RequestStatus.REFUSED,
        ("REDUCING", "FLATTEN_LEFT_OPEN"),
    )
    denied = refusal_of(entry, "")
    assert denied is not None and denied.code == "REDUCING"
    braked(TradingState.HALTED, "REJECTIONS_HALT")
    assert state_of()[0] == "HALTED", "it is over, what goes on being refused halts"


def test_a_person_halts_a_flatten_whatever_the_breakers_leave_alone() -> None:
    """CTL-13: the softened halt is the breaker's own."""
    asked = AskedRun()
    asked.hold("0.01")
    confirmed()
    braked(TradingState.HALTED, "REJECTIONS_HALT")
    assert state_of() == ("REDUCING", "FLATTENING")
    control_set(scope="global", state=TradingState.HALTED, actor="bert", reason="stop it")
    assert state_of() == ("HALTED", "manual")
    asked.tick()
    assert not models.Order.objects.filter(purpose="exit", sent_at__isnull=False).exists()


def test_a_person_who_sets_the_scope_meanwhile_has_the_last_word() -> None:
    """CTL-13: resumed on purpose, it is neither flattened on nor halted."""
    asked = AskedRun()
    asked.hold("0.01")
    (row,) = confirmed()
    control_set(scope="global", state=TradingState.ACTIVE, actor="bert", reason="changed my mind")
    asked.tick()
    row.refresh_from_db()
    assert (row.status, row.outcome) == (
        RequestStatus.REFUSED,
        "global was resumed before it was flat",
    )
    assert state_of()[0] == "ACTIVE"


def test_one_confirmation_is_one_flatten() -> None:
    """SEC-44."""
    asked = AskedRun()
    asked.hold("0.01")
    preview = flatten_preview(scope="global", actor="anna")
    given = {"scope": "global", "token": preview.token, "actor": "anna", "reason": "leaving"}
    first = flatten_confirm(**given)
    assert flatten_confirm(**given) == first
    assert OperatorRequest.objects.count() == 1


def test_a_token_is_good_for_what_was_shown_to_whom_it_was_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CTL-22: more than was shown is not closed on an old look."""
    asked = AskedRun()
    asked.hold("0.01")
    preview = flatten_preview(scope="global", actor="anna")

    def confirm(**changes: str) -> None:
        given = {"scope": "global", "token": preview.token, "actor": "anna", "reason": "x"}
        flatten_confirm(**given | changes)

    for changes, text in (
        ({"actor": "bert"}, "another person"),
        ({"scope": f"symbol:{BTC}"}, "another scope"),
        ({"token": preview.token + "x"}, "none of a preview"),
    ):
        with pytest.raises(PreviewStale, match=text):
            confirm(**changes)
    with pytest.raises(RequestRefused, match="reason had 0"):
        confirm(reason="")
    asked.hold("0.01", strategy="breakout")
    with pytest.raises(PreviewStale, match="BTC/USDT, the preview showed 0; look again"):
        confirm()
    monkeypatch.setattr("trades.flatten.GOOD_FOR_S", -1)
    with pytest.raises(PreviewStale, match="older than"):
        confirm()
    assert not ControlState.objects.exists()


@pytest.mark.parametrize(
    "scope", ["everything", "symbol:DOGE/USDT", "strategy:", "strategy:nobody"]
)
def test_an_unknown_scope_is_refused(scope: str) -> None:
    AskedRun()
    with pytest.raises(RequestRefused, match="allowed: global"):
        flatten_preview(scope=scope, actor="anna")
