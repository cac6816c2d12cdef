"""A stored decision made again: its rows, today's settings and today's code (ORC-14, ORC-59)."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.conf import settings

from engine.phases.config import PipelineConfig
from engine.phases.ensemble import ENSEMBLE
from engine.ports import RuleSource
from engine.types.bars import BarColumns, Instrument
from engine.window import VISIBLE_BARS, WINDOW_BARS
from market.models import Candle
from market.models import Instrument as InstrumentRow
from market.selectors import instrument_value
from strategies.core.registry import RULES, rule_sources
from trades.core.decision_replay import replay_decision
from trades.core.operating_limits import OperatingLimits
from trades.core.replay_report import DecisionReplay, StoredDecision
from trades.models import Decision, TradingRun
from trades.records import milliseconds
from trades.stored import analysis_document, decision_document

_COLUMNS = ("open", "high", "low", "close", "volume")


def decision_replay(decision: Decision) -> DecisionReplay:
    """Make a decision again from what is stored, with the run's settings and the code of today."""
    run = decision.run
    document = decision_document(decision)
    given = document.get("inputs") or {}
    history = _candles(decision, decision.symbol)
    return replay_decision(
        StoredDecision(
            strategy=decision.strategy,
            symbol=decision.symbol,
            bar_close_ms=milliseconds(decision.bar_close_at),
            action=decision.action,
            quantity_base=decision.quantity_base,
            reason_code=decision.reason_code,
            confidence=decision.confidence,
            price=decision.price,
            document=document,
            analysis=analysis_document(decision.analysis),
            bars=_window(decision, history, given.get("first_ms")),
            history=history,
            reference=_reference(decision),
            instrument=_instrument(run, decision.symbol),
            rules=run_rules(run),
            config=run_pipeline_config(run),
            limits_now=_limits(run),
            config_then=str(document.get("config", "")),
            config_now=run.config_digest[:16],
            code_then=str(document.get("code", "")),
            code_now=settings.CODE_VERSION,
        )
    )


def run_rules(run: TradingRun) -> tuple[RuleSource, ...]:
    """Return the rules that the run asks, with its parameters, in declared order."""
    codes = [code for code in RULES if _is_enabled(run, code)]
    params = {code: _strategy(run, code).get("parameters", {}) for code in codes}
    return rule_sources(params, codes)


def run_pipeline_config(run: TradingRun) -> PipelineConfig:
    """Return the pipeline's settings as the run's configuration gives them."""
    horizon = run.config.get("trading", {}).get("horizon_bars", PipelineConfig().horizon_bars)
    return PipelineConfig(horizon_bars=horizon, ensemble_trades=_is_enabled(run, ENSEMBLE))


def _strategy(run: TradingRun, code: str) -> dict[str, Any]:
    found: dict[str, Any] = run.config.get("strategies", {}).get(code, {})
    return found


def _is_enabled(run: TradingRun, code: str) -> bool:
    return bool(_strategy(run, code).get("enabled", True))


# Asked on the order path, not by decisions.
_ORDER_PATH = frozenset(field.name for field in fields(OperatingLimits))


def _limits(run: TradingRun) -> dict[str, object]:
    """Return the run's limits by their engine names; the file calls the drawdown's otherwise."""
    given = run.config.get("risk", {})
    limits = {name: value for name, value in given.items() if name not in _ORDER_PATH}
    if "max_total_drawdown" in limits:
        limits["max_drawdown"] = limits.pop("max_total_drawdown")
    return limits


def _instrument(run: TradingRun, symbol: str) -> Instrument:
    """Return the instrument as its row is now; decisions on a proposal carry that of then."""
    return instrument_value(InstrumentRow.objects.get(venue=run.venue, symbol=symbol))


def _window(decision: Decision, history: BarColumns, first_ms: object) -> BarColumns:
    """Return the candles from the window's first bar to the decision's own."""
    opened_ms = milliseconds(decision.bar_close_at) - decision.run.timeframe_ms
    start_ms = first_ms if isinstance(first_ms, int) else opened_ms
    first = int(np.searchsorted(history.ts_ms, start_ms))
    return history.rows(first, len(history))


def _reference(decision: Decision) -> BarColumns | None:
    """Return the candles of the run's first other symbol, as a session's windows follow it."""
    others = [symbol for symbol in decision.run.symbols if symbol != decision.symbol]
    return _candles(decision, others[0]) if others else None


def _candles(decision: Decision, symbol: str) -> BarColumns:
    """Return the stored candles up to the decision's bar: what is shown, and remembered before."""
    run = decision.run
    opened_ms = milliseconds(decision.bar_close_at) - run.timeframe_ms
    rows = list(
        Candle.objects.filter(
            instrument__venue=run.venue,
            instrument__symbol=symbol,
            timeframe_ms=run.timeframe_ms,
            opened_at__lte=datetime.fromtimestamp(opened_ms / 1000, UTC),
        )
        .order_by("-opened_at")
        .values_list("opened_at", *_COLUMNS)[: WINDOW_BARS + VISIBLE_BARS]
    )[::-1]
    ts_ms = np.array([milliseconds(row[0]) for row in rows], dtype=np.int64)
    values = [np.array([row[i + 1] for row in rows], dtype=np.float64) for i in range(5)]
    return BarColumns(ts_ms, *values, timeframe_ms=run.timeframe_ms)
