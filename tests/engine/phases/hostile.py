"""Phase 7 whole, asked by accounts, markets and policies that mean it harm.

The random numbers are drawn a block at a time; every question then goes one by one through the
real ``assess_risk_and_size``, whose gates, sizing and limits are those that trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from math import isfinite
from typing import Any

import numpy as np

from engine.failsafe import FailSafe, FailSafePolicy
from engine.limits import RiskLimits, RiskView
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext
from engine.phases.entry_gates import Question
from engine.phases.risk_and_sizing import Answer, assess_risk_and_size
from engine.policy import BasePolicy
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.types.bars import BarColumns, Snapshot
from engine.types.decisions import Analysis
from engine.types.opinions import REGIMES, Level, MarketView, Missing, Proposal, Regime, Side
from optimization.core.bounds import HeldWeight
from optimization.core.config import LayerSettings
from optimization.core.layer import AdaptivePolicy
from optimization.core.performance import Decomposition
from optimization.core.state import LayerState
from optimization.core.weighting import WeightBook
from tests.bar_factory import MINUTE_MS, random_walk
from tests.engine.books import BTC
from tests.engine.phases.scene import (
    RELIABLE,
    STRATEGY,
    UNRELIABLE,
    WEAK,
    Gate,
    analysis,
    consensus,
    entry,
    market,
    order_flow,
    snapshot,
)

BLOCK = 1 << 15
NAN, INF = float("nan"), float("inf")
# what a broken policy may say; a float may reach phase 7 with nobody in between
FLOATS = (
    NAN, INF, -INF, -1.0, -0.0, 0.0, 5e-324, 1e-9, 0.0999, 0.1, 0.5, 1.0, 1.9999, 2.0, 2.0001, 9.9,
    10.0, 10.1, 1e308,
)  # fmt: skip
ANSWERS: tuple[Any, ...] = (
    *FLOATS,
    None,
    "2",
    True,
    Decimal("2"),
    Decimal("NaN"),
    [],
    RuntimeError,
)
QUALITIES: tuple[Any, ...] = (None, 0.0, 0.6, 1.0, NAN, INF, -1.0, 2.0, "high")
# of the state a layer reads: what a range check in front of the database would never let in
WEIGHTS = (0.1, 2.0, 1.0, NAN, INF, -INF, -1.0, 0.0, 1e9)
STOPS = (NAN, INF, -INF, -1.0, 0.0, None)
MONEY = tuple(map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "0", "-1", "1e-30", "1e30")))
CAPACITIES = (1e9, 1.0, 1e-3, 1e-12, 0.0, -1.0, NAN, INF)
STATES = (*[TradingState.ACTIVE] * 30, TradingState.REDUCING, TradingState.HALTED)
STATUSES = (
    *[StrategyStatus.ACTIVE] * 12,
    *[StrategyStatus.DEGRADED] * 12,
    StrategyStatus.SUSPENDED,
    StrategyStatus.RETIRED,
)


@dataclass(slots=True)
class Found:
    """What was asked and what came of it; one of ``breaches`` is a fault of phase 7."""

    steps: int = 0
    sized: int = 0
    denied: int = 0
    raised: int = 0
    incidents: int = 0
    lowest: float = INF
    highest: float = 0.0
    fullest_position: float = 0.0
    fullest_risk: float = 0.0
    breaches: int = 0
    first_breach: str = ""
    codes: dict[str, int] = field(default_factory=dict)


class Hostile(BasePolicy):
    """Says what it is told to, whatever that is."""

    multiplier: Any = 1.0
    assessment: Any = None

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        if self.assessment is None:
            return super().assess(proposal, market, confluence)
        answer: Assessment = self.assessment
        return answer

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        if self.multiplier is RuntimeError:
            raise RuntimeError("no multiplier today")
        answer: float = self.multiplier
        return answer

    def weights(self, regime: Regime) -> dict[str, float]:
        return {STRATEGY: self.multiplier}


class Harm:
    """Everything that is made once: markets, limits and policies to choose from."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.limits = (RiskLimits(), *(_limits(rng) for _ in range(40)))
        self.seen = tuple(_seen(rng, at) for at in _markets() for _ in range(60))
        self.assessments = tuple(
            None if quality == "none" else Assessment(accepted, quality, "X", "x", "", detail)
            for quality in ("none", *QUALITIES)
            for accepted, detail in ((True, {}), (True, {"n": NAN}), ("yes", {}), (False, {}))
        )
        self.incidents = 0
        self.hostile, self.weight = Hostile(), 1.0
        seconds = count(0, 1000)
        safe = FailSafe(self._count, lambda: float(next(seconds)))
        self.guarded = FailSafePolicy(self.hostile, safe)
        self.layer, self.filtering = self._layer(False), self._layer(True)
        self.guarded_layer = FailSafePolicy(self.layer, safe)

    def _layer(self, filters: bool) -> AdaptivePolicy:
        return AdaptivePolicy(
            LayerSettings(enabled=True, enable_quality_filtering=filters),
            base_weights={STRATEGY: 1.0},
            favourable={STRATEGY: frozenset({Regime.TRENDING})},
            read=lambda version: LayerState(
                version=(version or 0) + 1,
                book=WeightBook("t", {STRATEGY: HeldWeight(self.weight)}),
                performance=NO_TRADES,
            ),
        )

    def _count(self, where: str, error: BaseException) -> None:
        self.incidents += 1


def fuzz_phase_7(steps: int, seed: int) -> Found:
    """Ask ``steps`` questions and check every answer."""
    harm, found = Harm(seed), Found()
    rng = np.random.default_rng([seed, 1])
    while found.steps < steps:
        for draw in _draws(rng, min(BLOCK, steps - found.steps), harm):
            found.steps += 1
            question, policy = _question(draw, harm)
            try:
                answer = assess_risk_and_size(question, policy)
            except (ArithmeticError, ValueError, TypeError) as error:
                # the pipeline holds on any of them; here they are counted and named
                found.raised += 1
                name = f"raised {type(error).__name__}"
                found.codes[name] = found.codes.get(name, 0) + 1
                continue
            _check(found, question, answer)
    found.incidents = harm.incidents
    return found


def _draws(rng: np.random.Generator, n: int, harm: Harm) -> Iterator[tuple[Any, ...]]:
    def pick(values: int) -> list[int]:
        return rng.integers(0, values, n).tolist()

    equity = 10.0 ** rng.uniform(1.5, 8.0, n)
    columns = (
        pick(len(harm.seen)),
        pick(len(harm.limits)),
        pick(4),
        pick(len(ANSWERS)),
        pick(len(FLOATS)),
        pick(len(harm.assessments)),
        np.where(rng.random(n) < 0.5, rng.uniform(0.0, 3.0, n), -1.0).tolist(),
        pick(len(WEIGHTS)),
        equity.tolist(),
        # a third of the accounts is fresh, the others have traded; a few are nonsense
        np.where(rng.random((n, 6)) < 0.4, 0.0, rng.random((n, 6))).tolist(),
        np.where(rng.random(n) < 0.03, rng.integers(1, 1 + 6 * len(MONEY), n), 0).tolist(),
        (10.0 ** rng.uniform(-4.0, -0.05, n)).tolist(),
        np.where(rng.random(n) < 0.02, rng.integers(0, len(STOPS), n), -1).tolist(),
        pick(2),
        pick(len(STATES)),
        pick(len(STATES)),
        pick(len(STATUSES)),
        rng.random(n).tolist(),
        np.where(rng.random(n) < 0.8, 0, rng.integers(0, 12, n)).tolist(),
    )
    return zip(*columns, strict=True)


def _question(draw: tuple[Any, ...], harm: Harm) -> tuple[Question, Any]:
    (
        seen, limits, kind, answer, plain, assessment, usual, weight, equity, parts, broken,
        distance, bad_stop, sells, state, risk_state, status, confidence, counts,
    ) = draw  # fmt: skip
    at, of = harm.seen[seen]
    policy: Any
    if kind == 0:
        # nobody between a policy that says floats and phase 7
        policy = harm.hostile
        policy.multiplier, policy.assessment = (FLOATS[plain] if usual < 0.0 else usual), None
    elif kind == 1:
        policy = harm.guarded
        harm.hostile.multiplier = ANSWERS[answer] if usual < 0.0 else usual
        harm.hostile.assessment = harm.assessments[assessment]
    else:
        layer = harm.layer if kind == 2 or usual < 0.0 else harm.filtering
        policy = harm.guarded_layer if usual < 0.0 else layer
        harm.weight = WEIGHTS[weight] if usual < 0.0 else min(max(usual, 0.1), 2.0)
        layer.refresh(0)
    side = Side.SELL if sells else Side.BUY
    stop = at.close * (1.0 - side.sign * distance) if bad_stop < 0 else STOPS[bad_stop]
    context = DecisionContext(
        installation="0a1b2c",
        account="main",
        run_code="run",
        gatekeeper=Gate(state=STATES[state], status=STATUSES[status]),
        policy=policy,
        risk=_account(equity, parts, broken, STATES[risk_state], counts),
        limits=harm.limits[limits],
        positions={},
    )
    proposal = entry(
        at, side=side, confidence=confidence, stop_price=stop,
        target_price=None if sells else at.close * 1.02,
    )  # fmt: skip
    return Question(proposal, at, of, context, CONFIG, _ignore), policy


CONFIG = PipelineConfig()
# rows and rings of no trades, which nothing here reads: made anew they cost more than the question
NO_TRADES = Decomposition()


def _ignore(failure: object) -> None:
    return None


def _account(
    equity: float, parts: list[float], broken: int, state: TradingState, counts: int
) -> RiskView:
    cash, fall, day, gross, on_symbol, of_strategy = parts
    money = [
        Decimal(repr(round(value, 2)))
        for value in (
            equity,
            equity * (1.0 - cash),
            equity * (1.0 + 0.3 * fall**3),
            -equity * 0.04 * day**2,
            equity * 0.7 * gross,
            equity * 0.15 * on_symbol,
            equity * 0.25 * of_strategy,
        )
    ]
    if broken:
        money[broken % 6] = MONEY[broken % len(MONEY)]
    return RiskView(
        equity_quote=money[0],
        cash_quote=money[1],
        peak_equity_quote=money[2],
        day_pnl_quote=money[3],
        gross_exposure_quote=money[4],
        exposure_by_symbol={BTC: money[5]},
        exposure_by_strategy={STRATEGY: money[6]},
        open_orders=counts,
        open_positions=counts // 2,
        consecutive_losses=counts // 2,
        orders_last_hour=counts * 3,
        orders_last_day=counts * 9,
        state=state,
    )


def _check(found: Found, question: Question, answer: Answer) -> None:
    sizing, context = answer.sizing, question.context
    m, size = sizing.multiplier_applied, sizing.quantity_base
    if not 0.1 <= m <= 2.0:
        _breach(found, f"multiplier {m}")
    if size == 0:
        found.denied += 1
        code = "nothing said" if sizing.denied is None else sizing.denied.code
        found.codes[code] = found.codes.get(code, 0) + 1
        return
    found.sized += 1
    found.lowest, found.highest = min(found.lowest, m), max(found.highest, m)
    for fault in _faults(question, answer):
        _breach(found, fault)
    risk, limits = context.risk, context.limits
    held = risk.exposure_by_symbol[BTC] + sizing.notional_quote
    share = float(held / (limits.max_position_size * risk.equity_quote))
    at_risk = sizing.stop_risk_quote / (limits.max_risk_per_trade * risk.equity_quote)
    found.fullest_position = max(found.fullest_position, share)
    found.fullest_risk = max(found.fullest_risk, float(at_risk))


def _faults(question: Question, answer: Answer) -> Iterator[str]:
    """Yield what an entry that was let through must never be."""
    sizing, context = answer.sizing, question.context
    limits, risk, instrument = context.limits, context.risk, question.snapshot.instrument
    equity, notional, size = risk.equity_quote, sizing.notional_quote, sizing.quantity_base
    gate = context.gatekeeper
    assert isinstance(gate, Gate)
    gross = risk.gross_exposure_quote + notional
    if not risk.is_finite or not size.is_finite() or size < 0:
        yield f"size {size} of an account of {equity}"
        return
    if sizing.multiplier_applied != _expected(sizing.multiplier_raw, gate.status):
        yield f"multiplier {sizing.multiplier_applied} of {sizing.multiplier_raw}, {gate.status}"
    allowed = {
        "order": (notional, limits.max_position_size * equity),
        "ceiling": (notional, limits.max_order_quote or notional),
        "position": (risk.exposure_by_symbol[BTC] + notional, limits.max_position_size * equity),
        "strategy": (
            risk.exposure_by_strategy[STRATEGY] + notional,
            limits.max_strategy_exposure * equity,
        ),
        "gross": (gross, limits.max_gross_exposure * equity),
        "leverage": (gross, limits.leverage * equity),
        "risk": (sizing.stop_risk_quote, limits.max_risk_per_trade * equity),
        "wanted": (size, Decimal(repr(sizing.base_quantity * sizing.multiplier_applied))),
        "lot": (size % instrument.lot_size, Decimal(0)),
        "least": (instrument.min_notional_quote, notional),
    }
    if question.proposal.side is Side.BUY:
        paid = notional * (1 + instrument.taker_fee_fraction)
        allowed["cash"] = (paid, risk.cash_quote - limits.cash_reserve * equity)
    yield from (
        f"{name} was {was}, at most {most}" for name, (was, most) in allowed.items() if was > most
    )
    if gate.state is not TradingState.ACTIVE or risk.state is not TradingState.ACTIVE:
        yield f"entered in {gate.state}, {risk.state}"
    if not gate.status.may_enter:
        yield f"entered while {gate.status}"
    price = instrument.price(question.proposal.price)
    if answer.stop_price is None or question.proposal.side.sign * (price - answer.stop_price) <= 0:
        yield f"entered at {price} with its stop at {answer.stop_price}"


def _expected(raw: float, status: StrategyStatus) -> float:
    within = min(max(raw, 0.1), 2.0) if isfinite(raw) else NAN
    return max(within / 2.0, 0.1) if status is StrategyStatus.DEGRADED else within


def _breach(found: Found, text: str) -> None:
    found.breaches += 1
    found.first_breach = found.first_breach or text


def _limits(rng: np.random.Generator) -> RiskLimits:
    def fraction(low: float, high: float) -> Decimal:
        return Decimal(str(round(float(rng.uniform(low, high)), 4)))

    most = fraction(0.001, 0.3)
    return RiskLimits(
        risk_per_trade=most * fraction(0.01, 1.0),
        max_risk_per_trade=most,
        max_position_size=fraction(0.01, 1.0),
        max_order_quote=None if rng.random() < 0.5 else Decimal(int(10 ** rng.uniform(1, 6))),
        max_strategy_exposure=fraction(0.01, 1.0),
        max_gross_exposure=fraction(0.05, 1.0),
        cash_reserve=fraction(0.0, 0.6),
        leverage=fraction(0.1, 5.0),
    )


def _markets() -> Iterator[Snapshot]:
    """Coins from a hundredth of a cent to sixty thousand, on coarse and on fine grids."""
    # by the hour, with as much a minute as bars of a minute have: what looks back over the last
    # minutes or the last day reads few of them
    bars = random_walk(11, 700, timeframe_ms=60 * MINUTE_MS)
    bars = replace(bars, volume=bars.volume * 60.0)
    for scale in (1e-6, 0.01, 1.0, 600.0):
        scaled = replace(
            bars, **{name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")}
        )
        yield _market(scaled, Decimal(repr(scale)) / 100, Decimal("0.0001"))
        yield _market(scaled, Decimal(repr(scale)) / 10_000, Decimal("0.00000001"))


def _market(bars: BarColumns, tick: Decimal, lot: Decimal) -> Snapshot:
    return snapshot(
        bars=bars, tick_size=tick, lot_size=lot, min_quantity_base=lot, shortable=True
    )  # fmt: skip


def _seen(rng: np.random.Generator, at: Snapshot) -> tuple[Snapshot, Analysis]:
    levels = tuple(Level)
    room = float(rng.choice(CAPACITIES)) if rng.random() < 0.3 else 1e12
    flow = order_flow(buy_capacity_base=room, sell_capacity_base=room)
    probability = float(rng.uniform(0.49, 0.51))
    return at, analysis(
        at,
        market=market(
            regime=REGIMES[int(rng.integers(0, len(REGIMES)))],
            risk=levels[int(rng.integers(0, len(levels)))],
        ),
        order_flow=flow,
        validation=(RELIABLE, WEAK, UNRELIABLE, None)[int(rng.integers(0, 4))],
        consensus=consensus(probability, confluence_up=int(rng.integers(0, 5))),
    )
