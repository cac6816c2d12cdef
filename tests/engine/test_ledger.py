"""The books: lots, trades and equity from fills, in exact decimal arithmetic."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ledger import Ledger, LedgerError
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, Purpose
from tests.engine.books import BTC, D, fill, instrument, intent

DAY_MS = 86_400_000


def ledger(cash: str = "10000", **balances: str) -> Ledger:
    return Ledger("USDT", {"USDT": D(cash), **{a: D(b) for a, b in balances.items()}})


def buy(book: Ledger, price: str, quantity: str = "1", **changes: object) -> OrderIntent:
    order = intent(Side.BUY, quantity, **changes)
    book.apply_fill(fill(order, price), order, "TRENDING")
    return order


def exit_order(quantity: str, **changes: object) -> OrderIntent:
    return intent(Side.SELL, quantity, purpose=Purpose.EXIT, **changes)


def test_a_long_bought_at_100_and_sold_at_130_earns_30() -> None:
    """OPT-27: golden case."""
    books = ledger()
    buy(books, "100", stop_price=D("90"))
    order = exit_order("1")
    effect = books.apply_fill(fill(order, "130", ts_ms=7), order, "RANGING", "target")
    (trade,) = effect.trades
    assert (trade.pnl_quote, trade.r_multiple) == (D("30"), 3.0)
    assert (trade.entry_regime, trade.exit_regime) == ("TRENDING", "RANGING")
    assert (trade.exit_reason, trade.closed_at_ms) == ("target", 7)
    assert books.cash_quote == D("10030")
    assert not books.position("ema-trend", BTC).is_open
    assert effect.changed[0].quantity_base == 0


def test_fees_of_entry_and_exit_are_taken_from_the_trade() -> None:
    """OPT-27"""
    books = ledger()
    order = intent(quantity="2")
    books.apply_fill(fill(order, "100", fee=D("0.2")), order, "QUIET")
    out = exit_order("2")
    (trade,) = books.apply_fill(fill(out, "110", fee=D("0.22")), out, "QUIET").trades
    assert (trade.fees_quote, trade.pnl_quote) == (D("0.42"), D("19.58"))
    assert trade.r_multiple is None  # no stop was set


def test_a_partial_exit_closes_the_oldest_lots_first() -> None:
    """OPT-26, OPT-28: FIFO, the second lot is cut and keeps its place."""
    books = ledger()
    buy(books, "100")
    buy(books, "120")
    out = exit_order("1.5")
    effect = books.apply_fill(fill(out, "130"), out, "QUIET")
    assert [(t.entry_price, t.quantity_base, t.pnl_quote) for t in effect.trades] == [
        (D("100"), D("1"), D("30")),
        (D("120"), D("0.5"), D("5.0")),
    ]
    assert [lot.quantity_base for lot in effect.changed] == [D("0"), D("0.5")]
    assert books.position("ema-trend", BTC).average_price == D("120")


def test_a_fee_split_over_three_exits_sums_to_the_whole_fee() -> None:
    """I-6: a third of 0.1 is no decimal, the sum of the parts is."""
    books = ledger()
    order = intent(quantity="3")
    books.apply_fill(fill(order, "100", fee=D("0.1")), order, "QUIET")
    fees = []
    for _ in range(3):
        out = exit_order("1")
        fees += [t.fees_quote for t in books.apply_fill(fill(out, "100"), out, "QUIET").trades]
    assert len(fees) == 3
    assert sum(fees) == D("0.1")


def test_a_reversing_fill_closes_the_long_and_opens_a_short() -> None:
    """OPT-26, OPT-27: where the instrument allows shorts there is no alert."""
    books = Ledger("USDT", {"USDT": D("10000")}, shortable=[BTC])
    buy(books, "100")
    order = intent(Side.SELL, "3", stop_price=D("140"))
    effect = books.apply_fill(fill(order, "120", fee=D("0.3")), order, "QUIET")
    assert effect.reasons == ()
    assert [(t.pnl_quote, t.fees_quote) for t in effect.trades] == [(D("19.9"), D("0.1"))]
    (lot,) = effect.opened
    assert (lot.side, lot.quantity_base, lot.entry_fee_quote) == (Side.SELL, D("2"), D("0.2"))
    cover = intent(Side.BUY, "2", purpose=Purpose.EXIT)
    (trade,) = books.apply_fill(fill(cover, "110"), cover, "QUIET").trades
    assert trade.pnl_quote == D("19.8")
    assert trade.r_multiple == pytest.approx(19.8 / 40)


def test_selling_below_zero_on_spot_is_booked_and_raises_an_alert() -> None:
    """F-017: what the venue did is the truth, but somebody must look."""
    books = ledger()
    buy(books, "100")
    out = exit_order("1")
    effect = books.apply_fill(fill(out, "100", "1.5"), out, "QUIET")
    assert {r.code for r in effect.reasons} == {"OVERFILL", "OVERSOLD"}
    assert books.position("ema-trend", BTC).quantity_base == D("-0.5")


def test_two_strategies_in_one_symbol_keep_their_own_lots() -> None:
    """OPT-28, I-5"""
    books = ledger()
    buy(books, "100", strategy="breakout")
    buy(books, "200", strategy="ema-trend")
    out = exit_order("1", strategy="ema-trend")
    (trade,) = books.apply_fill(fill(out, "150"), out, "QUIET").trades
    assert (trade.strategy, trade.pnl_quote) == ("ema-trend", D("-50"))
    assert books.position("breakout", BTC).quantity_base == 1


def test_a_fill_seen_before_changes_nothing() -> None:
    """F-016, OPT-31: repeated by the venue, by a reconnect or by a restart."""
    books = ledger()
    order = intent()
    first = fill(order, "100", fee=D("0.1"))
    books.apply_fill(first, order, "QUIET")
    again = Ledger.restore(books.state())
    for held in (books, again):
        before = held.state()
        effect = held.apply_fill(first, order, "QUIET")
        assert effect.duplicate
        assert (effect.opened, effect.changed, effect.trades) == ((), (), ())
        assert held.state() == before


def test_the_same_trade_id_in_another_symbol_is_another_fill() -> None:
    """I-3: venues number trades by symbol."""
    books = ledger()
    one, two = intent(), intent(symbol="ETH/USDT")
    books.apply_fill(fill(one, "100", trade_id="7"), one, "QUIET")
    assert not books.apply_fill(fill(two, "10", trade_id="7"), two, "QUIET").duplicate


def test_a_fill_that_slipped_past_its_stop_keeps_the_risk_of_the_decision() -> None:
    """OPT-27: R stays defined for the worst fills."""
    books = ledger()
    buy(books, "89", stop_price=D("90"), reference_price=D("100"))
    assert books.lots[0].risk_per_unit_quote == D("10")


def test_moving_a_stop_keeps_the_initial_risk() -> None:
    """D-59"""
    books = ledger()
    buy(books, "100", stop_price=D("90"))
    (lot,) = books.set_exits("ema-trend", BTC, D("99"), None)
    assert (lot.stop_price, lot.risk_per_unit_quote) == (D("99"), D("10"))
    assert books.position("ema-trend", BTC).stop_price == D("99")


@pytest.mark.parametrize(
    "changes",
    [
        {"price": D("NaN")},
        {"price": D("0")},
        {"quantity_base": D("-1")},
        {"fee": D("Infinity")},
        {"symbol": "ETH/USDT"},
    ],
)
def test_a_malformed_fill_is_refused_and_changes_nothing(changes: dict[str, object]) -> None:
    """F-016: account arithmetic is never fail-safe."""
    books = ledger()
    order = intent()
    before = books.state()
    with pytest.raises(LedgerError, match="was"):
        books.apply_fill(replace(fill(order, "100"), **changes), order, "QUIET")
    assert books.state() == before


def test_a_symbol_of_another_quote_is_refused() -> None:
    """I-6: sums in one quote only."""
    with pytest.raises(LedgerError, match="BTC/EUR"):
        ledger().mark("BTC/EUR", 100.0)


def test_a_fee_in_the_base_coin_reduces_the_position() -> None:
    """F-020: what can be sold is what arrived."""
    books = ledger()
    order = intent()
    books.apply_fill(fill(order, "100", fee=D("0.001"), fee_asset="BTC"), order, "QUIET")
    position = books.position("ema-trend", BTC)
    assert position.quantity_base == D("0.999")
    assert position.entry_fee_quote == D("0.1")
    assert books.balances() == {"USDT": D("9900"), "BTC": D("0.999")}
    out = exit_order("0.999")
    (trade,) = books.apply_fill(fill(out, "110"), out, "QUIET").trades
    assert trade.pnl_quote == D("9.89") == books.cash_quote - 10000


def test_a_fee_in_a_third_asset_is_valued_at_its_mark() -> None:
    """I-6"""
    books = ledger(BNB="1")
    books.mark_asset("BNB", D("300"))
    order = intent()
    effect = books.apply_fill(fill(order, "100", fee=D("0.01"), fee_asset="BNB"), order, "QUIET")
    assert effect.reasons == ()
    assert books.fees_quote == D("3")
    assert books.balances()["BNB"] == D("0.99")
    assert books.equity_quote - books.deposits_quote == D("-3")


def test_a_fee_in_an_asset_without_a_mark_counts_0_and_says_so() -> None:
    """I-6"""
    books = ledger(BNB="1")
    order = intent()
    effect = books.apply_fill(fill(order, "100", fee=D("0.01"), fee_asset="BNB"), order, "QUIET")
    assert [r.code for r in effect.reasons] == ["FEE_UNVALUED"]
    assert books.fees_quote == 0
    assert books.balances()["BNB"] == D("0.99")


def test_dust_left_by_a_base_fee_is_closed_and_stays_on_the_account() -> None:
    """F-019, F-020: the position ends, equity and balances do not move."""
    books = ledger()
    order = intent()
    books.apply_fill(fill(order, "100", fee=D("0.00105"), fee_asset="BTC"), order, "QUIET")
    out = exit_order("0.9989")
    books.apply_fill(fill(out, "110"), out, "QUIET")
    books.mark(BTC, D("120"))
    equity, balances = books.equity_quote, books.balances()
    effect = books.sweep_dust("ema-trend", BTC, 5, "QUIET")
    assert [(t.exit_reason, t.quantity_base) for t in effect.trades] == [("dust", D("0.00005"))]
    assert not books.position("ema-trend", BTC).is_open
    assert (books.equity_quote, books.balances()) == (equity, balances)
    assert books.exposure_quote == 0
    books.mark(BTC, D("150"))
    _assert_conserved(books)


def test_a_position_that_can_be_sold_is_not_dust() -> None:
    """F-019"""
    books = ledger()
    buy(books, "100")
    assert not books.is_dust("ema-trend", instrument())
    assert books.sweep_dust("breakout", BTC, 5, "QUIET").trades == (), "it holds nothing"
    assert books.position("ema-trend", BTC).is_open


def test_equity_follows_the_mark_and_remembers_its_peak() -> None:
    """CTL-9"""
    books = ledger("1000")
    buy(books, "100", "5")
    books.mark(BTC, 150.0)
    assert books.equity_point(1).equity_quote == D("1250")
    books.mark(BTC, 100.0)
    point = books.equity_point(2)
    assert (point.equity_quote, point.peak_equity_quote) == (D("1000"), D("1250"))
    assert (point.cash_quote, point.exposure_quote) == (D("500"), D("500"))
    assert point.drawdown_fraction == pytest.approx(0.2)


def test_day_pnl_starts_from_the_last_equity_of_the_day_before() -> None:
    """CTL-9, D-27: UTC days."""
    books = ledger("1000")
    buy(books, "100", "1")
    books.mark(BTC, 110.0)
    assert books.equity_point(DAY_MS - 1).day_pnl_quote == D("10")
    books.mark(BTC, 105.0)
    assert books.equity_point(DAY_MS).day_pnl_quote == D("-5")
    books.mark(BTC, 120.0)
    assert books.equity_point(2 * DAY_MS - 1).day_pnl_quote == D("10")


def test_a_deposit_moves_neither_day_pnl_nor_drawdown() -> None:
    """D-59"""
    books = ledger("1000")
    buy(books, "100", "5")
    books.mark(BTC, 60.0)
    before = books.equity_point(1)
    books.adjust("USDT", D("800"))
    after = books.equity_point(2)
    assert after.equity_quote == before.equity_quote + 800
    assert after.day_pnl_quote == before.day_pnl_quote == D("-200")
    assert after.drawdown_fraction == pytest.approx(before.drawdown_fraction) == 0.2
    books.adjust("USDT", D("-1000"))
    assert books.equity_point(DAY_MS + 1).day_pnl_quote == 0


def test_coins_moved_by_hand_are_external_and_not_profit() -> None:
    """F-013: booked outside every strategy, exits cannot be oversized by it."""
    books = ledger()
    buy(books, "100")
    books.adjust("BTC", D("0.5"))
    assert books.position("ema-trend", BTC).quantity_base == 1
    assert books.exposure_quote == D("100")
    assert books.equity_quote - books.deposits_quote == 0
    books.mark(BTC, D("120"))
    assert books.equity_point(1).equity_quote == D("10080")
    assert books.unrealised_quote == D("30")


def test_a_holding_counts_from_its_first_mark_as_a_deposit() -> None:
    """D-59"""
    books = ledger(BTC="2")
    assert books.equity_quote == 10000
    books.mark(BTC, D("100"))
    point = books.equity_point(1)
    assert (point.equity_quote, point.day_pnl_quote) == (D("10200"), D("0"))
    assert books.deposits_quote == D("10200")


def test_equity_below_zero_is_a_full_drawdown() -> None:
    """CTL-9"""
    books = Ledger("USDT", {"USDT": D("100")}, shortable=[BTC])
    order = intent(Side.SELL)
    books.apply_fill(fill(order, "100"), order, "QUIET")
    books.mark(BTC, D("500"))
    assert books.equity_point(1).drawdown_fraction == 1.0


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_mark_that_is_no_price_is_refused(price: float) -> None:
    """CTL-11"""
    with pytest.raises(LedgerError, match="was"):
        ledger().mark(BTC, price)


def test_exposure_by_symbol_and_strategy_sum_to_the_gross() -> None:
    """CTL-4"""
    books = ledger()
    buy(books, "100", strategy="breakout")
    buy(books, "100", "2", strategy="ema-trend")
    buy(books, "10", "3", strategy="ema-trend", symbol="ETH/USDT")
    assert books.exposure_by_symbol() == {BTC: D("300"), "ETH/USDT": D("30")}
    assert books.exposure_by_strategy() == {"breakout": D("100"), "ema-trend": D("230")}
    assert books.exposure_quote == D("330")
    assert [p.strategy for p in books.positions()] == ["breakout", "ema-trend", "ema-trend"]


def test_an_entry_is_booked_from_its_fill_and_not_from_its_signal() -> None:
    """OPT-25: symbol, strategy, side, price, quantity, time and regime of what was done."""
    order = intent(Side.BUY, "2", reference_price=D("100"), decided_at_ms=5)
    done = fill(order, "101.5", "1.25", ts_ms=77)
    (lot,) = ledger().apply_fill(done, order, "VOLATILE").opened
    assert (lot.symbol, lot.strategy, lot.side) == (BTC, order.strategy, Side.BUY)
    assert (lot.entry_price, lot.quantity_base) == (D("101.5"), D("1.25"))
    assert (lot.opened_at_ms, lot.regime, lot.entry_order_id) == (
        77,
        "VOLATILE",
        order.client_order_id,
    )


def test_without_a_regime_the_fill_has_that_of_its_intent() -> None:
    """OPT-25"""
    books = ledger()
    order = intent(regime="VOLATILE")
    (lot,) = books.apply_fill(fill(order, "100"), order).opened
    assert lot.regime == "VOLATILE"


Step = tuple[OrderIntent, Fill]


def _assert_conserved(books: Ledger) -> None:
    gained = books.realised_quote + books.unrealised_quote - books.fees_quote
    assert books.equity_quote - books.deposits_quote == gained
    held = books.balances()
    marks = books.state().marks
    assert books.equity_quote == held.pop("USDT") + sum(
        (quantity * marks[asset] for asset, quantity in held.items() if asset in marks), D(0)
    )


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    made: list[Step] = []
    for n in range(draw(st.integers(1, 14))):
        side = draw(st.sampled_from(Side))
        quantity = D(draw(st.integers(1, 40_000))) / 10_000
        order = intent(
            side,
            str(quantity),
            client_order_id=f"o{n}",
            strategy=draw(st.sampled_from(["breakout", "ema-trend"])),
            symbol=draw(st.sampled_from([BTC, "ETH/USDT"])),
            purpose=draw(st.sampled_from(Purpose)),
        )
        base = order.symbol.partition("/")[0]
        made.append(
            (
                order,
                fill(
                    order,
                    str(D(draw(st.integers(1, 10_000_000))) / 100),
                    trade_id=f"t{n}",
                    fee=D(draw(st.integers(-1000, 100_000))) / 10**7,
                    fee_asset=draw(st.sampled_from(["USDT", base, "BNB", "XYZ"])),
                ),
            )
        )
    return made


def _signed(order: OrderIntent, done: Fill) -> Decimal:
    base_fee = done.fee if done.symbol.startswith(done.fee_asset + "/") else D(0)
    return done.side.sign * done.quantity_base - base_fee


@settings(max_examples=150, deadline=None)
@given(steps(), st.randoms(use_true_random=False), st.data())
def test_no_money_appears_or_disappears_whatever_the_fills(
    made: list[Step], shuffler: object, data: st.DataObject
) -> None:
    """I-4, I-5, I-6, F-016: any fees, any order, every fill twice, deposits in between."""
    deliveries = made + made
    shuffler.shuffle(deliveries)  # type: ignore[attr-defined]
    books = ledger(BNB="5")
    books.mark_asset("BNB", D("250.5"))
    trades = []
    for order, done in deliveries:
        trades += books.apply_fill(done, order, "QUIET").trades
        books.mark(order.symbol, D(data.draw(st.integers(1, 10**7))) / 100)
        if data.draw(st.booleans()):
            asset = data.draw(st.sampled_from(["USDT", "BTC", "XYZ"]))
            books.adjust(asset, D(data.draw(st.integers(-1000, 1000))) / 1000)
        _assert_conserved(books)
    for strategy in ("breakout", "ema-trend"):
        for symbol in (BTC, "ETH/USDT"):
            expected = sum(
                (_signed(o, f) for o, f in made if (o.strategy, o.symbol) == (strategy, symbol)),
                D(0),
            )
            assert books.position(strategy, symbol).quantity_base == expected
    # Trades and open lots together carry every quote that was earned or paid.
    assert sum((t.pnl_quote + t.fees_quote for t in trades), D(0)) == books.realised_quote
    again = Ledger.restore(books.state())
    assert again.state() == books.state()
    assert again.exposure_by_symbol() == books.exposure_by_symbol()
    assert again.exposure_quote == books.exposure_quote
    _assert_conserved(again)


@settings(max_examples=60, deadline=None)
@given(steps())
def test_fees_of_trades_and_open_lots_sum_to_the_fees_paid(made: list[Step]) -> None:
    """I-6: no fee is lost in splitting, as long as each fill moves a position."""
    books = ledger()
    trades = []
    for order, done in made:
        if _signed(order, done) == 0:
            continue
        trades += books.apply_fill(done, order, "QUIET").trades
    on_trades = sum((t.fees_quote for t in trades), D(0))
    on_lots = sum((lot.entry_fee_quote for lot in books.lots), D(0))
    assert on_trades + on_lots == books.fees_quote
