"""The optimization layer as the rooms above it see it: installed, or absent (OPT-01, OPT-07).

Nothing above imports the layer's room. What is installed is named by ``OPTIMIZATION_WIRING`` in
the settings; without that line the null object stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from django.conf import settings

from accounts.settings_sections import Section
from engine.announce import Announcer
from engine.failsafe import FailSafe, Failure, attempt
from engine.policy import BasePolicy
from engine.ports import OptimizationPolicy, Reporter, StrategyStatus
from engine.types.opinions import Regime
from trades.models import TradingRun


class Layer(Protocol):
    """What the top floor plugs in."""

    is_installed: bool

    def status(self) -> dict[str, Any]: ...

    def is_on(self) -> bool:
        """Return whether stored runs are judged by the layer now; asked once an event."""

    def api_patterns(self) -> Sequence[Any]: ...

    def page_patterns(self) -> Sequence[Any]: ...

    def settings_section(self) -> Section | None:
        """Return its settings as the page of settings changes them; None where there are none."""

    def adopt_file(self, values: Mapping[str, Any]) -> None:
        """Take the configuration file's section over where it changed (D-31)."""

    def settings(self, values: Mapping[str, Any]) -> Any:
        """Return a section of settings as the layer types it.

        Raises:
            ValueError: an unknown key or a value that is not allowed.
        """

    def replay_layer(
        self,
        values: Mapping[str, Any],
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        statuses: Mapping[str, StrategyStatus],
        set_status: Callable[[str, StrategyStatus], None],
        tell: Callable[..., None] | None,
    ) -> Any:
        """Return the layer of a replay, which updates itself on event time.

        Raises:
            ValueError: as ``settings``.
        """

    def live_policy(
        self,
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        run: TradingRun,
        fail_safe: FailSafe,
    ) -> OptimizationPolicy:
        """Return the policy of a stored run, which follows the switch at each event."""

    def live_announcer(self, inner: Announcer, reporter: Reporter) -> Announcer:
        """Return the announcer that also logs what the layer did to a size."""

    def report_at_shutdown(self, worker: str) -> None: ...


NOT_INSTALLED = "the layer was asked for, allowed: off (no adaptive layer is installed)"


class AbsentLayer:
    """Trades at base weights and multiplier 1, and says that nothing is installed."""

    is_installed = False

    def status(self) -> dict[str, Any]:
        return {"enabled": False, "status": "disabled"}

    def is_on(self) -> bool:
        return False

    def api_patterns(self) -> Sequence[Any]:
        return ()

    def page_patterns(self) -> Sequence[Any]:
        return ()

    def settings_section(self) -> Section | None:
        return None

    def adopt_file(self, values: Mapping[str, Any]) -> None:
        return None

    def settings(self, values: Mapping[str, Any]) -> Any:
        raise ValueError(NOT_INSTALLED)

    def replay_layer(self, values: Mapping[str, Any], **parts: Any) -> Any:
        raise ValueError(NOT_INSTALLED)

    def live_policy(
        self,
        *,
        base_weights: Mapping[str, float],
        favourable: Mapping[str, frozenset[Regime]],
        run: TradingRun,
        fail_safe: FailSafe,
    ) -> OptimizationPolicy:
        return BasePolicy(base_weights)

    def live_announcer(self, inner: Announcer, reporter: Reporter) -> Announcer:
        return inner

    def report_at_shutdown(self, worker: str) -> None:
        return None


class BrokenLayer(AbsentLayer):
    """Stands in for a layer that cannot be imported: as absent, and each session that starts
    without it is an incident (F-077)."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    def status(self) -> dict[str, Any]:
        return {**super().status(), "status": "unavailable", "reason": self._failure.text}

    def live_announcer(self, inner: Announcer, reporter: Reporter) -> Announcer:
        reporter.incident(self._failure.where, self._failure.error)
        return inner


def layer() -> Layer:
    """Return what the settings name, or the null object; one that cannot be imported stops nobody
    from trading (F-077)."""
    name = getattr(settings, "OPTIMIZATION_WIRING", "")
    if not name:
        return AbsentLayer()
    built: Layer | Failure = attempt(lambda: import_module(name).Wiring(), "optimization layer")
    return BrokenLayer(built) if isinstance(built, Failure) else built
