"""Prints what this platform is made of, by the lock file: a CycloneDX 1.5 bill of materials."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        document = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "name": "tradeplatform",
                    "version": settings.CODE_VERSION,
                }
            },
            "components": components(settings.BASE_DIR / "requirements.txt"),
        }
        self.stdout.write(json.dumps(document))


def components(lock: Path) -> list[dict[str, Any]]:
    """Return one component for each pinned package, with the hashes that may be installed."""
    found = []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text()):
        if (pin := _PIN.match(entry)) is None:
            continue
        name, version = pin.group(1), pin.group(2)
        found.append(
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name.lower()}@{version}",
                "hashes": [{"alg": "SHA-256", "content": h} for h in _HASH.findall(entry)],
            }
        )
    return found
