"""The layer's page in a real browser: charts, preview, dialogs, both themes and a phone."""

from __future__ import annotations

import pytest

from tests.monitoring.factories import PASSWORD

pytestmark = pytest.mark.browser


def open_page(visitor, username: str = "ada"):
    visitor.log_in(username)
    visitor.page.goto(f"{visitor.address}/optimization/")
    visitor.page.wait_for_selector(".strip .dot.live")
    return visitor.page


def test_the_page_draws_its_charts_without_a_complaint_or_a_foreign_request(visitor):
    """SEC-6: one line a strategy with each change's reason, the histogram, the board."""
    page = open_page(visitor)
    page.wait_for_function("() => document.getElementById('allocation-chart').data?.length === 6")
    page.wait_for_function("() => document.getElementById('quality-chart').data?.length === 2")
    assert page.locator("#health tbody tr").count() == 6
    reasons = page.evaluate("document.getElementById('allocation-chart').data[0].text.join(' ')")
    assert "held back by the step limit" in reasons.replace("<br>", " ")
    page.click("#allocation-kind [data-kind=raw]")
    top = page.evaluate("Math.max(...document.getElementById('allocation-chart').data[0].y)")
    assert 0.1 <= top <= 2.0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert visitor.complaints == []
    assert visitor.foreign == []


def test_the_preview_answers_and_a_move_asks_for_reason_and_password(desk):
    """D-46, SEC-19: what loosens shows the password and until when it holds."""
    page = open_page(desk)
    page.click("#preview")
    page.wait_for_selector("#preview-result li")
    page.get_by_role("button", name="unsuspend range-reversion").click()
    dialog = page.locator("#move-dialog")
    assert dialog.locator("#move-password").is_visible()
    assert dialog.locator("#move-until").is_visible()
    dialog.locator("[data-cancel]").click()
    page.get_by_role("button", name="suspend breakout").click()
    assert not dialog.locator("#move-password").is_visible()
    dialog.locator("[data-cancel]").click()


def test_settings_are_saved_and_the_page_says_who_set_them(desk):
    """OPT-55"""
    page = open_page(desk)
    page.click("[data-settings]")
    page.fill("#set-quality_threshold", "0.55")
    page.fill("#settings-reason", "fewer, better")
    page.fill("#settings-password", PASSWORD)
    page.click("#settings-dialog button[type=submit]")
    page.wait_for_selector(".notice.success")
    facts = page.locator(".layer-facts").first.inner_text()
    assert "0.55" in facts and "ada, page" in facts
    assert page.locator(".cause").inner_text() == "fewer, better"


def test_a_viewer_sees_no_button_that_changes_anything(desk):
    """SEC-9"""
    page = open_page(desk, "vera")
    assert page.locator("#health button, [data-switch], [data-settings]").count() == 0
