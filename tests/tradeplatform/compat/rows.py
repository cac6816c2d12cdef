"""A run whose trades hang on real entry orders: one over in two pieces, one lost, one open."""

from decimal import Decimal

from tests.trades.rows import (
    MINUTE,
    START,
    make_candle,
    make_equity,
    make_fill,
    make_lot,
    make_order,
    make_run,
    make_strategy,
    make_trade,
)


def make_traded_run(**given):
    run = make_run(last_event_at=START + 30 * MINUTE, reconciled_at=START, **given)
    make_strategy()
    make_strategy("breakout")
    for minute in range(3):
        make_candle(close=110.0 + minute, minute=minute)
    won = _entry(run, Decimal(2), stop_price=Decimal(95))
    for minute, pnl in ((5, "10"), (9, "6")):
        make_trade(
            run,
            pnl,
            minute=minute,
            entry_order_id=won.client_order_id,
            exit_order_id=_exit(run, minute).client_order_id,
        )
    lost = _entry(run, Decimal(1), strategy="breakout")
    make_trade(
        run,
        "-4",
        minute=12,
        strategy="breakout",
        exit_reason="STOP",
        entry_order_id=lost.client_order_id,
        exit_order_id=_exit(run, 12, strategy="breakout").client_order_id,
    )
    held = _entry(run, Decimal("0.5"), stop_price=Decimal(90))
    make_lot(run, entry_order_id=held.client_order_id, stop_price=Decimal(98))
    make_equity(run, minute=30, equity=10_018)
    return run


def _entry(run, quantity, **given):
    order = make_order(run, status="FILLED", quantity_base=quantity, filled_base=quantity, **given)
    make_fill(order)
    return order


def _exit(run, minute, **given):
    return make_order(
        run,
        side="SELL",
        purpose="exit",
        status="FILLED",
        quantity_base=Decimal(1),
        filled_base=Decimal(1),
        decided_at=START + minute * MINUTE,
        **given,
    )
