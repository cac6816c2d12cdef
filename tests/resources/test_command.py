"""``manage.py resources``."""

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from resources.models import OptimizerAction

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    call_command("resources", *arguments, stdout=out)
    return json.loads(out.getvalue().splitlines()[-1])


def test_status_usage_history_and_report_are_one_json_object_each():
    """ORC-63"""
    assert run("status")["health"] == "unknown"
    assert run("usage") == {"usage": []}
    assert run("history") == {"actions": []}
    assert run("report")["total"]["attempts"] == 0


def test_an_action_that_is_only_observed_changes_nothing_and_is_on_record(settings, tmp_path):
    """ORC-38"""
    settings.VAR_DIR = tmp_path
    (tmp_path / "tmp").mkdir()
    told = run("run", "clean-temp", "--reason", "to see", "--observe")
    assert told["side_effects"] == ["dry run: would free 0 bytes of 0 files"]
    told = run("run", "smaller-batches", "--reason", "to see", "--observe")
    assert told["state"] == "observed"
    assert OptimizerAction.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history", "--limit", "0"], "--limit was 0, allowed: 1 to 5000"),
        (["report", "--since", "soon"], "--since was 'soon', allowed: an ISO date"),
        (["run", "clean-temp", "--reason", " "], "reason was empty"),
    ],
)
def test_wrong_use_is_one_line(arguments, message):
    with pytest.raises(CommandError, match=message) as told:
        run(*arguments)
    assert told.value.returncode == 2
