"""Every action, regime, level, size tier and status is reached from real input."""

from __future__ import annotations

from functools import cache

import pytest

from engine.market_columns import market_columns
from engine.phases import market_analysis
from engine.phases.risk_and_sizing import RISK_FACTORS, applied_multiplier
from engine.ports import StrategyStatus
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import Action, Decision, PhaseStatus
from engine.types.opinions import LEVELS, REGIMES, Level, Missing
from strategies.core.registry import learned_sources, rule_sources
from tests.bar_factory import labelled_regimes, random_walk
from tests.engine.books import D, instrument
from tests.engine.phases.bars import STORE, decide
from tests.engine.phases.scene import (
    CONFIG,
    UNRELIABLE,
    Gate,
    Rule,
    book_at,
    market,
    order_flow,
    pipeline,
    risk,
    snapshot,
)
from tests.engine.phases.sizing import ask, times
from tests.engine.sessions import play, scene

BARS = labelled_regimes(5, cycles=1)[0]
MARKETS = (BARS, labelled_regimes(9, cycles=2)[0], random_walk(3, 3_000))
FIRST_ROW = 300


@cache
def decided() -> tuple[Decision, ...]:
    """All rules and predictors over bars of every regime, on an instrument that may be shorted."""
    phases = pipeline(rule_sources(), learned_sources())
    run = scene(BARS, phases, first_row=FIRST_ROW, of=instrument(shortable=True))
    play(run, BARS, range(FIRST_ROW, len(BARS)), book=book_at)
    return tuple(run.journal.decisions)


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_decided(action: Action) -> None:
    """ORC-64: BUY, SELL, EXIT and HOLD, each from bars that suit it, with all of its outputs."""
    found = [decision for decision in decided() if decision.action is action]
    assert found
    for decision in found:
        assert [record.number for record in decision.records] == [7, 8]
        assert all(record.output for record in decision.records)
        assert (decision.quantity_base > 0) == (action is not Action.HOLD)
        assert (decision.intent is None) == (action is Action.HOLD)


@pytest.mark.parametrize("regime", REGIMES)
def test_every_regime_is_recognised(regime: str) -> None:
    """ORC-07"""
    seen = set()
    for bars in MARKETS:
        columns = market_columns(ColumnStore(bars))
        seen |= {REGIMES[int(i)] for i in columns.regime[columns.ready]}
    assert regime in seen


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("part", ["volatility", "liquidity", "risk"])
def test_every_level_is_reached(part: str, level: Level) -> None:
    """ORC-07: low, medium, high and extreme of volatility, liquidity and risk."""
    seen: set[Level] = set()
    for bars in MARKETS:
        columns = market_columns(ColumnStore(bars))
        seen |= {LEVELS[int(i)] for i in getattr(columns, part)[columns.ready]}
    assert level in seen


@pytest.mark.parametrize("level", LEVELS)
def test_every_risk_level_has_its_size(level: Level) -> None:
    """ORC-13: the riskier the market the smaller the base, by the factor of its level."""
    full = ask(seen={"market": market(risk=Level.LOW)}).sizing.base_quantity
    sized = ask(seen={"market": market(risk=level)}).sizing.base_quantity
    assert sized == pytest.approx(full * RISK_FACTORS[level])


def test_unreliable_opinions_halve_the_size() -> None:
    full, half = ask().sizing, ask(seen={"validation": UNRELIABLE}).sizing
    assert half.base_quantity == pytest.approx(full.base_quantity * CONFIG.unreliable_size_factor)


@pytest.mark.parametrize(
    ("raw", "status", "applied"),
    [
        (0.0, StrategyStatus.ACTIVE, 0.1),
        (0.1, StrategyStatus.DEGRADED, 0.1),
        (1.0, StrategyStatus.DEGRADED, 0.5),
        (1.0, StrategyStatus.ACTIVE, 1.0),
        (9.0, StrategyStatus.ACTIVE, 2.0),
    ],
)
def test_both_ends_of_the_multiplier_are_reached(
    raw: float, status: StrategyStatus, applied: float
) -> None:
    """D-01, D-15"""
    assert applied_multiplier(raw, status, CONFIG)[0] == applied
    answer = ask(policy=times(raw), gatekeeper=Gate(status=status))
    assert answer.sizing.multiplier_applied == applied


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("MAX_ORDER", {"risk": risk(), "policy": times(2.0)}),
        ("MAX_SYMBOL", {"risk": risk(exposure_by_symbol={"BTC/USDT": D(800)})}),
        ("MAX_STRATEGY", {"risk": risk(exposure_by_strategy={"one": D(1_900)})}),
        ("MAX_GROSS", {"risk": risk(gross_exposure_quote=D(5_900))}),
        ("CASH_RESERVE", {"risk": risk(cash_quote=D(1_100))}),
    ],
)
def test_every_cap_that_can_bind_does(code: str, changes: dict[str, object]) -> None:
    """D-01, D-20: the last word on size; the trace names what cut it."""
    sizing = ask(**changes).sizing
    step = next(step for step in sizing.steps if step.code == code)
    assert 0.0 < step.after_base <= step.before_base
    if code != "MAX_ORDER":
        assert step.after_base < step.before_base
    assert float(sizing.quantity_base) <= step.after_base


# -- statuses ------------------------------------------------------------------------------------


def test_every_status_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORC-06: passed, reduced, blocked, skipped, missing and error, in stored records."""

    seen = {record.status for decision in decided() for record in decision.records}
    missing = decide(pipeline([Rule()]), at=snapshot(650, store=STORE, book=None))
    seen |= {record.status for record in missing.records}
    seen |= {record.status for record in decide(pipeline([Rule(probability=0.5)])).records}
    monkeypatch.setattr(market_analysis, "analyse_market", _broken)
    seen |= {record.status for record in decide(pipeline([Rule()])).records}
    assert seen == set(PhaseStatus)


def _broken(at: Snapshot) -> None:
    raise RuntimeError("gone")


def test_a_status_that_cannot_be_read_blocks() -> None:
    """D-03: STATUS_UNKNOWN where the strategy has no row, after a state that could be read."""

    class NoRow(Gate):
        def strategy_status(self, strategy: str) -> StrategyStatus:
            raise KeyError(strategy)

    denied = ask(gatekeeper=NoRow()).sizing.denied
    assert denied is not None and denied.code == "STATUS_UNKNOWN"


def test_phases_that_have_nothing_to_say_say_so() -> None:
    """ORC-58: MISSING without a book, NO_OPINION without a leaning, NO_LEARNED_SOURCE of rules."""
    bar = decide(pipeline([Rule(probability=0.5)]), at=snapshot(650, store=STORE, book=None))
    codes = {reason.code for record in bar.records for reason in record.reasons}
    assert codes >= {"MISSING", "NO_OPINION", "NO_LEARNED_SOURCE"}
    assert isinstance(bar.analysis.order_flow, Missing)


@pytest.mark.parametrize(
    ("advice", "code"), [("limit", "ADVICE_LIMIT"), ("split", "ADVICE_SPLIT"), ("market", None)]
)
def test_advice_of_the_book_is_a_note_of_the_decision(advice: str, code: str | None) -> None:
    """ORC-09: how the book bears on the order; a market that takes it needs no word."""
    notes = ask(seen={"order_flow": order_flow(advice=advice)}).notes
    assert [note.code for note in notes] == ([code] if code else [])
