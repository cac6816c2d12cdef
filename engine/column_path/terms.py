"""What holds for a whole walk: the setting, and its numbers as compiled loops read them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, gcd, inf

from engine.column_path.grid import LARGEST, Grid, NotCovered, as_ratio, fits
from engine.column_path.state import EntryTerms, Terms
from engine.controls import DAY_MINUTES, MINUTE_MS
from engine.phases.config import PipelineConfig
from engine.phases.entry_gates import round_trip_fee_fraction
from engine.phases.readiness import least_score
from engine.phases.risk_and_sizing import RISK_FACTORS
from engine.risk import RiskLimits
from engine.types.bars import BarColumns, Instrument
from engine.types.ledger import ZERO
from engine.types.opinions import LEVELS

# Equity beyond so many times the cash is the session's to book.
_MOST_GROWTH = 16


@dataclass(frozen=True, slots=True)
class Setting:
    """What a walk goes by; ``stops_rest`` is False where stops are judged at closes alone."""

    instrument: Instrument
    limits: RiskLimits
    config: PipelineConfig
    cash_quote: Decimal
    slippage_bps: Decimal
    stops_rest: bool
    resume_after_days: int


def terms_of(setting: Setting, grid: Grid, bars: BarColumns) -> Terms:
    """Return the walk's terms in whole numbers.

    Raises:
        NotCovered: numbers that 64 bits do not hold.
    """
    instrument, limits, config = setting.instrument, setting.limits, setting.config
    fee, fee_scale = as_ratio(instrument.taker_fee_fraction)
    slip, slip_scale = as_ratio(setting.slippage_bps / 10_000)
    # notional units times fee units, over this, are fees of eight decimals
    over = 10 ** (grid.price + grid.quantity)
    factor, divisor = fee * 10**8, fee_scale * over
    shrink = gcd(factor, divisor)
    factor, divisor = factor // shrink, divisor // shrink
    cash = grid.in_money(setting.cash_quote)
    losses = [as_ratio(x) for x in (limits.max_drawdown, limits.max_day_loss, limits.max_week_loss)]
    most = min(cash * _MOST_GROWTH, LARGEST)
    if fee < 0:
        raise NotCovered(f"taker fee was {instrument.taker_fee_fraction}, below 0")
    fits(most, max(factor, *(scale for _, scale in losses)), "cash")
    if cash * 4 > most:
        raise NotCovered(f"cash {setting.cash_quote} is too large to be told apart as a float")
    highest = float(bars.high.max(initial=0.0)) * 10**grid.price
    fits(int(highest), 2 * slip_scale * grid.in_price(instrument.tick_size), "the highest price")
    return Terms(
        timeframe_ms=bars.timeframe_ms,
        price_scale=float(10**grid.price),
        money_scale=float(10**grid.money),
        tick=grid.in_price(instrument.tick_size),
        value_of_unit=grid.value_of_unit,
        fee_factor=factor,
        fee_divisor=divisor,
        fee_unit=10 ** (grid.money - 8),
        slip=slip,
        slip_scale=slip_scale,
        min_notional=grid.in_money(instrument.min_notional_quote),
        least_equity=grid.in_money(limits.min_equity_quote),
        most_equity=most,
        drawdown=losses[0],
        day_loss=losses[1],
        week_loss=losses[2],
        loss_streak=limits.loss_streak,
        resume_after_days=setting.resume_after_days,
        max_holding_bars=config.max_holding_bars,
        horizon_bars=config.horizon_bars,
        learn_every_bars=config.learn_every_bars,
        opinion_margin=config.opinion_margin,
        stops_rest=setting.stops_rest,
    )


def entry_terms_of(setting: Setting, grid: Grid, timeframe_ms: int, *, is_sure: bool) -> EntryTerms:
    """Return what an entry of a flat account is judged by; see ``entries.judge_entry``.

    ``is_sure`` is False where the bars are such that phase 7 has to be asked each time.
    """
    instrument, limits, config = setting.instrument, setting.limits, setting.config
    low, medium, high, extreme = (RISK_FACTORS[level] for level in LEVELS)
    fees = round_trip_fee_fraction(instrument)
    with_fee = 1 + max(instrument.taker_fee_fraction, ZERO)
    span = max(1, DAY_MINUTES * MINUTE_MS // timeframe_ms)
    return EntryTerms(
        is_sure=is_sure,
        minimum_performance=config.minimum_performance,
        opinion_margin=config.opinion_margin,
        weak_factor=config.weak_size_factor,
        unreliable_factor=config.unreliable_size_factor,
        veto_probability=config.veto_probability,
        least_readiness=least_score(config.required_readiness),
        bars_after_gap=config.readiness_bars_after_gap,
        dwell_bars=config.readiness_dwell_bars,
        jump_pause_ms=limits.jump_pause_minutes * MINUTE_MS,
        jump_1m=float(limits.max_jump_1m),
        jump_5m=float(limits.max_jump_5m),
        bars_of_1m=MINUTE_MS // timeframe_ms,
        bars_of_5m=5 * MINUTE_MS // timeframe_ms,
        least_target=config.target_pays_fees * fees,
        fees_fraction=fees,
        risk_per_trade=float(limits.risk_per_trade),
        base_share_of_cap=config.base_share_of_cap,
        max_position=float(limits.max_position_size),
        max_order_quote=inf if limits.max_order_quote is None else float(limits.max_order_quote),
        most_share=float(_most_share(limits, instrument)),
        spendable_share=float((1 - limits.cash_reserve) / with_fee),
        risk_factors=(low, medium, high, extreme),
        volume_bars=span,
        volume_share=float(limits.max_volume_share) * MINUTE_MS / timeframe_ms,
        lot=grid.in_quantity(instrument.lot_size),
        lot_base=float(instrument.lot_size),
        least_lots=max(
            1, ceil(Fraction(instrument.min_quantity_base) / Fraction(instrument.lot_size))
        ),
        per_hour=limits.max_orders_per_hour,
        per_day=limits.max_orders_per_day,
        lately=limits.max_entries_per_15m,
        lately_day=limits.max_entries_per_day,
    )


def _most_share(limits: RiskLimits, instrument: Instrument) -> Decimal:
    """Return the smallest cap on the notional of a flat account's order, as a share of equity."""
    shares = [
        limits.max_position_size,
        limits.max_strategy_exposure,
        limits.max_gross_exposure,
        limits.leverage,
    ]
    if any(instrument.base in bases for _, bases in limits.correlated_groups):
        shares.append(limits.max_group_exposure)
    return min(shares)
