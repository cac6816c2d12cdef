"""What is deleted, and everything that is not."""

import gzip
import os
import sqlite3
import time
from datetime import UTC, datetime

import pytest

from resources.actions.disk import CleanTemp, CompressLogs, TrimDiskCache, root_of
from resources.core.config import OptimizerConfig
from resources.errors import ActionFailed
from tests.resources.fakes import context

OLD_S = time.time() - 3 * 86_400


def a_file(path, size=8_192, modified_s=OLD_S):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (modified_s, modified_s))
    return path


def done(action, tmp_path, **given):
    now = datetime.fromtimestamp(time.time(), UTC)
    told = context(tmp_path, now=now, **given)
    return action.apply(told, action.parameters(told), 1)


def test_only_old_files_of_the_temporary_folder_go_and_their_bytes_are_counted(tmp_path):
    """ORC-38"""
    old = [a_file(tmp_path / "tmp" / "a"), a_file(tmp_path / "tmp" / "deep" / "b")]
    kept = [
        a_file(tmp_path / "tmp" / "new", modified_s=time.time()),
        a_file(tmp_path / "elsewhere"),
    ]
    outcome = done(CleanTemp(), tmp_path)
    assert [p.exists() for p in old] == [False, False]
    assert all(p.exists() for p in kept)
    assert outcome.saved == {"bytes": 16_384.0}
    assert outcome.before["files"] - outcome.after["files"] == 2


def test_a_dry_run_tells_and_deletes_nothing(tmp_path):
    """ORC-38, SEC-48"""
    old = a_file(tmp_path / "tmp" / "a")
    outcome = done(CleanTemp(), tmp_path, dry_run=True)
    assert old.exists()
    assert outcome.saved == {}
    assert outcome.side_effects == ("dry run: would free 8192 bytes of 1 files",)


@pytest.mark.parametrize(
    "name",
    ["t.sqlite3", "t.sqlite3-wal", "t.sqlite3-shm", "t.db", "t.db-journal", "redis.sock", "a.pid",
     "a.lock", "t.sqlite3.before-0004"],
)  # fmt: skip
@pytest.mark.parametrize("action", [CleanTemp(), TrimDiskCache()])
def test_a_database_its_log_and_what_processes_talk_through_stay(tmp_path, action, name):
    """F-037, F-094, I-28"""
    kept = a_file(tmp_path / action.root / name)
    config = OptimizerConfig(disk_cache_bytes=0.0)
    assert done(action, tmp_path, config=config).saved == {"bytes": 0.0}
    assert kept.exists()


def test_a_database_under_any_other_name_stays(tmp_path):
    """F-094, SEC-48"""
    path = tmp_path / "tmp" / "innocent.bin"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    os.utime(path, (OLD_S, OLD_S))
    assert done(CleanTemp(), tmp_path).saved == {"bytes": 0.0}
    assert path.exists()


def test_one_act_deletes_no_more_than_its_bytes(tmp_path):
    """SEC-48: what is left is the next act's."""
    old = [a_file(tmp_path / "cache" / str(i), 8_192, OLD_S + i) for i in range(4)]
    config = OptimizerConfig(disk_cache_bytes=0.0, deleted_bytes=20_000.0)
    assert done(TrimDiskCache(), tmp_path, config=config).saved == {"bytes": 16_384.0}
    assert [p.exists() for p in old] == [False, False, True, True]
    done(TrimDiskCache(), tmp_path, config=config)
    assert not any(p.exists() for p in old)


def test_no_link_leads_out_of_the_folder(tmp_path):
    """F-094, I-28, SEC-48: neither a linked file, nor a linked folder, nor a linked root."""
    outside = a_file(tmp_path / "precious" / "data")
    temp = tmp_path / "tmp"
    temp.mkdir()
    (temp / "file").symlink_to(outside)
    (temp / "folder").symlink_to(outside.parent)
    os.link(outside, temp / "hard")
    os.utime(temp / "file", (OLD_S, OLD_S), follow_symlinks=False)
    assert done(CleanTemp(), tmp_path).saved == {"bytes": 0.0}
    assert outside.exists()
    assert (temp / "hard").exists()
    other = tmp_path / "installation"
    other.mkdir()
    (other / "tmp").symlink_to(outside.parent)
    with pytest.raises(ActionFailed, match="folder tmp was a link"):
        done(CleanTemp(), other)
    assert outside.exists()


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(tmp_path, monkeypatch):
    """F-094: between looking and deleting."""
    outside = a_file(tmp_path / "precious" / "b")
    inside = a_file(tmp_path / "tmp" / "deep" / "b")
    action = CleanTemp()
    really = action.chosen

    def swapped(told, every):
        chosen = really(told, every)
        inside.parent.rename(tmp_path / "moved")
        inside.parent.symlink_to(outside.parent)
        return chosen

    monkeypatch.setattr(action, "chosen", swapped)
    assert done(action, tmp_path).saved == {"bytes": 0.0}
    assert outside.exists()


def test_a_file_that_was_replaced_meanwhile_stays(tmp_path, monkeypatch):
    """F-094: what was looked at is what goes, not what bears its name by now."""
    path = a_file(tmp_path / "tmp" / "a")
    action = CleanTemp()
    really = action.chosen

    def replaced(told, every):
        chosen = really(told, every)
        a_file(tmp_path / "tmp" / "other").replace(path)
        return chosen

    monkeypatch.setattr(action, "chosen", replaced)
    assert done(action, tmp_path).saved == {"bytes": 0.0}
    assert path.exists()


def test_a_folder_that_is_a_link_to_another_of_the_installation_is_refused(tmp_path):
    """I-28"""
    kept = a_file(tmp_path / "backups" / "yesterday")
    (tmp_path / "tmp").symlink_to(kept.parent)
    with pytest.raises(ActionFailed, match="folder tmp was a link"):
        done(CleanTemp(), tmp_path)
    assert kept.exists()


def test_a_file_that_is_open_stays(tmp_path):
    """F-094"""
    path = a_file(tmp_path / "tmp" / "in-use")
    with open(path, "rb"):
        assert done(CleanTemp(), tmp_path).saved == {"bytes": 0.0}
        assert path.exists()
    assert done(CleanTemp(), tmp_path).saved == {"bytes": 8_192.0}


def test_no_other_folder_can_be_named(tmp_path):
    """I-28, SEC-48"""
    with pytest.raises(ActionFailed, match=r"folder was '\.\.', allowed: tmp, cache, log"):
        root_of(tmp_path, "..")


def test_the_disk_cache_is_kept_under_its_budget_oldest_first(tmp_path):
    """ORC-40"""
    paths = [a_file(tmp_path / "cache" / str(i), 8_192, OLD_S + i) for i in range(5)]
    outcome = done(TrimDiskCache(), tmp_path, config=OptimizerConfig(disk_cache_bytes=20_000.0))
    assert [p.exists() for p in paths] == [False, False, False, True, True]
    assert outcome.saved == {"bytes": 24_576.0}
    assert outcome.after["bytes"] <= 20_000


def test_a_rotated_log_is_compressed_reads_back_and_the_live_one_is_left(tmp_path):
    """ORC-39"""
    log = tmp_path / "log"
    rotated, live = log / "web.log.1", log / "web.log"
    log.mkdir()
    text = b"2026-01-05 INFO the same line again and again\n" * 4_000
    rotated.write_bytes(text)
    live.write_bytes(text)
    outcome = done(CompressLogs(), tmp_path)
    (packed,) = log.glob("web.log.*.gz")
    assert gzip.decompress(packed.read_bytes()) == text
    assert not rotated.exists()
    assert live.read_bytes() == text
    assert outcome.saved["bytes"] == outcome.before["bytes"] - outcome.after["bytes"]
    assert outcome.saved["bytes"] > 100_000
    assert packed.stat().st_mode & 0o777 == 0o600


def test_a_packed_log_that_does_not_read_back_is_given_up_and_the_plain_one_kept(
    tmp_path, monkeypatch
):
    """ORC-39"""
    log = tmp_path / "log"
    log.mkdir()
    (log / "web.log.1").write_bytes(b"y" * 10_000)
    monkeypatch.setattr("resources.actions.disk._same", lambda plain, packed: False)
    with pytest.raises(ActionFailed, match="did not read back"):
        done(CompressLogs(), tmp_path)
    (kept,) = log.iterdir()
    assert kept.read_bytes() == b"y" * 10_000
