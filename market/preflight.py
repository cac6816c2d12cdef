"""What must be true of a venue before money depends on it: one finding a check, with its fix.

Nothing here sends an order or changes anything; every call is a read through the shared budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from engine.types.bars import Instrument
from engine.types.orders import Rejection, Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask, is_sandbox
from market.errors import DataError
from market.key_rights import Rights
from market.rate_budget import Allowance, Budget, Urgency
from market.sources.ccxt_poll import instrument_of
from market.venues import Venue

T = TypeVar("T")
CLOCK_WARN_MS, CLOCK_STOP_MS = 1_000, 5_000
SLOW_MS = 1_000
# How often the order path asks for open orders, trades and balances where nothing happens.
SWEEP_EVERY_S = 30.0
ZERO = Decimal(0)


class Verdict(StrEnum):
    GREEN = "green"
    AMBER = "amber"
    """Trading works, and somebody should know."""
    RED = "red"
    """Trading would fail, or money would be at risk."""
    SKIPPED = "skipped"
    """The question does not arise here; the detail says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer; whatever is not green says in ``fix`` what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class OrderSizes:
    """What the risk settings make of an account, for the check of minimum sizes.

    ``base_fraction`` of equity is an order's usual notional before the multiplier (D-20),
    ``smallest_multiplier`` the least the optimization layer may apply.
    """

    base_fraction: Decimal
    ceiling_quote: Decimal | None
    smallest_multiplier: Decimal


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. No symbols: all that the venue lists. ``is_virtual_clock``: the venue's
    time is not the world's (practice). ``key_names`` are the variables of key, secret and
    passphrase, as a person would set them."""

    client: Any
    venue: Venue
    budget: Budget
    symbols: Sequence[str]
    sizes: OrderSizes
    needs_key: bool
    wants_sandbox: bool
    is_virtual_clock: bool = False
    key_names: tuple[str, str, str] = (
        "TRADEPLATFORM_EXCHANGE_KEY",
        "TRADEPLATFORM_EXCHANGE_SECRET",
        "TRADEPLATFORM_EXCHANGE_PASSPHRASE",
    )
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


def venue_findings(subject: Subject) -> list[Finding]:
    """Return the findings in the order a person would ask for them.

    Where the venue cannot be reached the rest is skipped: a row of reds would hide the one cause.
    """
    findings = [_sandbox(subject)]
    reached, clock = _reachable_and_clock(subject)
    findings.append(reached)
    if reached.verdict is Verdict.RED:
        names = ("clock", "key", "rate_budget", "filters", "balance", "minimum_sizes")
        return findings + [
            Finding(name, Verdict.SKIPPED, "the venue was not reached") for name in names
        ]
    findings += [clock, _key(subject)]
    listed, instruments = _filters(subject)
    findings.append(_rate_budget(subject, len(instruments)))
    balance, held = _balance(subject, instruments)
    return [*findings, listed, balance, _minimum_sizes(subject, instruments, held)]


def _read(subject: Subject, name: str, call: Callable[[], T]) -> T | str:
    """Return the answer, or in one line why there was none."""
    gate = subject.budget.gate(name, Urgency.POLL)
    answer = ask(subject.client, call, writes=False, gate=gate)
    if isinstance(answer, Unavailable):
        return f"{answer.code}: {answer.reason}"
    if isinstance(answer, Rejection):
        return f"{answer.code}: {answer.message}"
    return answer.reason if isinstance(answer, Unanswered) else answer


def _sandbox(subject: Subject) -> Finding:
    name, actual = "sandbox", is_sandbox(subject.client)
    if actual is not subject.wants_sandbox:
        wanted, is_now = ("sandbox", "live") if subject.wants_sandbox else ("live", "sandbox")
        text = f"the client leads to the {is_now} venue, configured was the {wanted} one"
        return Finding(name, Verdict.RED, text, "Set exchange.sandbox to what you mean.")
    where = "the venue's sandbox" if actual else "no sandbox"
    return Finding(name, Verdict.GREEN, f"{where}, as configured")


def _reachable_and_clock(subject: Subject) -> tuple[Finding, Finding]:
    before_ms = subject.wall_ms()
    answer = _read(subject, "fetch_time", subject.client.fetch_time)
    after_ms = subject.wall_ms()
    if isinstance(answer, str):
        fix = (
            "Check the network, the venue's status page and whether it serves your country; a"
            " silence it asked for ends by itself."
        )
        return Finding("reachable", Verdict.RED, answer, fix), Finding("clock", Verdict.SKIPPED, "")
    took_ms = after_ms - before_ms
    verdict = Verdict.AMBER if took_ms > SLOW_MS else Verdict.GREEN
    fix = "Run the platform nearer to the venue." if verdict is Verdict.AMBER else ""
    reached = Finding("reachable", verdict, f"answered in {took_ms} ms", fix)
    return reached, _clock(subject, int(answer), before_ms, after_ms)


def _clock(subject: Subject, venue_ms: int, before_ms: int, after_ms: int) -> Finding:
    """Compare the clocks; the answer was given somewhere between question and answer (CTL-12)."""
    if subject.is_virtual_clock:
        return Finding("clock", Verdict.SKIPPED, "the practice exchange's clock is virtual")
    skew_ms = max(before_ms - venue_ms, venue_ms - after_ms, 0)
    text = f"our clock is at least {skew_ms} ms off the venue's"
    fix = "Turn on time synchronisation (timedatectl set-ntp true)."
    if skew_ms > CLOCK_STOP_MS:
        return Finding("clock", Verdict.RED, f"{text}, allowed: {CLOCK_STOP_MS} ms", fix)
    if skew_ms > CLOCK_WARN_MS:
        return Finding("clock", Verdict.AMBER, f"{text}, good: {CLOCK_WARN_MS} ms", fix)
    return Finding("clock", Verdict.GREEN, text)


def _key(subject: Subject) -> Finding:
    """Say what the key may do; one that may withdraw is refused (SEC-30)."""
    if not subject.needs_key:
        return Finding("key", Verdict.SKIPPED, "paper trading needs no key")
    if not subject.client.check_required_credentials(False):
        needed = subject.key_names if subject.venue.has_passphrase else subject.key_names[:2]
        return Finding("key", Verdict.RED, "no key is set", f"Set {' and '.join(needed)}.")
    if subject.wants_sandbox and not subject.venue.sandbox_tells_rights:
        return Finding("key", Verdict.SKIPPED, "the sandbox does not tell what a key may do")
    rights = rights_of(subject.client, subject.venue, subject.budget)
    if rights is None:
        text = f"{subject.venue.id} is not in the table of venues, the key's rights are not known"
        return Finding("key", Verdict.AMBER, text, "Look at the venue that it may not withdraw.")
    if isinstance(rights, str):
        fix = (
            "Check key, secret, the addresses it is bound to, and that it may read its own rights."
        )
        return Finding("key", Verdict.RED, rights, fix)
    return _judged(rights)


def rights_of(client: Any, venue: Venue, budget: Budget) -> Rights | str | None:
    """Return what the key may do, one line where the venue did not say, None where it cannot."""
    if venue.read_rights is None:
        return None
    gate = budget.gate("key_rights", Urgency.POLL)
    answer = ask(client, getattr(client, venue.rights_call), writes=False, gate=gate)
    if isinstance(answer, Unavailable):
        return f"{answer.code}: {answer.reason}"
    if isinstance(answer, Rejection):
        return f"{answer.code}: {answer.message}"
    return answer.reason if isinstance(answer, Unanswered) else venue.read_rights(answer)


def _judged(rights: Rights) -> Finding:
    if rights.may_withdraw:
        text = "the key may withdraw: whoever steals it takes the money"
        return Finding("key", Verdict.RED, text, "Make a new key without the right to withdraw.")
    if not rights.may_trade or not rights.may_read:
        lacking = "trade" if rights.may_read else "read the account"
        return Finding(
            "key", Verdict.RED, f"the key may not {lacking}", "Give it spot trading and reading."
        )
    if not rights.is_bound_to_addresses:
        text = "the key may read and trade, from any address"
        return Finding("key", Verdict.AMBER, text, "Bind it to this machine's address.")
    return Finding("key", Verdict.GREEN, "may read and trade, may not withdraw")


def _rate_budget(subject: Subject, n_symbols: int) -> Finding:
    silence_s = subject.budget.silence_s()
    if silence_s > 0:
        text = f"the venue asked for {silence_s:.0f} s of silence"
        return Finding("rate_budget", Verdict.RED, text, "Wait; nothing is sent before it is over.")
    wait_s = subject.budget.wait_s("create_order", Urgency.ENTRY)
    if wait_s > 0:
        text = f"spent, room for an entry in {wait_s:.1f} s"
        fix = "Trade fewer symbols or a longer timeframe on this account."
        return Finding("rate_budget", Verdict.AMBER, text, fix)
    demand = private_demand_per_minute(subject.venue, n_symbols)
    supply = private_supply_per_minute(subject.venue)
    text = f"{n_symbols} symbols ask about {demand:.0f} of {supply:.0f} a minute"
    if demand > supply:
        fix = "Trade fewer symbols on this account."
        return Finding("rate_budget", Verdict.AMBER, text, fix)
    return Finding("rate_budget", Verdict.GREEN, f"has room: {text}")


def private_demand_per_minute(venue: Venue, n_symbols: int) -> float:
    """Return what quiet trading asks about the account: open orders and trades of each symbol,
    and the balances, once a sweep."""
    limits = venue.limits
    each = limits.of("fetch_open_orders")[1] + limits.of("fetch_my_trades")[1]
    balances = limits.of("fetch_balance")[1]
    return (n_symbols * each + balances) * 60 / SWEEP_EVERY_S


def private_supply_per_minute(venue: Venue) -> float:
    """Return what our share of the published limit leaves for such questions."""
    limit, _ = venue.limits.of("fetch_balance")
    return Allowance.of(limit).per_s * 60


def _filters(subject: Subject) -> tuple[Finding, dict[str, Instrument]]:
    markets = _read(subject, "load_markets", subject.client.load_markets)
    if isinstance(markets, str):
        return Finding("filters", Verdict.RED, markets, "Try again when the venue answers."), {}
    found: dict[str, Instrument] = {}
    problems: list[str] = []
    for symbol in subject.symbols or sorted(markets):
        try:
            found[symbol] = instrument_of(markets, symbol)
        except DataError as error:
            problems.append(str(error))
            continue
        if markets[symbol].get("active") is False:
            problems.append(f"{symbol} is not open for trading")
        if found[symbol].min_notional_quote <= 0 and found[symbol].min_quantity_base <= 0:
            problems.append(f"{symbol} has no minimum size")
    if problems:
        fix = "Correct trading.symbols in the configuration."
        return Finding("filters", Verdict.RED, "; ".join(problems), fix), found
    return Finding("filters", Verdict.GREEN, f"{len(found)} symbols with tick, lot, minimum"), found


def _balance(
    subject: Subject, instruments: dict[str, Instrument]
) -> tuple[Finding, Decimal | None]:
    """Return the finding and the free quote currency, None where it is not known."""
    if not subject.needs_key:
        return Finding("balance", Verdict.SKIPPED, "paper trading has cash of its own"), None
    answer = _read(subject, "fetch_balance", subject.client.fetch_balance)
    if isinstance(answer, str):
        return Finding("balance", Verdict.RED, answer, "See the finding about the key."), None
    if not instruments:
        return Finding("balance", Verdict.GREEN, "readable"), None
    quote = next(iter(instruments.values())).quote
    total = Decimal(str(answer["total"].get(quote) or 0))
    if total <= 0:
        fix = f"Deposit {quote}, or sell what the account holds."
        return Finding("balance", Verdict.RED, f"the account holds no {quote}", fix), total
    return Finding("balance", Verdict.GREEN, f"{total:f} {quote}"), total


def _minimum_sizes(
    subject: Subject, instruments: dict[str, Instrument], held: Decimal | None
) -> Finding:
    """Compare the order the risk settings would make with the least the venue takes."""
    name = "minimum_sizes"
    if held is None or not instruments:
        return Finding(name, Verdict.SKIPPED, "balance or filters are not known")
    usual = held * subject.sizes.base_fraction
    if subject.sizes.ceiling_quote is not None:
        usual = min(usual, subject.sizes.ceiling_quote)
    never: list[str] = []
    sometimes: list[str] = []
    for symbol, instrument in instruments.items():
        ticker = _read(subject, "fetch_ticker", partial(subject.client.fetch_ticker, symbol))
        if isinstance(ticker, str) or not ticker.get("last"):
            text = f"{symbol}: {ticker if isinstance(ticker, str) else 'no last price'}"
            return Finding(name, Verdict.AMBER, text, "Run preflight again.")
        least = least_notional(instrument, Decimal(str(ticker["last"])))
        if usual < least:
            never.append(f"{symbol} takes {least:.2f} or more")
        elif usual * subject.sizes.smallest_multiplier < least:
            sometimes.append(symbol)
    if never:
        text = f"an order would be {usual:.2f}, and {'; '.join(never)}"
        fix = "Deposit more, raise risk.max_position_size, or drop the symbol."
        return Finding(name, Verdict.RED, text, fix)
    if sometimes:
        text = f"an order of {usual:.2f} passes, the smallest multiplier's does not: "
        fix = "Expect held-back entries while the layer scales down, or deposit more."
        return Finding(name, Verdict.AMBER, text + ", ".join(sometimes), fix)
    return Finding(name, Verdict.GREEN, f"an order of {usual:.2f} passes on every symbol")


def least_notional(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the least an order at ``price`` may be worth, rounded up to a whole lot."""
    wanted = max(instrument.min_notional_quote / price, instrument.min_quantity_base)
    lots = (wanted / instrument.lot_size).to_integral_value(rounding=ROUND_CEILING)
    return lots * instrument.lot_size * price
