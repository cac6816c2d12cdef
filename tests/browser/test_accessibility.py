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
    rows = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url} {row['id']} {row['nodes'][0]['target']} {row['nodes'][0]['html'][:120]}"
        for row in rows
        if row["impact"] in BAD
    ]


def look(page) -> list[str]:
    """Judge a page in dark in full, and in light by what the theme changes: its colours."""
    page.wait_for_selector(".strip .dot.live")
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
