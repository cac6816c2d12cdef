"""The page of the hard ceilings: look, confirm with a reason, raise with a password."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse

from monitoring.limit_words import limit_figure, limit_words
from tests.accounts.callers import PASSWORD, by_session
from tests.trades.rows import make_run
from trades.ceilings import ceiling_list

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Any:
    return make_run(config={"risk": {"max_position_size": 0.1}})


def preview(caller: Any, value: str) -> str:
    given = {"name": "max_position_size", "value": value}
    return str(caller.post(reverse("ceiling-change"), given, follow=True).content.decode())


def confirm(caller: Any, page: str, **fields: str) -> str:
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None, page
    given = {"token": token[1], "reason": "rough week", **fields}
    return str(caller.post(reverse("ceiling-change"), given, follow=True).content.decode())


def in_force(run: Any) -> str:
    return str(next(r.holds for r in ceiling_list(run) if r.name == "max_position_size"))


def test_a_ceiling_is_looked_at_and_lowered_with_a_reason(run: Any) -> None:
    """CTL-22, SEC-45."""
    caller = by_session("operator")
    page = preview(caller, "0.05")
    assert "10 % becomes <strong>5 %</strong>" in page and in_force(run) == "0.1"
    assert "Nothing was changed" in confirm(caller, page, reason="")
    assert "as you confirmed" in confirm(caller, page)
    assert in_force(run) == "0.05"


def test_raising_asks_an_administrator_for_the_password(run: Any) -> None:
    """SEC-19: a wrong one changes nothing, the right one starts the delay."""
    admin = by_session("admin")
    confirm(admin, preview(admin, "0.05"))
    page = preview(admin, "")
    assert "needs an administrator" not in page and "in 10 minutes" in page
    assert "the password was wrong" in confirm(admin, page, password="wrong")
    told = confirm(admin, page, password=PASSWORD)
    assert "as you confirmed" in told and "10 % at" in told
    assert in_force(run) == "0.05"
    operator = preview(by_session("operator"), "0.08")
    assert "Raising a ceiling again needs an administrator" in operator


@pytest.mark.parametrize("value", ["0.5", "lots", "0"])
def test_what_cannot_be_is_told_on_the_page(run: Any, value: str) -> None:
    """SEC-45: in plain words, and what was typed stays to be mended."""
    page = preview(by_session("operator"), value)
    assert "Nothing was changed" in page and "Decimal(" not in page
    assert f'autocomplete="off" value="{value}"' in page
    assert '<option value="max_position_size" selected>' in page
    assert in_force(run) == "0.1"


def test_a_number_that_no_limit_can_have_is_refused_in_words(run: Any) -> None:
    page = preview(by_session("operator"), "5")
    assert "max_position_size was 5, allowed: above 0, 1 at most, a fraction such as" in page


def test_without_a_run_the_page_says_so_and_a_viewer_has_no_form() -> None:
    assert "No trading run yet" in by_session("viewer").get(reverse("ceilings")).content.decode()
    assert "no run is open" in preview(by_session("operator"), "0.05")


def test_every_limit_has_its_words(run: Any) -> None:
    for row in ceiling_list(run):
        words, unit = limit_words(row.name)
        assert unit and words != row.name.replace("_", " ")
        assert limit_figure(row.holds, unit)
    assert limit_figure(None, "count") == "none"
    assert limit_words("new_limit") == ("new limit", "")
