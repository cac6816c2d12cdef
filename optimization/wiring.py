"""What the top floor plugs in; the settings name this module, and nothing else names the room."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accounts.settings_sections import Section
from accounts.versioned_settings import settings_adopt_file
from engine.announce import Announcer
from engine.executors import ThreadedExecutor
from engine.failsafe import FailSafe, FailSafePolicy
from engine.policy import BasePolicy
from engine.ports import OptimizationPolicy, Reporter, StrategyStatus
from engine.types.opinions import Regime
from optimization import logs
from optimization.books import book_of
from optimization.core.actions import Tell, tell_nobody
from optimization.core.config import LayerSettings
from optimization.core.errors import SettingsError
from optimization.core.layer import AdaptivePolicy
from optimization.core.replay_layer import ReplayLayer
from optimization.live import (
    LayerAnnouncer,
    StoredStateReader,
    SwitchedPolicy,
    tell_without_sizes,
)
from optimization.selectors import get_optimization_status
from optimization.services import final_report_record, layer_settings
from optimization.settings_section import LayerSection
from optimization.switches import SECTION, Effective, effective, layer_is_on
from optimization.urls import api_patterns, page_patterns
from trades.models import TradingRun

# An answer takes microseconds. Later than this the base policy answers (D-03), and two such
# waits of one entry still leave the phases most of their own deadline.
POLICY_DEADLINE_S = 0.25


class Wiring:
    """Implements ``monitoring.layer.Layer``."""

    is_installed = True

    def status(self) -> dict[str, Any]:
        return get_optimization_status()

    def is_on(self) -> bool:
        return layer_is_on()

    def api_patterns(self) -> Sequence[Any]:
        return api_patterns

    def page_patterns(self) -> Sequence[Any]:
        return page_patterns

    def settings_section(self) -> Section:
        return LayerSection()

    def adopt_file(self, values: Mapping[str, Any]) -> None:
        settings_adopt_file(section=SECTION, values=values)
        now = effective()
        logs.tell_switch(now.is_enabled, now.version, now.source, now.actor)

    def settings(self, values: Mapping[str, Any]) -> LayerSettings:
        try:
            return LayerSettings.from_values(values)
        except SettingsError as error:
            raise ValueError(str(error)) from error

    def replay_layer(
        self,
        values: Mapping[str, Any],
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        statuses: Mapping[str, StrategyStatus],
        set_status: Callable[[str, StrategyStatus], None],
        tell: Tell | None,
    ) -> ReplayLayer:
        return ReplayLayer(
            self.settings(values),
            base_weights=base_weights,
            favourable=favourable,
            statuses=statuses,
            set_status=set_status,
            tell=tell_nobody if tell is None else tell,
        )

    def live_policy(
        self,
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        run: TradingRun,
        fail_safe: FailSafe,
    ) -> OptimizationPolicy:
        base, book = BasePolicy(base_weights), book_of(run)

        def build(settings: Effective) -> OptimizationPolicy:
            if not settings.is_enabled:
                return base
            return AdaptivePolicy(
                layer_settings(settings),
                base_weights=base_weights,
                favourable=favourable,
                read=StoredStateReader(book),
                tell=tell_without_sizes,
            )

        executor = ThreadedExecutor(POLICY_DEADLINE_S, time.monotonic, fail_safe)
        return FailSafePolicy(SwitchedPolicy(build, base, fail_safe), fail_safe, base, executor)

    def live_announcer(self, inner: Announcer, reporter: Reporter) -> Announcer:
        return LayerAnnouncer(inner, reporter)

    def report_at_shutdown(self, worker: str) -> None:
        final_report_record(worker=worker)
