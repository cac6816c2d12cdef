"""JSON as strictly as it is defined: no NaN, no doubled keys, bounded size and depth (SEC-42)."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 32
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

_NOT_ZERO = re.compile(r"-?[0.]*[1-9]")


class BodyTooLarge(APIException):
    status_code = 413
    default_detail = f"The body was larger than {MAX_BODY_BYTES} bytes."
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """Parses UTF-8 JSON; what the standard leaves open is refused with a reason."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLarge
        return strict_json(raw)


def strict_json(raw: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ParseError: not UTF-8, not JSON, NaN, infinite or too small to keep, a key given twice,
            text that is not Unicode, or nested deeper than 32.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError("The body was not UTF-8.", code="malformed_json") from error
    if _depth(text) > MAX_DEPTH:
        raise ParseError(f"The body was nested deeper than {MAX_DEPTH}.", code="too_deep")
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
        # a lone surrogate is legal in JSON's grammar, and no database can store it
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ParseError("The body had a lone surrogate.", code="malformed_json") from error
    except ValueError as error:
        raise ParseError(f"The body was not JSON: {error}", code="malformed_json") from error
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        character = match.group()[0]
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        doubled = sorted(name for name, count in times.items() if count > 1)
        raise ParseError(f"Keys were given twice: {', '.join(doubled)}.", code="duplicate_key")
    return found


def _refuse(constant: str) -> Any:
    raise ParseError(f"A number was {constant}; numbers must be finite.", code="not_finite")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ParseError(f"A number was {literal}; numbers must be finite.", code="not_finite")
    if value == 0.0 and _NOT_ZERO.match(literal):
        raise ParseError(f"A number was {literal}; it is too small to keep.", code="too_small")
    return value
