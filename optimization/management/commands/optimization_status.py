"""Prints the status document of the optimization layer."""

from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import BaseCommand

from optimization.selectors import get_optimization_status


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: Any) -> None:
        self.stdout.write(orjson.dumps(get_optimization_status()).decode())
