"""The configuration file: typed, frozen, and refused with one line when a value is wrong.

A missing key means the default written here. A wrong value never does, and neither does a file
that was named and is not there, because a risk limit that silently falls back to a default is a
limit nobody chose (F-087). Secrets and addresses are not here: they come from the environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine.types.orders import OrderType
from market.venues import VENUES, venue_of
from notifications.core.config import Notifications
from resources.core.config import OptimizerConfig
from tradeplatform.configuration_accounts import each_account
from tradeplatform.configuration_errors import ConfigurationError, allowed_at
from tradeplatform.configuration_file import read_yaml, refuse_odd_values
from tradeplatform.configuration_retention import Retention
from trades.core.operating_limits import OperatingLimits

PRACTICE = "practice"
SHIPPED = Path(__file__).resolve().parent.parent / "config.yaml"
STRATEGY_CODES = (
    "ema-trend",
    "fair-value-gap",
    "continuation",
    "range-reversion",
    "breakout",
    "ensemble",
)
PREDICTOR_CODES = (
    "online-linear", "gradient-boosting", "forest", "neural-network", "microstructure",
)  # fmt: skip

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Meta(gt=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e15)]
Weight = Annotated[float, Meta(ge=0.1, le=2.0)]
Asset = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}$")]
Symbol = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")]
Timeframe = Literal[
    "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"
]  # fmt: skip


def _known(section: str, given: dict[str, Any], codes: tuple[str, ...]) -> None:
    for code in given:
        if code not in codes:
            raise ValueError(f"{section}.{code} was unknown, allowed: {_listed(codes)}")


def _ordered(section: msgspec.Struct, smaller: str, larger: str) -> None:
    keys = dict(zip(section.__struct_fields__, section.__struct_encode_fields__, strict=True))
    low, high = getattr(section, smaller), getattr(section, larger)
    if low > high:
        raise ValueError(
            f"{keys[smaller]} was {low}, allowed: at most {keys[larger]}, which is {high}"
        )


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: immutable, keyword-only, unknown keys refused."""


class Exchange(Section, frozen=True):
    """Where orders go. ``practice`` is the built-in practice exchange; others are ccxt ids."""

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{1,39}$")] = PRACTICE
    account: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "main"
    request_timeout_seconds: Annotated[float, Meta(ge=0.5, le=9.0)] = 5.0
    """Below the 10 s an order without an answer waits before it is looked for."""
    sandbox: bool = False
    """The venue's own test system, with keys of its own; its rows carry ``ID-sandbox``."""

    def __post_init__(self) -> None:
        venue = venue_of(self.id)
        if self.sandbox and not venue.has_sandbox:
            named = _listed(v.id for v in VENUES.values() if v.has_sandbox)
            raise ValueError(f"sandbox was true with id {self.id}, allowed with: {named}")


class Trading(Section, frozen=True):
    """What is traded. ``cash`` is the starting balance of paper, practice and replay."""

    mode: Literal["practice", "paper", "live"] = "practice"
    symbols: Annotated[tuple[Symbol, ...], Meta(min_length=1, max_length=100)] = (
        "BTC/USDT",
        "ETH/USDT",
    )
    timeframe: Timeframe = "1m"
    cash: Positive = 10_000.0
    horizon_bars: Annotated[int, Meta(ge=1, le=500)] = 12
    """After this many bars an opinion is scored against what happened."""
    resting_stops: bool = True
    """Each position has a stop order at the broker; false: stops are judged at bars' closes."""
    protection: Literal["stop", "stop_limit", "take_profit"] = "stop"
    """Which order rests for a position: an account can promise its coins once. The other price is
    judged at bars' closes; with ``take_profit`` that is the stop."""
    stop_limit_offset_bps: Annotated[float, Meta(ge=0.0, le=2_000.0)] = 50.0
    """How far beyond its stop a stop-limit still sells; jumped over, it leaves at the market."""
    entry_order: Literal["market", "limit", "ioc_limit"] = "market"
    limit_offset_bps: Annotated[float, Meta(ge=0.0, le=500.0)] = 0.0
    """How far on the better side of the close a limit order waits."""
    entry_slippage_bps: Annotated[float, Meta(ge=0.0, le=500.0)] = 50.0
    """What an ``ioc_limit`` entry pays at most beyond the close; the rest of it ends unfilled."""
    order_timeout_bars: Annotated[int, Meta(ge=1, le=500)] = 3
    """A limit order not filled after so many bars is cancelled, and what is left priced anew."""
    reprice_times: Annotated[int, Meta(ge=0, le=20)] = 2

    def __post_init__(self) -> None:
        if self.protection != "stop" and not self.resting_stops:
            raise ValueError(
                f"protection was {self.protection} with resting_stops false, allowed: stop"
            )
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols was {_listed(self.symbols)}, allowed: each symbol once")
        if len(quotes := {symbol.split("/")[1] for symbol in self.symbols}) > 1:
            raise ValueError(
                f"symbols was {_listed(self.symbols)} with quotes {_listed(sorted(quotes))},"
                " allowed: one quote currency"
            )


class Risk(Section, frozen=True):
    """Hard ceilings. The web may lower them, never raise them. Fractions are of equity.

    Attributes are named as in ``engine.limits.RiskLimits``, so that ``values()`` feeds it; the
    order path's as in ``OperatingLimits``.
    """

    risk_per_trade: Annotated[float, Meta(gt=0.0, le=0.05)] = 0.01
    max_risk_per_trade: Annotated[float, Meta(gt=0.0, le=0.10)] = 0.02
    max_position_size: PositiveFraction = 0.10
    max_order_quote: Positive | None = None
    """Absolute ceiling of one order in quote currency; null leaves only the fraction."""
    max_strategy_exposure: PositiveFraction = 0.20
    max_gross_exposure: PositiveFraction = 0.60
    max_group_exposure: PositiveFraction = 0.30
    correlated_groups: dict[str, Annotated[tuple[Asset, ...], Meta(min_length=1)]] = {}
    """Base assets that fall together, by a name of their own; each group is capped as one."""
    cash_reserve: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.10
    leverage: PositiveFraction = 1.0
    """Gross exposure over equity; spot, so never above 1."""
    max_open_orders: Annotated[int, Meta(ge=1, le=200)] = 10
    max_open_orders_per_symbol: Annotated[int, Meta(ge=1, le=50)] = 3
    max_open_positions: Annotated[int, Meta(ge=1, le=200)] = 5
    max_day_loss: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.03
    max_drawdown: Annotated[float, Meta(gt=0.0, le=0.9)] = msgspec.field(
        default=0.20, name="max_total_drawdown"
    )
    loss_streak: Annotated[int, Meta(ge=1, le=100)] = 5
    min_equity_quote: Annotated[float, Meta(ge=0.0, le=1e15)] = 0.0
    max_orders_per_hour: Annotated[int, Meta(ge=1, le=10_000)] = 30
    max_orders_per_day: Annotated[int, Meta(ge=1, le=100_000)] = 100
    max_week_loss: Annotated[float, Meta(gt=0.0, le=0.7)] = 0.06
    max_book_share: PositiveFraction = 0.10
    """Of the five best levels on the side an order takes from."""
    max_volume_share: PositiveFraction = 0.01
    """Of the volume of an average minute of the last 24 hours."""
    collar_majors: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.02
    collar: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.05
    """How far a price may be from its reference; BTC and ETH are the majors."""
    max_spread: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.01
    max_jump_1m: PositiveFraction = 0.05
    max_jump_5m: PositiveFraction = 0.10
    jump_pause_minutes: Annotated[int, Meta(ge=1, le=1_440)] = 15
    max_entries_per_15m: Annotated[int, Meta(ge=1, le=10_000)] = 3
    max_entries_per_day: Annotated[int, Meta(ge=1, le=100_000)] = 5
    """Of one strategy on one symbol and side; one more switches the strategy off."""
    # what follows is asked on the order path, see ``trades.core.operating_limits``
    max_slippage: Annotated[float, Meta(gt=0.0, le=0.1)] = 0.005
    duplicate_window_s: Annotated[int, Meta(ge=1, le=86_400)] = 10
    clock_alert_ms: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    clock_stop_ms: Annotated[int, Meta(ge=1, le=60_000)] = 5_000
    difference_alert: PositiveFraction = 0.001
    difference_reduce: PositiveFraction = 0.005
    rejections_in_a_row: Annotated[int, Meta(ge=1, le=9)] = 5
    """Ten in a row halt, so fewer must reduce."""
    rejections_in_10_minutes: Annotated[int, Meta(ge=1, le=1_000)] = 10
    allowed_symbols: Annotated[tuple[Symbol, ...], Meta(max_length=100)] = ()
    """Empty: all of ``trading.symbols``."""
    allowed_sides: tuple[Literal["BUY", "SELL"], ...] = ("BUY", "SELL")
    allowed_order_types: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    """Empty: all there are."""
    paper_days: Annotated[int, Meta(ge=0, le=3_650)] = 14
    paper_trades: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    first_week_share: PositiveFraction = 0.1

    def __post_init__(self) -> None:
        _ordered(self, "risk_per_trade", "max_risk_per_trade")
        _ordered(self, "max_position_size", "max_strategy_exposure")
        _ordered(self, "max_strategy_exposure", "max_gross_exposure")
        _ordered(self, "max_open_orders_per_symbol", "max_open_orders")
        _ordered(self, "max_orders_per_hour", "max_orders_per_day")
        _ordered(self, "max_day_loss", "max_drawdown")
        _ordered(self, "collar_majors", "collar")
        _ordered(self, "max_jump_1m", "max_jump_5m")
        _ordered(self, "clock_alert_ms", "clock_stop_ms")
        _ordered(self, "difference_alert", "difference_reduce")
        for kind in self.allowed_order_types:
            if kind not in tuple(OrderType):
                raise ValueError(f"allowed_order_types had {kind}, allowed: {_listed(OrderType)}")
        if self.max_gross_exposure + self.cash_reserve > 1.0 + 1e-12:
            raise ValueError(
                f"cash_reserve was {self.cash_reserve}, allowed: at most"
                f" 1 - max_gross_exposure = {1.0 - self.max_gross_exposure:g}"
            )

    def values(self) -> dict[str, Any]:
        """Return the limits of decisions by their engine names; the order path's are apart."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if k not in _ORDER_PATH}

    def order_path(self) -> dict[str, Any]:
        """Return the controls of the order path by name."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if k in _ORDER_PATH}


_ORDER_PATH = frozenset(field.name for field in dataclasses.fields(OperatingLimits))


class StrategySettings(Section, frozen=True):
    """One strategy: whether it proposes, its weight before any learning, its own numbers."""

    enabled: bool = True
    base_weight: Weight = 1.0
    parameters: dict[str, float] = {}


class PredictorSettings(Section, frozen=True):
    """One learned source of opinions."""

    enabled: bool = True
    parameters: dict[str, float] = {}


class Optimization(Section, frozen=True):
    """The layer that may be absent; off unless ``enabled`` says so (OPT-06, OPT-41)."""

    enabled: bool = False
    enable_quality_filtering: bool = True
    enable_adaptive_weighting: bool = True
    enable_retirement_management: bool = True
    update_interval_seconds: Annotated[float, Meta(ge=1.0, le=604_800.0)] = 3600.0
    quality_threshold: Fraction = 0.60
    quality: dict[str, bool | int | float | str] = {}
    health: dict[str, bool | int | float | str] = {}
    weighting: dict[str, bool | int | float | str] = {}
    sizing: dict[str, bool | int | float | str] = {}
    """Single thresholds by name; the layer names what it knows and what it refuses."""


class Monitoring(Section, frozen=True):
    """When silence becomes an alert, when a silent worker is restarted, how long holds are kept.

    Bars on which nobody proposed, older than ``holds_kept_days`` of venue time, keep one in
    ``holds_kept_one_in``; decisions on a proposal are always kept.
    """

    heartbeat_grace_seconds: Annotated[float, Meta(ge=1.0, le=3600.0)] = 15.0
    restart_silent_after_seconds: Annotated[float, Meta(ge=30.0, le=3600.0)] = 90.0
    holds_kept_days: Annotated[float, Meta(ge=0.1, le=3650.0)] = 7.0
    holds_kept_one_in: Annotated[int, Meta(ge=1, le=100_000)] = 20
    optimizer: dict[str, bool | int | float | list[str]] = {}
    """Settings of the resource optimizer by name; the optimizer says what it refuses."""

    def __post_init__(self) -> None:
        try:
            OptimizerConfig.of(self.optimizer)
        except ValueError as error:
            raise ValueError(f"monitoring.optimizer: {error}") from error


class AccountSettings(Section, frozen=True):
    """What one of several accounts has otherwise than the sections of the same names above."""

    exchange: dict[str, Any] = {}
    trading: dict[str, Any] = {}
    risk: dict[str, Any] = {}
    strategies: dict[str, Any] = {}


class Configuration(Section, frozen=True):
    """All that one account goes by. Every key is optional."""

    exchange: Exchange = Exchange()
    trading: Trading = Trading()
    risk: Risk = Risk()
    strategies: dict[str, StrategySettings] = {}
    predictors: dict[str, PredictorSettings] = {}
    optimization: Optimization = Optimization()
    monitoring: Monitoring = Monitoring()
    notifications: Notifications = Notifications()
    retention: Retention = Retention()
    accounts: dict[str, AccountSettings] = {}
    """Of several accounts: as read from the file, all of them; of one beside ``main``, itself."""

    def __post_init__(self) -> None:
        _known("strategies", self.strategies, STRATEGY_CODES)
        _known("predictors", self.predictors, PREDICTOR_CODES)
        if (self.exchange.id == PRACTICE) != (self.trading.mode == "practice"):
            needed = "practice" if self.exchange.id == PRACTICE else "paper or live"
            raise ValueError(
                f"trading.mode was {self.trading.mode}, allowed with exchange.id"
                f" {self.exchange.id}: {needed}"
            )

    def strategy(self, code: str) -> StrategySettings:
        """Return the settings of one strategy, the defaults where the file is silent."""
        return self.strategies.get(code, StrategySettings())

    def predictor(self, code: str) -> PredictorSettings:
        return self.predictors.get(code, PredictorSettings())

    @property
    def is_apart(self) -> bool:
        """True for an account beside ``main``: its keys and its worker are its own."""
        return bool(self.accounts)

    def digest(self) -> str:
        """Return the SHA-256 of the effective configuration, comments and order left out."""
        return hashlib.sha256(msgspec.json.encode(self.as_json(), order="sorted")).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return plain values, as stored with a run; nothing of accounts where there is one."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        if not self.accounts:
            del plain["accounts"]
        return plain


def load(path: Path | str) -> Configuration:
    """Return what the account ``main`` goes by, and with it all that is one for the installation.

    Raises:
        ConfigurationError: as ``load_accounts``.
    """
    return load_accounts(path)[0]


def load_accounts(path: Path | str) -> tuple[Configuration, ...]:
    """Read and check one configuration file; return what each account goes by, ``main`` first.

    Only the shipped ``config.yaml`` may be absent.

    Raises:
        ConfigurationError: one line naming the file, the key, its value and what is allowed.
    """
    path = Path(path)
    if not path.exists():
        if path == SHIPPED:
            return (Configuration(),)
        raise ConfigurationError(f"{path}: file was not there, allowed: an existing file")
    raw = read_yaml(path)
    if not isinstance(raw, dict) or raw.get("accounts") is None:
        return (from_mapping(raw, source=str(path)),)
    return tuple(
        from_mapping(one, source=f"{path}: accounts.{name}")
        for name, one in each_account(raw, source=str(path)).items()
    )


def practice_of(accounts: Iterable[Configuration]) -> tuple[Configuration, ...]:
    """Return the accounts on the practice exchange, which share one market: that of the first."""
    return tuple(config for config in accounts if config.exchange.id == PRACTICE)


def from_mapping(raw: object, *, source: str) -> Configuration:
    """Check plain values of one account; ``source`` is the name that errors carry.

    Raises:
        ConfigurationError: as ``load_accounts``.
    """
    if not isinstance(raw, dict):
        raise ConfigurationError(
            f"{source}: file was {type(raw).__name__}, allowed: a mapping of"
            f" {_listed(Configuration.__struct_fields__)}"
        )
    refuse_odd_values(raw, source, "")
    # a section whose keys are all commented out reads as null: nothing was said in it
    raw = {key: {} if value is None else value for key, value in raw.items()}
    try:
        return msgspec.convert(raw, Configuration, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{source}: {allowed_at(Configuration, raw, str(error))}"
        ) from error
