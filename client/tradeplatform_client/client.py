"""Calls over HTTP: a token in the header, problems as exceptions, repeats that change nothing."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from tradeplatform_client.errors import UnexpectedAnswer, Unreachable, problem_of
from tradeplatform_client.stream import LOOPBACK, Stream

Json = dict[str, Any]
PAUSE_S = 0.2
# a gateway that has lost the platform for a moment; what the platform says itself is final
_PASSING = frozenset({502, 503, 504})


class Client:
    """One installation, asked with one token. Safe to share between threads.

    ``retries`` is how often a call is repeated that nobody answered, or a gateway answered with
    502 to 504; pauses double from 0.2 s. A call that changes something carries an
    ``Idempotency-Key``, the same for its repeats, so that its effect happens once. Money is text
    in answers: ``Decimal(row["price"])`` keeps every digit.

    Raises:
        ValueError: the address is no http(s) address, or would carry the token over plain http to
            another machine.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        timeout_s: float = 10.0,
        retries: int = 2,
        allow_plain_http: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(address)
        is_local = parts.hostname in LOOPBACK
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"address was {address!r}, allowed: http://HOST or https://HOST")
        if parts.scheme == "http" and not is_local and not allow_plain_http:
            raise ValueError(
                f"address was {address!r}, which shows the token to the network; allowed: https,"
                " http on loopback, or allow_plain_http=True"
            )
        self.address = address.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._retries = retries
        self._pause = pause
        self._opener = _opener(is_local)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opener.close()

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    # --- any address ------------------------------------------------------------------------
    def get(self, path: str, **filters: Any) -> Json:
        """Return the answer of ``/api/v1/PATH``. Filters that are None are left out.

        Raises:
            Problem: the platform refused; by status Invalid, NotAuthenticated, Forbidden, ...
            Unreachable: nobody answered.
            UnexpectedAnswer: what answered was not the platform's API.
        """
        return self._call("GET", path, filters=filters)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Json:
        """Change something once, however often it is sent; ``key`` is made up unless given.

        Raises:
            As ``get``. After Unreachable, ``error.key`` is the key to ask again with.
        """
        return self._call("POST", path, body=dict(body or {}), key=key or uuid.uuid4().hex)

    def each(self, path: str, *, page_size: int = 200, **filters: Any) -> Iterator[Json]:
        """Yield every row of a list, newest first, a page at a time.

        Rows that arrive meanwhile neither repeat nor push others out.

        Raises:
            As ``get``, while iterating.
        """
        cursor: str | None = None
        while True:
            page = self.get(path, page_size=page_size, cursor=cursor, **filters)
            yield from page["results"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def stream(self, *topics: str, since: int | None = None, epoch: str | None = None) -> Stream:
        """Return the frames as they happen; see Stream. Needs the package ``websockets``."""
        return Stream(self.address, self._token, topics=topics, since=since, epoch=epoch)

    # --- what most scripts ask --------------------------------------------------------------
    def runs(self) -> Iterator[Json]:
        return self.each("runs/")

    def decisions(self, **filters: Any) -> Iterator[Json]:
        return self.each("decisions/", **filters)

    def why_not(self, code: str) -> Json:
        """Return why a decision did not trade, and what was nearest to passing."""
        return self.get(f"decisions/{quote(code, safe='')}/why-not")

    def orders(self, **filters: Any) -> Iterator[Json]:
        return self.each("orders/", **filters)

    def fills(self, **filters: Any) -> Iterator[Json]:
        return self.each("fills/", **filters)

    def trades(self, **filters: Any) -> Iterator[Json]:
        return self.each("trades/", **filters)

    def positions(self, run: str | None = None) -> list[Json]:
        rows: list[Json] = self.get("positions/", run=run)["results"]
        return rows

    def risk(self) -> Json:
        return self.get("risk/")

    def halt(self, reason: str, **scope: Any) -> Json:
        """Stop all orders but cancels, everywhere or within ``scope="strategy:CODE"``."""
        return self.post("control/halt", {"reason": reason, **scope})

    def reduce(self, reason: str, **scope: Any) -> Json:
        """Let only exits through."""
        return self.post("control/reduce", {"reason": reason, **scope})

    def resume(self, reason: str, **scope: Any) -> Json:
        return self.post("control/resume", {"reason": reason, **scope})

    def flatten_preview(self, scope: str) -> Json:
        """Return what a flatten of ``global``, ``strategy:CODE`` or ``symbol:SYMBOL`` would close,
        at which prices, and the token that confirms exactly this."""
        return self.post("control/flatten", {"scope": scope})

    def flatten(self, preview: Mapping[str, Any], reason: str) -> Json:
        """Close what a preview showed, then halt its scope; refused when it is no longer so."""
        given = {"scope": preview["scope"], "token": preview["token"], "reason": reason}
        return self.post("control/flatten", given)

    # --- one call ---------------------------------------------------------------------------
    def _call(
        self,
        method: str,
        path: str,
        *,
        filters: Mapping[str, Any] | None = None,
        body: Json | None = None,
        key: str | None = None,
    ) -> Json:
        request = self._request(method, path, filters or {}, body, key)
        for attempt in range(self._retries + 1):
            is_last = attempt == self._retries
            try:
                with self._opener.open(request, timeout=self._timeout_s) as answer:
                    return _document(answer.status, answer.read())
            except HTTPError as error:
                with error:
                    if error.code not in _PASSING or is_last:
                        raise _refusal(error) from None
            except (URLError, HTTPException, OSError) as error:
                if is_last:
                    raise Unreachable(f"{self.address} did not answer: {error}", key) from error
            self._pause(PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _request(
        self, method: str, path: str, filters: Mapping[str, Any], body: Json | None, key: str | None
    ) -> Request:
        given = {name: _text(value) for name, value in filters.items() if value is not None}
        url = f"{self.address}/api/v1/{path.lstrip('/')}"
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        return Request(  # noqa: S310 (the scheme was looked at when the client was made)
            f"{url}?{urlencode(given)}" if given else url,
            data=None if body is None else json.dumps(body, allow_nan=False).encode(),
            headers=headers,
            method=method,
        )


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would take the token along to wherever it points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener(is_local: bool) -> OpenerDirector:
    # what runs on this machine is asked without the proxy that the environment names
    return build_opener(_NoRedirects, *([ProxyHandler({})] if is_local else []))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _document(status: int, raw: bytes) -> Json:
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise UnexpectedAnswer(status, f"the answer was no JSON: {raw[:80]!r}") from error
    if not isinstance(found, dict):
        raise UnexpectedAnswer(status, f"the answer was a {type(found).__name__}, no object")
    return found


def _refusal(error: HTTPError) -> Exception:
    try:
        document = _document(error.code, error.read())
    except UnexpectedAnswer as unexpected:
        return unexpected
    if "reason_code" not in document:
        return UnexpectedAnswer(error.code, f"the answer was no problem document: {document}")
    return problem_of(error.code, document, error.headers.get("Retry-After"))
