"""What a worker does to its own memory when it is asked to; measured there, where it happens."""

from __future__ import annotations

import ctypes
import gc
import linecache
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module

import psutil
from django.conf import settings

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Relief:
    before: dict[str, float]
    after: dict[str, float]
    saved: dict[str, float]


def garbage_collected() -> Relief:
    """Collect all generations and trim the heap; objects and resident bytes before and after."""
    process = psutil.Process()
    before = {"objects": float(len(gc.get_objects())), "rss": float(process.memory_info().rss)}
    found = gc.collect()
    trim: Callable[[int], int] | None = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)
    after = {
        "objects": float(len(gc.get_objects())),
        "rss": float(process.memory_info().rss),
        "unreachable": float(found),
    }
    return Relief(before, after, {"bytes": max(before["rss"] - after["rss"], 0.0)})


@dataclass(frozen=True, slots=True)
class Cache:
    name: str
    entries: Callable[[], int]
    clear: Callable[[], object]


def registered_caches() -> list[Cache]:
    """Return the caches the settings name, of modules this process has loaded anyway."""
    caches = [Cache("linecache", lambda: len(linecache.cache), linecache.clearcache)]
    for path in settings.RESOURCES_CACHES:
        module, _, name = path.partition(":")
        if module not in sys.modules:
            continue
        function = reduce(getattr, name.split("."), import_module(module))
        caches.append(
            Cache(path, lambda f=function: int(f.cache_info().currsize), function.cache_clear)  # type: ignore[misc]
        )
    return caches


def caches_cleared() -> Relief:
    """Empty every registered cache; entries of each before and after (ORC-33)."""
    process, caches = psutil.Process(), registered_caches()
    before = {cache.name: float(cache.entries()) for cache in caches}
    rss = float(process.memory_info().rss)
    for cache in caches:
        cache.clear()
    after = {cache.name: float(cache.entries()) for cache in caches}
    now = float(process.memory_info().rss)
    return Relief(before | {"rss": rss}, after | {"rss": now}, {"bytes": max(rss - now, 0.0)})
