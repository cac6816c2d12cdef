"""``pytest -p tests.with_layer PATHS``: the tests of the platform with the layer on.

Where a test builds the platform with the base policy it is given the whole adaptive layer instead,
behind its fail-safe, with every part running and none that filters or resizes (OPT-45).
"""

from __future__ import annotations

from collections.abc import Mapping

from engine import policy
from engine.failsafe import FailSafe, FailSafePolicy
from optimization.core.config import LayerSettings
from optimization.core.layer import AdaptivePolicy
from optimization.core.state import LayerState

FLAT = {"quality_slope": 0.0, "alignment_slope": 0.0}
built: list[object] = []


class LayerOn(FailSafePolicy):
    """The layer in the place of the base policy; a failure of it is a failure of the test."""

    def __init__(self, base_weights: Mapping[str, float] | None = None) -> None:
        settings = LayerSettings.from_values(
            {"enabled": True, "enable_quality_filtering": False, "sizing": FLAT}
        )
        weights = dict(base_weights or {})
        layer = AdaptivePolicy(
            settings, base_weights=weights, favourable={}, read=lambda version: LayerState()
        )
        super().__init__(layer, FailSafe(_raised, lambda: 0.0))
        built.append(self)


def _raised(where: str, error: BaseException) -> None:
    raise AssertionError(f"the layer failed at {where}") from error


BASE = policy.BasePolicy
policy.BasePolicy = LayerOn  # type: ignore[assignment,misc]


def pytest_terminal_summary(terminalreporter: object) -> None:
    terminalreporter.write_line(f"layers built: {len(built)}")  # type: ignore[attr-defined]
