"""Who asks for what on this bar: exits of what is held first, then entries."""

from __future__ import annotations

from math import isfinite

from engine.phases.config import PipelineConfig
from engine.phases.context import Holding, Positions
from engine.phases.ensemble import ENSEMBLE, propose_ensemble
from engine.phases.rule_board import RuleBoard
from engine.types.bars import Bar, Snapshot
from engine.types.decisions import Analysis
from engine.types.opinions import Proposal, ProposalKind, RuleColumns, Side


def propose(
    snapshot: Snapshot,
    analysis: Analysis,
    board: RuleBoard,
    positions: Positions,
    config: PipelineConfig,
) -> tuple[Proposal, ...]:
    """Return this bar's proposals: at most one a strategy, exits before entries (D-18).

    A strategy that asks to leave does not enter on the same bar: one decision a bar.
    """
    proposals: list[Proposal] = []
    for strategy in sorted(positions):
        held = positions[strategy]
        if held.quantity_base != 0:
            leaving = exit_proposal(snapshot, analysis, board, held, config)
            if leaving is not None:
                proposals.append(leaving)
    leaves = {proposal.strategy for proposal in proposals}
    if board.proposes[snapshot.row]:
        for code, columns in board.columns.items():
            if code not in leaves and columns.side[snapshot.row] != 0:
                proposals.append(_rule_entry(code, columns, snapshot))
    if config.ensemble_trades and ENSEMBLE not in leaves:
        own = propose_ensemble(
            snapshot.instrument,
            snapshot.close,
            analysis.market,
            analysis.validation,
            analysis.consensus,
            config,
            snapshot.event.ts_ms,
        )
        if own is not None:
            proposals.append(own)
    return tuple(proposals)


def _rule_entry(code: str, columns: RuleColumns, snapshot: Snapshot) -> Proposal:
    row = snapshot.row
    side = Side.BUY if columns.side[row] > 0 else Side.SELL
    stop, target = float(columns.stop_price[row]), float(columns.target_price[row])
    probability = float(columns.probability_up[row])
    return Proposal(
        strategy=code,
        symbol=snapshot.event.symbol,
        kind=ProposalKind.ENTRY,
        side=side,
        confidence=float(columns.confidence[row]),
        price=snapshot.close,
        stop_price=stop if isfinite(stop) else None,
        target_price=target if isfinite(target) else None,
        reason_code="RULE_ENTRY",
        reason=f"{code} proposes {side.value} with probability up {probability:.3f}",
        bar_close_ms=snapshot.event.ts_ms,
    )


def exit_proposal(
    snapshot: Snapshot,
    analysis: Analysis,
    board: RuleBoard,
    held: Holding,
    config: PipelineConfig,
) -> Proposal | None:
    """Return why a position should be closed on this bar's close, None where it should not.

    Order: stop, target, the strategy's own exit, the longest holding time. Where a bar touched
    both stop and target, the stop counts: which came first is not known.
    """
    reason = exit_from_columns(snapshot, board, held, config, analysis)
    if reason is None:
        return None
    return Proposal(
        strategy=held.strategy,
        symbol=held.symbol,
        kind=ProposalKind.EXIT,
        side=Side.SELL if held.quantity_base > 0 else Side.BUY,
        confidence=1.0,
        price=snapshot.close,
        stop_price=None,
        target_price=None,
        reason_code=reason[0],
        reason=reason[1],
        bar_close_ms=snapshot.event.ts_ms,
    )


def exit_from_columns(
    snapshot: Snapshot,
    board: RuleBoard,
    held: Holding,
    config: PipelineConfig,
    analysis: Analysis | None = None,
) -> tuple[str, str] | None:
    """Return code and text of why a position should be closed; see ``exit_proposal``.

    ``analysis`` may be left out for every strategy but the ensemble.
    """
    bar = snapshot.event.bar
    reason = None if bar is None else _touched(bar, held)
    reason = reason or _own_exit(snapshot, analysis, board, held, config)
    return reason or _too_long(snapshot, held, config)


def _touched(bar: Bar, held: Holding) -> tuple[str, str] | None:
    is_long = held.quantity_base > 0
    stop, target = held.stop_price, held.target_price
    worst, best = (bar.low, bar.high) if is_long else (bar.high, bar.low)
    sign = 1.0 if is_long else -1.0
    if stop is not None and sign * (worst - float(stop)) <= 0.0:
        return "STOP", f"price {worst:g} reached the stop, stop was {stop}"
    if target is not None and sign * (best - float(target)) >= 0.0:
        return "TARGET", f"price {best:g} reached the target, target was {target}"
    return None


def _own_exit(
    snapshot: Snapshot,
    analysis: Analysis | None,
    board: RuleBoard,
    held: Holding,
    config: PipelineConfig,
) -> tuple[str, str] | None:
    is_long = held.quantity_base > 0
    if held.strategy == ENSEMBLE:
        consensus = None if analysis is None else analysis.consensus
        if consensus is None:
            return None
        up = consensus.probability_up
        probability = up if is_long else 1.0 - up
        if probability >= config.exit_probability:
            return None
        text = f"probability {probability:.3f} fell below {config.exit_probability:g}"
        return "ENSEMBLE_EXIT", text
    columns = board.columns.get(held.strategy)
    if columns is None:
        return None
    asked = columns.exit_long if is_long else columns.exit_short
    if not asked[snapshot.row]:
        return None
    return "RULE_EXIT", f"{held.strategy} leaves at {snapshot.close:g}"


def _too_long(snapshot: Snapshot, held: Holding, config: PipelineConfig) -> tuple[str, str] | None:
    opened_ms = held.opened_at_ms
    if opened_ms is None:
        return None
    bars = (snapshot.event.ts_ms - opened_ms) / snapshot.store.bars.timeframe_ms
    if bars < config.max_holding_bars:
        return None
    return "MAX_HOLDING", f"held for {bars:.0f} bars, longest was {config.max_holding_bars}"
