"""The words of risk control: limits as configured, the account as seen, what was asked."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from engine.ports import TradingState
from engine.types.bars import Instrument
from engine.types.decisions import CapStep, Reason
from engine.types.ledger import ZERO
from engine.types.opinions import Side

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class LimitsError(ValueError):
    """A limit that is not usable; the message names the limit, its value and what is allowed.
    ``allowed`` says the last in words for a person, empty where the message does already."""

    def __init__(self, text: str, *, allowed: str = "") -> None:
        super().__init__(text)
        self.allowed = allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """Hard limits (D-01, D-20, D-27). Fractions are of equity, in (0, 1]; counts are >= 1.

    ``max_position_size`` caps one order and one symbol each; ``max_order_quote`` is an absolute
    ceiling in quote (None = none); ``cash_reserve`` stays uninvested; ``leverage`` caps gross
    exposure over equity. ``max_day_loss`` reduces until the next UTC day, ``max_drawdown`` halts,
    ``loss_streak`` losing trades in a row reduce until an operator resets them. Throttles count
    entries in sliding windows of event time.

    ``max_week_loss`` reduces until the next UTC Monday. ``max_book_share`` is of the five best
    levels an order takes from, ``max_volume_share`` of an average minute of the last 24 hours;
    collars are the largest distance of a price from its reference, jumps the moves within one and
    five minutes that end entries for ``jump_pause_minutes``. A strategy may enter one symbol on one
    side ``max_entries_per_15m`` times in 15 minutes and ``max_entries_per_day`` times in 24 hours.

    ``correlated_groups`` names base assets that fall together, by group in the order of names; all
    symbols of a group together are capped at ``max_group_exposure``.
    """

    risk_per_trade: Decimal = Decimal("0.01")
    max_risk_per_trade: Decimal = Decimal("0.02")
    max_position_size: Decimal = Decimal("0.10")
    max_order_quote: Decimal | None = None
    max_strategy_exposure: Decimal = Decimal("0.20")
    max_gross_exposure: Decimal = Decimal("0.60")
    cash_reserve: Decimal = Decimal("0.10")
    leverage: Decimal = Decimal("1")
    max_open_orders: int = 10
    max_open_orders_per_symbol: int = 3
    max_open_positions: int = 5
    max_day_loss: Decimal = Decimal("0.03")
    max_drawdown: Decimal = Decimal("0.20")
    loss_streak: int = 5
    min_equity_quote: Decimal = ZERO
    max_orders_per_hour: int = 30
    max_orders_per_day: int = 100
    max_week_loss: Decimal = Decimal("0.06")
    max_book_share: Decimal = Decimal("0.10")
    max_volume_share: Decimal = Decimal("0.01")
    collar_majors: Decimal = Decimal("0.02")
    collar: Decimal = Decimal("0.05")
    max_spread: Decimal = Decimal("0.01")
    max_jump_1m: Decimal = Decimal("0.05")
    max_jump_5m: Decimal = Decimal("0.10")
    jump_pause_minutes: int = 15
    max_entries_per_15m: int = 3
    max_entries_per_day: int = 5
    max_group_exposure: Decimal = Decimal("0.30")
    correlated_groups: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        for name in _FRACTIONS:
            _in_range(name, getattr(self, name), low=ZERO, high=Decimal(1), open_low=True)
        _in_range("cash_reserve", self.cash_reserve, low=ZERO, high=Decimal("0.99"))
        _in_range("leverage", self.leverage, low=ZERO, high=Decimal(5), open_low=True)
        _in_range("min_equity_quote", self.min_equity_quote, low=ZERO, high=None)
        if self.max_order_quote is not None:
            _in_range("max_order_quote", self.max_order_quote, low=ZERO, high=None, open_low=True)
        for name in _COUNTS:
            _counted(name, getattr(self, name))
        if self.risk_per_trade > self.max_risk_per_trade:
            raise LimitsError(
                f"risk_per_trade must be at most max_risk_per_trade "
                f"({self.max_risk_per_trade}), was {self.risk_per_trade}"
            )

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> RiskLimits:
        """Build limits from configuration; what is left out has its default.

        Raises:
            LimitsError: an unknown name, a value that is no number, or one out of range.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise LimitsError(f"unknown risk limit, was {name}; known: {sorted(known)}")
        parsed: dict[str, object] = {}
        for name, value in values.items():
            keep = name in _COUNTS or (name == "max_order_quote" and value is None)
            if name == "correlated_groups":
                parsed[name] = _groups(value)
            else:
                parsed[name] = value if keep else _decimal(name, value)
        return cls(**parsed)  # type: ignore[arg-type]


_COUNTS = (
    "max_open_orders",
    "max_open_orders_per_symbol",
    "max_open_positions",
    "loss_streak",
    "max_orders_per_hour",
    "max_orders_per_day",
    "jump_pause_minutes",
    "max_entries_per_15m",
    "max_entries_per_day",
)
_FRACTIONS = (
    "risk_per_trade",
    "max_risk_per_trade",
    "max_position_size",
    "max_strategy_exposure",
    "max_gross_exposure",
    "max_day_loss",
    "max_drawdown",
    "max_week_loss",
    "max_book_share",
    "max_volume_share",
    "collar_majors",
    "collar",
    "max_spread",
    "max_jump_1m",
    "max_jump_5m",
    "max_group_exposure",
)


def _in_range(
    name: str, value: Decimal, *, low: Decimal, high: Decimal | None, open_low: bool = False
) -> None:
    allowed = f"{'(' if open_low else '['}{low}, {high if high is not None else 'inf'}]"
    fits = isinstance(value, Decimal) and value.is_finite()
    if fits:
        fits = (value > low if open_low else value >= low) and (high is None or value <= high)
    if not fits:
        text = f"risk limit {name} must be a Decimal in {allowed}, was {value!r}"
        words = f"above {low}" if open_low else f"{low} or more"
        if high is not None:
            words += f", {high} at most"
        if high == 1:
            words += ", a fraction such as 0.05 for 5 %"
        raise LimitsError(text, allowed=words)


def _counted(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        text = f"risk limit {name} must be a whole number >= 1, was {value!r}"
        raise LimitsError(text, allowed="a whole number from 1 on")


def _groups(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return base assets by group, in the order of names, so that a stored form gives the same."""
    if not isinstance(value, Mapping):
        raise LimitsError(f"risk limit correlated_groups must be groups by name, was {value!r}")
    groups: list[tuple[str, tuple[str, ...]]] = []
    for name, bases in sorted(value.items()):
        if not isinstance(bases, list | tuple) or not all(isinstance(b, str) for b in bases):
            raise LimitsError(f"correlated_groups.{name} must be a list of assets, was {bases!r}")
        groups.append((str(name), tuple(bases)))
    return tuple(groups)


def _decimal(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise LimitsError(f"risk limit {name} must be a number, was {value!r}")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise LimitsError(f"risk limit {name} must be a number, was {value!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """The account as the limits see it at one event; money in quote.

    Exposures are gross and include entry orders that are still open. ``open_positions`` and
    ``open_orders`` count those of all strategies (protective and reducing orders left out, D-21).
    ``consecutive_losses`` runs since the last winning trade or operator's reset;
    ``orders_last_hour`` and ``orders_last_day`` count entries (see ``OrderThrottle``).
    ``positions_base`` are signed, by (strategy, symbol). ``entries_15m`` and ``entries_day`` count
    what the strategy whose order this is has entered on this symbol and side.
    """

    equity_quote: Decimal
    cash_quote: Decimal
    peak_equity_quote: Decimal
    day_pnl_quote: Decimal
    gross_exposure_quote: Decimal
    exposure_by_symbol: Mapping[str, Decimal] = field(default_factory=dict)
    exposure_by_strategy: Mapping[str, Decimal] = field(default_factory=dict)
    positions_base: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    open_orders: int = 0
    open_orders_by_symbol: Mapping[str, int] = field(default_factory=dict)
    open_positions: int = 0
    consecutive_losses: int = 0
    orders_last_hour: int = 0
    orders_last_day: int = 0
    entries_15m: int = 0
    entries_day: int = 0
    week_pnl_quote: Decimal = ZERO
    state: TradingState = TradingState.ACTIVE

    @property
    def is_finite(self) -> bool:
        """True where every number of money is one."""
        return all(
            value.is_finite()
            for value in (
                self.equity_quote,
                self.cash_quote,
                self.peak_equity_quote,
                self.day_pnl_quote,
                self.week_pnl_quote,
                self.gross_exposure_quote,
                *self.exposure_by_symbol.values(),
                *self.exposure_by_strategy.values(),
                *self.positions_base.values(),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRequest:
    """A size wanted by a strategy, after the multiplier: ``quantity_base`` >= 0 at ``price``.

    ``reduces`` marks an order that closes the strategy's own position. ``rooms`` are further caps
    of this very market in base units, by code (see ``engine.controls``).
    """

    instrument: Instrument
    strategy: str
    side: Side
    quantity_base: float | Decimal
    price: float | Decimal
    stop_price: float | Decimal | None
    reduces: bool = False
    rooms: tuple[tuple[str, Decimal], ...] = ()

    @property
    def symbol(self) -> str:
        return self.instrument.symbol


@dataclass(frozen=True, slots=True)
class CapResult:
    """What the limits leave of a request: on the lot grid, never more than was asked.

    0 means denied and ``denied`` says why. ``steps`` are the caps in the order they ran.
    """

    quantity_base: Decimal
    steps: tuple[CapStep, ...]
    denied: Reason | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A loss limit that was reached and the state it asks for.

    The day's loss lifts at the next UTC day, the week's at the next UTC Monday; all else stays
    until an operator acts.
    """

    state: TradingState
    code: str
    text: str
    value: float
    limit: float


class OrderThrottle:
    """Counts entries in the last hour and day of event time, the event's own time included."""

    def __init__(self, sent_ms: Iterable[int] = ()) -> None:
        """``sent_ms`` are entries of before, oldest first."""
        self._sent_ms: deque[int] = deque(sent_ms)

    @property
    def sent_ms(self) -> tuple[int, ...]:
        """Entries still counted, oldest first."""
        return tuple(self._sent_ms)

    def note(self, ts_ms: int) -> None:
        """Remember one entry; times never go back."""
        self._sent_ms.append(ts_ms)

    def counts(self, now_ms: int) -> tuple[int, int]:
        """Return (entries in the last hour, in the last 24 hours) before and at ``now_ms``."""
        while self._sent_ms and self._sent_ms[0] <= now_ms - DAY_MS:
            self._sent_ms.popleft()
        hour = 0
        for sent_ms in reversed(self._sent_ms):
            if sent_ms <= now_ms - HOUR_MS:
                break
            hour += 1
        return hour, len(self._sent_ms)
