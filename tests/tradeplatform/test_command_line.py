"""Wrong use of a command is one line that says what was wrong, and exit 2."""

from __future__ import annotations

import pytest

from tradeplatform.command_line import OneLineUtility


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["regimes"], "required: action"),
        (["decision_replay"], "required: UUID"),
        (["replay", "--data", "x.csv", "--layer", "maybe"], "'maybe' (choose from 'on', 'off')"),
        (["optimization_status", "--colour"], "--colour"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """F-087: no page of usage before the one thing that matters."""
    with pytest.raises(SystemExit) as ended:
        OneLineUtility(["manage.py", *words]).execute()
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert told in captured.err


def test_help_still_tells_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        OneLineUtility(["manage.py", "regimes", "--help"]).execute()
    assert ended.value.code == 0
    assert "usage: manage.py regimes" in capsys.readouterr().out
