"""Compiles every numerical kernel into numba's cache; ``up`` runs this once after each change."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from tradeplatform import kernel_cache


class Command(BaseCommand):
    help = __doc__
    # it runs beside the migrations: no check may ask the database
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        # before numba is loaded, which reads the folder's name once
        kernel_cache.choose_folder(settings.BASE_DIR, settings.VAR_DIR)
        if not kernel_cache.fill(settings.BASE_DIR, self._compile):
            self.stderr.write("the cache is current")

    def _compile(self) -> None:
        warm_up = import_string("tradeplatform.warm_up.warm_up")
        warm_up(self.stderr.write)
