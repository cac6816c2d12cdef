"""The venue put together: clock, tape, exchange, ledger, faults, keys. Still no network."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from zlib import crc32

from engine.matching import FeeIn
from market.errors import DataError
from market.practice.clock import VirtualClock
from market.practice.exchange import Exchange, Report
from market.practice.faults import Faults
from market.practice.ledger import Ledger
from market.practice.problems import VenueError, bad_key, bad_signature, bad_timestamp
from market.practice.tape import Tape

DEFAULT_RECV_WINDOW_MS = 5_000
MAX_RECV_WINDOW_MS = 60_000
_REMEMBERED_SYNCS = 64
_REMEMBERED_BIRTHS = 10_000
WARMUP_BARS = 3_000
UPDATES_PER_STEP = 100
# together below 2**53, which every client can read
_NUMBERED_ACCOUNTS, _IDS_OF_AN_ACCOUNT = 9_000, 10**12


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What the account's keys may do; a test may take a right away or add one."""

    reading: bool = True
    trading: bool = True
    withdrawals: bool = False
    bound_to_addresses: bool = True


@dataclass(frozen=True, slots=True)
class OtherAccount:
    """An account beside the first: a key, and a ledger of its own that begins with its cash."""

    name: str
    key: str
    secret: str
    cash_quote: Decimal


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """How one practice venue is run. ``cash_quote`` is given once, in every quote asset.

    ``keys`` are those of the first account.
    """

    state: Path
    seed: int = 1
    speed: float = 1.0
    cash_quote: Decimal = Decimal(10_000)
    fee_in: FeeIn = FeeIn.QUOTE
    warmup_bars: int = WARMUP_BARS
    keys: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[OtherAccount] = ()


class Venue:
    """Serves requests through ``exchange`` and advances through ``step``.

    Every account sees one market, clock and set of faults, and has orders and balances of its own:
    ``ledger`` and ``exchange`` are the first account's, ``seen_by`` returns the venue as another
    one sees it.

    Raises:
        DataError: the state folder belongs to another market.
    """

    account = ""

    def __init__(
        self,
        settings: VenueSettings,
        tape: Tape,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        settings.state.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.tape = tape
        self.faults = Faults(settings.seed)
        self.ledger = Ledger(settings.state / "practice.sqlite3")
        self.monotonic = monotonic
        self.wall_ms = wall_ms
        self._syncs: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED_SYNCS)
        self.born_wall_s: dict[int, float] = {}
        self.rights = KeyRights()
        close_ms = self._resume()
        beside = {one.name: self._ledger_beside(one, close_ms) for one in settings.others}
        self.clock = VirtualClock(
            monotonic,
            close_ms,
            tape.next_close_ms(close_ms),
            settings.speed,
            floor_ms=max(ledger.last_ts_ms() for ledger in (self.ledger, *beside.values())),
        )
        self.exchange = self._exchange(self.ledger)
        self._others = {name: self._beside(name, ledger) for name, ledger in beside.items()}

    def step(self) -> dict[str, list[Report]] | None:
        """Close the next bar: match, commit, move the clock. None where the data has ended.

        Returns what happened to the orders of each account. The first account's ledger has the
        clock and is committed last: a venue that dies in between closes the bar again, and the
        ledgers that have it already leave it out.
        """
        close_ms = self.clock.next_close_ms
        if close_ms is None:
            return None
        told = {
            name: other.exchange.step(close_ms)
            for name, other in self._others.items()
            if int(other.ledger.meta("close_ms") or 0) < close_ms
        }
        told[self.account] = self.exchange.step(close_ms)
        self.clock.stepped(close_ms, self.tape.next_close_ms(close_ms))
        return told

    def seen_by(self, api_key: str) -> Venue:
        """Return the venue as the account of a key sees it; the first one's for any other key."""
        return self.named(
            next((one.name for one in self.settings.others if one.key == api_key), "")
        )

    def named(self, account: str) -> Venue:
        """Return the venue as one account sees it, the first where no name is given.

        Raises:
            ValueError: there is no such account.
        """
        if not account:
            return self
        if account not in self._others:
            allowed = ", ".join(self._others) or "none beside the first"
            raise ValueError(f"account was {account!r}, allowed: {allowed}")
        return self._others[account]

    def grant(self, rights: KeyRights) -> None:
        """Change what the keys of every account may do."""
        for venue in (self, *self._others.values()):
            venue.rights = rights

    def ledgers(self) -> dict[str, Ledger]:
        """Return each account's ledger; the first one's has no name."""
        return {"": self.ledger, **{name: other.ledger for name, other in self._others.items()}}

    def close(self) -> None:
        for ledger in self.ledgers().values():
            ledger.close()

    def now_ms(self) -> int:
        """Return the venue's time as clients see it (a clock fault moves it)."""
        return self.clock.now_ms() + self.clock_offset_ms()

    def clock_offset_ms(self) -> int:
        fault = self.faults.fire("time", {"clock_offset"})
        return int(fault.number("ms", 0)) if fault else 0

    def issue_time(self) -> int:
        """Return the venue's time and remember when it was told, see ``check_timestamp``."""
        now_ms = self.clock.now_ms()
        self._syncs.append((self.wall_ms(), now_ms))
        return now_ms + self.clock_offset_ms()

    def update_id(self, close_ms: int) -> int:
        """Return the order book's update id after the bar closed: grows by a fixed step a bar."""
        return close_ms // self.tape.timeframe_ms * UPDATES_PER_STEP

    def check_signed(self, api_key: str, payload: str, signature: str) -> None:
        """Raise VenueError unless ``signature`` is the key's HMAC-SHA256 over ``payload``."""
        if self.faults.fire("auth", {"auth_off"}):
            raise bad_key()
        secret = self._keys().get(api_key)
        if secret is None:
            raise bad_key()
        wanted = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, signature):
            raise bad_signature()

    def check_key(self, api_key: str) -> None:
        if self.faults.fire("auth", {"auth_off"}) or api_key not in self._keys():
            raise bad_key()

    def check_timestamp(self, params: Mapping[str, str]) -> None:
        """Raise VenueError where the request is too old or from the future.

        A request's age is a matter of the wire, so it is judged in wall time: against the wall
        clock, or against a venue time told earlier plus the wall time since (virtual time runs
        at another speed, a client that set its clock by ours must still be let in).
        """
        try:
            stamp = int(params["timestamp"])
            window = float(params.get("recvWindow", DEFAULT_RECV_WINDOW_MS))
        except (KeyError, ValueError):
            raise VenueError(
                -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."
            ) from None
        if window > MAX_RECV_WINDOW_MS:
            raise VenueError(-1131, "recvWindow must be less than 60000.")
        wall, offset = self.wall_ms(), self.clock_offset_ms()
        expected = (wall, *(told + wall - at for at, told in self._syncs))
        if not any(abs(stamp - offset - now) <= window for now in expected):
            raise bad_timestamp()

    def note_born(self, order_id: int) -> None:
        """Remember the wall time of an order's birth, from which ``not_found_lag`` counts."""
        self.born_wall_s[order_id] = self.monotonic()
        self.born_wall_s.pop(order_id - _REMEMBERED_BIRTHS, None)

    def is_hidden(self, order_id: int, op: str) -> bool:
        """True where a ``not_found_lag`` fault still hides the order."""
        born = self.born_wall_s.get(order_id)
        if born is None:
            return False
        fault = self.faults.fire(op, {"not_found_lag"})
        return fault is not None and self.monotonic() - born < fault.number("lag_s", 5.0)

    def _fill_fraction(self) -> Decimal:
        fault = self.faults.fire("order.fill", {"partial", "overfill"})
        if fault is None:
            return Decimal(1)
        return Decimal(fault.text("fraction", "0.5" if fault.verb == "partial" else "1.5"))

    def _keys(self) -> dict[str, str]:
        """Return the known keys; the file is read each time so that keys can be added live."""
        path = self.settings.state / "keys.json"
        listed = json.loads(path.read_text()) if path.exists() else {}
        beside = {one.key: one.secret for one in self.settings.others}
        return {**listed, **self.settings.keys, **beside}

    def _exchange(self, ledger: Ledger) -> Exchange:
        return Exchange(
            self.tape,
            ledger,
            seed=self.settings.seed,
            fee_in=self.settings.fee_in,
            fill_fraction=self._fill_fraction,
            unique_forever=lambda: bool(self.faults.fire("order.create", {"unique_ids_forever"})),
        )

    def _beside(self, name: str, ledger: Ledger) -> Venue:
        """Return a view of this venue with the books of another account; all else is shared."""
        view = copy(self)
        view.account, view.ledger, view.born_wall_s = name, ledger, {}
        view.exchange = self._exchange(ledger)
        view.exchange.instruments = self.exchange.instruments
        view.exchange.halted = self.exchange.halted
        view.exchange.delisted = self.exchange.delisted
        return view

    def _ledger_beside(self, account: OtherAccount, close_ms: int) -> Ledger:
        """Open another account's ledger; a new one gets its cash and joins the market now.

        Raises:
            DataError: it began with other cash.
        """
        ledger = Ledger(self.settings.state / f"practice-{account.name}.sqlite3")
        began = ledger.meta("cash_quote")
        if began is None:
            with ledger.transaction():
                ledger.set_meta("cash_quote", f"{account.cash_quote:f}")
                ledger.set_meta("close_ms", str(close_ms))
                ledger.number_from(_first_id(account.name))
                self._give_cash(ledger, account.cash_quote)
        elif Decimal(began) != account.cash_quote:
            raise DataError(
                f"cash of account {account.name} was {account.cash_quote}, allowed: {began}, with"
                " which its ledger began (or another name)"
            )
        return ledger

    def _give_cash(self, ledger: Ledger, cash_quote: Decimal) -> None:
        for quote in sorted({i.quote for i in self.tape.instruments.values()}):
            ledger.move(quote, free=cash_quote)

    def _resume(self) -> int:
        """Return the close the clock stands at; a new state folder gets its cash first."""
        wanted = f"{self.tape.digest} with seed {self.settings.seed}"
        market = self.ledger.meta("market")
        if market is None:
            return self._begin(wanted)
        if market != wanted:
            raise DataError(
                f"{self.settings.state}: state belongs to market {market}, "
                f"allowed: {wanted} (or another state folder)"
            )
        return int(self.ledger.meta("close_ms") or 0)

    def _begin(self, market: str) -> int:
        close_ms = self.tape.first_close_ms(self.settings.warmup_bars)
        with self.ledger.transaction():
            self.ledger.set_meta("market", market)
            self.ledger.set_meta("close_ms", str(close_ms))
            self._give_cash(self.ledger, self.settings.cash_quote)
        return close_ms


def _first_id(account: str) -> int:
    """Return after which number an account's orders and trades are numbered, so that none of them
    is another account's too."""
    return (crc32(account.encode()) % _NUMBERED_ACCOUNTS + 1) * _IDS_OF_AN_ACCOUNT
