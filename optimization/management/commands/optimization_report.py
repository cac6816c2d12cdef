"""Prints strategy summary, regime effectiveness, quality and status as one JSON document."""

from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import BaseCommand

from optimization.reports import layer_report


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: Any) -> None:
        self.stdout.write(orjson.dumps(layer_report()).decode())
