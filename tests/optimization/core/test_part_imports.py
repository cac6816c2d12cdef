"""The parts of the layer never reach into each other; only the coordinator knows them all."""

from __future__ import annotations

import ast
from pathlib import Path

CORE = Path(__file__).resolve().parents[3] / "optimization" / "core"
PARTS = ("quality", "weighting", "health", "sizing")


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def crossings(part: str, modules: set[str]) -> list[str]:
    others = [f"optimization.core.{other}" for other in PARTS if other != part]
    return sorted(
        module
        for module in modules
        if any(module == other or module.startswith(f"{other}.") for other in others)
    )


def test_no_part_imports_another() -> None:
    """OPT-77"""
    found = {}
    for part in PARTS:
        files = [CORE / f"{part}.py", *(CORE / part).glob("**/*.py")]
        for path in files:
            if path.exists() and (bad := crossings(part, imported(path))):
                found[str(path.relative_to(CORE))] = bad
    assert (CORE / "weighting").is_dir()
    assert found == {}


def test_what_the_parts_rest_on_imports_no_part() -> None:
    """OPT-77: performance, evidence and bounds stand below all of them."""
    for name in ("bounds", "cuts", "errors", "evidence", "performance", "trade_sums"):
        assert crossings("", imported(CORE / f"{name}.py")) == [], name


def test_a_crossing_is_seen() -> None:
    """A check that cannot fail proves nothing."""
    assert crossings("health", {"optimization.core.weighting.policy"}) != []
    assert crossings("weighting", {"optimization.core.weighting.policy"}) == []
