"""Reads of this room: no writes, no N+1; money is added in Python, where decimals stay exact."""

from trades.selectors.decisions import (
    DecisionDetail,
    WhyNot,
    decision_detail,
    decision_get,
    decision_list,
    decision_why_not,
)
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
    trade_list,
    trade_statistics,
)
from trades.selectors.risk import (
    LimitUse,
    RiskStatus,
    automatic_holds,
    control_list,
    risk_status,
)

__all__ = [
    "DecisionDetail",
    "LimitUse",
    "Position",
    "RiskStatus",
    "WhyNot",
    "automatic_holds",
    "control_list",
    "decision_detail",
    "decision_get",
    "decision_list",
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
    "trade_list",
    "trade_statistics",
]
