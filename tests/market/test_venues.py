"""The table of venues and the clients built from it: worlds, passphrase, pages, certificates."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from engine.types.orders import Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask, build_client, is_sandbox
from market.errors import DataError, SourceUnavailable
from market.rate_budget import Clock, SharedBudget
from market.sources.ccxt_poll import CcxtPollSource
from market.venues import KEY_CODES, VENUES, Meaning, venue_of
from tests.practice_process import PracticeProcess, practice_process
from tests.venue_stub import BTC, NOW_MS, Asked, okx, venue_stub

MINUTE_MS = 60_000
SANDBOX_HOST = {
    "binance": "testnet.binance.vision",
    "bybit": "api-testnet.{hostname}",
    "okx": "{hostname}",
}


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_client_of_a_venue_is_ccxts_own_with_spot_markets_only(venue: str) -> None:
    """D-36: options and credentials are set, nothing is subclassed."""
    client = build_client(venue, key="k", secret="s", passphrase="p")
    assert type(client).__module__ == f"ccxt.{venue}"
    assert (client.apiKey, client.password, client.enableRateLimit) == ("k", "p", True)
    assert not is_sandbox(client)
    if venue != "kraken":
        assert client.options["fetchMarkets"]["types"] == ["spot"]
    assert client.options["adjustForTimeDifference"] is (venue != "kraken")


@pytest.mark.parametrize("venue", sorted(SANDBOX_HOST))
def test_sandbox_is_the_venues_own_test_system(venue: str) -> None:
    """F-093: and the live client next to it is untouched."""
    client = build_client(venue, sandbox=True)
    assert is_sandbox(client)
    urls = client.urls["api"]
    spot = urls["private"] if "private" in urls else urls["rest"]
    assert SANDBOX_HOST[venue] in str(spot)
    if venue == "okx":
        assert client.headers["x-simulated-trading"] == "1"
    assert not is_sandbox(build_client(venue))


def test_sandbox_that_is_none_or_meets_our_own_urls_is_refused() -> None:
    """F-093: set_sandbox_mode would put the internet's URLs back over ours."""
    with pytest.raises(DataError, match="kraken has no spot sandbox"):
        build_client("kraken", sandbox=True)
    with pytest.raises(DataError, match="sandbox was true with a practice URL"):
        build_client("binance", sandbox=True, practice_url="http://127.0.0.1:9")


def test_options_of_one_client_are_not_those_of_the_next() -> None:
    first = build_client("binance")
    first.options["fetchMarkets"]["types"].append("swap")
    first.options["recvWindow"] = 1
    assert build_client("binance").options["recvWindow"] == 5000
    assert build_client("binance").options["fetchMarkets"]["types"] == ["spot"]


def test_no_code_means_one_thing_on_one_venue_and_keys_on_another() -> None:
    """F-052: the broker halts by these codes whatever venue they come from."""
    for venue in VENUES.values():
        for code, meaning in venue.meanings.items():
            assert (meaning is Meaning.KEYS) is (code in KEY_CODES), (venue.id, code)


def test_unknown_venue_gets_cautious_limits_and_no_quirk() -> None:
    venue = venue_of("gate")
    limit, cost = venue.limits.of("create_order")
    assert (limit.units, limit.window_s, cost) == (60, 60, 1.0)
    assert (venue.lookup, venue.read_rights) == (("fetch_order",), None)


def test_history_of_a_venue_with_short_pages_has_no_hole() -> None:
    """F-067: okx gives 100 candles of history a page, whatever limit is asked."""
    newest = NOW_MS // MINUTE_MS * MINUTE_MS

    def candles(asked: Asked) -> Any:
        before = int(asked.params.get("before", 0))
        after = int(asked.params.get("after", newest))
        times = range(newest - 700 * MINUTE_MS, newest, MINUTE_MS)
        kept = [at for at in times if before < at < after]
        rows = [[str(at), "1", "2", "0.5", "1.5", "10", "10", "10", "1"] for at in kept[:100]]
        return okx(rows[::-1])

    replies = {
        "api__v5__market__history-candles": candles,
        "api__v5__market__candles": candles,
    }
    with venue_stub("okx", **replies) as stub:
        source = CcxtPollSource(stub.client("okx"), [BTC], "1m")
        source.instruments()
        bars = source.history(BTC, 450)
    assert len(bars) == 450
    assert set(bars.ts_ms[1:] - bars.ts_ms[:-1]) == {MINUTE_MS}
    assert int(bars.ts_ms[-1]) == newest - MINUTE_MS


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path_factory.mktemp("practice")) as process:
        yield process


def test_polling_stops_until_the_silence_is_over_and_says_so(practice: PracticeProcess) -> None:
    """F-049, I-22: the next knock of the scheduler must not ask again."""
    now = {"s": 1_000.0}
    limits = VENUES["binance"].limits
    clock = Clock(lambda: now["s"], lambda seconds: None)
    budget = SharedBudget("unix:///nowhere/redis.sock", limits, "polling", clock=clock)
    source = CcxtPollSource(practice.client(), [BTC], "1m", budget=budget)
    fault = practice.fault("time", "429", retry_after_s=30)

    def asked() -> int:
        faults = practice.admin("GET", "/fault")["faults"]
        return next(int(f["seen"]) for f in faults if f["id"] == fault)

    with pytest.raises(SourceUnavailable, match="429"):
        source.venue_ms()
    assert asked() == 1
    with pytest.raises(SourceUnavailable, match="VENUE_SILENCE: the venue asked for 30"):
        source.venue_ms()
    assert asked() == 1, "nothing left during the silence"
    practice.clear_faults()
    now["s"] += 31
    assert source.venue_ms() > 0


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """A server with a certificate nobody signed, as behind a captive portal."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"serverTime": 1, "orderId": 7, "symbols": []}')

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_address[1], heard
    server.shutdown()
    server.server_close()


def test_wrong_certificate_is_never_talked_past(impostor: tuple[int, list[str]]) -> None:
    """F-064: no insecure fallback; a read is to be asked again, a write may have happened."""
    port, heard = impostor
    client = build_client("binance", key="k", secret="s", practice_url=f"http://127.0.0.1:{port}")
    client.urls["api"] = {
        name: url.replace("http://", "https://") if isinstance(url, str) else url
        for name, url in client.urls["api"].items()
    }
    read = ask(client, client.fetch_time, writes=False)
    assert isinstance(read, Unavailable)
    assert "certificate" in read.reason.lower()
    write = ask(client, lambda: client.private_post_order({"symbol": "BTCUSDT"}), writes=True)
    assert isinstance(write, Unanswered)
    assert heard == [], "not one request was read by the impostor"
