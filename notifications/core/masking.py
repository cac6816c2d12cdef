"""Addresses of channels carry tokens: what may be shown of one, and texts that held it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

REMOVED = "[removed]"
_PARTS = re.compile(r"[^A-Za-z0-9_.\-]+")
_SHORTEST_SECRET = 6
_LONGEST_SCHEME = 12


def shown_address(url: str) -> str:
    """Return the scheme, and the host of an https address; of all others the host may be a token.

    ``tgram://123:abc/42`` is ``tgram://…``, ``https://hooks.example.org/T0/B1`` is
    ``https://hooks.example.org/…``. What is no address is not shown at all.
    """
    scheme, found, _ = url.partition("://")
    if not found or not scheme.isalnum() or len(scheme) > _LONGEST_SCHEME:
        return "not an address"
    if scheme.lower() != "https":
        return f"{scheme.lower()}://…"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "https://…"
    return f"https://{host}/…"


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without the addresses given and without any part of one that could be a
    token: a run of at least six letters and digits that has a digit, or twelve without one."""
    for secret in secrets:
        if not secret:
            continue
        text = text.replace(secret, REMOVED)
        for part in sorted(_token_parts(secret), key=len, reverse=True):
            text = text.replace(part, REMOVED)
    return text


def _token_parts(secret: str) -> set[str]:
    rest = secret.partition("://")[2] or secret
    parts = {part for form in (rest, unquote(rest)) for part in _PARTS.split(form)}
    return {part for part in parts if _looks_secret(part)}


def _looks_secret(part: str) -> bool:
    if len(part) < _SHORTEST_SECRET:
        return False
    return any(c.isdigit() for c in part) or (len(part) >= 12 and "." not in part)
