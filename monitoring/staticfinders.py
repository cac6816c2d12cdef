"""Serves plotly.min.js out of the installed plotly package: no CDN, nothing vendored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

_FILE = "plotly.min.js"


class PlotlyFinder(BaseFinder):
    """Finds ``vendor/plotly.min.js`` in the plotly wheel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        root = Path(plotly.__file__).parent / "package_data"
        self.storage = FileSystemStorage(location=str(root))
        self.storage.prefix = "vendor"  # type: ignore[attr-defined]

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path != f"vendor/{_FILE}":
            return []
        match = self.storage.path(_FILE)
        return [match] if find_all else match

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        yield _FILE, self.storage
