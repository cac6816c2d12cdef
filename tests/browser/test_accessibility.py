"""Every page as assistive technology meets it, and in the zone and colours a person chose."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

# pages that no link of the header leads to
BESIDE = (
    "/decisions/performance/",
    "/decisions/sources/",
    "/decisions/evolution/",
    "/replays/sweeps/",
    "/flatten/",
    "/audit/",
)
# where a page's own links lead: one of each kind
FIRST_OF = {"/decisions/": "[data-decision]", "/decisions/sources/": "[data-source] a"}
BAD = ("serious", "critical")
IN_FULL = {"resultTypes": ["violations"]}
COLOURS = IN_FULL | {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


def findings(page, options) -> list[str]:
    """Run what stands on the page already; a chart is one picture with a name, so its inside, a
    thousand nodes that nobody can reach, is left out."""
    rows = page.evaluate(
        """(options) => axe.run({ exclude: [[".js-plotly-plot"]] }, options)
             .then((found) => found.violations)""",
        options,
    )
    return [
        f"{page.url} {row['id']} {row['nodes'][0]['target']} {row['nodes'][0]['html'][:120]}"
        for row in rows
        if row["impact"] in BAD
    ]


def look(page) -> list[str]:
    """Judge a page in dark in full, and in light by what the theme changes: its colours."""
    page.wait_for_selector(".strip .dot.live")
    page.evaluate(Axe().axe_script)
    found = findings(page, IN_FULL)
    page.click("#theme")
    found += findings(page, COLOURS)
    page.click("#theme")
    return found


def pages_of(visitor: Visitor) -> list[str]:
    """Return where the header leads an administrator, and what lies beside it."""
    links = visitor.page.eval_on_selector_all(
        ".top nav a", "nodes => nodes.map((node) => new URL(node.href).pathname)"
    )
    return sorted({*links, *BESIDE} - {"/admin/"})


def test_no_page_has_a_serious_finding_in_dark_or_light(desk):
    """No serious or critical finding of axe-core on any page an administrator can open."""
    desk.log_in("ada")
    page, found = desk.page, []
    todo = pages_of(desk)
    assert len(todo) > 20
    for path in todo:
        page.goto(desk.address + path)
        found += look(page)
        if path in FIRST_OF:
            page.goto(desk.address + page.locator(FIRST_OF[path]).first.get_attribute("href"))
            found += look(page)
    assert found == []
    assert desk.complaints == []


AXIS = """(ms) => {
  const { onAxis, offAxis, moment } = window.TP.format;
  const text = new Date(onAxis(ms)).toISOString().slice(0, 23);
  return [offAxis(onAxis(ms)), offAxis(text), moment(ms)];
}"""


def test_times_of_charts_are_those_of_the_chosen_zone_and_lead_back_to_the_moment(
    chromium, platform
):
    """Whatever the browser's own zone is: a drag on a chart asks for what it shows. Chosen and
    checked on both sides of the hour that Berlin skips."""
    context = chromium.new_context(timezone_id="America/New_York")
    visitor = Visitor(context, platform.address)
    visitor.log_in("vera")
    page = visitor.page
    skipped_ms = 1_774_746_000_000  # 2026-03-29 01:00 UTC
    assert page.evaluate(AXIS, skipped_ms) == [skipped_ms, skipped_ms, "2026-03-29 01:00:00"]
    page.evaluate("document.documentElement.dataset.zone = 'Europe/Berlin'")
    page.add_script_tag(url=page.locator("script[src*='js/format']").get_attribute("src"))
    for ms, shown in (
        (skipped_ms - 1_000, "2026-03-29 01:59:59"),
        (skipped_ms, "2026-03-29 03:00:00"),
        (skipped_ms + 90_000_123, "2026-03-30 04:00:00"),
    ):
        assert page.evaluate(AXIS, ms) == [ms, ms, shown]
    context.close()


def test_the_palette_leads_to_pages_and_opens_dialogs_but_acts_on_nothing(desk):
    """By keyboard alone, focus where one types, and nothing but a dialog opens."""
    desk.log_in("olga")
    page = desk.page
    posted: list[str] = []
    page.on("request", lambda asked: posted.append(asked.url) if asked.method == "POST" else None)
    page.keyboard.press("Control+k")
    page.keyboard.type("halt")
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#control-dialog[open]")
    assert posted == []
    page.keyboard.press("Control+k")
    assert not page.locator("#palette").is_visible(), "one dialog lay over another"
    close(page)
    page.keyboard.press("?")
    page.wait_for_selector("#keys-help[open]")
    assert findings_after_loading(page) == []
    close(page)
    page.keyboard.press("/")
    page.wait_for_selector("#palette[open]")
    page.keyboard.type("symbol eth")
    page.keyboard.press("Enter")
    page.wait_for_url("**/market/?symbol=ETH*")
    assert desk.complaints == []


def close(page) -> None:
    """Press Escape and wait: a dialog closes with the next frame, and keys wait for that."""
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")


def findings_after_loading(page) -> list[str]:
    page.evaluate(Axe().axe_script)
    return findings(page, IN_FULL)
