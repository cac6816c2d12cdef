"""The admin in the colours and under the sign of the other pages."""

from __future__ import annotations

from django.http import HttpRequest
from django.templatetags.static import static

# Shades of the pages' accent: 400 is its dark one and 600 its light one in theme.css.
ACCENT = {
    "50": "#eff4ff",
    "100": "#dce7ff",
    "200": "#bfd3ff",
    "300": "#97b8ff",
    "400": "#6ea0ff",
    "500": "#4a80ee",
    "600": "#2559c7",
    "700": "#1f4ba8",
    "800": "#1c3f8a",
    "900": "#1b376f",
    "950": "#122247",
}


def icon(request: HttpRequest | None = None) -> str:
    """Return the address of the sign beside the name."""
    del request
    return static("img/favicon.svg")
