"""Two accounts on one practice exchange: each trades on its own key, books and venue."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from market.practice.venue import OtherAccount
from monitoring.models import Alert, Heartbeat
from tests.local_venue import KEY, SECRET, LocalVenue
from tests.trades.order_factory import make_intent, write_intent
from tests.trades.rows import make_lot, make_run
from tradeplatform.configuration import Configuration, Exchange, Trading, load_accounts
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from tradeplatform.several_accounts import end_removed_accounts
from tradeplatform.venue import venue_client
from tradeplatform.watch import loop_component
from trades.errors import RunRefused
from trades.lease import Fence, lease_acquire
from trades.models import Fill, Lease, Order, TradingRun
from trades.queues import runs_by_queue
from trades.runner import RunningSession
from trades.services import control_set

pytestmark = pytest.mark.django_db(transaction=True)
SECOND_KEY, SECOND_SECRET = "key-of-second", "secret-of-second"
FILE = """
trading: {symbols: [BTC/USDT]}
accounts:
  main: {}
  second: {trading: {cash: 5000}, risk: {max_day_loss: 0.02}}
"""


@dataclass
class House:
    """The venue, the file, and which accounts' connections are dead."""

    venue: LocalVenue
    path: Path
    dead: set[str] = field(default_factory=set)
    keys: dict[str, set[str]] = field(default_factory=dict)

    @property
    def accounts(self) -> tuple[Configuration, ...]:
        return load_accounts(self.path)

    def client(self, config: Configuration) -> Any:
        """Return the client the product builds, its wire laid into this process."""
        client, account = venue_client(config), config.exchange.account
        client.session.mount("http://", _Wire(self, account))
        return client


class _Wire(requests.adapters.BaseAdapter):
    """The wire of one account; it notes which keys go over it."""

    def __init__(self, house: House, account: str) -> None:
        super().__init__()
        self._house, self._account = house, account

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        if self._account in self._house.dead:
            raise requests.exceptions.ConnectionError("the venue is gone")
        if key := request.headers.get("X-MBX-APIKEY"):
            self._house.keys.setdefault(self._account, set()).add(key)
        return self._house.venue.send(request)

    def close(self) -> None:
        return None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[House]:
    other = OtherAccount("second", SECOND_KEY, SECOND_SECRET, Decimal(5000))
    (tmp_path / "config.yaml").write_text(FILE)
    found = House(LocalVenue(tmp_path / "venue", others=[other]), tmp_path / "config.yaml")
    settings.CONFIG_FILE = str(found.path)
    settings.PRACTICE_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    for ending, pair in (("", (KEY, SECRET)), ("__SECOND", (SECOND_KEY, SECOND_SECRET))):
        for word, value in zip(("KEY", "SECRET"), pair, strict=True):
            monkeypatch.setenv(f"TRADEPLATFORM_EXCHANGE_{word}{ending}", value)
    for module in ("run_setup", "running"):
        monkeypatch.setattr(f"tradeplatform.{module}.venue_client", found.client)
    yield found
    found.venue.venue.close()


def opened(house: House) -> tuple[TradingRun, TradingRun]:
    main, second = house.accounts
    first = run_ensure(main, actor="test")
    return first, run_ensure(second, actor="test", shared=main)


def fence_of(run: TradingRun) -> Fence:
    fence = lease_acquire(
        run=run, holder=f"worker of {run.account}", code_version=django_settings.CODE_VERSION
    )
    assert fence is not None
    return fence


def started(run: TradingRun) -> RunningSession:
    return running_session(run, fence_of(run))


def bought(session: RunningSession, run: TradingRun, quantity: str) -> Any:
    """Send one market order down the session's own order path."""
    intent = make_intent(quantity=quantity)
    write_intent(run, intent)
    broker = session._reconciler._broker  # type: ignore[attr-defined]
    return broker.send(intent)


def test_two_accounts_trade_side_by_side_on_their_own_keys_and_books(house: House) -> None:
    """D-59, I-3: own cash, lease, orders, fills and heartbeat; keys never cross."""
    main, second = opened(house)
    assert (main.account, main.starting_cash_quote) == ("main", Decimal(10_000))
    assert (second.account, second.starting_cash_quote) == ("second", Decimal(5_000))
    assert [queue for _, _, queue in runs_by_queue()] == ["trading", "trading.second"]
    sessions = {run: started(run) for run in (main, second)}
    house.venue.step()
    for run, session in sessions.items():
        assert session.advance().outcome == "advanced"
        bought(session, run, "0.00200" if run is main else "0.00100")
    house.venue.step()
    assert [session.advance().outcome for session in sessions.values()] == ["advanced"] * 2
    assert house.keys == {"main": {KEY}, "second": {SECOND_KEY}}
    held = {}
    for run in (main, second):
        (fill,) = Fill.objects.filter(run=run)
        ledger = house.venue.venue.named("" if run is main else "second").ledger
        assert [str(f.trade_id) for f in ledger.fills()] == [fill.trade_id]
        held[run.account] = ledger.balance("BTC").free
        assert Heartbeat.objects.filter(component=loop_component(run)).exists()
        assert Lease.objects.get(run=run).holder == f"worker of {run.account}"
    assert held == {"main": Decimal("0.00200"), "second": Decimal("0.00100")}
    # neither found an order of the other's at its venue account
    assert not Alert.objects.filter(code__startswith="EXTERNAL").exists()


def test_a_dead_venue_of_one_account_stops_that_account_and_no_other(house: House) -> None:
    """F-051, D-59: the other goes on deciding and its orders go on leaving."""
    main, second = opened(house)
    sessions = {run.account: started(run) for run in (main, second)}
    house.venue.step()
    house.dead.add("second")
    assert sessions["second"].advance().outcome == "venue unavailable"
    assert sessions["main"].advance().outcome == "advanced"
    bought(sessions["main"], main, "0.00200")
    (order,) = house.venue.venue.ledger.orders()
    assert (order.status, order.client_id) == ("FILLED", Order.objects.get().client_order_id)
    alert = Alert.objects.get(code="VENUE_UNAVAILABLE", resolved_at=None)
    assert alert.run_code == str(second.code)
    assert alert.text.startswith("account second: the venue does not answer")
    house.dead.clear()
    assert sessions["second"].advance().outcome == "advanced"
    assert not Alert.objects.filter(code="VENUE_UNAVAILABLE", resolved_at=None).exists()


def test_a_halted_account_sends_nothing_while_the_other_does(house: House) -> None:
    """CTL-13, I-9, D-59: down to the wire, and both once everything is halted."""
    main, second = opened(house)
    sessions = {run.account: started(run) for run in (main, second)}
    house.venue.step()
    for session in sessions.values():
        session.advance()

    def codes() -> list[str]:
        answers = [bought(sessions[r.account], r, "0.00200") for r in (main, second)]
        return [getattr(answer, "code", "sent") for answer in answers]

    control_set(scope="account:second", state="HALTED", actor="olga", reason="a look")
    assert codes() == ["sent", "HALTED"]
    control_set(scope="global", state="HALTED", actor="olga", reason="a look")
    assert codes() == ["HALTED", "HALTED"]
    ledgers = house.venue.venue.ledgers()
    assert [len(ledger.orders()) for ledger in ledgers.values()] == [1, 0]


def ensure(*arguments: str) -> tuple[int, str]:
    told = io.StringIO()
    try:
        call_command("ensure_run", *arguments, stderr=told)
    except CommandError as error:
        return error.returncode, f"{told.getvalue()}{error}"
    return 0, told.getvalue()


def test_a_venue_that_is_away_at_the_start_keeps_no_other_account_closed(house: House) -> None:
    """D-59: 1 says "try again", which the supervisor does; 2 would stop everything."""
    house.dead.add("main")
    code, said = ensure()
    assert code == 1 and "account=second" in said
    assert [run.account for run in TradingRun.objects.all()] == ["second"]
    house.dead.clear()
    code, said = ensure("--account", "main")
    assert code == 0 and "account=main" in said
    assert [name for _, name, _ in runs_by_queue()] == ["second", "main"]
    assert ensure("--account", "third") == (2, "account was 'third', allowed: main, second")


def test_accounts_with_one_key_are_refused_before_anything_opens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-59."""
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY__SECOND", KEY)
    code, said = ensure()
    assert code == 2 and "accounts main and second had the same key of practice" in said
    assert not TradingRun.objects.exists()


@pytest.mark.parametrize("holds", [False, True])
def test_a_removed_account_ends_unless_it_holds_something(holds: bool) -> None:
    """D-59: nobody would look after what it holds; main's run is not touched."""
    main = make_run(venue="practice")
    apart = {"accounts": {"second": {}}}
    second = make_run(venue="kraken", mode="paper", account="second", config=apart)
    Heartbeat.objects.create(
        component=loop_component(second), at=second.started_at, expected_every_s=10.0
    )
    if holds:
        make_lot(second)
        with pytest.raises(RunRefused, match=r"account second .* has 1 open lots and 0 orders"):
            end_removed_accounts([Configuration()], actor="test")
    else:
        assert end_removed_accounts([Configuration()], actor="test") == [second]
        assert not Heartbeat.objects.exists()
    second.refresh_from_db()
    main.refresh_from_db()
    assert (second.ended_at is None) is holds
    assert main.ended_at is None


@pytest.mark.parametrize("holds", [False, True])
def test_an_only_account_that_was_renamed_ends_unless_it_holds_something(holds: bool) -> None:
    """D-59: the run of its old name would keep the venue's account from that of its new one."""
    old, elsewhere = make_run(venue="kraken", mode="live"), make_run(venue="binance", mode="paper")
    Heartbeat.objects.create(component="trading", at=old.started_at, expected_every_s=10.0)
    renamed = Configuration(
        exchange=Exchange(id="kraken", account="trend"), trading=Trading(mode="live")
    )
    if holds:
        make_lot(old)
        with pytest.raises(RunRefused, match=r"account main of kraken .* has 1 open lots"):
            end_removed_accounts([renamed], actor="test")
    else:
        assert end_removed_accounts([renamed], actor="test") == [old]
        # the worker of its queue goes on with the other's run
        assert Heartbeat.objects.exists()
    for run in (old, elsewhere):
        run.refresh_from_db()
    assert (old.ended_at is None) is holds
    assert elsewhere.ended_at is None


def test_another_practice_market_refuses_no_start() -> None:
    """D-59: what a practice account held on the market of before is no reason to stay closed."""
    apart = {"accounts": {"second": {}}}
    second = make_run(venue="practice-of-before", account="second", config=apart)
    make_lot(second)
    here = msgspec.structs.replace(
        Configuration(), exchange=Exchange(account="second"), accounts={"second": {}}
    )
    assert end_removed_accounts([Configuration(), here], actor="test") == []
    assert end_removed_accounts([Configuration()], actor="test") == [second]
