"""What the documents name exists: links, decision records, commands, targets of make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from tests import reliability
from tradeplatform.configuration import Configuration, from_mapping

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
RECORDS = sorted((DOCS / "decisions").glob("*.md"))
SCREENSHOTS = sorted((DOCS / "screenshots").glob("*.png"))
LARGEST_SCREENSHOT_BYTES = 300_000
# Targets of links and images; code spans and blocks are taken out first.
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
COMMAND = re.compile(r"manage\.py ([a-z][a-z_]+)(?: ([a-z]+))?([^\n`]*)")
OPTION = re.compile(r"--[a-z][a-z-]*")
MAKE = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)
RECORD_NAMED = re.compile(r"records? (\d{4})")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return {slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """OPT-92: a document names only what is there."""
    broken = []
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path).resolve()
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_named_exists_with_the_options_named(page: Path) -> None:
    """OPT-92: whoever types what a page says gets an answer."""
    ours = get_commands()
    wrong = []
    for name, verb, rest in COMMAND.findall(page.read_text()):
        if name not in ours:
            wrong.append(name)
            continue
        app = ours[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        said = command.create_parser("manage.py", name).format_help()
        if verb and f"{{{verb}" in said.replace(",", "{"):
            said += help_of(command, name, verb)
        # what follows a closing bracket or a sentence's end is not of this command
        options = OPTION.findall(rest.split("#")[0].split(". ")[0])
        wrong += [f"{name} {option}" for option in options if option not in said]
    assert wrong == []


def help_of(command: object, name: str, verb: str) -> str:
    """Return the help of a command's subcommand."""
    parser = command.create_parser("manage.py", name)  # type: ignore[attr-defined]
    for action in parser._actions:
        choices = getattr(action, "choices", None)
        if isinstance(choices, dict) and verb in choices:
            return str(choices[verb].format_help())
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_of_make_exists(page: Path) -> None:
    """OPT-92."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [t for t in MAKE.findall(page.read_text()) if t not in targets] == []


def test_decision_records_are_numbered_without_gaps_or_doubles() -> None:
    """OPT-92: a number names one record."""
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == list(range(1, len(RECORDS) + 1))
    for record in RECORDS:
        assert record.read_text().startswith(f"# {record.name[:4]} "), record.name


def test_the_index_lists_every_page_and_record() -> None:
    """OPT-92: what is not in the index is not found."""
    index = (DOCS / "README.md").read_text()
    optimization = (DOCS / "optimization" / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        if page.parent.name == "optimization" and page.name != "index.md":
            assert f"]({page.name})" in optimization, name_of(page)
        elif page != DOCS / "README.md":
            assert f"]({page.relative_to(DOCS)})" in index, name_of(page)


def test_records_named_by_number_exist() -> None:
    """OPT-92."""
    there = {record.name[:4] for record in RECORDS}
    named = {
        number
        for path in (*PAGES, *ROOT.glob("*/**/*.py"))
        if ".venv" not in path.parts
        for number in RECORD_NAMED.findall(path.read_text())
    }
    assert named
    assert named <= there


def test_screenshots_are_shown_and_small() -> None:
    """OPT-92: a page loads them all."""
    readme = (ROOT / "README.md").read_text()
    assert SCREENSHOTS
    for shot in SCREENSHOTS:
        assert shot.stat().st_size < LARGEST_SCREENSHOT_BYTES, shot.name
        assert f"docs/screenshots/{shot.name}" in readme, shot.name


def test_config_yaml_shows_the_defaults() -> None:
    """D-31: what is commented out is what holds."""
    text = (ROOT / "config.yaml").read_text()
    opened = re.sub(r"^(\s+)# ( *[a-z_-]+:)", r"\1\2", text, flags=re.MULTILINE)
    shown = from_mapping(yaml.safe_load(opened), source="config.yaml")
    default = Configuration()
    assert yaml.safe_load(opened) != yaml.safe_load(text)
    for section in (
        "exchange",
        "trading",
        "risk",
        "optimization",
        "monitoring",
        "notifications",
        "retention",
    ):
        assert getattr(shown, section) == getattr(default, section)
    for code, settings in shown.strategies.items():
        assert settings == default.strategy(code)
    for code, training in shown.predictors.items():
        assert training == default.predictor(code)


def test_a_fault_said_to_be_survived_has_a_test_that_carries_it() -> None:
    """OPT-92: docs/reliability.md; ``python -m tests.reliability`` writes names and counts."""
    carried = reliability.tests_by_id()
    rows = {row.id: row for row in reliability.rows()}
    assert list(rows) == [f"F-{n:03d}" for n in range(1, 106)] + [f"I-{n}" for n in range(1, 29)]
    for row in rows.values():
        assert row.status in reliability.STATUSES, row
        assert (row.status != "proven") or row.tests, f"{row.id} is said to be proven by nothing"
        assert set(row.tests) <= set(carried[row.id]), row
    said = reliability.COUNTS.search(reliability.PAGE.read_text())
    of_faults = [row.status for row in rows.values() if row.id.startswith("F-")]
    assert said is not None
    assert [int(n) for n in said.groups()] == [of_faults.count(s) for s in reliability.STATUSES]
