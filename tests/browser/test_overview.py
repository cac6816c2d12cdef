"""What a person sees, in a real browser against a real server."""

from __future__ import annotations

import time

import pytest

from monitoring.publish import StreamPublisher

pytestmark = pytest.mark.browser


@pytest.fixture
def publisher(platform) -> StreamPublisher:
    return StreamPublisher(platform.redis_url)


def n_points(page, chart: str) -> int:
    return page.evaluate(f"document.getElementById('{chart}').data[0].x.length")


def bar(i: int) -> dict:
    # far after the scene's own bars, one minute apart
    opened = int(time.time() * 1000) + 60_000 * i
    return {
        "symbol": "BTC/USDT",
        "ts_ms": opened,
        "open": 62_400.0,
        "high": 62_500.0 + i,
        "low": 62_300.0,
        "close": 62_450.0 + i,
        "volume": 1.0,
    }


def test_the_overview_shows_a_run_without_a_complaint_or_a_foreign_request(visitor):
    """SEC-6: nothing violates the policy, nothing comes from outside; charts are drawn."""
    visitor.log_in()
    page = visitor.page
    page.wait_for_function("() => document.getElementById('price-chart').data?.length === 4")
    assert n_points(page, "price-chart") == 300
    assert page.locator("#price-chart .boxlayer path").count() > 0
    assert n_points(page, "equity-chart") > 100
    assert page.locator("#strategies tbody tr").count() == 6
    assert page.locator("[data-cell=badge]").inner_text() == "SIMULATED"
    assert page.locator("[data-cell=drawdown-limit]").inner_text() == "of 20.0 %"
    assert 0 < page.locator("[data-cell=drawdown-meter]").bounding_box()["width"] < 60
    for name in ("decisions", "orders", "trades"):
        page.goto(f"{visitor.address}/{name}/")
        page.wait_for_selector(".strip .dot.live")
        assert page.locator("[data-cell=badge]").inner_text() == "SIMULATED"
    assert visitor.complaints == []
    assert visitor.foreign == []


def test_nothing_is_wider_than_the_window(visitor):
    visitor.log_in()
    for name in ("", "decisions/", "orders/", "trades/"):
        visitor.page.goto(f"{visitor.address}/{name}")
        overflow = visitor.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"/{name} was {overflow} px wider than the window"


def test_numbers_move_without_reloading_and_zoom_stays(desk, publisher, platform):
    desk.log_in()
    page = desk.page
    page.wait_for_function("() => document.getElementById('price-chart').data?.length === 4")
    page.evaluate(
        "Plotly.relayout('price-chart', {'yaxis.range': [60000, 70000], 'yaxis.autorange': false})"
    )
    height = page.evaluate("document.getElementById('price-chart').clientHeight")
    for i in range(40):
        publisher.publish("bars", {"run": platform.run_code, **bar(i)})
    page.wait_for_selector("#price-last >> text=62,489.00")
    assert n_points(page, "price-chart") == 300
    # of money the page asks again what is stored, and no row has these bars
    publisher.publish(
        "equity",
        {
            "run": platform.run_code,
            "at_ms": int(time.time() * 1000),
            "equity": "12345.67",
            "cash": "12000",
            "exposure": "345.67",
            "drawdown_fraction": 0.031,
            "day_pnl": "45.5",
        },
    )
    page.wait_for_selector("#figures >> text=12,345.67")
    assert page.evaluate("document.getElementById('price-chart').layout.yaxis.range[0]") == 60_000
    assert page.evaluate("document.getElementById('price-chart').clientHeight") == height
    assert page.locator("[data-cell=drawdown]").inner_text() == "3.10 %"
    assert desk.complaints == []


def test_a_decision_opens_with_its_ten_phases(visitor):
    """ORC-59"""
    visitor.log_in()
    page = visitor.page
    page.locator("#stream .decision").first.click()
    page.wait_for_selector("#drawer .phase")
    assert page.locator("#drawer .phase").count() == 10
    assert page.locator("#drawer .bars.vote .track").count() == 6
    page.keyboard.press("Escape")
    assert not page.locator("#drawer").is_visible()


def test_holds_are_folded_away_until_asked_for(desk):
    desk.log_in()
    page = desk.page
    assert page.locator("#stream .status.HOLD").count() == 0
    page.check("#show-holds")
    assert page.locator("#stream .status.HOLD").count() > 0


def test_a_live_decision_arrives_once_and_as_text(desk, publisher, platform):
    """SEC-39, I-24: shown once however often it comes, never run."""
    desk.log_in()
    page = desk.page
    row = {
        "run": platform.run_code,
        "at_ms": int(time.time() * 1000) + 3_600_000,
        "strategy": "breakout",
        "symbol": "BTC/USDT",
        "action": "BUY",
        "confidence": 0.7,
        "quantity": "0.01",
        "price": 62_000.0,
        "reason_code": "RULE_ENTRY",
        "reason": "<img src=x onerror=window.hacked=1> above the range",
        "blocking_phase": None,
    }
    publisher.publish("decisions", row)
    publisher.publish("decisions", row)
    found = page.locator("#stream .decision", has_text="onerror=window.hacked")
    found.first.wait_for()
    page.wait_for_timeout(400)
    assert found.count() == 1
    assert page.evaluate("window.hacked") is None


def test_halting_takes_two_steps_and_reaches_every_open_page(chromium, visitor):
    """CTL-13, CTL-22: a reason first, then a second look; another window hears of it at once."""
    visitor.log_in()
    page = visitor.page
    other = chromium.new_context().new_page()
    other.context.add_cookies(page.context.cookies())
    other.goto(visitor.address)
    other.wait_for_selector(".strip .dot.live")
    page.click("[data-control=HALTED]")
    page.click("[data-review]")
    assert page.locator("[data-step='2']").is_hidden(), "a reason is needed first"
    page.fill("#control-reason", "odd prices")
    page.click("[data-review]")
    assert "odd prices" in page.locator("[data-summary]").inner_text()
    page.click("dialog[open] [data-confirm]")
    page.wait_for_selector(".state.HALTED")
    other.wait_for_selector(".state.HALTED")
    page.wait_for_selector(".strip .dot.live")
    page.click("[data-control=ACTIVE]")
    page.fill("#control-reason", "prices are fine")
    page.fill("#control-password", "correct horse battery")
    page.click("[data-review]")
    page.click("dialog[open] [data-confirm]")
    page.wait_for_selector(".state.ACTIVE")
    other.wait_for_selector(".state.ACTIVE")
    other.context.close()


def test_the_page_catches_up_by_itself_after_a_lost_connection(desk, publisher, platform):
    """F-101: the snapshot heals what was missed."""
    desk.log_in()
    page = desk.page
    n_sockets = page.evaluate("window.sockets.length")
    for _ in range(2):
        page.evaluate("window.sockets.at(-1).close()")
        page.wait_for_selector(".strip .dot.waiting")
        publisher.publish("bars", {"run": platform.run_code, **bar(400)})
        page.wait_for_selector(".strip .dot.live")
    assert page.evaluate("window.sockets.length") == n_sockets + 2
    publisher.publish("bars", {"run": platform.run_code, **bar(500)})
    page.wait_for_selector("#price-last >> text=62,950.00")
    assert page.evaluate("TP.stream.gaps") == 0


def test_a_viewer_has_no_control_buttons(desk):
    """SEC-9"""
    desk.log_in("vera")
    assert desk.page.locator("[data-control]").count() == 0


def test_the_theme_follows_the_system_and_can_be_switched(desk):
    desk.log_in()
    page = desk.page
    before = page.evaluate("document.documentElement.dataset.theme")
    page.click("#theme")
    after = page.evaluate("document.documentElement.dataset.theme")
    page.reload()
    assert {before, after} == {"dark", "light"}
    assert page.evaluate("document.documentElement.dataset.theme") == after


def test_a_stopped_strategy_is_announced_and_resumed_from_the_banner(desk):
    """CTL-13: a stop of one strategy reaches strip, banner and strategy table
    without a reload; a person resumes that one scope with a reason and a password."""
    desk.log_in()
    page = desk.page
    status = page.evaluate(
        """async (reason) => {
          const form = new FormData(document.querySelector("#control-dialog form"));
          form.set("scope", "strategy:breakout");
          form.set("state", "REDUCING");
          form.set("reason", reason);
          return (await fetch("/control/", { method: "POST", body: form })).status;
        }""",
        "breakout lost 5 trades in a row, limit was 5",
    )
    assert status == 200
    line = page.locator(".stops li", has_text="breakout is REDUCING")
    line.wait_for()
    assert "lost 5 trades in a row, limit was 5" in line.inner_text()
    assert page.locator("[data-cell=state-note]").inner_text() == "1 stopped"
    assert "breakout is REDUCING" in page.locator("[data-cell=said]").inner_text()
    assert page.locator("#strategies small.stopped").inner_text() == "stopped: 5 losses in a row"
    line.get_by_role("button").click()
    assert page.locator("#control-title").inner_text() == "Resume breakout"
    assert page.locator("input[name=scope]").input_value() == "strategy:breakout"
    page.fill("#control-reason", "looked at the trades")
    page.fill("#control-password", "not the password")
    page.click("[data-review]")
    page.click("dialog[open] [data-confirm]")
    page.wait_for_selector(".notice.error >> text=the password was wrong")
    line.get_by_role("button").click()
    assert page.locator("#control-reason").input_value() == "looked at the trades"
    page.fill("#control-password", "correct horse battery")
    page.click("[data-review]")
    page.click("dialog[open] [data-confirm]")
    page.wait_for_selector(".notice.success >> text=breakout is now ACTIVE")
    assert page.locator(".stops li").count() == 0


def test_many_stopped_strategies_are_one_line_that_opens(desk):
    """CTL-13: a bad hour of several strategies leaves the page where it was."""
    desk.log_in()
    page = desk.page
    statuses = page.evaluate(
        """async () => {
          const statuses = [];
          for (const name of ["breakout", "continuation", "ema-trend"]) {
            const form = new FormData(document.querySelector("#control-dialog form"));
            form.set("scope", "strategy:" + name);
            form.set("state", "REDUCING");
            form.set("reason", name + " lost 5 trades in a row, limit was 5");
            statuses.push((await fetch("/control/", { method: "POST", body: form })).status);
          }
          return statuses;
        }"""
    )
    assert statuses == [200, 200, 200]
    line = page.locator(".stops summary", has_text="3 are REDUCING")
    line.wait_for()
    assert "breakout, continuation, ema-trend" in line.inner_text()
    resume = page.locator("[data-resume='strategy:continuation']")
    assert not resume.is_visible()
    line.click()
    resume.click()
    assert page.locator("#control-title").inner_text() == "Resume continuation"


def test_an_alert_is_acknowledged_without_leaving_the_page(desk):
    """SEC-33"""
    desk.log_in()
    page = desk.page
    page.evaluate("window.stayed = true")
    page.get_by_role("button", name="Acknowledge").first.click()
    page.wait_for_selector(".alert.seen")
    assert page.locator(".alert.seen small").inner_text().endswith("acknowledged")
    assert page.evaluate("window.stayed") is True


def test_an_open_position_is_marked_by_the_next_bar(desk, publisher, platform):
    """Age, distance and R follow the price between two readings of the rows."""
    desk.log_in()
    page = desk.page
    held = page.evaluate("TP.data('overview-data').positions[0]")
    close = page.get_by_role("button", name=f"Close {held['symbol']} of {held['strategy']}")
    close.focus()
    kept = close.element_handle()
    publisher.publish(
        "bars",
        {
            "run": platform.run_code,
            "symbol": held["symbol"],
            "ts_ms": held["opened_at_ms"] + 7 * 86_400_000,
            "open": held["stop_price"] * 1.01,
            "high": held["stop_price"] * 1.01,
            "low": held["stop_price"] * 1.01,
            "close": held["stop_price"] * 1.01,
            "volume": 1.0,
        },
    )
    page.wait_for_selector("#positions td small >> text=\u22120.99 %")
    row = page.locator("#positions tbody tr").first.inner_text()
    assert "7 d" in row
    assert " R" in row
    # a bar rewrites cells, never the button that a finger or the focus is on
    assert kept.evaluate("node => node.isConnected && node === document.activeElement")
    kept.press("Enter")
    page.wait_for_selector("#position-dialog[open]")
    assert held["symbol"] in page.locator("#position-title").inner_text()
