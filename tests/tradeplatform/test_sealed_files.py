"""Backups that leave the machine: unreadable without their key, and whole or refused."""

from __future__ import annotations

import base64
import os
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tradeplatform import sealed_files
from tradeplatform.backup import manifest_read
from tradeplatform.sealed_files import SealRefused, is_sealed, opened, seal, unseal

PIECE = 64


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_files, "_PIECE", PIECE)
    monkeypatch.delenv(sealed_files.KEY, raising=False)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 1000])
def test_what_is_sealed_comes_out_as_it_went_in(tmp_path: Path, size: int) -> None:
    """SEC-53"""
    key, content = os.urandom(32), os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    seal(tmp_path / "a", tmp_path / "b", key)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert size < 16 or content[:16] not in (tmp_path / "b").read_bytes()
    unseal(tmp_path / "b", tmp_path / "c", key)
    assert (tmp_path / "c").read_bytes() == content


def pieces_of(sealed: bytes) -> tuple[bytes, list[bytes]]:
    head = len(sealed_files.MAGIC) + 7
    step = PIECE + 16
    return sealed[:head], [sealed[i : i + step] for i in range(head, len(sealed), step)]


@pytest.mark.parametrize("harm", ["byte", "cut", "cut piece", "exchange", "append", "key"])
def test_a_file_that_was_touched_is_refused(tmp_path: Path, harm: str) -> None:
    """SEC-53: not even a whole piece may be missing at the end."""
    key = os.urandom(32)
    (tmp_path / "a").write_bytes(os.urandom(5 * PIECE))
    seal(tmp_path / "a", tmp_path / "b", key)
    head, pieces = pieces_of((tmp_path / "b").read_bytes())
    if harm == "byte":
        pieces[2] = bytes([pieces[2][0] ^ 1]) + pieces[2][1:]
    elif harm == "cut":
        pieces[-1] = pieces[-1][:-3]
    elif harm == "cut piece":
        pieces.pop()
    elif harm == "exchange":
        pieces[1], pieces[2] = pieces[2], pieces[1]
    elif harm == "append":
        pieces.append(pieces[0])
    else:
        key = os.urandom(32)
    (tmp_path / "b").write_bytes(head + b"".join(pieces))
    with pytest.raises(SealRefused, match="another key, or damaged"):
        unseal(tmp_path / "b", tmp_path / "c", key)


@pytest.mark.django_db(transaction=True)
def test_a_backup_is_sealed_where_a_key_is_set_and_opens_with_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SEC-53: the key is kept apart, in the environment; without it the file tells nothing."""
    monkeypatch.setattr(sealed_files, "_PIECE", 1 << 20)
    monkeypatch.setenv(sealed_files.KEY, base64.urlsafe_b64encode(os.urandom(32)).decode())
    file = tmp_path / "saved.zip"
    call_command("backup", str(file))
    assert is_sealed(file) and not zipfile.is_zipfile(file)
    with opened(file, folder=tmp_path) as plain:
        assert manifest_read(plain).counts["accounts_auditevent"] >= 0
    assert [f.name for f in tmp_path.iterdir()] == ["saved.zip"], "nothing unsealed is left behind"
    monkeypatch.delenv(sealed_files.KEY)
    with pytest.raises(CommandError, match="sealed, and TRADEPLATFORM_BACKUP_KEY is not set"):
        call_command("restore", str(file))
    call_command("backup", str(tmp_path / "open.zip"))
    assert "Not encrypted" in capsys.readouterr().err


def test_a_key_that_is_none_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(sealed_files.KEY, "hunter2")
    with pytest.raises(SealRefused) as refused:
        sealed_files.backup_key()
    assert "hunter2" not in str(refused.value)
