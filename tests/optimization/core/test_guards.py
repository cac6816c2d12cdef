"""The guards of the platform, met by a layer that finds all excellent and wants twice as much.

Each walk is made twice, with the layer and without it: what a guard does must not differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.account import Account
from engine.failsafe import FailSafePolicy
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.phases.config import Readiness
from engine.policy import BasePolicy
from engine.ports import StrategyStatus, TradingState
from engine.simulated_operator import SimulatedOperator
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Action
from engine.types.opinions import RuleColumns, Side
from engine.types.orders import Fill, OrderIntent, Purpose
from optimization.core.actions import ActionKind
from optimization.core.bounds import HeldWeight
from optimization.core.config import LayerSettings
from optimization.core.layer import AdaptivePolicy
from optimization.core.state import LayerState
from optimization.core.weighting import WeightBook
from tests.bar_factory import from_close
from tests.engine.books import D, fill, instrument, intent
from tests.engine.phases.scene import BARS, CONFIG, Incidents, Rule, fail_safe, market, risk
from tests.engine.phases.sizing import ask, denial_of
from tests.engine.sessions import Scene, play
from tests.engine.test_session import FIRST, opened

CODES = ("one", "two")
EAGER = replace(CONFIG, ensemble_trades=False, required_readiness=Readiness.NOT_READY)
# limits that would deny the second strategy first, out of the way
ROOMY = dict.fromkeys(
    (
        "max_position_size",
        "max_strategy_exposure",
        "max_gross_exposure",
        "max_week_loss",
        "max_jump_1m",
        "max_jump_5m",
    ),
    D("1"),
)
# what must not move with the layer on
Guards = list[tuple[str, Action, str]]


@dataclass
class Late(Rule):
    """Proposes from one row on."""

    from_row: int = 0

    def columns(self, store: ColumnStore) -> RuleColumns:
        whole = super().columns(store)
        side = whole.side.copy()
        side[: self.from_row] = 0
        return replace(whole, side=side)


def excellent(tell: Any = lambda kind, fields: None) -> FailSafePolicy:
    """Every quality is the confidence, which is 1 here; every weight stands at its ceiling."""
    book = WeightBook("t", {code: HeldWeight(2.0) for code in CODES})
    policy = AdaptivePolicy(
        LayerSettings(enabled=True, quality_threshold=0.0),
        base_weights=dict.fromkeys(CODES, 1.0),
        favourable={},
        read=lambda version: LayerState(version=1, book=book) if version is None else None,
        tell=tell,
    )
    return FailSafePolicy(policy, fail_safe(Incidents()))


def walked(
    policy: Any, rules: Any, bars: BarColumns, n: int, fills: Any = (), **more: Any
) -> Scene:
    """``n`` bars from FIRST on; ``fills`` are booked on the first of them."""
    session = opened(rules, bars=bars, policy=policy, **more)
    session.broker.invented = list(fills)
    play(session, bars, range(FIRST, FIRST + n))
    return session


def on_and_off(*given: Any, **more: Any) -> tuple[Scene, Scene]:
    fresh = {name: value() if callable(value) else value for name, value in more.items()}
    again = {name: value() if callable(value) else value for name, value in more.items()}
    return walked(excellent(), *given, **fresh), walked(BasePolicy(), *given, **again)


def said(session: Scene) -> Guards:
    return [(d.strategy, d.action, d.reason_code) for d in session.journal.decisions]


def fallen(fraction: float) -> BarColumns:
    """The market of every test, which loses a fraction two bars after FIRST."""
    close = BARS.close.copy()
    close[FIRST + 2 :] *= 1.0 - fraction
    return from_close(close)


def bought(bars: BarColumns, quote: float) -> tuple[list[tuple[Fill, OrderIntent]], float]:
    price = round(float(bars.close[FIRST]), 2)
    quantity = str(round(quote / price, 4))
    order = intent(strategy="one", quantity=quantity)
    return [(fill(order, str(price)), order)], float(quantity)


@pytest.mark.parametrize(
    ("limits", "lost", "code"),
    [
        ({}, 0.031, "DAY_LOSS"),
        ({"max_day_loss": D("0.05")}, 0.051, "DAY_LOSS"),
        ({"max_day_loss": D("0.30")}, 0.201, "MAX_DRAWDOWN"),
    ],
)
def test_a_loss_that_is_only_marked_vetoes_entries_with_the_layer_on(
    limits: dict[str, Any], lost: float, code: str
) -> None:
    """OPT-71, OPT-15, D-27: no trade was closed, the position's price alone reached the limit."""
    # 40 % of the account is held: to lose ``lost`` of the whole its price falls 2.5 times as much
    for share, is_reached in ((0.97, False), (1.03, True)):
        bars = fallen(2.5 * lost * share)
        fills, held = bought(bars, 4_000.0)
        given = [Rule("one"), Late("two", 0.6, side=1, confidence=1.0, from_row=FIRST + 2)]
        for session in on_and_off(
            given, bars, 3, fills,
            limits=RiskLimits(**ROOMY, **limits),
            gatekeeper=lambda: SimulatedOperator(dict.fromkeys(CODES, StrategyStatus.ACTIVE), 5),
        ):  # fmt: skip
            assert session.journal.trades == []
            point = session.journal.points[-1]
            marked = D("10000") - D(str(held)) * (
                D(str(round(float(bars.close[FIRST]), 2))) - D(repr(float(bars.close[FIRST + 2])))
            )
            assert float(point.equity_quote) == pytest.approx(float(marked), abs=0.01)
            entered = [d for d in session.journal.decisions if d.action is Action.BUY]
            assert bool(entered) is not is_reached
            stops = [stop.reason_code for stop in session.gate.interventions]
            assert stops == ([code] if is_reached else [])


def test_the_gate_of_losses_denies_the_best_signal_with_numbers() -> None:
    """OPT-71: asked alone, at the limit and a cent before it."""
    for at, before, code in (
        ({"day_pnl_quote": D("-310")}, {"day_pnl_quote": D("-309")}, "DAY_LOSS"),
        ({"peak_equity_quote": D("12500")}, {"peak_equity_quote": D("12499")}, "MAX_DRAWDOWN"),
    ):  # fmt: skip
        policy = excellent()
        policy.refresh(0)
        denied = ask(policy=policy, risk=risk(**at))
        assert denial_of(denied) == code
        assert denied.sizing.denied is not None and denied.sizing.denied.limit is not None
        assert ask(policy=policy, risk=risk(**before)).sizing.quantity_base > 0


def round_trips(session: Scene, results: list[int], row: int) -> None:
    """Trades of strategy one that end as given, one on each bar."""
    for i, result in enumerate(results):
        buy = intent(strategy="one", quantity="0.1")
        sell = intent(Side.SELL, "0.1", strategy="one", purpose=Purpose.EXIT)
        session.broker.invented = [(fill(buy, "100"), buy), (fill(sell, str(100 + result)), sell)]
        play(session, BARS, range(row + i, row + i + 1))


@pytest.mark.parametrize("policy", [excellent, BasePolicy])
def test_a_streak_counts_losses_only_latches_over_a_restart_and_waits_for_a_person(
    policy: Any,
) -> None:
    """OPT-72, D-27: the same with the layer on and off."""
    session = opened((), policy=policy())
    round_trips(session, [-1, -1, -1, -1, 1, -1, -1, 0, -1, -1, -1], FIRST)
    assert session.gate.escalations == []
    kept = session.account.state()
    again = Account(Ledger("USDT", {"USDT": D("10000")}), streaks=kept["streaks"])  # type: ignore[arg-type]
    restarted = opened((), policy=policy(), account=again)
    round_trips(restarted, [-1, -1], FIRST)
    assert restarted.gate.escalations[0] == (TradingState.REDUCING, "LOSS_STREAK", "strategy:one")
    latched = opened(
        [Rule("one", 0.6, side=1, confidence=1.0)], policy=policy(), account=restarted.account
    )
    play(latched, BARS, range(FIRST, FIRST + 4))
    assert {d.reason_code for d in latched.journal.decisions} == {"LOSS_STREAK"}
    latched.gate.reset_counts = {"strategy:one": 1}
    play(latched, BARS, range(FIRST + 4, FIRST + 5))
    assert latched.journal.decisions[-1].action is Action.BUY


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_the_kill_switch_stops_entries_whatever_the_layer_wants(state: TradingState) -> None:
    """OPT-72, OPT-15: from the bar it is thrown to the bar a person lifts it."""
    seen = []
    for policy in (excellent(), BasePolicy()):
        session = opened([Rule("one", 0.6, side=1, confidence=1.0)], policy=policy)
        session.gate.state = state
        play(session, BARS, range(FIRST, FIRST + 3))
        assert session.broker.sent == []
        session.gate.state = TradingState.ACTIVE
        play(session, BARS, range(FIRST + 3, FIRST + 4))
        seen.append(said(session))
    assert seen[0] == seen[1]
    assert [code for _, _, code in seen[0]][:3] == [state.value] * 3
    assert seen[0][-1][1] is Action.BUY


def test_after_a_gap_nobody_enters_before_the_symbol_is_ready_again() -> None:
    """OPT-73, D-14: NOT_READY, FORMING, READY on the same bars with the layer on and off."""
    gap = replace(BARS, ts_ms=BARS.ts_ms.copy())
    gap.ts_ms[FIRST:] += 5 * BARS.timeframe_ms
    config = replace(EAGER, required_readiness=Readiness.READY)
    rules = [Rule("one", 0.6, side=1, confidence=1.0)]
    on, off = on_and_off(rules, gap, 25, config=config)
    assert said(on) == said(off)
    codes = [code for _, _, code in said(on)]
    assert codes[:9] == ["NOT_READY"] * 9 and codes[9:19] == ["FORMING"] * 10
    first = next(d for d in on.journal.decisions if d.action is Action.BUY)
    assert on.journal.decisions.index(first) == 19


@pytest.mark.parametrize(("dwell_bars", "code"), [(0, "NOT_READY"), (1, "FORMING")])
def test_the_best_signal_of_the_layer_waits_for_readiness(dwell_bars: int, code: str) -> None:
    """OPT-73: by the symbol's own market; another symbol's readiness is not asked."""
    policy = excellent()
    policy.refresh(0)
    answer = ask(policy=policy, seen={"market": market(dwell_bars=dwell_bars)})
    assert denial_of(answer) == code and answer.policy is None
    assert ask(policy=policy, seen={"market": market(dwell_bars=3)}).sizing.quantity_base > 0


# -- closures --------------------------------------------------------------------------------------


def of(side: Side, quantity: str, price: str, fee: str, purpose: Purpose) -> Any:
    order = intent(side, quantity, strategy="one", purpose=purpose)
    return fill(order, price, fee=D(fee)), order


CASES = {
    "a long": ("10", [(Side.BUY, "1", "100", "0"), (Side.SELL, "1", "130", "0")], ["30"]),
    "with fees": ("10", [(Side.BUY, "2", "100", ".2"), (Side.SELL, "2", "110", ".22")], ["19.58"]),
    "two entries, two exits": (
        "10",
        [(Side.BUY, "1", "100", "0"), (Side.BUY, "1", "120", "0"), (Side.SELL, "1", "130", "0"),
         (Side.SELL, "1", "90", "0")],
        ["30", "-30"],
    ),
    "in part, oldest first": (
        "10",
        [(Side.BUY, "1", "100", "0"), (Side.BUY, "1", "120", "0"), (Side.SELL, "1.5", "130", "0")],
        ["30", "5"],
    ),
    "a short": ("10", [(Side.SELL, "1", "100", "0"), (Side.BUY, "1", "90", ".1")], ["9.9"]),
    "turned round": (
        "10",
        [(Side.BUY, "1", "100", "0"), (Side.SELL, "3", "120", ".3"), (Side.BUY, "2", "110", "0")],
        ["19.9", "19.8"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_closures_are_booked_the_same_with_the_layer_on_and_the_layer_hears_of_each(
    name: str,
) -> None:
    """OPT-26, OPT-27, OPT-28, OPT-29: right lots, FIFO, PnL at the fill's price."""
    _, fills, results = CASES[name]
    booked = []
    for is_on in (True, False):
        told: list[Any] = []
        policy = excellent(lambda kind, fields, to=told: to.append((kind, dict(fields))))
        session = opened(
            (), policy=policy if is_on else BasePolicy(), of=instrument(shortable=True)
        )
        session.broker.invented = [
            of(side, quantity, price, fee, Purpose.EXIT if at else Purpose.ENTRY)
            for at, (side, quantity, price, fee) in enumerate(fills)
        ]
        play(session, BARS, range(FIRST, FIRST + 1))
        trades = session.journal.trades
        assert [t.pnl_quote for t in trades] == [D(result) for result in results]
        assert session.account.ledger.cash_quote - D("10000") == sum(
            (t.pnl_quote for t in trades), start=_still_open(session)
        )
        heard = [fields["pnl_quote"] for kind, fields in told if kind is ActionKind.RECORDING]
        assert heard == ([float(result) for result in results] if is_on else [])
        booked.append([(t.entry_price, t.exit_price, t.quantity_base, t.pnl_quote) for t in trades])
    assert booked[0] == booked[1]


def _still_open(session: Scene) -> Any:
    """What the open lots took from the cash, their entry fees included."""
    return sum(
        (
            -lot.side.sign * lot.quantity_base * lot.entry_price - lot.entry_fee_quote
            for lot in session.account.ledger.lots
        ),
        start=D("0"),
    )
