"""Takes secrets out of texts that leave the house: the values we know, and whatever looks like one.

Two nets, because each has holes. A value that stands in this process's environment or among its
files is removed wherever it turns up, in any spelling. What some other process knew (a key in an
old log line, a seed in an error) is removed by its look: rather a digest too many than a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from notifications.core.masking import REMOVED, scrubbed
from tradeplatform.logging import redact

SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE|API_?KEY|MASTER_KEY|_KEY$|_DSN$"
    r"|EXCHANGE_KEY|^NOTIFY_",
    re.IGNORECASE,
)
_UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_SHORTEST, _LARGEST_FILE = 6, 10_000
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)otpauth://\S+"), REMOVED),
    # name and password of an address, whatever its scheme
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@\"']+@"), rf"\1{REMOVED}@"),
    # what follows the host of an address may be all there is of a token
    (re.compile(r"(?i)\b((?:https?|wss?)://[^/\s\"'<>?#]+)[/?#][^\s\"'<>]+"), rf"\1/{REMOVED}"),
    (re.compile(r"(?i)\b(hc-ping\.com|(?:\w+\.)?healthchecks\.io)/[^\s\"'<>]+"), rf"\1/{REMOVED}"),
    (
        re.compile(rf"(?i)(key\w*(?:\W{{0,4}}|\s(?:was|is)\s\W?)){_UUID}"),
        rf"\1{REMOVED}",
    ),
    # addresses of chat services are tokens from their first letter on
    (re.compile(r"(?i)\b(tgram|discord|slack|mailtos?|pover|jsons?)://\S+"), rf"\1://{REMOVED}"),
    (re.compile(r"(?i)(/bot)\d+:[\w-]+"), rf"\1{REMOVED}"),
    (re.compile(r"\b\d{6,14}:[A-Za-z0-9_-]{16,}"), REMOVED),
    (re.compile(r"(?i)(bearer|basic)\s+\S{6,}"), rf"\1 {REMOVED}"),
    (re.compile(r"\btp_[A-Za-z0-9_-]+"), REMOVED),
    # seeds of second login steps, also in the groups of four that people type
    (re.compile(r"\b(?:[A-Z2-7]{4}[ -]){3,}[A-Z2-7]{1,4}\b"), REMOVED),
    (re.compile(r"\b[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])"), REMOVED),
)
_RUN = re.compile(r"[A-Za-z0-9_+=-]{20,}")
# Names have words in them; what changes between letters and digits so often is no name.
_MOST_CHANGES = 5


class Scrubber:
    """Removes what it was told of and what looks like a secret. Its own text shows none of it."""

    def __init__(self, known: Iterable[str]) -> None:
        spellings = {form for value in known for form in _spellings(value)}
        # the longest first: a secret may hold another one
        self._known = sorted((s for s in spellings if len(s) >= _SHORTEST), key=len, reverse=True)
        self._addresses = [value for value in self._known if "://" in value]

    def text(self, value: str) -> str:
        """Return a text without secrets; line breaks stay."""
        return "\n".join(self._line(line) for line in value.split("\n"))

    def plain(self, value: Any) -> Any:
        """Return plain values, nested as they were, every text in them without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        return value

    def _line(self, line: str) -> str:
        for secret in self._known:
            line = line.replace(secret, REMOVED)
        line = scrubbed(line, self._addresses)
        for pattern, instead in _PATTERNS:
            line = pattern.sub(instead, line)
        return _RUN.sub(_judged, redact(line))


def known_secrets(environment: Mapping[str, str], var_dir: Path, more: Iterable[str]) -> list[str]:
    """Return the secrets this process can name: variables by their names, what their _FILE forms
    and the installation's own files hold, the parts of addresses, and ``more``."""
    found = [value for value in more if value]
    for name, value in environment.items():
        if SECRET_NAME.search(name):
            # a path is no secret, what stands at its end is
            found += _file_lines(Path(value)) if name.endswith("_FILE") else [value]
        found += _address_parts(value)
    if var_dir.is_dir():
        for path in var_dir.iterdir():
            if SECRET_NAME.search(path.name):
                found += _file_lines(path)
    return found


def _file_lines(path: Path) -> list[str]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return []
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return []


def _address_parts(value: str) -> list[str]:
    if "://" not in value:
        return []
    try:
        parts = urlsplit(value)
        return [part for part in (parts.password,) if part]
    except ValueError:
        return []


def _spellings(value: str) -> set[str]:
    """Return a value as it may stand in an address or a query as well."""
    value = value.strip()
    pieces = {value, *(part.strip() for part in value.split(",") if len(part) > 12)}
    return {form for piece in pieces for form in (piece, unquote(piece), quote(piece, safe=""))}


def _judged(match: re.Match[str]) -> str:
    run = match[0]
    is_name = re.fullmatch(_UUID, run) is not None or _changes(run) < _MOST_CHANGES
    return run if is_name else REMOVED


def _changes(run: str) -> int:
    """Return how often letters in one case, in the other and digits take turns."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in run if c.isalnum()]
    return sum(a != b for a, b in pairwise(kinds))
