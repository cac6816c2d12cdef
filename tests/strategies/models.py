"""Rows for tests of predictors: candles with a planted signal, models, settled bars."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import numpy as np

from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import EvolutionTrigger
from market.models import Candle, Instrument
from strategies.core.candidates import thinned, train_candidate
from strategies.core.trained import TrainedModel
from strategies.core.training.dataset import dataset_of
from strategies.lifecycle import model_keep, scope_of
from strategies.models import PredictorModel, SettledBar
from strategies.training import training_request
from tests.strategies.core.test_desk import BARS, END_MS

VENUE, SYMBOL, CODE = "practice-synthetic", "BTC/USDT", "gradient-boosting"
SCOPE = scope_of(VENUE, 60_000)
RUN = uuid.UUID(int=7)
START = datetime(2026, 1, 5, tzinfo=UTC)


def make_candles(bars: BarColumns = BARS) -> None:
    instrument = Instrument.objects.create(
        venue=VENUE,
        symbol=SYMBOL,
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_notional_quote=Decimal(5),
        min_quantity_base=Decimal("0.001"),
        maker_fee_fraction=Decimal("0.001"),
        taker_fee_fraction=Decimal("0.001"),
        is_simulated=True,
        updated_at=START,
    )
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    names = ("open", "high", "low", "close", "volume")
    Candle.objects.bulk_create(
        Candle(
            instrument=instrument,
            timeframe_ms=60_000,
            opened_at=datetime.fromtimestamp(ts / 1000, UTC),
            **dict(zip(names, row, strict=True)),
        )
        for ts, row in zip(bars.ts_ms.tolist(), zip(*map(list, columns), strict=True), strict=True)
    )


@cache
def trained(seed: int = 1) -> TrainedModel:
    data = thinned(dataset_of({SYMBOL: ColumnStore(BARS)}, 12))
    return train_candidate(CODE, data, seed=seed).model


def make_model(seed: int = 1) -> PredictorModel:
    return model_keep(model=trained(seed), scope=SCOPE, actor="test")


def make_request(kind: str = "schedule", at_ms: int = END_MS, code: str = CODE):
    return training_request(
        trigger=EvolutionTrigger(code, kind, "time has come", 1.0, 2.0, at_ms),
        run_code=RUN,
        venue=VENUE,
        symbols=[SYMBOL],
        timeframe_ms=60_000,
        horizon_bars=12,
        actor="test",
    )


def make_settled(answers: dict[str, tuple[float, float]], n: int = 100, regime: str = "QUIET"):
    """Bars six minutes apart; each name says the first where the outcome is up, else the second."""
    first = SettledBar.objects.count()
    ups = np.random.default_rng(first + 5).integers(0, 2, n).tolist()
    SettledBar.objects.bulk_create(
        SettledBar(
            run_code=RUN,
            symbol=SYMBOL,
            opinion_at=START + timedelta(minutes=12 * (first + i)),
            settled_at=START + timedelta(minutes=12 * (first + i + 1)),
            regime=regime,
            outcome_up=up,
            opinions={name: said[0] if up else said[1] for name, said in answers.items()},
        )
        for i, up in enumerate(ups)
    )
