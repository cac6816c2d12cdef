"""The layer's pages: they exist, lead to each other, and what they show as code runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands
from django.urls import resolve

from optimization.selectors import get_optimization_status
from optimization.switches import KEYS
from tests.accounts.callers import by_token
from tests.optimization.scene import make_book
from tradeplatform.management.commands.definition_of_done import DONE, definition_of_done

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "optimization"
PAGES = ("overview", "quick-reference", "index", "rollout", "definition-of-done")
LINK = re.compile(r"\]\(([^)#:]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def text_of(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_there_and_its_links_lead_somewhere(page: str) -> None:
    """OPT-92"""
    for target in LINK.findall(text_of(page)):
        assert (FOLDER / target).resolve().exists(), target


@pytest.mark.django_db
def test_every_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """OPT-92, OPT-61"""
    make_book()
    examples = [
        code for page in PAGES for kind, code in FENCE.findall(text_of(page)) if kind == "python"
    ]
    assert examples
    for code in examples:
        exec(compile(code, "example", "exec"), {})
    assert "ema-trend" in capsys.readouterr().out


def test_every_command_the_pages_name_exists() -> None:
    """OPT-92, OPT-95"""
    named = {name for page in PAGES for name in re.findall(r"manage\.py (\w+)", text_of(page))}
    assert {"validate_optimization", "optimization_status", "replay"} <= named
    assert named <= set(get_commands())


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """OPT-41, OPT-92"""
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| ([^|]+) \|", text_of("quick-reference"), re.M)
    told = {name: (default, allowed.strip()) for name, default, allowed in rows}
    for key in KEYS:
        default, allowed = told[key.name]
        if isinstance(key.default, bool):
            assert default == str(key.default).lower()
        else:
            assert float(default) == key.default
        if key.least is None or key.most is None:
            assert allowed == "true or false"
        else:
            assert allowed == f"{key.least:g} to {key.most:.0f}"


def test_the_addresses_of_the_tables_are_answered() -> None:
    """OPT-92"""
    for path in re.findall(
        r"`(?:GET|POST|GET`, `POST) (/api/v1/optimization/\w+)", text_of("quick-reference")
    ):
        assert resolve(path)


@pytest.mark.django_db
def test_the_rollouts_steps_say_what_the_page_says(tmp_path: Path) -> None:
    """OPT-95: review, validate, enable, check: each step's command and its expected words."""
    steps = re.findall(r"^\*\*(\d)\. ", text_of("rollout"), re.M)
    assert steps == [str(n) for n in range(1, 8)]
    make_book()
    for verb, enabled in (("disable", False), ("enable", True)):
        (line,) = re.findall(rf"-d '(.+)' \S+/api/v1/optimization/{verb}\n", text_of("rollout"))
        body = json.loads(shlex.split(f"'{line}'")[0])
        answer = by_token("admin").post(f"/api/v1/optimization/{verb}", body, format="json")
        assert (answer.status_code, answer.json()["values"]["enabled"]) == (200, enabled)
    said = StringIO()
    call_command("optimization_status", stdout=said)
    assert '"status":"healthy"' in said.getvalue()
    report = StringIO()
    call_command("optimization_report", stdout=report)
    assert json.loads(report.getvalue().splitlines()[-1])["status"] == get_optimization_status()


def test_the_example_program_runs(tmp_path: Path) -> None:
    """OPT-92, OPT-68: from a clean installation, and it shows a line of each kind."""
    environment = {**os.environ, "TRADEPLATFORM_VAR": str(tmp_path), "LOG_LEVEL": "ERROR"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    environment.pop("TRADEPLATFORM_CONFIG", None)
    for words in (["manage.py", "migrate", "-v0"], ["examples/optimization_example.py"]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for words in (
        "layer off: ",
        "[OPTIMIZATION] Evaluating signal quality",
        "[OPTIMIZATION] Signal approved - quality=",
        "[OPTIMIZATION] Signal filtered - quality=",
        "[OPTIMIZATION] Trade completed: ",
        "[OPTIMIZATION] Weight updates: ",
        "'enabled': False",
    ):
        assert words in done.stdout, words


def test_the_definition_of_done_counts_only_passing_tests() -> None:
    """OPT-93"""
    first = DONE[0][1]
    tests = [{"test": f"t::{row}", "ids": [row], "outcome": "passed"} for row in first]
    page = definition_of_done({"commit": "abc", "date": "2026-01-01", "tests": tests})
    assert f"| {DONE[0][0]} | done |" in page
    assert f"| {DONE[1][0]} | open: " in page
    assert f"- `t::{first[0]}`" in page
    tests[0]["outcome"] = "failed"
    page = definition_of_done({"commit": "abc", "date": "2026-01-01", "tests": tests})
    assert f"| {DONE[0][0]} | open: {first[0]} |" in page


def test_the_definition_of_done_is_a_generated_page() -> None:
    """OPT-93: every item of the mission's list stands in it."""
    page = text_of("definition-of-done")
    assert page.startswith("# Definition of done of the optimization layer")
    for item, _ in DONE:
        assert f"| {item} |" in page
