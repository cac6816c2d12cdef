"""The hard ceilings over HTTP: who may lower, who may raise, and that nobody passes the file."""

from __future__ import annotations

from typing import Any

import pytest

from tests.accounts.callers import by_token
from tests.trades.rows import make_run

pytestmark = pytest.mark.django_db
PATH = "/api/v1/risk/ceilings"


@pytest.fixture(autouse=True)
def run() -> Any:
    return make_run(config={"risk": {"max_position_size": 0.1}})


def holds(caller: Any, name: str = "max_position_size") -> str:
    rows = caller.get(PATH).json()["results"]
    return str(next(row["holds"] for row in rows if row["name"] == name))


def post(caller: Any, **body: Any) -> Any:
    return caller.post(PATH, body, format="json")


def test_an_operator_lowers_a_ceiling_in_two_steps() -> None:
    """CTL-22, SEC-45."""
    caller = by_token("operator")
    first = post(caller, limits={"max_position_size": "0.05"})
    assert first.status_code == 200 and first.json()["version"] is None
    assert first.json()["changes"] == [
        {"name": "max_position_size", "filed": "0.1", "before": "0.1", "after": "0.05"}
        | {"raises": False, "account": "main"}
    ]
    assert holds(caller) == "0.1"
    second = post(caller, token=first.json()["token"], reason="rough week")
    assert (second.status_code, second.json()["version"]) == (200, 1)
    assert holds(caller) == "0.05"


@pytest.mark.parametrize(
    "body",
    [
        {"limits": {"max_position_size": "0.2"}},
        {"limits": {"max_position_size": "NaN"}},
        {"limits": {"nonsense": "1"}},
        {"limits": ["max_position_size"]},
        {"token": "x", "reason": "y"},
        {},
    ],
)
def test_above_the_files_ceiling_and_nonsense_change_nothing(body: dict[str, Any]) -> None:
    """SEC-45, SEC-43: a problem document, never a change."""
    caller = by_token("admin")
    answer = caller.post(PATH, body, format="json")
    assert answer.status_code in (400, 409)
    assert answer["Content-Type"].startswith("application/problem+json")
    assert holds(caller) == "0.1"


def test_only_an_administrator_raises_a_ceiling_again() -> None:
    """SEC-19, CTL-22: and it does not count yet."""
    operator, admin = by_token("operator"), by_token("admin")
    token = post(operator, limits={"max_position_size": "0.05"}).json()["token"]
    post(operator, token=token, reason="x")
    for caller, status in ((operator, 403), (admin, 200)):
        token = post(caller, limits={"max_position_size": None}).json()["token"]
        assert post(caller, token=token, reason="calm again").status_code == status
    assert holds(admin) == "0.05"
    row = next(r for r in admin.get(PATH).json()["results"] if r["name"] == "max_position_size")
    assert row["will_hold"] == "0.1" and row["at"]


def test_a_viewer_looks_and_lowers_nothing() -> None:
    """SEC-9."""
    viewer = by_token("viewer")
    assert holds(viewer) == "0.1"
    assert post(viewer, limits={"max_position_size": "0.05"}).status_code == 403
