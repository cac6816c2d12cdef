"""What only the top floor can reach: the supervisor, alerts, screens. The settings name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from engine.types.decisions import JsonValue


class Levers(Protocol):
    def restart(self, worker: str) -> Sequence[int]:
        """Ask the supervised workers of that name to end, for a fresh start; return their ids.

        Only children of our own supervisor are ever touched (I-28).
        """

    def alert(self, *, code: str, severity: str, text: str, key: str) -> None: ...

    def resolve(self, key: str) -> None: ...

    def incident(self, where: str, error: BaseException) -> None: ...

    def heartbeat(self, component: str, expected_every_s: float) -> None: ...

    def publish(self, data: Mapping[str, JsonValue]) -> None: ...

    def repeats(self) -> Mapping[str, tuple[str, int]]:
        """Return how often each survived failure was seen so far: signature -> (where, count)."""


def levers_from_settings() -> Levers:
    return cast(Levers, import_string(settings.RESOURCES_LEVERS)())
