"""Reads of this room: no writes, no N+1; money is added in Python, where decimals stay exact."""

from trades.selectors.decision_performance import DecisionPerformance, decision_performance
from trades.selectors.decisions import (
    DecisionDetail,
    decision_detail,
    decision_get,
    decision_list,
)
from trades.selectors.funnels import STAGES, DecisionFunnel, decision_funnel
from trades.selectors.ledger import (
    Position,
    equity_latest,
    equity_list,
    fill_list,
    order_list,
    position_list,
    run_by_code,
    run_current,
    run_list,
    run_newest,
    run_open_list,
    trade_list,
    trade_statistics,
)
from trades.selectors.replays import decision_replay
from trades.selectors.risk import (
    LimitUse,
    RiskStatus,
    automatic_holds,
    control_list,
    risk_status,
)
from trades.selectors.why_not import WhyNot, decision_why_not

__all__ = [
    "STAGES",
    "DecisionDetail",
    "DecisionFunnel",
    "DecisionPerformance",
    "LimitUse",
    "Position",
    "RiskStatus",
    "WhyNot",
    "automatic_holds",
    "control_list",
    "decision_detail",
    "decision_funnel",
    "decision_get",
    "decision_list",
    "decision_performance",
    "decision_replay",
    "decision_why_not",
    "equity_latest",
    "equity_list",
    "fill_list",
    "order_list",
    "position_list",
    "risk_status",
    "run_by_code",
    "run_current",
    "run_list",
    "run_newest",
    "run_open_list",
    "trade_list",
    "trade_statistics",
]
