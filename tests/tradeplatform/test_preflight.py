"""The preflight as a command, a task and a page, over the real practice exchange."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import AuditEvent
from tests.monitoring import factories as make
from tests.monitoring.server import RedisProcess, redis_binary
from tests.practice_process import KEY, SECRET, PracticeProcess, practice_process
from tests.venue_stub import bybit, venue_stub
from tradeplatform import run_setup, tasks
from tradeplatform.configuration import from_mapping
from tradeplatform.preflight import ACTION, preflight_last
from trades.errors import RunRefused

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        process = RedisProcess(binary, Path(folder))
        process.start()
        yield process.url
        process.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path_factory.mktemp("practice")) as process:
        yield process


@pytest.fixture
def practice(
    running: PracticeProcess, redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> PracticeProcess:
    settings.PRACTICE_URL, settings.REDIS_URL = running.url, redis_url
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    running.admin("POST", "/rights", {"withdrawals": False})
    return running


def preflight() -> tuple[dict[str, Any], int]:
    """Run the command; return its JSON and its exit code."""
    out, code = StringIO(), 0
    try:
        call_command("preflight", "--json", stdout=out, stderr=StringIO())
    except SystemExit as stopped:
        code = int(str(stopped.code))
    return json.loads(out.getvalue().splitlines()[-1]), code


def test_a_good_installation_passes_and_the_answer_is_kept(practice: PracticeProcess) -> None:
    """SEC-30, SEC-33: who asked, when, and what was found."""
    document, code = preflight()
    assert (code, document["passed"], document["red"]) == (0, True, 0), document
    assert {check["name"] for check in document["checks"]} == {
        "mode",
        "database",
        "redis",
        "sandbox",
        "reachable",
        "clock",
        "key",
        "rate_budget",
        "filters",
        "balance",
        "minimum_sizes",
    }
    event = AuditEvent.objects.get(action=ACTION)
    assert (event.actor, event.after) == ("command line", document)


def test_any_red_is_exit_one_with_a_sentence_what_to_do(
    practice: PracticeProcess, settings: Any
) -> None:
    """SEC-30."""
    practice.admin("POST", "/rights", {"withdrawals": True})
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    document, code = preflight()
    assert (code, document["passed"]) == (1, False)
    red = {c["name"]: c["fix"] for c in document["checks"] if c["verdict"] == "red"}
    assert set(red) == {"redis", "key"}
    assert all(fix.endswith(".") for fix in red.values())


def test_a_bad_configuration_is_one_line_and_exit_two(tmp_path: Path, settings: Any) -> None:
    """F-087."""
    settings.CONFIG_FILE = str(tmp_path / "config.yaml")
    Path(settings.CONFIG_FILE).write_text("exchange: {id: kraken, sandbox: true}")
    with pytest.raises(CommandError, match=r"exchange\.sandbox was true with id kraken") as error:
        preflight()
    assert error.value.returncode == 2


def test_no_secret_is_in_the_answer_or_the_audit_log(practice: PracticeProcess) -> None:
    """I-18."""
    document, _ = preflight()
    kept = json.dumps(document) + json.dumps(AuditEvent.objects.get(action=ACTION).after)
    assert KEY not in kept
    assert SECRET not in kept


def test_the_task_runs_where_the_keys_are(practice: PracticeProcess, settings: Any) -> None:
    """SEC-31."""
    assert settings.CELERY_TASK_ROUTES[tasks.preflight.name] == {"queue": "trading"}
    tasks.preflight("olga")
    last = preflight_last()
    assert last is not None
    assert (last.actor, last.document["passed"]) == ("olga", True)


def test_the_page_shows_the_last_answer_and_its_fixes(
    client: Any, practice: PracticeProcess
) -> None:
    client.force_login(make.make_user("vera", "viewer"))
    assert b"No preflight yet" in client.get(reverse("preflight")).content
    practice.admin("POST", "/rights", {"withdrawals": True})
    preflight()
    page = client.get(reverse("preflight")).content.decode()
    assert "the key may withdraw" in page
    assert "Make a new key without the right to withdraw." in page


def test_only_an_operator_starts_the_checks(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-8, SEC-9, SEC-12."""
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(
        tasks.preflight, "apply_async", lambda kwargs, **options: sent.append(kwargs)
    )
    for address in (reverse("preflight"), reverse("preflight-run")):
        assert client.get(address).status_code in (302, 405)
    assert client.post(reverse("preflight-run")).status_code == 302
    client.force_login(make.make_user("vera", "viewer"))
    assert client.post(reverse("preflight-run")).status_code == 403
    assert sent == []
    client.force_login(make.make_user("olga", "operator"))
    assert client.get(reverse("preflight-run")).status_code == 405
    client.post(reverse("preflight-run"))
    assert sent == [{"actor": "olga", "account": "main"}]


def test_a_dead_broker_is_a_message_and_no_error_page(client: Any, settings: Any) -> None:
    """F-021."""
    client.force_login(make.make_user("olga", "operator"))
    page = client.post(reverse("preflight-run"), follow=True)
    assert page.status_code == 200
    assert "The broker did not answer" in page.content.decode()


def test_a_live_run_with_a_key_that_may_withdraw_is_refused() -> None:
    """SEC-30."""
    raw = {"exchange": {"id": "bybit"}, "trading": {"mode": "live"}}
    config = from_mapping(raw, source="test")
    permissions = {"Spot": ["SpotTrade"], "Wallet": ["Withdraw"]}
    answer = {"readOnly": 0, "permissions": permissions, "ips": ["10.0.0.1"]}
    with venue_stub("bybit", **{"v5__user__query-api": bybit(answer)}) as stub:
        with pytest.raises(RunRefused, match="may withdraw, allowed: a key that reads"):
            run_setup._refuse_withdrawing_key(config, stub.client("bybit"))
        permissions["Wallet"] = []
        run_setup._refuse_withdrawing_key(config, stub.client("bybit"))
