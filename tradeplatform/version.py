"""Which code is running: the release, and the commit where the checkout knows it."""

from __future__ import annotations

from pathlib import Path

RELEASE = "0.1.0"


def code_version(root: Path) -> str:
    """Return ``RELEASE+commit`` (twelve characters), or the release alone without a checkout."""
    commit = _head_commit(root / ".git")
    return f"{RELEASE}+{commit[:12]}" if commit else RELEASE


def _head_commit(git: Path) -> str:
    head = git / "HEAD"
    if not head.is_file():
        return ""
    text = head.read_text().strip()
    if not text.startswith("ref: "):
        return text
    name = text.removeprefix("ref: ")
    if (git / name).is_file():
        return (git / name).read_text().strip()
    packed = git / "packed-refs"
    if not packed.is_file():
        return ""
    for line in packed.read_text().splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return ""
