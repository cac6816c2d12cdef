"""Performance, market, risk and the lists, as a person sees them in a real browser."""

from __future__ import annotations

import pytest

from monitoring.publish import StreamPublisher

pytestmark = pytest.mark.browser

PAGES = ("performance/", "risk/", "trades/?exit=STOP", "orders/?side=BUY", "market/")
DRAWN = "() => document.getElementById('market-chart').data?.length >= 6"


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_new_pages_fit_and_complain_of_nothing(visitor):
    """SEC-6: no foreign request, no violation of the policy, nothing wider than the window."""
    visitor.log_in("vera")
    page = visitor.page
    for name in PAGES:
        page.goto(f"{visitor.address}/{name}")
        page.wait_for_selector(".strip .dot.live")
        assert fits(page), name
    page.wait_for_function(DRAWN)
    if page.locator("#fold").is_visible():
        page.click("#fold")
    page.locator(".menu summary").first.click()
    page.get_by_role("link", name="Orders", exact=True).click()
    page.wait_for_url("**/orders/")
    page.goto(f"{visitor.address}/performance/")
    page.wait_for_function("() => document.getElementById('growth-chart').data?.length === 2")
    page.get_by_role("button", name="Log", exact=True).click()
    page.wait_for_function(
        "() => document.getElementById('growth-chart').layout.yaxis.type === 'log'"
    )
    assert visitor.complaints == []
    assert visitor.foreign == []


NAMES = """async (options) => {
  const node = document.getElementById("growth-chart");
  const time = { type: "date", tickformatstops: TP.axes.TIMES };
  const axes = { yaxis: TP.axes.counting([2, 1]), xaxis: time };
  await TP.plot(node, [{ type: "bar", x: options.times, y: [2, 1] }], axes);
  const texts = (axis) =>
    [...node.querySelectorAll(axis + " > text")].map((one) => one.textContent);
  return [texts(".xtick"), texts(".ytick")];
}"""


def test_no_two_ticks_of_a_chart_have_one_name(desk):
    """However near one another two moments lie; and there is no half of a thing counted."""
    desk.log_in("vera")
    desk.page.goto(f"{desk.address}/performance/")
    desk.page.wait_for_function("() => document.getElementById('growth-chart').data?.length")
    start_ms = 1_700_000_000_000
    for span_ms in (2_000, 40_000, 3_600_000, 40 * 86_400_000):
        times, counts = desk.page.evaluate(NAMES, {"times": [start_ms, start_ms + span_ms]})
        assert counts == ["0", "1", "2"]
        assert len(times) > 1 and len(set(times)) == len(times), times


SHOWN = "() => document.getElementById('market-chart').layout.xaxis.range.map(Number)"
NEWEST = "() => Number(document.getElementById('market-chart').data[0].x.at(-1))"
CLICK = """() => {
  const node = document.getElementById("market-chart");
  const trace = node.data.find((one) => one.name === "decisions");
  node.emit("plotly_click", { points: [{ data: trace, customdata: trace.customdata[0] }] });
}"""


def publish_bar(page, platform, ts_ms: int) -> None:
    """Send one bar through the stream and wait until the page has heard of it."""
    heard = page.evaluate("window.TP.stream.frames")
    prices = {"open": 62_400.0, "high": 62_500.0, "low": 62_300.0, "close": 62_450.0}
    bar = {"run": platform.run_code, "symbol": "BTC/USDT", "ts_ms": ts_ms, **prices, "volume": 1.0}
    StreamPublisher(platform.redis_url).publish("bars", bar)
    page.wait_for_function(f"() => window.TP.stream.frames > {heard}")


def test_the_market_follows_the_newest_bar_and_keeps_a_zoom_into_the_past(desk, platform):
    desk.log_in("olga")
    page = desk.page
    page.goto(f"{desk.address}/market/")
    page.wait_for_function(DRAWN)
    page.get_by_role("button", name="100 bars").click()
    newest, (low, high) = page.evaluate(NEWEST), page.evaluate(SHOWN)
    assert high - low == 100 * 60_000
    publish_bar(page, platform, newest + 60_000)
    page.wait_for_function(f"() => ({NEWEST})() === {newest + 60_000}")
    assert page.evaluate(SHOWN) == [low + 60_000, high + 60_000], "it follows"

    page.get_by_role("button", name="Earlier").click()
    page.wait_for_url("**since=**")
    past = page.evaluate(SHOWN)
    publish_bar(page, platform, newest + 120_000)
    page.get_by_role("checkbox", name="Stops").uncheck()  # draws again
    assert page.evaluate(SHOWN) == past, "looking at the past, nothing moves"

    box = page.locator("#market-chart").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 120, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    words = page.locator("[data-market=measured]").inner_text()
    assert "%" in words and "bars" in words
    assert page.evaluate(SHOWN) == past, "measuring moves nothing"
    page.evaluate(CLICK)
    page.wait_for_selector("#drawer[open] [data-drawer=title]:not(:empty)")
    assert desk.complaints == []
