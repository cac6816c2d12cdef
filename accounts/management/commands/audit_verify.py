"""Walks the audit chain, and compares it with heads written down before; 1 where it is broken."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import audit_head, audit_verify
from accounts.audit_heads import HeadsUnreadable, head_missing, heads_read


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--head", metavar="FILE", type=Path, help="heads of earlier days, audit-heads.jsonl"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object as last line")

    def handle(self, **options: Any) -> None:
        try:
            heads = heads_read(options["head"]) if options["head"] else []
        except HeadsUnreadable as error:
            raise CommandError(str(error), returncode=2) from error
        broken, (seq, row_hash) = audit_verify(), audit_head()
        missing = head_missing(heads)
        if options["json"]:
            verdict = {
                "intact": broken is None and missing is None,
                "first_broken_seq": broken,
                "missing_head_seq": missing.seq if missing else None,
                "heads_compared": len(heads),
                "head_seq": seq,
                "head_hash": row_hash,
            }
            self.stdout.write(json.dumps(verdict))
        elif broken is not None:
            self.stdout.write(f"broken at event {broken}")
        elif missing is not None:
            self.stdout.write(
                f"event {missing.seq} of {missing.at} is gone or another; the log ends at {seq}"
            )
        else:
            self.stdout.write(f"intact, {seq} events, {len(heads)} heads compared, {row_hash}")
        if broken is not None or missing is not None:
            sys.exit(1)
