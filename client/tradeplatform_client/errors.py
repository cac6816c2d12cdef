"""What can go wrong, as exceptions: each problem document is one, by its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ClientError(Exception):
    """The base of everything this package raises about a call."""


class Unreachable(ClientError):
    """Nobody answered, also not when asked again. Whether a change took effect is not known;
    asking again with the same ``key`` finds out and repeats nothing."""

    def __init__(self, detail: str, key: str | None = None) -> None:
        super().__init__(detail)
        self.key = key


class UnexpectedAnswer(ClientError):
    """Something answered that is not the platform's API: a proxy's page, a redirect."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


@dataclass(frozen=True, slots=True)
class FieldError:
    field: str
    detail: str


class Problem(ClientError):
    """A problem document (RFC 9457). ``reason_code`` is for programs, ``detail`` for people;
    ``request_id`` finds the call in the platform's log."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.reason_code = str(document.get("reason_code", ""))
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        self.request_id = str(document.get("request_id", ""))
        self.errors = tuple(
            FieldError(str(one["field"]), str(one["detail"])) for one in document.get("errors", ())
        )
        super().__init__(f"{status} {self.reason_code}: {self.detail}")


class Invalid(Problem):
    """400: ``errors`` says what was wrong with which field."""


class NotAuthenticated(Problem):
    """401: the token was unknown, has expired or was revoked."""


class Forbidden(Problem):
    """403: the token does not reach that far."""


class NotFound(Problem):
    """404: there is nothing of that name."""


class Refused(Problem):
    """409: understood, and not done in the present state."""


class TooManyRequests(Problem):
    """429: ask again after ``retry_after_s`` seconds."""

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float) -> None:
        super().__init__(status, document)
        self.retry_after_s = retry_after_s


_BY_STATUS: dict[int, type[Problem]] = {
    400: Invalid,
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Refused,
}


def problem_of(status: int, document: Mapping[str, Any], retry_after: str | None) -> Problem:
    """Return the exception for one problem document."""
    if status == 429:
        seconds = retry_after or ""
        return TooManyRequests(status, document, float(seconds) if seconds.isdigit() else 1.0)
    return _BY_STATUS.get(status, Problem)(status, document)
