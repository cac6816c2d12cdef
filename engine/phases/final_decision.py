"""Phase 8: the final word, and the only place where an order intent is built (ORC-03, ORC-14)."""

from __future__ import annotations

from dataclasses import replace

from engine.client_ids import client_order_id
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext
from engine.phases.cross_validation import sentence
from engine.phases.risk_and_sizing import Answer
from engine.types.bars import Snapshot
from engine.types.decisions import Action, Analysis, Decision, JsonValue, PhaseRecord, Reason
from engine.types.ledger import ZERO
from engine.types.opinions import MarketView, Proposal, ProposalKind, Side
from engine.types.orders import OrderIntent, OrderType, Purpose

# Decisions of bars on which nobody proposed belong to nobody's strategy.
PLATFORM = "platform"


def finalise(
    proposal: Proposal,
    snapshot: Snapshot,
    analysis: Analysis,
    answer: Answer,
    context: DecisionContext,
    config: PipelineConfig,
) -> Decision:
    """Return the decision on one proposal; HOLD has quantity 0 and no intent."""
    denied, quantity = answer.sizing.denied, answer.sizing.quantity_base
    if denied is not None or quantity <= 0:
        reason = denied or Reason("NO_SIZE", "nothing left after the limits, quantity was 0", 0.0)
        return hold(
            proposal.strategy,
            snapshot,
            reason,
            config,
            proposal=proposal,
            answer=answer,
            blocking_phase=7,
        )
    proposed = Reason(proposal.reason_code, proposal.reason)
    return Decision(
        strategy=proposal.strategy,
        symbol=proposal.symbol,
        bar_close_ms=snapshot.event.ts_ms,
        action=_action(proposal),
        confidence=proposal.confidence,
        quantity_base=quantity,
        price=proposal.price,
        stop_price=answer.stop_price,
        target_price=answer.target_price,
        reasons=(proposed, *_belief(analysis), *_sizes(answer), *answer.notes),
        reason_code=proposal.reason_code,
        blocking_phase=None,
        sizing=answer.sizing,
        proposal=proposal,
        intent=_intent(proposal, snapshot, analysis, answer, context),
        valid_until_ms=valid_until_ms(snapshot, config),
        records=(),
        policy=answer.policy or {},
    )


def hold(
    strategy: str,
    snapshot: Snapshot,
    reason: Reason,
    config: PipelineConfig,
    *,
    proposal: Proposal | None = None,
    answer: Answer | None = None,
    blocking_phase: int | None = None,
) -> Decision:
    """Return a HOLD: size 0, confidence 0, no intent, and why."""
    event = snapshot.event
    proposed = () if proposal is None else (Reason(proposal.reason_code, proposal.reason),)
    return Decision(
        strategy,
        event.symbol,
        event.ts_ms,
        Action.HOLD,
        0.0,
        ZERO,
        snapshot.close,
        None,
        None,
        (reason, *proposed),
        reason.code,
        blocking_phase,
        None if answer is None else answer.sizing,
        proposal,
        None,
        valid_until_ms(snapshot, config),
        (),
        {} if answer is None or answer.policy is None else answer.policy,
    )


def valid_until_ms(snapshot: Snapshot, config: PipelineConfig) -> int:
    """Return the venue time after which a decision must not be acted on."""
    return snapshot.event.ts_ms + config.validity_bars * snapshot.store.bars.timeframe_ms


def votes(analysis: Analysis) -> dict[str, JsonValue]:
    """Return every source's opinion by code."""
    return {opinion.source: opinion.probability_up for opinion in analysis.opinions}


def _action(proposal: Proposal) -> Action:
    if proposal.kind is ProposalKind.EXIT:
        return Action.EXIT
    return Action.BUY if proposal.side is Side.BUY else Action.SELL


def _intent(
    proposal: Proposal,
    snapshot: Snapshot,
    analysis: Analysis,
    answer: Answer,
    context: DecisionContext,
) -> OrderIntent:
    market, at_ms = analysis.market, snapshot.event.ts_ms
    is_exit = proposal.kind is ProposalKind.EXIT
    return OrderIntent(
        client_order_id=client_order_id(
            context.installation,
            context.account,
            context.run_code,
            proposal.strategy,
            proposal.symbol,
            at_ms,
            0,
        ),
        strategy=proposal.strategy,
        symbol=proposal.symbol,
        side=proposal.side,
        purpose=Purpose.EXIT if is_exit else Purpose.ENTRY,
        order_type=OrderType.MARKET,
        quantity_base=answer.sizing.quantity_base,
        limit_price=None,
        stop_price=answer.stop_price,
        target_price=answer.target_price,
        reference_price=snapshot.instrument.price(proposal.price),
        decided_at_ms=at_ms,
        regime=market.regime.value if isinstance(market, MarketView) else "",
        reason_code=proposal.reason_code,
    )


def pending_intent(
    client_order_id: str, strategy: str, symbol: str, side: Side, purpose: Purpose
) -> OrderIntent:
    """Return an order on its way of which only this much is kept; the gates look at no more."""
    return OrderIntent(
        client_order_id=client_order_id,
        strategy=strategy,
        symbol=symbol,
        side=side,
        purpose=purpose,
        order_type=OrderType.MARKET,
        quantity_base=ZERO,
        limit_price=None,
        stop_price=None,
        target_price=None,
        reference_price=ZERO,
        decided_at_ms=0,
        regime="",
    )


def _belief(analysis: Analysis) -> list[Reason]:
    reasons: list[Reason] = []
    market, consensus, validation = analysis.market, analysis.consensus, analysis.validation
    if isinstance(market, MarketView):
        text = (
            f"regime {market.regime.value}, volatility {market.volatility.value}, "
            f"liquidity {market.liquidity.value}, risk {market.risk.value}"
        )
        reasons.append(Reason("MARKET", text, market.volatility_bar_fraction))
    if validation is not None:
        reasons.append(Reason("VALIDATION", sentence(validation), validation.reliability))
    if consensus is not None:
        text = (
            f"probability up {consensus.probability_up:.3f} +- {consensus.uncertainty:.3f}, "
            f"{consensus.confluence_up} sources up, {consensus.confluence_down} down"
        )
        reasons.append(Reason("CONSENSUS", text, consensus.probability_up))
    return reasons


def _sizes(answer: Answer) -> list[Reason]:
    sizing = answer.sizing
    text = (
        f"base {sizing.base_quantity:.8g} times {sizing.multiplier_applied:.4g}, after the limits "
        f"{sizing.quantity_base} worth {sizing.notional_quote:.2f}, "
        f"at risk {sizing.stop_risk_quote:.2f}"
    )
    return [Reason("SIZE", text, float(sizing.quantity_base), sizing.base_quantity)]


def with_records(
    decision: Decision, records: tuple[PhaseRecord, ...], inputs: dict[str, JsonValue]
) -> Decision:
    """Return the decision with the records of phases 7 and 8 and what they were given."""
    return replace(decision, records=records, inputs=inputs) if records else decision
