"""Phase 7, first half: may this entry be made at all? Each gate is one question with numbers.

What cannot be evaluated denies (D-03). The order is that of the table at the end: the first gate
that denies gives the decision its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from functools import partial
from math import isfinite

from engine import controls
from engine.failsafe import Failure, attempt
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext
from engine.phases.cross_validation import UNRELIABLE, WEAK, sentence
from engine.phases.execution import WAIT
from engine.phases.microstructure import NO_BOOK
from engine.phases.readiness import least_score, readiness
from engine.ports import StrategyStatus, TradingState
from engine.quality import stale_after_ms, stale_reason
from engine.types.bars import Instrument, Snapshot
from engine.types.decisions import Analysis, Reason
from engine.types.opinions import Missing, Proposal, Side

Report = Callable[[Failure], None]


@dataclass(frozen=True, slots=True)
class Question:
    """One proposal with everything needed to judge it."""

    proposal: Proposal
    snapshot: Snapshot
    analysis: Analysis
    context: DecisionContext
    config: PipelineConfig
    report: Report


def trading_state_denial(question: Question) -> Reason | None:
    gatekeeper, proposal = question.context.gatekeeper, question.proposal
    state = attempt(
        partial(gatekeeper.trading_state, proposal.symbol, proposal.strategy),
        "gatekeeper.trading_state",
    )
    if isinstance(state, Failure):
        question.report(state)
        return Reason("STATE_UNKNOWN", f"trading state cannot be read, error was {state.text}")
    if state is TradingState.ACTIVE:
        return None
    why = attempt(
        partial(gatekeeper.state_reason, proposal.symbol, proposal.strategy),
        "gatekeeper.state_reason",
    )
    because = "" if isinstance(why, Failure) or not why else f" because {why}"
    return Reason(state.value, f"entries need state ACTIVE, state was {state.value}{because}")


def _locked(question: Question) -> Reason | None:
    gatekeeper, proposal = question.context.gatekeeper, question.proposal
    lock = attempt(
        partial(gatekeeper.entry_lock, proposal.symbol, proposal.strategy), "gatekeeper.entry_lock"
    )
    if isinstance(lock, Failure):
        question.report(lock)
        return Reason("LOCK_UNKNOWN", f"entry locks cannot be read, error was {lock.text}")
    return Reason("LOCKED", f"entries are locked: {lock}") if lock else None


def _strategy_status(question: Question) -> Reason | None:
    status = status_of(question)
    if isinstance(status, Failure):
        question.report(status)
        return Reason("STATUS_UNKNOWN", f"strategy status cannot be read, error was {status.text}")
    if status.may_enter:
        return None
    return Reason(f"STRATEGY_{status.value}", f"strategy may not enter, status was {status.value}")


def status_of(question: Question) -> StrategyStatus | Failure:
    gatekeeper, strategy = question.context.gatekeeper, question.proposal.strategy
    return attempt(partial(gatekeeper.strategy_status, strategy), "gatekeeper.strategy_status")


def _stale(question: Question) -> Reason | None:
    """A bar that was read late describes a market that has moved on (I-15); exits still go."""
    event = question.snapshot.event
    return stale_reason(event, question.snapshot.store.bars.timeframe_ms)


def _duplicate(question: Question) -> Reason | None:
    """Deny a second order of the same strategy and symbol while one may still fill (CTL-8)."""
    proposal = question.proposal
    for intent in question.context.pending:
        if intent.strategy == proposal.strategy and intent.symbol == proposal.symbol:
            text = f"an order of this strategy may still fill, it was {intent.client_order_id}"
            return Reason("DUPLICATE", text)
    return None


def _short(question: Question) -> Reason | None:
    if question.proposal.side is Side.BUY or question.snapshot.instrument.shortable:
        return None
    return Reason("NO_SHORTS", f"{question.proposal.symbol} cannot be sold short, side was SELL")


def _position(question: Question) -> Reason | None:
    held = question.context.positions.get(question.proposal.strategy)
    if held is None or held.quantity_base == 0:
        return None
    text = f"one position a strategy and symbol, position was {held.quantity_base}"
    return Reason("ALREADY_IN_POSITION", text, float(held.quantity_base), 0.0)


def _ready(question: Question) -> Reason | None:
    score, level, text = readiness(question.snapshot, question.analysis, question.config)
    required = question.config.required_readiness
    if level.rank >= required.rank:
        return None
    text = f"entries need {required.value}, {text}"
    return Reason(level.value, text, score, least_score(required))


def _liquidity(question: Question) -> Reason | None:
    """Deny where the book says wait, or should be there and cannot be read (D-22).

    A source that never gave a book, a replay of candles, is not judged by one.
    """
    flow = question.analysis.order_flow
    if isinstance(flow, Missing):
        if flow == NO_BOOK:
            return None
        return Reason("BOOK_UNAVAILABLE", f"spread and impact cannot be judged: {flow.reason}")
    if flow.advice != WAIT:
        return None
    least = question.config.wait_liquidity_score
    text = f"the book says wait: {flow.execution.reason}"
    return Reason("LIQUIDITY_WAIT", text, flow.liquidity_score, least)


def _spread(question: Question) -> Reason | None:
    """Deny where best prices are too far apart for the last price to mean anything (CTL-11)."""
    flow, most = question.analysis.order_flow, float(question.context.limits.max_spread)
    if isinstance(flow, Missing) or flow.spread_bps / 1e4 <= most:
        return None
    spread = flow.spread_bps / 1e4
    return Reason("SPREAD", f"spread was {spread:.4f} of the price, limit {most:g}", spread, most)


def _jump(question: Question) -> Reason | None:
    return controls.jump_denial(question.snapshot, question.context.limits)


def _collar(question: Question) -> Reason | None:
    """Deny a price the market is not at (CTL-3); it is looked at again right before the send."""
    snapshot = question.snapshot
    return controls.collar_denial(
        question.proposal.price,
        controls.reference_price(snapshot),
        snapshot.instrument,
        question.context.limits,
    )


def _validation(question: Question) -> Reason | None:
    factor, text = validation_factor(question.analysis, question.config)
    return None if factor > 0.0 else Reason("UNRELIABLE", f"entries are blocked, {text}")


def _vote(question: Question) -> Reason | None:
    """Deny what all sources together speak against (phase 6 decides, ORC-11, ORC-12)."""
    consensus, side = question.analysis.consensus, question.proposal.side
    if consensus is None:
        return None
    up, least = consensus.probability_up, question.config.veto_probability
    probability = up if side is Side.BUY else 1.0 - up
    if probability >= least:
        return None
    text = f"all sources give {side.value} a probability of {probability:.3f}, needed was {least:g}"
    return Reason("VOTED_DOWN", text, probability, least)


def _costs(question: Question) -> Reason | None:
    """Deny a target that could not pay its fees: such a trade loses when it wins."""
    proposal, config = question.proposal, question.config
    if proposal.target_price is None:
        return None
    distance = abs(proposal.target_price - proposal.price) / proposal.price
    needed = config.target_pays_fees * round_trip_fee_fraction(question.snapshot.instrument)
    if distance >= needed:
        return None
    text = f"target is {distance:.5f} away, {needed:.5f} needed to pay the fees of a round trip"
    return Reason("COSTS", text, distance, needed)


def round_trip_fee_fraction(instrument: Instrument) -> float:
    """Return what entering and leaving by market orders costs, as a fraction of the notional."""
    return 2.0 * max(float(instrument.taker_fee_fraction), 0.0)


def _stop(question: Question) -> Reason | None:
    proposal = question.proposal
    stop, price = proposal.stop_price, question.snapshot.instrument.price(proposal.price)
    if stop is None:
        return Reason("NO_STOP", "risk cannot be judged without a stop, stop was None")
    placed = stop_on_grid(question.snapshot.instrument, proposal.side, stop)
    if placed is not None and proposal.side.sign * (price - placed) > 0:
        return None
    text = f"stop of a {proposal.side} at {price} must be on its losing side, was {stop}"
    return Reason("INVALID_STOP", text)


def validation_factor(analysis: Analysis, config: PipelineConfig) -> tuple[float, str]:
    """Return the share of its size a proposal keeps under phase 5's verdict, and why."""
    validation = analysis.validation
    if validation is None:
        return config.unreliable_size_factor, "opinions were not validated"
    if validation.verdict == UNRELIABLE:
        return config.unreliable_size_factor, sentence(validation)
    if validation.verdict == WEAK:
        return config.weak_size_factor, sentence(validation)
    return 1.0, validation.verdict


def stop_on_grid(instrument: Instrument, side: Side, stop: float) -> Decimal | None:
    """Round towards the entry, so the risk is never larger than sized; None where unusable."""
    if not (isfinite(stop) and stop > 0.0):
        return None
    placed = instrument.price(stop, ROUND_UP if side is Side.BUY else ROUND_DOWN)
    return placed if placed > 0 else None


# -- what is compared, for the record: the decision asks the gates above only ---------------------

# The value, its limit, and +1 where the value must reach the limit or -1 where it must not pass it.
Measured = tuple[float, float, int]


def _age(question: Question) -> Measured:
    event, timeframe_ms = question.snapshot.event, question.snapshot.store.bars.timeframe_ms
    return float(event.now_ms - event.ts_ms), float(stale_after_ms(timeframe_ms)), -1


def _held(question: Question) -> Measured:
    held = question.context.positions.get(question.proposal.strategy)
    return (0.0 if held is None else abs(float(held.quantity_base))), 0.0, -1


def _readiness(question: Question) -> Measured:
    score, _, _ = readiness(question.snapshot, question.analysis, question.config)
    return score, least_score(question.config.required_readiness), 1


def _thin(question: Question) -> Measured | None:
    flow = question.analysis.order_flow
    if isinstance(flow, Missing):
        return None
    return flow.liquidity_score, question.config.wait_liquidity_score, 1


def _trusted(question: Question) -> Measured | None:
    validation, config = question.analysis.validation, question.config
    if validation is None or config.unreliable_size_factor > 0.0:
        return None
    return validation.reliability, config.weak_at, 1


def _voted(question: Question) -> Measured | None:
    consensus = question.analysis.consensus
    if consensus is None:
        return None
    up = consensus.probability_up
    probability = up if question.proposal.side is Side.BUY else 1.0 - up
    return probability, question.config.veto_probability, 1


def _away(question: Question) -> Measured | None:
    proposal, config = question.proposal, question.config
    if proposal.target_price is None:
        return None
    needed = config.target_pays_fees * round_trip_fee_fraction(question.snapshot.instrument)
    return abs(proposal.target_price - proposal.price) / proposal.price, needed, 1


def _apart(question: Question) -> Measured | None:
    flow = question.analysis.order_flow
    if isinstance(flow, Missing):
        return None
    return flow.spread_bps / 1e4, float(question.context.limits.max_spread), -1


def _jumped(question: Question) -> Measured:
    return (*controls.worst_jump(question.snapshot, question.context.limits), -1)


def _off(question: Question) -> Measured | None:
    snapshot, limits = question.snapshot, question.context.limits
    reference = controls.reference_price(snapshot)
    if not (isfinite(reference) and reference > 0.0):
        return None
    most = float(controls.collar_fraction(snapshot.instrument, limits))
    return controls.price_distance(question.proposal.price, reference), most, -1


def _nothing(question: Question) -> Measured | None:
    return None


@dataclass(frozen=True, slots=True)
class Gate:
    """One question: what denies, and the two numbers it compares where it compares any."""

    name: str
    deny: Callable[[Question], Reason | None]
    measure: Callable[[Question], Measured | None] = _nothing


GATES: tuple[Gate, ...] = (
    Gate("trading state", trading_state_denial),
    Gate("entry lock", _locked, _nothing),
    Gate("strategy status", _strategy_status),
    Gate("age of the bar, ms", _stale, _age),
    Gate("order on its way", _duplicate),
    Gate("may be sold short", _short),
    Gate("position held", _position, _held),
    Gate("readiness", _ready, _readiness),
    Gate("liquidity", _liquidity, _thin),
    Gate("spread", _spread, _apart),
    Gate("price jump", _jump, _jumped),
    Gate("price collar", _collar, _off),
    Gate("opinions validated", _validation, _trusted),
    Gate("vote of all sources", _vote, _voted),
    Gate("stop", _stop),
    Gate("target pays its fees", _costs, _away),
)
ENTRY_GATES = tuple(gate.deny for gate in GATES)
