"""Heads of the audit chain kept outside the database: they show a tail that was cut off (SEC-34).

A chain proves that nothing inside it was changed. Whoever removes its newest events leaves a
shorter chain that still holds; only a head written down elsewhere tells.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from django.utils import timezone

from accounts.audit import audit_head
from accounts.models import AuditEvent

logger = logging.getLogger(__name__)
FILE_NAME = "audit-heads.jsonl"


class HeadsUnreadable(Exception):
    """The file is missing, or a line of it is not a head; the message says which."""


@dataclass(frozen=True, slots=True)
class Head:
    seq: int
    row_hash: str
    at: str


def head_export(folder: Path) -> Head:
    """Append today's head to the file in ``folder`` (mode 0600) and write it to the log."""
    seq, row_hash = audit_head()
    head = Head(seq, row_hash, timezone.now().isoformat(timespec="seconds"))
    line = json.dumps({"seq": head.seq, "row_hash": head.row_hash, "at": head.at})
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(folder / FILE_NAME, flags, 0o600), "a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    logger.warning("audit_head seq=%d row_hash=%s", seq, row_hash)
    return head


def heads_read(path: Path) -> list[Head]:
    """Return the heads of a file, oldest first.

    Raises:
        HeadsUnreadable: no such file, or a line that is not a head.
    """
    if not path.is_file():
        raise HeadsUnreadable(f"FILE was {path}, allowed: a file of heads")
    heads = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            given = json.loads(line)
            heads.append(Head(int(given["seq"]), str(given["row_hash"]), str(given["at"])))
        except (ValueError, KeyError, TypeError) as error:
            raise HeadsUnreadable(f"{path}: line {number} was not a head") from error
    return heads


def head_missing(heads: list[Head]) -> Head | None:
    """Return the first head the chain does not hold, None where it holds them all."""
    wanted = [head for head in heads if head.seq]
    known = dict(
        AuditEvent.objects.filter(seq__in=[head.seq for head in wanted]).values_list(
            "seq", "row_hash"
        )
    )
    return next((head for head in wanted if known.get(head.seq) != head.row_hash), None)
