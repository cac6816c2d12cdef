"""Sources, evolution and the book without the layer, as a person sees them in a real browser."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

PAGES = ("decisions/sources/", "decisions/evolution/", "decisions/evolution/?list=trainings")


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_pages_of_learning_fit_and_complain_of_nothing(visitor):
    """SEC-6: no foreign request, no violation of the policy, nothing wider than the window."""
    visitor.log_in("ada")
    page = visitor.page
    for name in PAGES:
        page.goto(f"{visitor.address}/{name}")
        page.wait_for_selector(".strip .dot.live")
        assert fits(page), name
    page.goto(f"{visitor.address}/decisions/sources/")
    page.wait_for_function("() => document.getElementById('calibration').data?.length === 9")
    page.wait_for_function("() => document.getElementById('brier').data?.length === 8")
    assert page.locator("[data-group=control] [data-source]").count() == 2
    page.locator("[data-predictor=forest] a").first.click()
    page.wait_for_url("**/decisions/models/**")
    assert "c0ffee000001" in page.locator("h1").inner_text()
    assert fits(page)
    assert visitor.complaints == []
    assert visitor.foreign == []


def test_a_training_is_asked_for_and_aborted_with_a_reason(desk):
    """ORC-16: by hand, from the page; a reason is required and the audit has it."""
    desk.log_in("olga")
    page = desk.page
    page.goto(f"{desk.address}/decisions/evolution/")
    page.get_by_role("button", name="Train forest now").click()
    dialog = page.locator("#learn-dialog")
    dialog.locator("[data-confirm]").click()
    assert dialog.is_visible(), "it was sent without a reason"
    page.fill("#learn-reason", "the market turned")
    dialog.locator("[data-confirm]").click()
    page.wait_for_selector(".notice.success")
    assert page.locator("[data-predictor=forest] progress").is_visible()
    page.locator("[data-predictor=forest] [data-learn=abort]").click()
    page.fill("#learn-reason", "not today")
    dialog.locator("[data-confirm]").click()
    page.wait_for_selector(".notice.success")
    assert page.get_by_role("button", name="Train forest now").is_visible()
    page.select_option("[name=list]", "trainings")
    page.wait_for_url("**list=trainings**")
    assert "not today" in page.locator(".history").inner_text()
    assert desk.complaints == []


def test_the_book_without_the_layer_is_drawn_with_its_verdicts(visitor):
    """OPT-83: curve, what filtering saved and missed by reason, what sizing added."""
    visitor.log_in("vera")
    page = visitor.page
    page.goto(f"{visitor.address}/optimization/")
    page.wait_for_function(
        "() => document.getElementById('counterfactual-chart').data?.length === 2"
    )
    effects = page.locator("[data-part=effects]").inner_text()
    assert "LOW_QUALITY" in effects and "of losses saved" in effects
    assert "entries both took" in effects
    assert page.locator("[data-part=figures] tbody tr").count() == 7
    assert page.locator("[data-part=verdict]").inner_text().startswith("With the layer")
    assert fits(page)
    assert visitor.complaints == []
    assert visitor.foreign == []
