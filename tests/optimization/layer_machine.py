"""The optimization layer under every order of trades, updates, acts of people and questions (T5).

Rows, switch, update and policy are those of a running platform; the questions go through the real
phase 7, each to the layer and to its absence over the same account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.failsafe import FailSafe, FailSafePolicy
from engine.policy import BasePolicy
from engine.ports import Assessment, StrategyStatus
from engine.types.opinions import MarketView, Missing, Proposal, Regime
from optimization import services as optimization
from optimization.core.layer import AdaptivePolicy
from optimization.live import StoredStateReader, SwitchedPolicy
from optimization.models import UpdatePeriod
from optimization.services import layer_settings, optimization_update
from optimization.switches import Effective, effective
from strategies import services as strategies
from strategies.errors import StrategyRefused
from strategies.models import Strategy, WeightUpdate
from tests.engine.phases.scene import Gate, consensus, entry, market
from tests.engine.phases.sizing import ask
from tests.optimization.scene import Watch, make_book, make_trades, switch
from trades.invariants import controls
from trades.models import TradingRun

CODES = ("ema-trend", "fair-value-gap")
BASE = dict.fromkeys(CODES, 1.0)
NO_ENTRY = (StrategyStatus.SUSPENDED, StrategyStatus.RETIRED)
ACTS: dict[str, Callable[..., object]] = {
    "suspend": strategies.strategy_suspend,
    "unsuspend": strategies.strategy_unsuspend,
    "activate": strategies.strategy_activate,
    "retire": strategies.strategy_retire,
    "reinstate": strategies.strategy_reinstate,
}
RESULTS = st.lists(
    st.sampled_from([-50_000.0, -2.0, -1.0, -0.3, 0.0, 0.4, 1.5, 3.0, 80_000.0]),
    min_size=1,
    max_size=12,
)


class Unwell:
    """The layer's policy, which for one question may raise or say what is no number (D-03)."""

    def __init__(self, inner: AdaptivePolicy) -> None:
        self._inner = inner
        self.ill = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        if self.ill == "assess":
            raise RuntimeError("the scorer is broken")
        return self._inner.assess(proposal, market, confluence)

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        if self.ill == "raise":
            raise RuntimeError("the sizer is broken")
        if self.ill:
            return float(self.ill) if self.ill != "assess" else 1.0
        return self._inner.size_multiplier(proposal, assessment, market)


class LayerMachine(RuleBasedStateMachine):
    """One run with two strategies. ``steps`` counts what all machines of a process did."""

    steps: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._rows = transaction.atomic()
        self._rows.__enter__()
        self.run = make_book()
        self.minute = 0
        self.unwell: Unwell | None = None
        self.events = 0
        fail_safe = FailSafe(lambda where, error: None, lambda: 0.0, max_failures=10_000)
        base = BasePolicy(BASE)
        switched = SwitchedPolicy(self._build, base, fail_safe)
        self.policy = FailSafePolicy(switched, fail_safe, base)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._rows.__exit__(None, None, None)

    # -- what happens ----------------------------------------------------------------------------

    @rule(code=st.sampled_from(CODES), results=RESULTS)
    def trades_close(self, code: str, results: list[float]) -> None:
        make_trades(self.run, code, results, minute=self.minute)
        self.minute += len(results)

    @rule(hours=st.integers(0, 30))
    def time_passes(self, hours: int) -> None:
        at = self.run.last_event_at + timedelta(hours=hours, minutes=1)
        TradingRun.objects.filter(pk=self.run.pk).update(last_event_at=at)
        self.run.refresh_from_db()

    @rule(times=st.integers(1, 3))
    def update(self, times: int) -> None:
        """Knocked on once or more; only the first of a period may do anything (F-079)."""
        outcomes = [self._update() for _ in range(times)]
        self.steps[outcomes[0]] += 1
        assert all(outcome in ("not due", "disabled") for outcome in outcomes[1:])

    @rule()
    def update_that_dies_half_way(self) -> None:
        """All weights of a period, or none of them (F-078)."""
        before = self._told()

        def dies(*_: Any) -> int:
            raise RuntimeError("the process died here")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimization, "_write_edges", dies)
            outcome = self._update()
        if outcome == "failed":
            self.steps["died half-way"] += 1
            assert self._told() == before

    @rule(code=st.sampled_from(CODES), act=st.sampled_from(sorted(ACTS)))
    def person_acts(self, code: str, act: str) -> None:
        try:
            ACTS[act](code=code, actor="ada", reason="a rule")
        except StrategyRefused:
            self.steps["refused"] += 1

    @rule(
        key=st.sampled_from(["enabled", "enable_quality_filtering", "enable_adaptive_weighting"]),
        on=st.booleans(),
    )
    def person_switches(self, key: str, on: bool) -> None:
        switch(**{key: on})

    @rule(
        code=st.sampled_from(CODES),
        confidence=st.floats(0.0, 1.0),
        confluence=st.integers(0, 4),
        regime=st.sampled_from(list(Regime)),
        ill=st.sampled_from(["", "", "", "assess", "raise", "nan", "inf", "-inf", "1e9", "-3"]),
    )
    def signal(
        self, code: str, confidence: float, confluence: int, regime: Regime, ill: str
    ) -> None:
        self.events += 1
        self.policy.refresh(self.events)
        if self.unwell is not None:
            self.unwell.ill = ill
        status = StrategyStatus(Strategy.objects.get(code=code).status)
        asked = {
            "seen": {
                "market": market(regime=regime),
                "consensus": consensus(confluence_up=confluence),
            },
            "gatekeeper": Gate(status=status),
        }
        proposal = entry(strategy=code, confidence=confidence)
        on = ask(proposal, self.policy, **asked).sizing
        off = ask(proposal, BasePolicy(BASE), **asked).sizing
        self._judge(status, on, off, ill)

    def _judge(self, status: StrategyStatus, on: Any, off: Any, ill: str) -> None:
        if status in NO_ENTRY:
            assert on.quantity_base == off.quantity_base == 0
            self.steps["barred"] += 1
            return
        if on.quantity_base == 0:
            self.steps["filtered"] += 1
            return
        self.steps["sized"] += 1
        # I-14, per decision: the layer removes or resizes, it never adds
        assert off.quantity_base > 0
        # I-11
        assert 0.1 <= on.multiplier_applied <= 2.0
        alone = 0.5 if status is StrategyStatus.DEGRADED else 1.0
        assert off.multiplier_applied == alone
        # I-13: the halving is in the trace
        trace = {step.code: step.text for step in on.steps}["MULTIPLIER"]
        assert f"status {status.value}" in trace
        is_on = effective().is_enabled
        if not is_on or ill in ("raise", "nan", "inf", "-inf", "-3"):
            assert on.multiplier_applied == alone
            self.steps["at one"] += 1

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def rows_hold_together(self) -> None:
        """I-12, I-13."""
        checks = (controls.weights_move_by_steps, controls.every_health_change_has_a_cause)
        found = [breach for check in checks for breach in check()]
        assert found == [], found

    @invariant()
    def weights_in_effect_are_the_last_ones_told(self) -> None:
        """I-12: in range, and never changed beside the history."""
        for code, weight in Strategy.objects.values_list("code", "weight"):
            assert 0.1 <= weight <= 2.0
            last = WeightUpdate.objects.filter(strategy__code=code, regime="").order_by("-pk")
            told = last.values_list("new_weight", flat=True).first()
            assert weight == (1.0 if told is None else told)

    @invariant()
    def one_update_a_period(self) -> None:
        """I-12: the period is unique, whoever was knocked on."""
        periods = list(UpdatePeriod.objects.values_list("book", "period_at"))
        assert len(periods) == len(set(periods))

    # -- how it is done --------------------------------------------------------------------------

    def _build(self, settings: Effective) -> Any:
        self.unwell = None
        if not settings.is_enabled:
            return BasePolicy(BASE)
        policy = AdaptivePolicy(
            layer_settings(settings),
            base_weights=BASE,
            favourable={CODES[0]: frozenset({Regime.TRENDING})},
            read=StoredStateReader(optimization.book_of(self.run)),
        )
        self.unwell = Unwell(policy)
        return self.unwell

    def _update(self) -> str:
        return optimization_update(now=timezone.now(), watch=Watch()).outcome

    def _told(self) -> tuple[int, dict[str, float], dict[str, str]]:
        return (
            WeightUpdate.objects.count(),
            dict(Strategy.objects.values_list("code", "weight")),
            dict(Strategy.objects.values_list("code", "status")),
        )
