"""The client's URLs, and what each of ccxt's errors means for a read and for a write."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from engine.types.orders import Rejection, Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask, assert_loopback, build_client, classify
from market.errors import DataError

PRACTICE_URL = "http://127.0.0.1:12345"


def body(code: int, message: str) -> str:
    return f'binance {{"code":{code},"msg":"{message}"}}'


@pytest.mark.parametrize("flavour", ["sync", "async", "pro"])
def test_every_url_of_a_practice_client_is_loopback(flavour: str) -> None:
    client = build_client("binance", practice_url=PRACTICE_URL, flavour=flavour)
    assert_loopback(client)
    assert client.urls["api"]["private"] == f"{PRACTICE_URL}/api/v3"
    assert type(client).__module__.startswith("ccxt"), "unmodified, not subclassed (D-36)"


def test_sandbox_mode_after_building_is_caught() -> None:
    """set_sandbox_mode quietly restores the internet's URLs."""
    client = build_client("binance", practice_url=PRACTICE_URL)
    client.set_sandbox_mode(True)
    with pytest.raises(DataError, match="allowed: loopback"):
        assert_loopback(client)


@pytest.mark.parametrize("url", ["http://example.com:80", "http://10.0.0.1:80", "127.0.0.1"])
def test_practice_url_off_this_machine_is_refused(url: str) -> None:
    with pytest.raises(DataError, match="practice URL was"):
        build_client("binance", practice_url=url)


def test_unknown_exchange_and_flavour_are_refused() -> None:
    with pytest.raises(DataError, match="exchange was 'nope'"):
        build_client("nope")
    with pytest.raises(DataError, match="flavour was 'fast'"):
        build_client("binance", flavour="fast")


def test_live_client_keeps_its_own_urls_and_sets_its_clock() -> None:
    client = build_client("binance")
    assert client.urls["api"]["private"].startswith("https://api.binance.com")
    assert client.options["adjustForTimeDifference"] is True
    assert client.enableRateLimit is True


WRITES = [
    (ccxt.InsufficientFunds(body(-2010, "Account has insufficient balance.")), Rejection, "-2010"),
    (ccxt.InvalidOrder(body(-1013, "Filter failure: LOT_SIZE")), Rejection, "-1013"),
    (ccxt.BadRequest(body(-1013, "Filter failure: NOTIONAL")), Rejection, "-1013"),
    (ccxt.BadSymbol(body(-1121, "Invalid symbol.")), Rejection, "-1121"),
    (ccxt.OrderNotFound(body(-2011, "Unknown order sent.")), Rejection, "-2011"),
    (ccxt.AuthenticationError(body(-2015, "Invalid API-key.")), Rejection, "-2015"),
    (ccxt.OrderImmediatelyFillable("binance would immediately"), Rejection, None),
    (ccxt.InvalidOrder(body(-2010, "Duplicate order sent.")), Unanswered, None),
    (ccxt.RequestTimeout("binance POST timed out"), Unanswered, None),
    (ccxt.NetworkError("connection reset"), Unanswered, None),
    (ccxt.ExchangeNotAvailable("502 Bad Gateway <html>"), Unanswered, None),
    (ccxt.OperationFailed(body(-1007, "Timeout; execution status unknown.")), Unanswered, None),
    (ccxt.BadResponse("binance {"), Unanswered, None),
    (ccxt.ExchangeError("binance <html>what</html>"), Unanswered, None),
    (ccxt.DDoSProtection("binance 429 Too Many Requests {}"), Unavailable, "429"),
    (ccxt.DDoSProtection("binance 418 I'm a teapot {}"), Unavailable, "418"),
    (ccxt.DDoSProtection(body(-2015, "Invalid API-key.")), Rejection, "-2015"),
    (ccxt.RateLimitExceeded(body(-1003, "Too many requests.")), Unavailable, "-1003"),
    (ccxt.InvalidNonce(body(-1021, "Timestamp outside of recvWindow.")), Unavailable, "-1021"),
]


@pytest.mark.parametrize(
    ("error", "meaning", "code"), WRITES, ids=lambda v: getattr(v, "__name__", str(v)[:40])
)
def test_only_an_explicit_refusal_of_a_write_is_a_rejection(
    error: Exception, meaning: type, code: str | None
) -> None:
    """F-045, F-048, F-049, F-050, F-058, F-063."""
    result = classify(error, writes=True)
    assert isinstance(result, meaning)
    if code is not None:
        assert result.code == code  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error",
    [
        ccxt.RequestTimeout("binance GET timed out"),
        ccxt.ExchangeNotAvailable("binance 503"),
        ccxt.BadResponse("binance {"),
        ccxt.OperationFailed(body(-1001, "Disconnected.")),
    ],
)
def test_unanswered_read_may_simply_be_asked_again(error: Exception) -> None:
    assert isinstance(classify(error, writes=False), Unavailable)


def test_retry_after_is_read_from_the_headers() -> None:
    error = ccxt.DDoSProtection("binance 429 Too Many Requests")
    result = classify(error, headers={"Retry-After": "17"}, writes=True)
    assert isinstance(result, Unavailable)
    assert result.retry_after_s == 17.0


class Unparsed:
    """As much of a client as ``ask`` looks at, with an answer that was no JSON."""

    id = "binance"
    last_json_response: object = None
    last_http_response = "<html>hello"
    last_response_headers: dict[str, str] = {}

    def create(self) -> dict[str, Any]:
        self.last_json_response = None
        return {"id": None}

    def parse(self) -> dict[str, Any]:
        self.last_json_response = None
        raise TypeError("string indices must be integers")

    def bug(self) -> dict[str, Any]:
        raise TypeError("ours")


def test_order_parsed_out_of_no_json_is_unanswered() -> None:
    """F-048: ccxt turns such an answer into an order without an id."""
    client = Unparsed()
    for call in (client.create, client.parse):
        assert isinstance(ask(client, call, writes=True), Unanswered)
        assert isinstance(ask(client, call, writes=False), Unavailable)


def test_our_own_mistake_is_not_blamed_on_the_venue() -> None:
    client = Unparsed()
    with pytest.raises(TypeError, match="ours"):
        ask(client, client.bug, writes=True)
