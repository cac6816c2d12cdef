"""Phase 7: may this be done at all, and how large? (ORC-13)

Order is the safety: gates first, then the policy's judgement, the base size, the multiplier on
top of it, and the hard limits last (D-01). Exits pass the gates of entries and the caps by, and
never exceed what is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

from engine import controls
from engine import limits as hard_limits
from engine.failsafe import Failure
from engine.phases.config import PipelineConfig
from engine.phases.entry_gates import (
    ENTRY_GATES,
    Question,
    round_trip_fee_fraction,
    status_of,
    stop_on_grid,
    trading_state_denial,
    validation_factor,
)
from engine.ports import Assessment, OptimizationPolicy, StrategyStatus, TradingState
from engine.types.decisions import CapStep, JsonValue, Reason, Sizing
from engine.types.ledger import ZERO
from engine.types.opinions import Level, Missing, OrderFlowView, ProposalKind, Side
from engine.types.orders import Purpose

# A riskier market never gets a larger size; a market that cannot be judged is not entered.
RISK_FACTORS: dict[Level, float] = {
    Level.LOW: 1.0,
    Level.MEDIUM: 1.0,
    Level.HIGH: 0.75,
    Level.EXTREME: 0.5,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Phase 7's answer: the sizing, prices on the tick grid, and what the policy said."""

    sizing: Sizing
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    notes: tuple[Reason, ...] = ()
    policy: dict[str, JsonValue] | None = None


def assess_risk_and_size(question: Question, policy: OptimizationPolicy) -> Answer:
    """Judge and size one proposal; a denial is a Sizing of 0 with the reason."""
    if question.proposal.kind is ProposalKind.EXIT:
        return _exit(question)
    for gate in ENTRY_GATES:
        denied = gate(question)
        if denied is not None:
            return Answer(denial(denied))
    proposal, analysis = question.proposal, question.analysis
    consensus = analysis.consensus
    confluence = 0 if consensus is None else consensus.confluence(proposal.side)
    assessment = policy.assess(proposal, analysis.market, confluence)
    said: dict[str, JsonValue] = {
        "accepted": assessment.accepted,
        "quality": assessment.quality,
        "reason_code": assessment.reason_code,
        "reason": assessment.reason,
        "confluence": confluence,
        "signal_id": proposal.signal_id,
        "detail": dict(assessment.detail),
    }
    if not assessment.accepted:
        reason = Reason(assessment.reason_code, assessment.reason, assessment.quality)
        return Answer(denial(reason, assessment.quality), policy=said)
    return _entry(question, policy, assessment, said)


def denial(reason: Reason, quality: float | None = None) -> Sizing:
    """Return a sizing of nothing, with its reason."""
    return Sizing(0.0, 1.0, 1.0, ZERO, ZERO, ZERO, (), quality, reason)


# -- sizes ---------------------------------------------------------------------------------------


def applied_multiplier(
    raw: float, status: StrategyStatus, config: PipelineConfig
) -> tuple[float, Reason | None]:
    """Return the multiplier in [multiplier_min, multiplier_max] and a reason where raw was unfit.

    Not finite = 1 (D-03), checked before clamping. DEGRADED halves inside the range: the floor
    holds for whoever may trade at all (D-02, D-15).
    """
    unfit = None
    if not isfinite(raw):
        unfit = Reason("MULTIPLIER_NOT_FINITE", f"size multiplier 1 used, policy's was {raw}")
        raw = 1.0
    clamped = min(max(raw, config.multiplier_min), config.multiplier_max)
    if status is StrategyStatus.DEGRADED:
        clamped = max(clamped * config.degraded_factor, config.multiplier_min)
    return clamped, unfit


def base_size(question: Question, price: Decimal, stop: Decimal) -> tuple[float, list[CapStep]]:
    """Return the base size in base units with its trace (D-20).

    The smaller of ``risk_per_trade`` of equity over the loss at the stop, fees of the round trip
    included, and a share of the smallest notional cap; then reduced by the market's risk level and
    by the verdict on the opinions.
    """
    context, config = question.context, question.config
    equity = context.risk.equity_quote
    fees = round_trip_fee_fraction(question.snapshot.instrument) * float(price)
    by_risk = float(context.limits.risk_per_trade * equity) / (float(abs(price - stop)) + fees)
    cap_quote = hard_limits.notional_cap_quote(context.limits, equity)
    by_cap = config.base_share_of_cap * float(cap_quote / price)
    size = min(by_risk, by_cap)
    steps = [
        CapStep(
            "BASE",
            by_risk,
            size,
            f"{context.limits.risk_per_trade} of equity {equity:.2f} at risk allows {by_risk:.8g}, "
            f"{config.base_share_of_cap:g} of cap {cap_quote:.2f} allows {by_cap:.8g}",
        )
    ]
    market = question.analysis.market
    if not isinstance(market, Missing):
        factor = RISK_FACTORS[market.risk]
        size = _reduced(steps, "RISK_LEVEL", size, factor, f"risk was {market.risk.value}")
    factor, text = validation_factor(question.analysis, config)
    size = _reduced(steps, "VALIDATION", size, factor, text)
    return size, steps


def _reduced(steps: list[CapStep], code: str, size: float, factor: float, why: str) -> float:
    if factor < 1.0:
        steps.append(CapStep(code, size, size * factor, f"times {factor:g}, {why}"))
    return size * factor


def _entry(
    question: Question,
    policy: OptimizationPolicy,
    assessment: Assessment,
    said: dict[str, JsonValue],
) -> Answer:
    proposal, context, config = question.proposal, question.context, question.config
    instrument = question.snapshot.instrument
    price = instrument.price(proposal.price)
    stop = stop_on_grid(instrument, proposal.side, proposal.stop_price or 0.0)
    if stop is None:
        raise ValueError(f"stop of {proposal.strategy} passed its gate, was {proposal.stop_price}")
    target = None if proposal.target_price is None else instrument.price(proposal.target_price)
    base, steps = base_size(question, price, stop)
    raw = policy.size_multiplier(proposal, assessment, question.analysis.market)
    status = status_of(question)
    if isinstance(status, Failure):
        raise status.error
    multiplier, unfit = applied_multiplier(raw, status, config)
    wanted = base * multiplier
    text = f"times {multiplier:.4g}, policy's was {raw:.4g}, status {status.value}"
    steps.append(CapStep("MULTIPLIER", base, wanted, text))
    wanted = _within_book(steps, question, wanted)
    capped = hard_limits.apply(
        hard_limits.SizeRequest(
            instrument=instrument,
            strategy=proposal.strategy,
            side=proposal.side,
            quantity_base=wanted,
            price=price,
            stop_price=stop,
            rooms=controls.volume_rooms(question.snapshot, proposal.side, context.limits),
        ),
        context.limits,
        context.risk,
    )
    quantity = capped.quantity_base
    sizing = Sizing(
        base_quantity=base,
        multiplier_raw=raw if unfit is None else 1.0,
        multiplier_applied=multiplier,
        quantity_base=quantity,
        notional_quote=quantity * price,
        stop_risk_quote=quantity * abs(price - stop),
        steps=(*steps, *capped.steps),
        quality=assessment.quality,
        denied=capped.denied,
    )
    notes = [] if unfit is None else [unfit]
    notes.extend(_book_note(question.analysis.order_flow))
    return Answer(sizing, stop, target, tuple(notes), said)


def _within_book(steps: list[CapStep], question: Question, wanted: float) -> float:
    """Return ``wanted``, cut to what this side of the book takes within the impact limit.

    Never more than ``wanted``; without a book nothing is claimed and nothing cut (D-22).
    """
    flow = question.analysis.order_flow
    if isinstance(flow, Missing):
        return wanted
    buys = question.proposal.side is Side.BUY
    room = flow.buy_capacity_base if buys else flow.sell_capacity_base
    if wanted <= room:
        return wanted
    limit = question.config.split_impact_bps
    text = f"the book takes {room:.8g} within {limit:g} bps beyond the spread, advice split"
    steps.append(CapStep("BOOK_IMPACT", wanted, room, text))
    return room


def _book_note(flow: OrderFlowView | Missing) -> list[Reason]:
    """Say how the book bears on the order; without one nothing is claimed (D-22)."""
    if isinstance(flow, Missing):
        return [Reason("BOOK_NOT_APPLICABLE", f"book not judged: {flow.reason}")]
    if flow.advice == "market":
        return []
    plan = flow.execution
    slices = f", {plan.slices} slices by {plan.schedule}" if plan.slices > 1 else ""
    text = (
        f"advice {flow.advice}{slices}: spread {flow.spread_bps:.2f} bps, "
        f"impact {flow.impact_bps:.2f} bps"
    )
    return [Reason(f"ADVICE_{flow.advice.upper()}", text, flow.impact_bps, flow.spread_bps)]


def _exit(question: Question) -> Answer:
    """Close the strategy's whole position; only HALTED and the venue's filters can stop it."""
    proposal, context = question.proposal, question.context
    for _, denied in exit_gates(question):
        if denied is not None:
            return Answer(denial(denied))
    instrument = question.snapshot.instrument
    quantity = abs(context.positions[proposal.strategy].quantity_base)
    price = instrument.price(proposal.price)
    capped = hard_limits.apply(
        hard_limits.SizeRequest(
            instrument=instrument,
            strategy=proposal.strategy,
            side=proposal.side,
            quantity_base=quantity,
            price=price,
            stop_price=None,
            reduces=True,
        ),
        context.limits,
        context.risk,
    )
    notional = capped.quantity_base * price
    sizing = Sizing(
        float(quantity), 1.0, 1.0, capped.quantity_base, notional, ZERO, capped.steps, None,
        capped.denied,
    )  # fmt: skip
    return Answer(sizing)


def exit_gates(question: Question) -> tuple[tuple[str, Reason | None], ...]:
    """Return every gate of an exit by name with its denial, in the order in which they decide."""
    return (
        ("position held", _nothing_held(question)),
        ("trading state", _halted(question)),
        ("exit on its way", _exit_pending(question)),
    )


def _nothing_held(question: Question) -> Reason | None:
    held = question.context.positions.get(question.proposal.strategy)
    if held is not None and held.quantity_base != 0:
        return None
    return Reason("NO_POSITION", "nothing to close, position was 0", 0.0)


def _halted(question: Question) -> Reason | None:
    """A state that cannot be read is no reason to keep a position: it counts as REDUCING."""
    denied = trading_state_denial(question)
    return denied if denied is not None and denied.code == TradingState.HALTED.value else None


def _exit_pending(question: Question) -> Reason | None:
    proposal = question.proposal
    for intent in question.context.pending:
        same = intent.strategy == proposal.strategy and intent.symbol == proposal.symbol
        if same and intent.purpose is Purpose.EXIT:
            text = f"an exit of this strategy may still fill, it was {intent.client_order_id}"
            return Reason("DUPLICATE", text)
    return None
