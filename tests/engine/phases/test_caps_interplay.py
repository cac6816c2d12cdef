"""Multipliers, weights, the book and every cap together: what is sent never exceeds one of them."""

from __future__ import annotations

from decimal import Decimal
from math import inf, isfinite, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import controls
from engine.limits import RiskLimits
from engine.ports import StrategyStatus
from engine.types.opinions import Side
from tests.engine.books import BTC, D
from tests.engine.phases.scene import STRATEGY, Gate, book_at, risk, snapshot
from tests.engine.phases.sizing import Layer, ask

MULTIPLIERS = st.one_of(st.floats(), st.sampled_from([nan, inf, -inf, 0.0, 0.1, 1.0, 2.0, 1e300]))
FRACTIONS = st.decimals("0.001", "1", places=3)
EQUITY = D(10_000)


@settings(max_examples=150, deadline=None)
@given(
    multiplier=MULTIPLIERS,
    position=FRACTIONS,
    strategy=FRACTIONS,
    gross=FRACTIONS,
    book_share=FRACTIONS,
    held=st.decimals("0", "3000", places=2),
    depth=st.floats(0.01, 500.0),
    status=st.sampled_from([StrategyStatus.ACTIVE, StrategyStatus.DEGRADED]),
)
def test_no_multiplier_lifts_an_order_above_any_cap(
    multiplier: float,
    position: Decimal,
    strategy: Decimal,
    gross: Decimal,
    book_share: Decimal,
    held: Decimal,
    depth: float,
    status: StrategyStatus,
) -> None:
    """F-086, I-10, I-11, CTL-1, CTL-2, CTL-4: each cap recomputed from its definition."""
    limits = RiskLimits(
        max_position_size=position,
        max_strategy_exposure=strategy,
        max_gross_exposure=gross,
        max_book_share=book_share,
    )
    at = snapshot(book=book_at(snapshot().close, quantity=depth))
    view = risk(
        exposure_by_symbol={BTC: held},
        exposure_by_strategy={STRATEGY: held},
        gross_exposure_quote=held,
    )
    sizing = ask(
        at=at, policy=Layer(lambda: multiplier), limits=limits, risk=view,
        gatekeeper=Gate(status=status),
    ).sizing  # fmt: skip
    quantity, price = sizing.quantity_base, at.instrument.price(at.close)
    notional = quantity * price
    assert isfinite(sizing.multiplier_applied)
    assert sizing.denied is not None or 0.1 <= sizing.multiplier_applied <= 2.0
    if quantity == 0:
        return
    assert notional <= position * EQUITY
    assert held + notional <= min(position, strategy, gross) * EQUITY
    assert quantity <= book_share * D(repr(depth)) * 5
    assert quantity <= dict(controls.volume_rooms(at, Side.BUY, limits))["VOLUME_SHARE"]
    if not isfinite(multiplier):
        assert sizing.multiplier_applied in (1.0, 0.5), "no number is no opinion"
