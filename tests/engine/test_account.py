"""What the limits count besides the books: streaks, throttles, orders on the way."""

from __future__ import annotations

from decimal import Decimal as D

from engine.account import Account
from engine.ledger import Ledger
from engine.types.opinions import Side
from tests.engine import books
from tests.engine.phases.scene import entry as proposed

HOUR_MS = 3_600_000


def account(cash: str = "10000") -> Account:
    return Account(Ledger("USDT", {"USDT": D(cash)}))


def lose(of: Account, price: str = "90") -> None:
    """One round trip from 100 to ``price``."""
    entry = books.intent(Side.BUY, "1")
    of.ledger.apply_fill(books.fill(entry, "100"), entry)
    leaving = books.intent(Side.SELL, "1")
    for trade in of.ledger.apply_fill(books.fill(leaving, price), leaving).trades:
        of.note_trade(trade)


def test_streak_counts_losses_only_and_a_win_ends_it() -> None:
    """OPT-72: losing trades in a row, per strategy."""
    mine = account()
    lose(mine)
    lose(mine)
    assert mine.losing_streak("ema-trend") == 2
    assert mine.losing_streak("breakout") == 0
    lose(mine, price="110")
    assert mine.losing_streak("ema-trend") == 0


def test_a_reset_is_forgiven_once_and_a_later_loss_counts_again() -> None:
    """D-27: an operator's reset starts the streak at 0; the same reset is not taken twice."""
    mine = account()
    lose(mine)
    mine.note_resets({"strategy:ema-trend": 1})
    assert mine.losing_streak("ema-trend") == 0
    lose(mine)
    mine.note_resets({"strategy:ema-trend": 1})
    assert mine.losing_streak("ema-trend") == 1


def test_a_global_reset_measures_drawdown_from_now() -> None:
    """D-23: after a reset the drawdown starts at 0, the loss stays in the equity."""
    mine = account("1000")
    mine.ledger.equity_point(0)
    lose(mine, price="50")
    assert mine.ledger.equity_point(1).drawdown_fraction > 0.04
    mine.note_resets({"global": 1})
    point = mine.ledger.equity_point(2)
    assert point.drawdown_fraction == 0.0
    assert point.equity_quote == D("950")


def test_pending_entries_count_as_exposure_and_as_spent_cash() -> None:
    """D-21: two proposals of one bar cannot both take the last room under a cap."""
    mine = account()
    waiting = books.intent(Side.BUY, "2", strategy="breakout")
    view = mine.view(proposed(strategy="ema-trend"), [waiting], 0)
    assert view.cash_quote == D("9800")
    assert view.gross_exposure_quote == D("200")
    assert view.exposure_by_symbol == {books.BTC: D("200")}
    assert view.exposure_by_strategy == {"breakout": D("200")}
    assert (view.open_orders, view.open_positions) == (1, 1)


def test_a_partly_filled_entry_is_counted_once_booked_and_on_the_way_together() -> None:
    """D-21: what has filled is a position, only the rest is still reserved."""
    mine = account()
    entry = books.intent(Side.BUY, "2")
    mine.ledger.apply_fill(books.fill(entry, "100", "0.5"), entry)
    view = mine.view(proposed(strategy="ema-trend"), [entry.remainder(D("0.5"))], 0)
    assert view.gross_exposure_quote == D("200")
    assert view.cash_quote == D("9800")
    assert (view.open_orders, view.open_positions) == (1, 1)


def test_throttle_counts_entries_of_the_last_hour_of_event_time() -> None:
    """CTL-6: event time, so a replay is throttled as the market was."""
    mine = account()
    mine.note_entry(books.intent(), 0)
    mine.note_entry(books.intent(), HOUR_MS)
    view = mine.view(proposed(strategy="ema-trend"), [], HOUR_MS + 1)
    assert (view.orders_last_hour, view.orders_last_day) == (1, 2)
