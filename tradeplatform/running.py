"""The wirings of stored runs: practice, paper and live, rebuilt from rows at every start.

Start-up and crash recovery are this one path: fills give the books, the cursor gives what is
due, the session's state gives what was learned, and nothing enters before the orders on the way
have been compared with the venue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from engine.account import Account
from engine.announce import PublishingAnnouncer
from engine.client_ids import RunIdentity
from engine.entry_orders import EntryDesk
from engine.executors import ThreadedExecutor
from engine.failsafe import FailSafe, Failure, attempt
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import FullRecorder
from engine.requests import RequestDesk
from engine.risk import OrderThrottle
from engine.seats import Seated
from engine.session import TradingSession
from engine.side_books import SideMarket
from engine.standing import EntryCounts, WeekPnl
from engine.trading_book import TradingBook
from engine.types.bars import BarColumns, Instrument
from engine.window import WINDOW_BARS, RollingWindow, with_references
from market.errors import SourceUnavailable, SymbolRefused
from market.models import Instrument as InstrumentRow
from market.selectors import candle_columns, candle_span, instrument_value
from market.services import candles_backfill
from market.sources.ccxt_poll import CcxtPollSource
from market.sources.instruments import timeframe_from_ms
from monitoring.layer import layer
from monitoring.publish import StreamPublisher
from strategies.lifecycle import scope_of, seated_sources, seats_signature
from strategies.selectors import status_without_layer
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration, from_mapping
from tradeplatform.order_path import order_path
from tradeplatform.protecting import protection_of
from tradeplatform.session_relief import relief
from tradeplatform.venue import venue_budget, venue_client
from tradeplatform.watch import RunWatch
from trades import books, records
from trades.brokers.venue_client import VenueClient
from trades.core.operating_limits import OperatingLimits
from trades.dead_man import DeadMan
from trades.deployment import limits_of_deployment
from trades.instructions import StoredInstructions
from trades.journal import DatabaseJournal
from trades.lease import Fence, Renewal
from trades.loop import TradingLoop
from trades.models import Order, SessionState, SymbolCursor, TradingRun
from trades.runner import RunningSession
from trades.services import seats_taken
from trades.side_books import counterfactual_plan, shadow_plan, side_books
from trades.venue_rules import ClosedSymbols

PHASES_DEADLINE_S = 1.0


class VenueSource:
    """Implements ``trades.loop.LiveSource`` over the polling source."""

    def __init__(self, source: CcxtPollSource) -> None:
        self._source = source

    def events(self) -> Any:
        return self._source.events()

    def now_ms(self) -> int:
        return self._source.venue_ms()

    def close(self) -> None:
        return None


class RunSeats:
    """Who sits in a run: read from rows at its start, and again between events (ORC-16, D-18)."""

    def __init__(self, run: TradingRun, config: Configuration, watch: RunWatch) -> None:
        self._run = run
        self._scope = scope_of(run.venue, run.timeframe_ms)
        self._codes = bootstrap.enabled_predictors(config)
        self._params = bootstrap.predictor_parameters(config)
        self._watch = watch
        self._signature: tuple[tuple[str, str, str], ...] = ()

    def read(self) -> tuple[Seated, ...]:
        """Return the seating as the rows have it now."""
        self._signature = seats_signature(self._scope)
        return seated_sources(
            scope=self._scope,
            codes=self._codes,
            told=self._watch.incident,
            params=self._params,
        )

    def refresh(self, pipeline: Pipeline) -> None:
        """Take a new seating, if there is one, and say so in the run's journal of evolution."""
        if seats_signature(self._scope) == self._signature:
            return
        before = {seated.name: seated.version for seated in pipeline.seated}
        last = SymbolCursor.objects.filter(run=self._run).order_by("-last_bar_close_at").first()
        at = timezone.now() if last is None else last.last_bar_close_at
        pipeline.reseat(self.read(), records.milliseconds(at))
        seats_taken(run=self._run, before=before, after=pipeline.seated, at=at)


def running_session(run: TradingRun, fence: Fence) -> RunningSession:
    """Build the session of a stored run under ``fence``; settings name this function.

    Raises:
        SourceUnavailable: the venue did not answer; a person has been told, as by a running one.
    """
    publisher = StreamPublisher(settings.REDIS_URL)
    watch = RunWatch(run, publisher)
    try:
        return _built(run, fence, publisher, watch)
    except SourceUnavailable as error:
        watch.source_failed(error)
        raise


def _built(
    run: TradingRun, fence: Fence, publisher: StreamPublisher, watch: RunWatch
) -> RunningSession:
    config = from_mapping(run.config, source=f"run {run.code}")
    client = venue_client(config)
    budget = venue_budget(config)
    timeframe = timeframe_from_ms(run.timeframe_ms)
    renew = Renewal(fence)
    venue = VenueClient(client, budget=budget)
    closed = ClosedSymbols(venue.markets, run.symbols, watch.alarm)
    source = CcxtPollSource(
        client,
        run.symbols,
        timeframe,
        _cursors(run),
        budget=budget,
        between_symbols=renew,
        is_closed=closed.is_closed,
    )
    rows = _instrument_rows(run)
    instruments = source.instruments(known={s: instrument_value(row) for s, row in rows.items()})
    windows = with_references({s: _window(run, source, s) for s in run.symbols})
    operating = OperatingLimits.of(run.config.get("risk", {}))
    limits = limits_of_deployment(run, bootstrap.risk_limits(config), operating, watch.alarm)
    broker, reconciler, gatekeeper = order_path(
        run, fence, venue, instruments, watch, limits, operating, bootstrap.guard(config), closed
    )
    dead_man = DeadMan(run.pk, venue, told=watch.no_countdown)
    seats = RunSeats(run, config, watch)
    pipeline, policy = bootstrap.build_pipeline(
        config,
        Pipeline,
        executor=_threaded,
        recorder=FullRecorder(time.monotonic),
        monotonic=time.monotonic,
        reporter=watch,
        seats=seats.read(),
        policy=lambda fail_safe: layer().live_policy(
            base_weights=bootstrap.base_weights(config),
            favourable=bootstrap.favourable_regimes(config),
            run=run,
            fail_safe=fail_safe,
        ),
    )
    for window in windows.values():
        _warm_up(pipeline, window, watch)
    stored = SessionState.objects.filter(run=run).first()
    state: dict[str, Any] = stored.payload if stored else {}
    if "pipeline" in state:
        _restore(pipeline, state["pipeline"], watch)
    journal = DatabaseJournal(run, fence, rows, horizon_bars=config.trading.horizon_bars)
    identity = RunIdentity(settings.INSTALLATION_ID, run.account, str(run.code), run.timeframe_ms)
    book = TradingBook(
        identity=identity,
        account=_account(run, instruments, windows, state.get("account", {})),
        limits=limits,
        broker=broker,
        journal=journal,
        gatekeeper=gatekeeper,
        policy=policy,
        protection=protection_of(run, config, client, identity, instruments, watch),
        instruments=instruments,
        entries=EntryDesk(bootstrap.entry_rules(config), identity, instruments),
        resumed=books.resumed(run),
        ceilings=gatekeeper.ceilings,
    )
    asked = StoredInstructions(run)
    session = TradingSession(
        timeframe_ms=run.timeframe_ms,
        instruments=instruments,
        windows=windows,
        pipeline=pipeline,
        book=book,
        journal=journal,
        announcer=layer().live_announcer(
            PublishingAnnouncer(publisher, str(run.code), watch), watch
        ),
        regimes=state.get("regimes", {}),
        side_books=side_books(
            (
                shadow_plan(gatekeeper, bootstrap.enabled_strategies(config)),
                counterfactual_plan(
                    gatekeeper,
                    layer().is_on,
                    bootstrap.base_weights(config),
                    status_without_layer,
                ),
            ),
            SideMarket(
                identity=identity,
                instruments=instruments,
                limits=limits,
                guard=bootstrap.guard(config),
                entries=bootstrap.entry_rules(config),
                ceilings=gatekeeper.ceilings,
            ),
            FailSafe(watch.incident, time.monotonic),
            state.get("side_books", {}),
        ),
        requests=RequestDesk(identity, instruments, asked, gatekeeper, journal),
    )
    relieve = relief(pipeline, client)

    def between_events() -> None:
        seats.refresh(pipeline)
        relieve()
        dead_man.beat()

    return TradingLoop(
        run=run,
        fence=fence,
        session=session,
        source=VenueSource(source),
        reconciler=reconciler,
        renew=renew,
        has_news=session.has_news,
        watch=watch,
        between_events=between_events,
    )


def _warm_up(pipeline: Pipeline, window: RollingWindow, watch: RunWatch) -> None:
    """Let the phases run once. What is broken is told now and is a HOLD on each bar that needs it:
    a session that did not start for it would lock its positions in (ORC-17)."""
    failure = attempt(lambda: pipeline.warm_up(window.store()), "warm-up of the phases")
    if isinstance(failure, Failure):
        watch.incident(failure.where, failure.error)


def _restore(pipeline: Pipeline, state: Any, watch: RunWatch) -> None:
    """Give the pipeline back what it learned; a state that it cannot take is told of, and it
    learns anew. A session that refused to start would leave what is held without its exits."""
    blank = pipeline.state()
    taken = attempt(lambda: pipeline.restore(state), "learned state")
    if isinstance(taken, Failure):
        watch.incident(taken.where, taken.error)
        pipeline.restore(blank)


def _window(run: TradingRun, source: CcxtPollSource, symbol: str) -> RollingWindow:
    """Return a symbol's recent bars, all of them kept as candles too: what closed between the last
    candle and this session's first bar would else be a hole in the charts, and a decision is made
    again from the very window it was made on. Of a symbol that the venue refuses the candles are
    what there is; the first poll says whether it is closed (F-055)."""
    try:
        history = source.history(symbol, WINDOW_BARS)
    except SymbolRefused:
        return RollingWindow(_kept_bars(run, symbol), WINDOW_BARS)
    candles_backfill(venue=run.venue, symbol=symbol, bars=history, limit=WINDOW_BARS)
    return RollingWindow(history, WINDOW_BARS)


def _kept_bars(run: TradingRun, symbol: str) -> BarColumns:
    venue, timeframe_ms = run.venue, run.timeframe_ms
    span = candle_span(venue=venue, symbol=symbol, timeframe_ms=timeframe_ms)
    bar = timedelta(milliseconds=timeframe_ms)
    until = run.started_at if span is None else span[1] + bar
    return candle_columns(
        venue=venue,
        symbol=symbol,
        timeframe_ms=timeframe_ms,
        since=until - WINDOW_BARS * bar,
        until=until,
        max_bars=WINDOW_BARS,
    )


def _threaded(fail_safe: FailSafe) -> ThreadedExecutor:
    return ThreadedExecutor(PHASES_DEADLINE_S, time.monotonic, fail_safe)


def _cursors(run: TradingRun) -> dict[str, int]:
    rows = SymbolCursor.objects.filter(run=run).values_list("symbol", "last_bar_close_at")
    return {symbol: records.milliseconds(at) for symbol, at in rows}


def _account(
    run: TradingRun,
    instruments: dict[str, Instrument],
    windows: Mapping[str, RollingWindow],
    state: dict[str, Any],
) -> Account:
    ledger = books.restore_ledger(run, instruments.values())
    for symbol, window in windows.items():
        if window.last_bar is not None:
            ledger.mark(symbol, window.last_bar.close)
    return Account(
        ledger,
        _throttle(run),
        streaks=state.get("streaks"),
        seen_resets=state.get("seen_resets"),
        entries=EntryCounts.restore(state.get("entries", {})),
        week=WeekPnl.restore(state.get("week", {})),
    )


def _throttle(run: TradingRun) -> OrderThrottle:
    """Return the entries of the last day of event time."""
    throttle = OrderThrottle()
    entries = Order.objects.filter(run=run, purpose="entry", leg=0).order_by("-decided_at")
    last = entries.values_list("decided_at", flat=True).first()
    if last is None:
        return throttle
    recent = entries.filter(decided_at__gt=last - timedelta(days=1))
    for at in sorted(recent.values_list("decided_at", flat=True)):
        throttle.note(records.milliseconds(at))
    return throttle


def _instrument_rows(run: TradingRun) -> dict[str, InstrumentRow]:
    rows = InstrumentRow.objects.filter(venue=run.venue, symbol__in=run.symbols)
    return {row.symbol: row for row in rows}
