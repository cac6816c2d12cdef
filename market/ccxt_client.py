"""The unmodified ccxt client: which URLs and options it gets, and what its errors mean to us.

ccxt costs 70 to 100 MB a process, so it is imported when the first client is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

from engine.types.orders import Rejection, Unanswered
from market.answers import Unavailable as Unavailable
from market.errors import DataError
from market.rate_budget import OPEN_GATE, Gate
from market.venues import Meaning, Venue, venue_of

T = TypeVar("T")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_STATUS = re.compile(r"\b(418|429)\b")
_MAX_REASON = 300


def build_client(
    exchange_id: str,
    *,
    key: str = "",
    secret: str = "",
    passphrase: str = "",
    practice_url: str | None = None,
    sandbox: bool = False,
    timeout_s: float = 10.0,
    flavour: str = "sync",
) -> Any:
    """Return a ccxt client; ``flavour`` is sync, async or pro (sockets).

    With ``practice_url`` (``http://127.0.0.1:PORT``) every REST and WebSocket URL leads there,
    and the client must never be put into sandbox mode afterwards: that would restore the
    internet's URLs. ``sandbox`` chooses the venue's own test system.

    Raises:
        DataError: the exchange or flavour is unknown, the practice URL is not loopback, or a
            sandbox was asked of a venue that has none, or together with a practice URL.
    """
    venue = venue_of(exchange_id)
    config: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        "password": passphrase,
        "timeout": round(timeout_s * 1000),
        "enableRateLimit": practice_url is None,
        # ``ask`` tells an unreadable answer from a readable one by it.
        "enableLastJsonResponse": True,
        "options": deepcopy(dict(venue.options)),
        "has": dict(venue.features),
    }
    if practice_url is None:
        config["options"]["adjustForTimeDifference"] = venue.uses_clock
    client = _client_class(exchange_id, flavour)(config)
    if practice_url is not None:
        if sandbox:
            raise DataError("sandbox was true with a practice URL, allowed: one of the two")
        client.urls["api"] = _rewritten(client.urls["api"], _practice_host(practice_url))
        assert_loopback(client)
    elif sandbox:
        _enter_sandbox(client, venue)
    return client


def _enter_sandbox(client: Any, venue: Venue) -> None:
    if not venue.has_sandbox:
        raise DataError(f"exchange.sandbox was true and {venue.id} has no spot sandbox")
    client.set_sandbox_mode(True)


def is_sandbox(client: Any) -> bool:
    """Return whether the client talks to a venue's own test system."""
    return bool(client.isSandboxModeEnabled)


def assert_loopback(client: Any) -> None:
    """Raise DataError if any URL of the client leads off this machine."""
    for url in _urls(client.urls["api"]):
        if urlsplit(url).hostname not in LOOPBACK:
            raise DataError(f"practice URL was {url}, allowed: loopback addresses only")


def _client_class(exchange_id: str, flavour: str) -> Callable[[dict[str, Any]], Any]:
    modules = {"sync": "ccxt", "async": "ccxt.async_support", "pro": "ccxt.pro"}
    if flavour not in modules:
        raise DataError(f"flavour was {flavour!r}, allowed: {', '.join(modules)}")
    module = import_module(modules[flavour])
    if exchange_id not in module.exchanges:
        raise DataError(f"exchange was {exchange_id!r}, allowed: an id known to ccxt")
    factory: Callable[[dict[str, Any]], Any] = getattr(module, exchange_id)
    return factory


def _practice_host(practice_url: str) -> str:
    parts = urlsplit(practice_url)
    if parts.hostname not in LOOPBACK or parts.port is None:
        raise DataError(f"practice URL was {practice_url!r}, allowed: http://127.0.0.1:PORT")
    return parts.netloc


def _rewritten(urls: Any, netloc: str) -> Any:
    """Lead every URL of the nested table to ``netloc``, keeping its path."""
    if isinstance(urls, dict):
        return {name: _rewritten(value, netloc) for name, value in urls.items()}
    parts = urlsplit(urls)
    if parts.scheme not in ("ws", "wss"):
        return f"http://{netloc}{parts.path}"
    # ccxt tells spot from futures streams by "/stream" in the URL, which is the host's first
    # label there; as a path prefix it keeps that meaning.
    label = (parts.hostname or "").split(".")[0]
    return f"ws://{netloc}/{label}{parts.path}"


def _urls(urls: Any) -> list[str]:
    if isinstance(urls, dict):
        return [url for value in urls.values() for url in _urls(value)]
    return [urls]


def ask(
    client: Any, call: Callable[[], T], *, writes: bool, gate: Gate = OPEN_GATE
) -> T | Rejection | Unanswered | Unavailable:
    """Make one call of a sync client and return its result or what its failure means.

    ``writes`` is True for calls that change something at the venue: an unanswered write may have
    happened. An answer that is no JSON (cut off, empty, a proxy's page) counts as none: ccxt lets
    it pass with status 200, and parses it to an order without an id. ``gate`` may refuse the call
    before anything is sent, and hears of every silence the venue asks for.
    """
    refusal = gate.enter()
    if refusal is not None:
        return refusal
    result = _asked(client, call, writes)
    gate.answered(is_answer=not isinstance(result, Unanswered | Unavailable))
    if isinstance(result, Unavailable):
        gate.heard(result)
    return result


def _asked(
    client: Any, call: Callable[[], T], writes: bool
) -> T | Rejection | Unanswered | Unavailable:
    client.last_json_response = {}
    # a connection that fails leaves the headers of the answer before
    client.last_response_headers = None
    try:
        result = call()
    except import_module("ccxt").BaseError as error:
        headers = client.last_response_headers
        return classify(error, headers=headers, writes=writes, exchange_id=client.id)
    except (TypeError, ValueError, LookupError, AttributeError):
        # ccxt indexing into text. With a readable answer it is a fault of ours: let it be seen.
        if client.last_json_response is not None:
            raise
        return _unreadable(client, writes)
    return result if client.last_json_response is not None else _unreadable(client, writes)


def _unreadable(client: Any, writes: bool) -> Unanswered | Unavailable:
    body = str(client.last_http_response or "")[:_MAX_REASON]
    reason = f"answer was no JSON: {body!r}"
    return Unanswered(reason) if writes else Unavailable("NOT_JSON", reason)


def classify(
    error: BaseException,
    *,
    headers: Mapping[str, str] | None = None,
    writes: bool,
    exchange_id: str = "binance",
) -> Rejection | Unanswered | Unavailable:
    """Return what a ccxt error means. Only an explicit refusal by the venue is a Rejection.

    The venue's own code decides where the table knows it, ccxt's class where it does not. A
    duplicate client order id on a write is Unanswered: the order is already there, look it up.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error)
    # ccxt names the address only; why it was not reached (a certificate, a name) is the cause
    cause = f" ({error.__cause__})" if "NetworkError" in names and error.__cause__ else ""
    reason = f"{type(error).__name__}: {text}{cause}"[:_MAX_REASON]
    venue = venue_of(exchange_id)
    code = venue.code_of(text) or _status_of(text)
    meaning = _meaning(venue, code, names, text)
    name = code or type(error).__name__
    if writes and meaning is Meaning.DUPLICATE:
        return Unanswered(reason)
    if meaning in (Meaning.LATER, Meaning.CLOCK):
        throttled = meaning is Meaning.LATER
        return Unavailable(name, reason, _retry_after_s(headers), is_throttle=throttled)
    if meaning is Meaning.ABSENT:
        return Rejection(name, f"OrderNotFound: {text}"[:_MAX_REASON])
    if meaning is Meaning.KEYS:
        return Rejection(name, reason)
    ambiguous = meaning is Meaning.UNKNOWN or names & {
        "NetworkError",
        "BadResponse",
        "NullResponse",
    }
    explicit = "ExchangeError" in names and not ambiguous and (code != "" or _is_local(names, text))
    if explicit:
        return Rejection(name, reason)
    if writes:
        return Unanswered(reason)
    return Unavailable(name, reason, _retry_after_s(headers))


def _meaning(venue: Venue, code: str, names: set[str], text: str) -> Meaning | None:
    known = venue.meaning_of(code)
    if known is not None:
        return known
    # Binance uses one code for every refusal of an order and tells them apart by the sentence
    if code == "-2010" and "Duplicate" in text:
        return Meaning.DUPLICATE
    # Refused before it was looked at: throttled, banned, or a clock that must be set again.
    if names & {"DDoSProtection", "RateLimitExceeded"}:
        return Meaning.LATER
    return Meaning.CLOCK if "InvalidNonce" in names else None


def is_clock_refusal(exchange_id: str, code: str) -> bool:
    """True where the venue refused the request's time: measure the difference, then ask again."""
    return venue_of(exchange_id).meaning_of(code) is Meaning.CLOCK or code == "InvalidNonce"


def _status_of(text: str) -> str:
    status = _STATUS.search(text)
    return status[1] if status is not None else ""


def _is_local(names: set[str], text: str) -> bool:
    """True for ccxt's own refusals (unknown symbol, amount below precision): nothing was sent,
    and for messages that ccxt shortened to the venue's sentence without its code."""
    refusals = {
        "InvalidOrder",
        "InsufficientFunds",
        "BadRequest",
        "OrderNotFound",
        "AuthenticationError",
        "PermissionDenied",
        "NotSupported",
    }
    return bool(names & refusals) and "<html" not in text.lower()


def _retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    for name, value in (headers or {}).items():
        if name.lower() == "retry-after" and value.replace(".", "", 1).isdigit():
            return float(value)
    return None
