"""The command line of the crash harness: a wrong option is one line."""

from __future__ import annotations

import sys

import pytest

from tests.crash import harness


@pytest.mark.parametrize("kills", ["0", "-3", "many", ""])
def test_a_number_of_kills_that_proves_nothing_is_refused_in_one_line(
    kills: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["harness", "--kills", kills])
    with pytest.raises(SystemExit) as ended:
        harness.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--kills: was {kills!r}, allowed: a whole number from 1" in line
