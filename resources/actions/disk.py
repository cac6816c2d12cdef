"""Disk: old temporary files, rotated logs, caches on disk (ORC-38 to ORC-40).

Only inside allow-listed folders of this installation, never through a symbolic link, never a
database, its log, a socket or a file that a process of ours has open (F-037, F-094, I-28).
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from resources.actions.base import Bounds, Context, Outcome, Parameters, Plain, number
from resources.errors import ActionFailed
from resources.sampling.processes import installation_pids

TEMP, CACHE, LOGS = "tmp", "cache", "log"
ROOTS = (TEMP, CACHE, LOGS)
# Names that are never touched, wherever they lie: SQLite's files and what processes talk through.
PROTECTED = re.compile(
    r"(\.sqlite3?|\.db)([-.].*)?$|-(wal|shm|journal)$|\.(sock|pid|lock|rdb|aof)$", re.IGNORECASE
)
ROTATED = re.compile(r"^(?P<name>[A-Za-z0-9_-]+)\.log\.\d+$")
_SQLITE_HEAD = b"SQLite format 3\x00"
# looking must not make a file look used, nor wait for a pipe
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | getattr(os, "O_NOATIME", 0)


@dataclass(frozen=True, slots=True)
class Found:
    """One file inside an allow-listed folder; ``folder`` is its path below the root."""

    folder: str
    name: str
    bytes: int
    modified_s: float
    used_s: float
    device: int
    inode: int


def root_of(var_dir: Path, name: str) -> Path:
    """Return an allow-listed folder.

    Raises:
        ActionFailed: not one of ROOTS, or a link that leads elsewhere.
    """
    root = var_dir / name
    if name not in ROOTS:
        raise ActionFailed(f"folder was {name!r}, allowed: {', '.join(ROOTS)}")
    if root.is_symlink() or (root.exists() and root.resolve().parent != var_dir.resolve()):
        raise ActionFailed(f"folder {name} was a link, allowed: a folder of the installation")
    return root


def open_inodes(pids: Callable[[], dict[str, int]]) -> set[tuple[int, int]]:
    """Return the files that processes of this installation hold open."""
    held: set[tuple[int, int]] = set()
    for pid in {os.getpid(), *pids().values()}:
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
        for process in tree:
            held |= _open_of(process.pid)
    return held


def _open_of(pid: int) -> set[tuple[int, int]]:
    held = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return set()
    for name in names:
        try:
            status = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        held.add((status.st_dev, status.st_ino))
    return held


def files_in(root: Path) -> Iterator[Found]:
    """Yield plain files below a folder, links neither followed nor told of."""
    if not root.is_dir():
        return
    for folder, _, names, folder_fd in os.fwalk(root, follow_symlinks=False):
        for name in names:
            try:
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except OSError:
                continue
            # a file with two names may be somebody's data under the other one
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or PROTECTED.search(name):
                continue
            if _is_database(name, folder_fd):
                continue
            yield Found(
                os.path.relpath(folder, root),
                name,
                status.st_blocks * 512,
                status.st_mtime,
                max(status.st_atime, status.st_mtime),
                status.st_dev,
                status.st_ino,
            )


def _is_database(name: str, folder_fd: int) -> bool:
    try:
        file = os.open(name, _LOOK, dir_fd=folder_fd)
    except OSError:
        # what cannot be looked into is not ours to delete
        return True
    try:
        return os.read(file, len(_SQLITE_HEAD)) == _SQLITE_HEAD
    finally:
        os.close(file)


def delete(root: Path, found: Found) -> bool:
    """Delete one file through its folder's descriptor; False where it is another by now."""
    try:
        folder_fd = _open_below(root, found.folder)
    except OSError:
        return False
    try:
        now = os.stat(found.name, dir_fd=folder_fd, follow_symlinks=False)
        if (now.st_dev, now.st_ino) != (found.device, found.inode):
            return False
        os.unlink(found.name, dir_fd=folder_fd)
    except OSError:
        return False
    finally:
        os.close(folder_fd)
    return True


def _open_below(root: Path, folder: str) -> int:
    """Open a folder below the root step by step, so that no step leads through a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    current = os.open(root, flags)
    for step in () if folder == "." else Path(folder).parts:
        try:
            deeper = os.open(step, flags, dir_fd=current)
        finally:
            os.close(current)
        current = deeper
    return current


def _within(chosen: list[Found], most_bytes: float) -> list[Found]:
    """Return the first of them that are worth at most ``most_bytes`` together."""
    kept, total = [], 0.0
    for found in chosen:
        total += found.bytes
        if total > most_bytes:
            break
        kept.append(found)
    return kept


class _Deleting(Plain):
    root = ""
    has_dry_run = True

    def parameters(self, context: Context) -> Parameters | None:
        return {"root": self.root, "dry_run": context.dry_run}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        root = root_of(context.var_dir, self.root)
        held = open_inodes(lambda: installation_pids(context.var_dir / "run"))
        every = list(files_in(root))
        before = {"files": float(len(every)), "bytes": float(sum(f.bytes for f in every))}
        free = [f for f in self.chosen(context, every) if (f.device, f.inode) not in held]
        chosen = _within(free, context.config.deleted_bytes)
        if not context.dry_run:
            chosen = [f for f in chosen if delete(root, f)]
        freed = float(sum(f.bytes for f in chosen))
        if context.dry_run:
            return Outcome(
                before=before,
                after=before,
                side_effects=(f"dry run: would free {freed:.0f} bytes of {len(chosen)} files",),
            )
        after = {"files": before["files"] - len(chosen), "bytes": before["bytes"] - freed}
        return Outcome(before=before, after=after, saved={"bytes": freed})

    def chosen(self, context: Context, every: list[Found]) -> list[Found]:
        raise NotImplementedError


class CleanTemp(_Deleting):
    code = "clean-temp"
    about = "deletes temporary files older than the configured age"
    root = TEMP

    def chosen(self, context: Context, every: list[Found]) -> list[Found]:
        before_s = context.now.timestamp() - context.config.temp_age_s
        return [found for found in every if found.modified_s < before_s]


class TrimDiskCache(_Deleting):
    code = "trim-disk-cache"
    about = "keeps caches on disk within their budget, what was used longest ago goes first"
    root = CACHE
    bounds = {"budget": Bounds(0.0, 1e15, "bytes")}

    def chosen(self, context: Context, every: list[Found]) -> list[Found]:
        over = sum(found.bytes for found in every) - context.config.disk_cache_bytes
        chosen = []
        for found in sorted(every, key=lambda f: (f.used_s, f.folder, f.name)):
            if over <= 0:
                break
            chosen.append(found)
            over -= found.bytes
        return chosen


class CompressLogs(Plain):
    code = "compress-logs"
    about = "compresses rotated logs; the plain file goes once the packed one reads back the same"
    has_dry_run = True
    bounds = {"least_bytes": Bounds(1_024.0, 1e12, "bytes")}

    def parameters(self, context: Context) -> Parameters | None:
        return {"root": LOGS, "dry_run": context.dry_run, "least_bytes": 4_096}

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        root = root_of(context.var_dir, LOGS)
        least = number(parameters, "least_bytes")
        held = open_inodes(lambda: installation_pids(context.var_dir / "run"))
        rotated = [
            f
            for f in files_in(root)
            if f.folder == "."
            and ROTATED.match(f.name)
            and f.bytes >= least
            and (f.device, f.inode) not in held
        ]
        before = float(sum(f.bytes for f in rotated))
        if context.dry_run:
            said = f"dry run: would compress {len(rotated)} files of {before:.0f} bytes"
            return Outcome(before={"bytes": before}, after={"bytes": before}, side_effects=(said,))
        after = float(sum(_packed(root, f) for f in rotated))
        return Outcome(
            before={"files": float(len(rotated)), "bytes": before},
            after={"files": float(len(rotated)), "bytes": after},
            saved={"bytes": max(before - after, 0.0)},
        )


def _packed(root: Path, found: Found) -> int:
    """Compress one rotated log, read it back, and only then delete it; return the bytes it takes.

    It is renamed first: the rotation of a running process may move a numbered file at any time.
    """
    match = ROTATED.match(found.name)
    if match is None:
        raise ActionFailed(f"file was {found.name!r}, allowed: a rotated log")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(found.modified_s))
    plain = root / f"{match['name']}.log.{stamp}.{found.inode}"
    packed = plain.with_name(f"{plain.name}.gz")
    try:
        os.rename(root / found.name, plain)
        with open(plain, "rb") as source, open(packed, "xb") as target:
            os.fchmod(target.fileno(), 0o600)
            with gzip.GzipFile(fileobj=target, mode="wb", mtime=int(found.modified_s)) as zipped:
                shutil.copyfileobj(source, zipped)
            target.flush()
            os.fsync(target.fileno())
        if not _same(plain, packed):
            packed.unlink()
            raise ActionFailed(f"{packed.name} did not read back as {plain.name}, which was kept")
        plain.unlink()
        return packed.stat().st_blocks * 512
    except OSError as error:
        packed.unlink(missing_ok=True)
        raise ActionFailed(f"{found.name} was not compressed: {error}") from error


def _same(plain: Path, packed: Path) -> bool:
    with open(plain, "rb") as left, gzip.open(packed, "rb") as right:
        while True:
            a, b = left.read(1 << 20), right.read(1 << 20)
            if a != b:
                return False
            if not a:
                return True
