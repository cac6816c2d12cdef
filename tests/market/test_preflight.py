"""Each check of the venue, against the practice exchange or a stub with the fault in question."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from market.preflight import (
    SWEEP_EVERY_S,
    Finding,
    OrderSizes,
    Subject,
    Verdict,
    least_notional,
    private_demand_per_minute,
    private_supply_per_minute,
    venue_findings,
)
from market.rate_budget import NO_BUDGET, Urgency
from market.sources.instruments import instrument_for
from market.venues import VENUES
from tests.practice_process import PracticeProcess, practice_process
from tests.venue_stub import NOW_MS, VenueStub, bybit, kraken, okx, venue_stub
from trades.brokers import ccxt_live
from trades.reconcile import Patience

SIZES = OrderSizes(Decimal("0.05"), None, Decimal("0.1"))
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path_factory.mktemp("practice")) as process:
        yield process


@pytest.fixture
def practice(running: PracticeProcess) -> PracticeProcess:
    running.clear_faults()
    good = {"reading": True, "trading": True, "withdrawals": False, "bound_to_addresses": True}
    running.admin("POST", "/rights", good)
    return running


def subject(client: Any, **changes: Any) -> Subject:
    usual = Subject(
        client=client,
        venue=VENUES[client.id],
        budget=NO_BUDGET,
        symbols=SYMBOLS,
        sizes=SIZES,
        needs_key=True,
        wants_sandbox=False,
        is_virtual_clock=True,
    )
    return dataclasses.replace(usual, **changes)


def found(client: Any, **changes: Any) -> dict[str, Finding]:
    findings = venue_findings(subject(client, **changes))
    assert len({f.name for f in findings}) == len(findings)
    for finding in findings:
        needs_fix = finding.verdict in (Verdict.RED, Verdict.AMBER)
        assert bool(finding.fix) is needs_fix, finding
    return {finding.name: finding for finding in findings}


def reds(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.verdict is Verdict.RED}


def test_good_account_has_no_red(practice: PracticeProcess) -> None:
    """SEC-30, CTL-18."""
    findings = found(practice.client())
    assert reds(findings) == set()
    assert findings["key"].detail == "may read and trade, may not withdraw"
    assert findings["minimum_sizes"].verdict is Verdict.GREEN


def test_key_that_may_withdraw_is_red_whatever_else_it_may(practice: PracticeProcess) -> None:
    """SEC-30."""
    practice.admin("POST", "/rights", {"withdrawals": True})
    findings = found(practice.client())
    assert reds(findings) == {"key"}
    assert "without the right to withdraw" in findings["key"].fix


def test_key_that_may_not_trade_is_red_and_an_unbound_one_amber(practice: PracticeProcess) -> None:
    """SEC-30, F-052."""
    practice.admin("POST", "/rights", {"trading": False})
    assert found(practice.client())["key"].detail == "the key may not trade"
    practice.admin("POST", "/rights", {"trading": True, "bound_to_addresses": False})
    assert found(practice.client())["key"].verdict is Verdict.AMBER


def test_refused_keys_are_red_for_key_and_balance(practice: PracticeProcess) -> None:
    """F-052."""
    practice.fault("auth", "auth_off")
    assert reds(found(practice.client())) == {"key", "balance"}


def test_missing_key_is_red_and_paper_needs_none(practice: PracticeProcess) -> None:
    client = practice.client(key="", secret="")
    assert "key" in reds(found(client))
    assert found(client, needs_key=False)["key"].verdict is Verdict.SKIPPED


def test_unreachable_venue_is_one_red_and_not_six(practice: PracticeProcess) -> None:
    practice.fault("time", "5xx")
    findings = found(practice.client())
    assert reds(findings) == {"reachable"}
    assert findings["balance"].verdict is Verdict.SKIPPED


def test_unlisted_and_halted_symbols_are_red_by_name(practice: PracticeProcess) -> None:
    """F-054, F-055."""
    finding = found(practice.client(), symbols=("BTC/USDT", "NOPE/USDT"))["filters"]
    assert (finding.verdict, "NOPE/USDT" in finding.detail) == (Verdict.RED, True)
    practice.admin("POST", "/instrument", {"symbol": "ETH/USDT", "halted": True})
    try:
        finding = found(practice.client())["filters"]
        assert finding.detail == "ETH/USDT is not open for trading"
    finally:
        practice.admin("POST", "/instrument", {"symbol": "ETH/USDT", "halted": False})


@pytest.mark.parametrize(
    ("fraction", "verdict"),
    [("0.05", Verdict.GREEN), ("0.003", Verdict.AMBER), ("0.0003", Verdict.RED)],
)
def test_order_that_would_never_pass_the_venues_minimum_is_red(
    practice: PracticeProcess, fraction: str, verdict: Verdict
) -> None:
    """CTL-1: 500, 30 and 3 quote on a venue that takes 5 and more."""
    sizes = dataclasses.replace(SIZES, base_fraction=Decimal(fraction))
    assert found(practice.client(), sizes=sizes)["minimum_sizes"].verdict is verdict


def test_least_notional_is_a_whole_lot_at_or_above_every_minimum() -> None:
    instrument = dataclasses.replace(
        instrument_for("BTC/USDT"),
        lot_size=Decimal("0.001"),
        min_quantity_base=Decimal("0.001"),
        min_notional_quote=Decimal(5),
    )
    assert least_notional(instrument, Decimal(50_000)) == Decimal(50)
    assert least_notional(instrument, Decimal(3_000)) == Decimal(6)


class Silent:
    """A budget in a venue's bad books."""

    def gate(self, call: str, urgency: Urgency) -> Any:
        return NO_BUDGET.gate(call, urgency)

    def wait_s(self, call: str, urgency: Urgency) -> float:
        return 3.0

    def silence_s(self) -> float:
        return 0.0


def test_spent_budget_is_amber(practice: PracticeProcess) -> None:
    assert found(practice.client(), budget=Silent())["rate_budget"].verdict is Verdict.AMBER


@pytest.mark.parametrize(
    ("venue", "n_symbols", "fits"),
    [("binance", 20, True), ("kraken", 1, True), ("kraken", 2, False), ("bybit", 20, True)],
)
def test_more_symbols_than_the_budget_can_look_after_are_amber(
    venue: str, n_symbols: int, fits: bool
) -> None:
    """CTL-6, I-22: said before the first run, not found out by it."""
    row = VENUES[venue]
    asked, given = private_demand_per_minute(row, n_symbols), private_supply_per_minute(row)
    assert (asked <= given) is fits


def test_the_demand_is_that_of_the_order_path() -> None:
    assert SWEEP_EVERY_S == ccxt_live.SWEEP_EVERY_S == Patience().every_s


@pytest.mark.parametrize(
    ("skew_ms", "verdict"), [(0, Verdict.GREEN), (-2_000, Verdict.AMBER), (9_000, Verdict.RED)]
)
def test_clock_more_than_five_seconds_off_is_red(skew_ms: int, verdict: Verdict) -> None:
    """CTL-12, F-058."""
    with venue_stub("binance") as stub:
        wall = NOW_MS + skew_ms
        findings = found(stub.client("binance"), is_virtual_clock=False, wall_ms=lambda: wall)
    assert findings["clock"].verdict is verdict


def test_client_of_the_other_world_is_red() -> None:
    """F-093: configured sandbox, talking to the live venue."""
    with venue_stub("binance") as stub:
        assert "sandbox" in reds(found(stub.client("binance"), wants_sandbox=True))


def bybit_key(stub: VenueStub, *wallet: str) -> None:
    permissions = {"Spot": ["SpotTrade"], "Wallet": list(wallet)}
    stub.replies["/v5/user/query-api"] = bybit(
        {"readOnly": 0, "permissions": permissions, "ips": ["*"], "uta": 1, "unified": 0}
    )


@pytest.mark.parametrize("withdraws", [False, True])
@pytest.mark.parametrize("venue", ["bybit", "kraken", "okx"])
def test_right_to_withdraw_is_found_in_each_venues_own_words(venue: str, withdraws: bool) -> None:
    """SEC-30."""
    kraken_rights = ["query-funds", "query-open-trades", "query-closed-trades"]
    kraken_rights += ["modify-trades", "close-trades"] + ["withdraw-funds"] * withdraws
    perm = "read_only,trade" + ",withdraw" * withdraws
    with venue_stub(venue) as stub:
        bybit_key(stub, *["Withdraw"] * withdraws)
        stub.replies["/0/private/GetApiKeyInfo"] = kraken({"permissions": kraken_rights})
        stub.replies["/api/v5/account/config"] = okx([{"perm": perm, "ip": ""}])
        finding = found(stub.client(venue))["key"]
    assert finding.verdict is (Verdict.RED if withdraws else Verdict.AMBER), finding
    assert ("withdraw" in finding.detail) is withdraws
