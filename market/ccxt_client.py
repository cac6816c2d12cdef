"""The unmodified ccxt client: which URLs and options it gets, and what its errors mean to us.

ccxt costs 70 to 100 MB a process, so it is imported when the first client is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit

from engine.types.orders import Rejection, Unanswered
from market.errors import DataError

T = TypeVar("T")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_STATUS = re.compile(r"\b(418|429)\b")
_MAX_REASON = 300
# Spot only, one call to load markets; nothing that needs futures or margin permissions.
_BINANCE_OPTIONS: dict[str, Any] = {
    "defaultType": "spot",
    "fetchMarkets": {"types": ["spot"]},
    "fetchMargins": False,
    "fetchCurrencies": False,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
    "recvWindow": 5000,
}


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The venue did not act on the request and says so, or a read went unanswered: ask later.

    ``retry_after_s`` is the venue's own wish, None where it gave none.
    """

    code: str
    reason: str
    retry_after_s: float | None = None


def build_client(
    exchange_id: str,
    *,
    key: str = "",
    secret: str = "",
    practice_url: str | None = None,
    timeout_s: float = 10.0,
    flavour: str = "sync",
) -> Any:
    """Return a ccxt client; ``flavour`` is sync, async or pro (sockets).

    With ``practice_url`` (``http://127.0.0.1:PORT``) every REST and WebSocket URL leads there,
    and the client must never be put into sandbox mode afterwards: that would restore the
    internet's URLs.

    Raises:
        DataError: the exchange or flavour is unknown, or the practice URL is not loopback.
    """
    config: dict[str, Any] = {
        "apiKey": key,
        "secret": secret,
        "timeout": round(timeout_s * 1000),
        "enableRateLimit": practice_url is None,
        # ``ask`` tells an unreadable answer from a readable one by it.
        "enableLastJsonResponse": True,
        "options": dict(_BINANCE_OPTIONS) if exchange_id == "binance" else {},
    }
    if practice_url is None:
        config["options"]["adjustForTimeDifference"] = True
    client = _client_class(exchange_id, flavour)(config)
    if practice_url is not None:
        client.urls["api"] = _rewritten(client.urls["api"], _practice_host(practice_url))
        assert_loopback(client)
    return client


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
    client: Any, call: Callable[[], T], *, writes: bool
) -> T | Rejection | Unanswered | Unavailable:
    """Make one call of a sync client and return its result or what its failure means.

    ``writes`` is True for calls that change something at the venue: an unanswered write may have
    happened. An answer that is no JSON (cut off, empty, a proxy's page) counts as none: ccxt lets
    it pass with status 200, and parses it to an order without an id.
    """
    client.last_json_response = {}
    try:
        result = call()
    except import_module("ccxt").BaseError as error:
        return classify(error, headers=client.last_response_headers, writes=writes)
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
    error: BaseException, *, headers: Mapping[str, str] | None = None, writes: bool
) -> Rejection | Unanswered | Unavailable:
    """Return what a ccxt error means. Only an explicit refusal by the venue is a Rejection.

    A duplicate client order id on a write is Unanswered: the order is already there, look it up.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error)
    reason = f"{type(error).__name__}: {text}"[:_MAX_REASON]
    code = _code_of(text)
    if writes and code == "-2010" and "Duplicate" in text:
        return Unanswered(reason)
    # Refused before it was looked at: throttled, banned, or a clock that must be set again.
    if names & {"DDoSProtection", "RateLimitExceeded", "InvalidNonce"}:
        return Unavailable(code or type(error).__name__, reason, _retry_after_s(headers))
    ambiguous = names & {"NetworkError", "BadResponse", "NullResponse"}
    explicit = "ExchangeError" in names and not ambiguous and (code != "" or _is_local(names, text))
    if explicit:
        return Rejection(code or type(error).__name__, reason)
    if writes:
        return Unanswered(reason)
    return Unavailable(code or type(error).__name__, reason, _retry_after_s(headers))


def _code_of(text: str) -> str:
    match = _CODE.search(text)
    if match is not None:
        return match[1]
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
