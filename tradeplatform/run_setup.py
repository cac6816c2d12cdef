"""Opening a run: strategies, instruments, recent candles, and the row that everything hangs on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.services import audit_record
from engine.types.bars import Instrument as InstrumentValue
from engine.types.orders import OrderType
from market.errors import SourceUnavailable
from market.key_rights import Rights
from market.models import Instrument
from market.preflight import rights_of
from market.selectors import instrument_value
from market.services import CHART_BARS, candles_backfill
from market.sources.ccxt_poll import CcxtPollSource
from market.sources.instruments import timeframe_from_ms, timeframe_to_ms
from market.venues import venue_of
from monitoring.layer import layer
from strategies.core.registry import parameter_defaults
from strategies.services import StrategyDefinition, strategies_ensure
from tradeplatform.configuration import PRACTICE, STRATEGY_CODES, Configuration
from tradeplatform.several_accounts import account_claimed
from tradeplatform.venue import (
    credentials_of,
    key_name,
    venue_budget,
    venue_client,
    venue_code,
)
from trades.brokers.venue_client import VenueClient
from trades.errors import RunRefused
from trades.lease import lease_reserve
from trades.models import Mode, TradingRun
from trades.records import moment
from trades.services import run_end, run_start

_DESCRIPTIONS = {
    "ema-trend": ("EMA trend", "Follows a trend once the fast average has crossed the slow one."),
    "fair-value-gap": ("Fair-value gap", "Enters when price first returns into a three-bar gap."),
    "continuation": ("Continuation", "Joins an impulse after its pullback, when it breaks on."),
    "range-reversion": ("Range reversion", "Fades the edge of a range when momentum is spent."),
    "breakout": ("Breakout", "Follows a close beyond the channel with expanding volatility."),
    "ensemble": ("Ensemble", "Trades the weighted opinion of all sources itself."),
}


def strategy_definitions(config: Configuration) -> list[StrategyDefinition]:
    """Return one definition a strategy, its parameters those of the file over the defaults."""
    defaults = parameter_defaults()
    return [
        StrategyDefinition(
            code=code,
            name=_DESCRIPTIONS[code][0],
            description=_DESCRIPTIONS[code][1],
            base_weight=config.strategy(code).base_weight,
            parameters={**defaults.get(code, {}), **config.strategy(code).parameters},
        )
        for code in STRATEGY_CODES
    ]


def run_ensure(
    config: Configuration, *, actor: str, shared: Configuration | None = None
) -> TradingRun:
    """Return the open run of the configured venue and account, opening one where there is none.

    ``shared`` is the configuration of ``main``, given for an account beside it: the strategies'
    rows are one set for the installation, and the layer's section is taken over with ``main``.

    An open run goes on: a changed configuration is taken over and audited (D-31), and so is its
    section of the optimization layer, which the web may change too: the later act wins.
    Practice trades what the practice exchange lists, so that files decide the symbols.

    Raises:
        RunRefused: live trading without the armed setting or keys, with an order that the venue
            would not let us follow, or on the venue's account that another run trades on.
        SourceUnavailable, DataError: the venue did not answer, or lists no such symbol.
    """
    _check_mode(config)
    _check_books_are_there(config)
    _check_protection(config)
    if shared is None:
        layer().adopt_file(msgspec.to_builtins(config.optimization))
    strategies_ensure(strategy_definitions(shared or config))
    client = venue_client(config)
    account_id = ""
    if config.trading.mode == Mode.LIVE.value and not config.exchange.sandbox:
        account_id = _refuse_withdrawing_key(config, client).account_id
    timeframe: str = config.trading.timeframe
    symbols = list(config.trading.symbols)
    budget = venue_budget(config)
    if config.exchange.id == PRACTICE:
        VenueClient(client, budget=budget).load()
        symbols = sorted(client.symbols)
        timeframe = timeframe_from_ms(_practice_timeframe_ms() or timeframe_to_ms(timeframe))
    source = CcxtPollSource(client, symbols, timeframe, budget=budget)
    venue = venue_code(config)
    instruments = source.instruments(known=_known_instruments(venue, config.exchange.account))
    _write_instruments(venue, instruments.values(), is_simulated=config.exchange.id == PRACTICE)
    timeframe_ms = timeframe_to_ms(timeframe)
    for symbol in filter(source.is_listed, symbols):
        # the session keeps the rest when it starts; until then the first chart is not empty
        candles_backfill(venue=venue, symbol=symbol, bars=source.history(symbol, CHART_BARS))
    quote = instruments[symbols[0]].quote
    balances, read_at = {quote: Decimal(str(config.trading.cash))}, None
    if config.trading.mode != Mode.PAPER.value:
        account = VenueClient(client, budget=budget)
        # what comes between the two is told of as a difference; the other way round it would be
        # booked twice
        (balances, named), read_at = account.account(), moment(account.venue_ms())
        account_id = account_id or named
    digest = account_claimed(config, account_id)
    run = _open(config, venue, symbols, timeframe_ms, quote, balances, read_at, actor)
    if digest != run.account_digest:
        run.account_digest = digest
        run.save(update_fields=["account_digest"])
    if run.mode == Mode.LIVE:
        _live_mark().touch(mode=0o600)
    lease_reserve(run=run, code_version=settings.CODE_VERSION)
    return run


def _practice_timeframe_ms() -> int | None:
    """Ask the practice exchange how long its bars are: files decide, not the configuration."""
    address = os.environ.get("TRADEPLATFORM_PRACTICE_ADMIN_URL")
    if not address:
        return None
    try:
        with urlopen(f"{address}/status", timeout=5) as answer:  # noqa: S310  loopback, ours
            return int(orjson.loads(answer.read())["timeframe_ms"])
    except OSError as error:
        raise SourceUnavailable(f"the practice exchange did not answer: {error}") from error


def _live_mark() -> Path:
    """The file that says, beside the database, that this installation has traded live."""
    return Path(settings.VAR_DIR) / "traded-live"


def _check_books_are_there(config: Configuration) -> None:
    """Real money is not traded on a fresh database where there were books before (F-036)."""
    if config.trading.mode != Mode.LIVE.value or not _live_mark().exists():
        return
    if not TradingRun.objects.filter(mode=Mode.LIVE).exists():
        raise RunRefused(
            "the database holds no live run though this installation has traded live: restore a "
            f"backup, or delete {_live_mark()} to begin without those books"
        )


def _check_protection(config: Configuration) -> None:
    """Paper and practice follow every order; a venue only where its row of the table says so."""
    trading, venue = config.trading, venue_of(config.exchange.id)
    is_live, kind = trading.mode == Mode.LIVE.value, OrderType(trading.protection)
    if is_live and kind is OrderType.STOP_LIMIT and not venue.follows_stop_limits:
        raise RunRefused(
            f"trading.protection was stop_limit, allowed on {venue.id}: stop or take_profit"
        )


def _check_mode(config: Configuration) -> None:
    if config.trading.mode != Mode.LIVE.value:
        return
    if not settings.LIVE_ARMED:
        raise RunRefused(
            "trading.mode was live and TRADEPLATFORM_LIVE_ARMED was not true; live needs both"
        )
    if not credentials_of(config).key:
        raise RunRefused(f"trading.mode was live and {key_name(config)} was not set")


def _refuse_withdrawing_key(config: Configuration, client: Any) -> Rights:
    """A stolen key must not be able to take the money out (SEC-30); unknown rights are no right.
    Returns what the key may do."""
    venue = venue_of(config.exchange.id)
    rights = rights_of(client, venue, venue_budget(config))
    if rights is None:
        raise RunRefused(
            f"{venue.id} does not tell what a key may do; live needs a venue that does"
        )
    if isinstance(rights, str):
        raise SourceUnavailable(f"the venue did not say what the key may do: {rights}")
    if rights.may_withdraw:
        raise RunRefused(
            f"{key_name(config)} may withdraw, allowed: a key that reads and trades only"
        )
    return rights


def _open(
    config: Configuration,
    venue: str,
    symbols: list[str],
    timeframe_ms: int,
    quote: str,
    balances: Mapping[str, Decimal],
    read_at: datetime | None,
    actor: str,
) -> TradingRun:
    wanted: dict[str, Any] = {"symbols": symbols, "timeframe_ms": timeframe_ms}
    with transaction.atomic():
        _end_others(venue, actor)
        run = TradingRun.objects.filter(
            venue=venue, account=config.exchange.account, ended_at__isnull=True
        ).first()
        if run is None:
            return run_start(
                mode=config.trading.mode,
                venue=venue,
                account=config.exchange.account,
                quote=quote,
                starting_cash_quote=balances.get(quote, Decimal(0)),
                opening_balances=balances,
                balances_at=read_at,
                config=config.as_json(),
                config_digest=config.digest(),
                code_version=settings.CODE_VERSION,
                actor=actor,
                **wanted,
            )
        if run.mode != config.trading.mode:
            raise RunRefused(
                f"trading.mode was {config.trading.mode}, the open run of {venue} is {run.mode};"
                " end it first"
            )
        _take_over(run, config, wanted, actor)
    return run


def _end_others(venue: str, actor: str) -> None:
    """Practice runs of another market end when this one starts: their exchange is not running."""
    if not venue.startswith(PRACTICE):
        return
    others = TradingRun.objects.filter(mode=Mode.PRACTICE, ended_at__isnull=True).exclude(
        venue=venue
    )
    for other in others:
        run_end(
            run=other,
            actor=actor,
            reason="the practice exchange was started with another market",
        )


def _take_over(run: TradingRun, config: Configuration, wanted: dict[str, Any], actor: str) -> None:
    if run.config_digest == config.digest() and all(
        getattr(run, name) == value for name, value in wanted.items()
    ):
        return
    before = run.config_digest
    run.config, run.config_digest = config.as_json(), config.digest()
    run.symbols, run.timeframe_ms = wanted["symbols"], wanted["timeframe_ms"]
    run.save(update_fields=["config", "config_digest", "symbols", "timeframe_ms"])
    audit_record(
        actor=actor,
        action="run.config",
        object_type="run",
        object_id=str(run.code),
        before={"config_digest": before},
        after={"config_digest": run.config_digest},
    )


def _known_instruments(venue: str, account: str) -> dict[str, InstrumentValue]:
    """Return what the open run trades already: one of them may be gone from the list (F-055)."""
    run = TradingRun.objects.filter(venue=venue, account=account, ended_at__isnull=True).first()
    rows = Instrument.objects.filter(venue=venue, symbol__in=run.symbols if run else ())
    return {row.symbol: instrument_value(row) for row in rows}


def _write_instruments(
    venue: str, instruments: Iterable[InstrumentValue], *, is_simulated: bool
) -> None:
    now = timezone.now()
    for value in instruments:
        Instrument.objects.update_or_create(
            venue=venue,
            symbol=value.symbol,
            defaults={
                "base": value.base,
                "quote": value.quote,
                "tick_size": value.tick_size,
                "lot_size": value.lot_size,
                "min_notional_quote": value.min_notional_quote,
                "min_quantity_base": value.min_quantity_base,
                "maker_fee_fraction": value.maker_fee_fraction,
                "taker_fee_fraction": value.taker_fee_fraction,
                "is_shortable": value.shortable,
                "is_simulated": is_simulated,
                "updated_at": now,
            },
        )
