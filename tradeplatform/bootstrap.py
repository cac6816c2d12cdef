"""The wirings: which objects stand behind the engine's ports in each mode.

Replay, practice, paper and live are choices made here and nowhere else; no object asks which
wiring it is in. Scripts and notebooks build sessions with these functions too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.client_ids import RunIdentity
from engine.entry_orders import EntryDesk, EntryRules, EntryType
from engine.executors import SerialExecutor
from engine.failsafe import FailSafe, FailSafePolicy
from engine.kill_switch import barred_by
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.config import PipelineConfig
from engine.phases.pipeline import Pipeline
from engine.phases.quiet import ReplayPipeline
from engine.phases.recorder import CountingRecorder, Recorder
from engine.policy import BasePolicy
from engine.ports import (
    Executor,
    OptimizationPolicy,
    Reporter,
    StrategyStatus,
)
from engine.protection import Guard, Key, Protection, ProtectionWatch
from engine.scoreboard import Scoreboard
from engine.seats import Seated, champions
from engine.session import TradingSession
from engine.side_books import SideMarket
from engine.simulated_operator import SimulatedOperator
from engine.stretch import Strides
from engine.trading_book import TradingBook
from engine.types.bars import Instrument
from engine.types.learned import Seat
from engine.types.opinions import Regime
from engine.types.orders import OrderType
from engine.window import HistoryWindow, with_references
from market.sources.history import HistorySource
from research.core.journal import MemoryJournal
from strategies.core.desk import EvolutionDesk
from strategies.core.observers import observers
from strategies.core.registry import control_sources, learned_sources, rule_sources
from tradeplatform.configuration import PREDICTOR_CODES, STRATEGY_CODES, Configuration
from tradeplatform.replay_run import Replay, ReplayedLayer
from trades.side_books import shadow_plan, side_books

ENSEMBLE = "ensemble"
P = TypeVar("P", bound=Pipeline)
ReplayLayerMaker = Callable[[Configuration, SimulatedOperator], "ReplayedLayer"]
# of the simulated operator, after a drawdown halt
RESUME_AFTER_DAYS = 1


def risk_limits(config: Configuration) -> RiskLimits:
    """Return the hard limits of the configuration."""
    return RiskLimits.parse(config.risk.values())


def enabled_strategies(config: Configuration) -> tuple[str, ...]:
    """Return the codes of the strategies that may propose, in declared order."""
    return tuple(code for code in STRATEGY_CODES if config.strategy(code).enabled)


def enabled_predictors(config: Configuration) -> tuple[str, ...]:
    """Return the names of the learned sources that are asked, in declared order."""
    return tuple(code for code in PREDICTOR_CODES if config.predictor(code).enabled)


def with_strategies(config: Configuration, codes: tuple[str, ...]) -> Configuration:
    """Return the configuration with every other strategy switched off."""
    chosen = {
        code: msgspec.structs.replace(config.strategy(code), enabled=code in codes)
        for code in STRATEGY_CODES
    }
    return msgspec.structs.replace(config, strategies=chosen)


def with_layer(config: Configuration, enabled: bool) -> Configuration:
    """Return the configuration with the optimization layer on or off."""
    section = msgspec.structs.replace(config.optimization, enabled=enabled)
    return msgspec.structs.replace(config, optimization=section)


def with_predictors(config: Configuration, codes: tuple[str, ...]) -> Configuration:
    """Return the configuration with every other learned source switched off."""
    chosen = {
        code: msgspec.structs.replace(config.predictor(code), enabled=code in codes)
        for code in PREDICTOR_CODES
    }
    return msgspec.structs.replace(config, predictors=chosen)


def base_weights(config: Configuration) -> dict[str, float]:
    """Return the weight of each strategy before any learning, by code (OPT-03)."""
    return {code: config.strategy(code).base_weight for code in STRATEGY_CODES}


def favourable_regimes(config: Configuration) -> dict[str, frozenset[Regime]]:
    """Return the regimes each rule strategy was made for; the ensemble was made for none."""
    rules = tuple(code for code in STRATEGY_CODES if code != ENSEMBLE)
    params = {code: config.strategy(code).parameters for code in rules}
    return {rule.code: rule.favourable_regimes for rule in rule_sources(params, rules)}


def guard(config: Configuration) -> Guard | None:
    """Return what rests at the broker for each position; None where nothing does."""
    trading = config.trading
    if not trading.resting_stops:
        return None
    offset_bps = Decimal(repr(trading.stop_limit_offset_bps))
    return Guard(order_type=OrderType(trading.protection), limit_offset_bps=offset_bps)


def protection(
    config: Configuration,
    identity: RunIdentity,
    instruments: Mapping[str, Instrument],
    *,
    named: Mapping[Key, tuple[int, int]] | None = None,
    watch: ProtectionWatch | None = None,
) -> Protection | None:
    """Return what keeps an order at the broker for each position; None where none is wanted."""
    kind = guard(config)
    if kind is None:
        return None
    return Protection(identity, instruments, named=named, watch=watch, guard=kind)


def entry_rules(config: Configuration) -> EntryRules:
    """Return how entries are sent."""
    trading = config.trading
    return EntryRules(
        entry_type=EntryType(trading.entry_order),
        limit_offset_bps=Decimal(repr(trading.limit_offset_bps)),
        max_slippage_bps=Decimal(repr(trading.entry_slippage_bps)),
        timeout_bars=trading.order_timeout_bars,
        reprice_times=trading.reprice_times,
    )


def policy_from_settings(config: Configuration, fail_safe: FailSafe) -> OptimizationPolicy:
    """Return the optimization layer as switched: the base policy behind the fail-safe wrapper."""
    return FailSafePolicy(BasePolicy(base_weights(config)), fail_safe)


def predictor_parameters(config: Configuration) -> dict[str, dict[str, float]]:
    """Return the parameters of every predictor, by code."""
    return {code: config.predictor(code).parameters for code in PREDICTOR_CODES}


def untrained_seats(config: Configuration) -> tuple[Seated, ...]:
    """Return the seating of a first start: everybody votes untrained, the controls look on."""
    sources = learned_sources(enabled_predictors(config), params=predictor_parameters(config))
    controls = [Seated(s, Seat.CONTROL) for s in control_sources()] if sources else []
    return (*champions(sources), *controls)


def pipeline_config(config: Configuration) -> PipelineConfig:
    """Return the settings of the ten phases."""
    return PipelineConfig(
        horizon_bars=config.trading.horizon_bars,
        ensemble_trades=ENSEMBLE in enabled_strategies(config),
    )


def build_pipeline(
    config: Configuration,
    kind: type[P],
    *,
    executor: Callable[[FailSafe], Executor],
    recorder: Recorder,
    monotonic: Callable[[], float],
    reporter: Reporter,
    seats: Sequence[Seated] | None = None,
    policy: Callable[[FailSafe], OptimizationPolicy] | None = None,
) -> tuple[P, OptimizationPolicy]:
    """Return the ten phases with their sources, and the policy they ask.

    ``seats`` left out: every predictor as it is before any training, beside the controls.
    ``policy`` makes another policy than that of the configuration; stored runs follow a switch
    that people change while they trade.
    """
    strategies = enabled_strategies(config)
    rules = tuple(code for code in strategies if code != ENSEMBLE)
    params = {code: config.strategy(code).parameters for code in rules}
    fail_safe = FailSafe(reporter.incident, monotonic)
    asked = policy_from_settings(config, fail_safe) if policy is None else policy(fail_safe)
    pipeline = kind(
        config=pipeline_config(config),
        rules=rule_sources(params, rules),
        learned=(),
        seats=untrained_seats(config) if seats is None else seats,
        observers=observers(),
        scoreboard=Scoreboard(),
        executor=executor(fail_safe),
        recorder=recorder,
        fail_safe=fail_safe,
        monotonic=monotonic,
    )
    return pipeline, asked


def replay(
    config: Configuration,
    source: HistorySource,
    *,
    cash_quote: Decimal,
    reporter: Reporter,
    slippage_bps: Decimal = Decimal(0),
    resume_after_days: int = RESUME_AFTER_DAYS,
    seed: int = 1,
    evolve: bool = True,
    told: Callable[[str], None] = lambda _: None,
    layer: ReplayLayerMaker | None = None,
    journal_kind: type[MemoryJournal] = MemoryJournal,
) -> Replay:
    """Return the wiring ``replay``: history, paper broker, memory, a stated operator.

    ``slippage_bps`` applies where the source brings no book. Wall time stands still for the
    pipeline: in replay no duration may change a decision. With ``evolve`` models are trained,
    tried and promoted between events on the bars seen so far (ORC-16); ``seed`` seeds them.
    ``layer`` makes the optimization layer, and suspended strategies then trade on in a shadow
    book (D-07); without one it is off.
    """
    limits = risk_limits(config)
    instruments = source.instruments
    quote = next(iter(instruments.values())).quote
    operator = SimulatedOperator(
        dict.fromkeys(STRATEGY_CODES, StrategyStatus.ACTIVE), resume_after_days
    )
    adaptive = None if layer is None else layer(config, operator)
    journal = journal_kind(
        list(instruments), limits, None if adaptive is None else adaptive.record_shadow
    )
    pipeline, policy = build_pipeline(
        config,
        ReplayPipeline,
        executor=SerialExecutor,
        recorder=CountingRecorder(),
        monotonic=lambda: 0.0,
        reporter=reporter,
        policy=_replayed(config, adaptive),
    )
    identity = RunIdentity("000000", "replay", "replay", source.timeframe_ms)
    broker = PaperBroker(instruments, FeeIn.QUOTE, slippage_bps, barred=barred_by(operator))
    windows = with_references(
        {s: HistoryWindow(source.columns(s), source.first_row(s)) for s in instruments}
    )
    shortable = [i.symbol for i in instruments.values() if i.shortable]
    book = TradingBook(
        identity=identity,
        account=Account(Ledger(quote, {quote: cash_quote}, shortable=shortable)),
        limits=limits,
        broker=broker,
        journal=journal,
        gatekeeper=operator,
        policy=policy,
        protection=protection(config, identity, instruments),
        instruments=instruments,
        entries=EntryDesk(entry_rules(config), identity, instruments),
    )
    session = TradingSession(
        timeframe_ms=source.timeframe_ms,
        instruments=instruments,
        windows=windows,
        pipeline=pipeline,
        book=book,
        journal=journal,
        announcer=SilentAnnouncer(),
        side_books=None
        if adaptive is None
        else side_books(
            (shadow_plan(operator, enabled_strategies(config)),),
            SideMarket(
                identity=identity,
                instruments=instruments,
                limits=limits,
                slippage_bps=slippage_bps,
                guard=guard(config),
                entries=entry_rules(config),
            ),
            FailSafe(reporter.incident, lambda: 0.0),
            {},
        ),
    )
    symbol = next(iter(instruments))
    strides = Strides(
        instrument=instruments[symbol],
        window=windows[symbol],
        pipeline=pipeline,
        book=book,
        broker=broker,
        operator=operator,
        journal=journal,
    )
    predictors = enabled_predictors(config)
    desk = EvolutionDesk(
        predictors,
        {symbol: source.columns(symbol) for symbol in instruments},
        horizon_bars=config.trading.horizon_bars,
        seed=seed,
        params=predictor_parameters(config),
        progress=told,
    )
    return Replay(
        source,
        session,
        journal,
        operator,
        pipeline,
        desk if evolve and predictors else None,
        adaptive,
        strides if len(instruments) == 1 and not source.has_books and adaptive is None else None,
    )


def _replayed(
    config: Configuration, layer: ReplayedLayer | None
) -> Callable[[FailSafe], OptimizationPolicy] | None:
    if layer is None:
        return None
    return lambda fail_safe: FailSafePolicy(layer, fail_safe, BasePolicy(base_weights(config)))
