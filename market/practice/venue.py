"""The venue put together: clock, tape, exchange, ledger, faults, keys. Still no network."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What the account's keys may do; a test may take a right away or add one."""

    reading: bool = True
    trading: bool = True
    withdrawals: bool = False
    bound_to_addresses: bool = True


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """How one practice venue is run. ``cash_quote`` is given once, in every quote asset."""

    state: Path
    seed: int = 1
    speed: float = 1.0
    cash_quote: Decimal = Decimal(10_000)
    fee_in: FeeIn = FeeIn.QUOTE
    warmup_bars: int = WARMUP_BARS
    keys: Mapping[str, str] = field(default_factory=dict)


class Venue:
    """Serves requests through ``exchange`` and advances through ``step``.

    Raises:
        DataError: the state folder belongs to another market.
    """

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
        self.clock = VirtualClock(
            monotonic,
            close_ms,
            tape.next_close_ms(close_ms),
            settings.speed,
            floor_ms=self.ledger.last_ts_ms(),
        )
        self.exchange = Exchange(
            tape,
            self.ledger,
            seed=settings.seed,
            fee_in=settings.fee_in,
            fill_fraction=self._fill_fraction,
            unique_forever=lambda: bool(self.faults.fire("order.create", {"unique_ids_forever"})),
        )

    def step(self) -> list[Report] | None:
        """Close the next bar: match, commit, move the clock. None where the data has ended."""
        close_ms = self.clock.next_close_ms
        if close_ms is None:
            return None
        reports = self.exchange.step(close_ms)
        self.clock.stepped(close_ms, self.tape.next_close_ms(close_ms))
        return reports

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
        return {**listed, **self.settings.keys}

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
            for quote in sorted({i.quote for i in self.tape.instruments.values()}):
                self.ledger.move(quote, free=self.settings.cash_quote)
        return close_ms
