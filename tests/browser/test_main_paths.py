"""What a person does here on a usual day, from the first click to what became of it."""

from __future__ import annotations

import time

import pytest

from monitoring.publish import StreamPublisher
from tests.monitoring.factories import PASSWORD

pytestmark = pytest.mark.browser

FIGURES_STAND = "() => document.querySelectorAll('#figures dd').length >= 7"
# what the research worker's knock does, and then the work itself in the same process
REPLAY = """
import django
django.setup()
from django.core.management import call_command
from research.claims import claim_oldest
from research.models import ReplayJob
job = claim_oldest(ReplayJob)
call_command("replay_job", str(job.code), str(job.attempts))
"""


def confirm(page, dialog: str, reason: str, password: str = "") -> None:
    """Fill in one dialog and send it; what became of it stands on the next page."""
    page.wait_for_selector(f"#{dialog}[open]")
    page.fill(f"#{dialog} [name=reason]", reason)
    if password:
        page.fill(f"#{dialog} [name=password]", password)
    page.click(f"#{dialog} [data-confirm]")


def test_the_layer_is_switched_off_and_on_again_by_its_button(desk):
    """SEC-19: switching it on asks for the password, switching it off does not."""
    desk.log_in("ada")
    page = desk.page
    page.goto(f"{desk.address}/optimization/")
    page.click("[data-switch=false]")
    confirm(page, "switch-dialog", "the market is odd")
    page.wait_for_selector(".notice.success >> text=The layer is off")
    assert page.locator("[data-cell=layer]").inner_text() == "off"
    page.click("[data-switch=true]")
    assert page.locator("#switch-password").is_visible()
    confirm(page, "switch-dialog", "the market is back", PASSWORD)
    page.wait_for_selector(".notice.success >> text=The layer is on")
    assert page.locator("[data-cell=layer]").inner_text().startswith("on")
    assert desk.complaints == []


# what the socket brings: (how much older than the page, ms; whether the layer is on)
SNAPSHOT = """([olderMs, isOn]) => {
  const strip = structuredClone(window.TP.strip.current());
  strip.read_at_ms -= olderMs;
  strip.layer.enabled = isOn;
  const frame = {seq: window.TP.stream.seq, epoch: window.TP.stream.epoch, topic: "snapshot",
                 at: Date.now(), data: {strip}};
  window.sockets.at(-1).dispatchEvent(new MessageEvent("message", {data: JSON.stringify(frame)}));
  return document.querySelector("[data-cell=layer]").textContent;
}"""


def test_a_snapshot_read_before_the_page_was_does_not_take_the_page_back(desk):
    """F-101 shares one read a second: after a click it would show what was before it."""
    desk.log_in("vera")
    desk.page.goto(f"{desk.address}/optimization/")
    desk.page.wait_for_selector(".strip .dot.live")
    assert desk.page.evaluate(SNAPSHOT, [0, False]) == "off"
    assert desk.page.evaluate(SNAPSHOT, [900, True]) == "off"
    # a server's clock that was set back stops nothing
    assert desk.page.evaluate(SNAPSHOT, [3_600_000, True]).startswith("on")


def test_a_strategy_is_suspended_and_unsuspended_with_a_reason(desk):
    """D-46: unsuspended is DEGRADED, not ACTIVE; the reason stands in the history."""
    desk.log_in("ada")
    page = desk.page
    page.goto(f"{desk.address}/optimization/")
    page.get_by_role("button", name="suspend continuation", exact=True).click()
    confirm(page, "move-dialog", "its venue is thin")
    page.wait_for_selector(".notice.success >> text=continuation is SUSPENDED")
    page.get_by_role("button", name="unsuspend continuation", exact=True).click()
    confirm(page, "move-dialog", "looked at its trades", PASSWORD)
    page.wait_for_selector(".notice.success >> text=continuation is DEGRADED")
    assert "looked at its trades" in page.locator("main").inner_text()
    assert desk.complaints == []


def test_a_replay_is_asked_for_runs_and_shows_its_result(desk, platform):
    desk.log_in("olga")
    page = desk.page
    page.goto(f"{desk.address}/replays/")
    page.select_option("#replay-venue", index=1)
    page.fill("#replay-symbols", "BTC/USDT")
    page.fill("#replay-timeframe", "1m")
    page.get_by_role("button", name="Start replay").click()
    page.wait_for_selector("[data-status=QUEUED]")
    platform.command("-c", REPLAY)
    page.goto(f"{desk.address}/replays/")
    page.locator("tbody .said a").first.click()
    page.wait_for_function("() => document.getElementById('replay-equity')?.data?.length === 2")
    assert "buy-and-hold" in page.locator("main").inner_text()
    assert desk.complaints == []


def test_an_open_page_goes_on_after_the_server_was_restarted(desk, platform):
    """F-101: nobody reloads and nobody logs in again."""
    desk.log_in("olga")
    page = desk.page
    page.wait_for_function(FIGURES_STAND)
    page.evaluate("window.stayed = true")
    platform.web.stop()
    page.wait_for_selector(".strip .dot.waiting, .strip .dot.lost")
    platform.web.start()
    page.wait_for_selector(".strip .dot.live")
    later = {"ts_ms": int(time.time() * 1000) + 86_400_000, "volume": 1.0}
    prices = dict.fromkeys(("open", "high", "low", "close"), 61_234.5)
    bar = {"run": platform.run_code, "symbol": "BTC/USDT", **later, **prices}
    StreamPublisher(platform.redis_url).publish("bars", bar)
    page.wait_for_selector("#price-last >> text=61,234.50")
    assert page.evaluate("window.stayed") is True


def test_figures_stand_before_the_charts_and_without_them(desk):
    """The heaviest script is not waited for; where it does not come, its places say so."""
    desk.page.route("**/vendor/plotly*", lambda route: route.abort())
    desk.log_in("vera")
    page = desk.page
    page.wait_for_function(FIGURES_STAND)
    page.wait_for_selector("#price-chart[data-failed]", state="attached")
    said = page.evaluate(
        "getComputedStyle(document.getElementById('price-chart'), '::before').content"
    )
    assert "could not be loaded" in said


def test_the_menu_of_a_phone_is_folded_until_it_is_asked_for(visitor):
    visitor.log_in("vera")
    page = visitor.page
    menu, fold = page.locator("#nav"), page.locator("#fold")
    if page.viewport_size["width"] > 720:
        assert menu.is_visible() and not fold.is_visible()
        return
    assert not menu.is_visible()
    fold.click()
    assert menu.is_visible()
    assert fold.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert not menu.is_visible()
