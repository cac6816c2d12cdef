"""The state machine of the books (T5): fills, doubles, deposits, marks and restarts in any order.

The reference keeps plain sums of exact fractions and knows nothing of lots.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.ledger import Ledger
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, Purpose
from tests.engine.books import BTC, D, fill, intent
from tests.machines import machine_settings

ETH = "ETH/USDT"
STRATEGIES = ("ema-trend", "breakout")
PRICES = st.integers(1, 10**7).map(lambda n: D(n) / 100)
QUANTITIES = st.integers(1, 10**6).map(lambda n: D(n) / 100_000)
FEES = st.integers(0, 10**5).map(lambda n: D(n) / 10**7)
CASH = D(1_000_000)


class LedgerMachine(RuleBasedStateMachine):
    """Two strategies in two symbols; fees in quote, base or a third asset."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Ledger("USDT", {"USDT": CASH, "BNB": D(5)}, shortable=[BTC, ETH])
        self.books.mark_asset("BNB", D("250.5"))
        self.held: defaultdict[str, Fraction] = defaultdict(Fraction)
        self.held.update({"USDT": Fraction(CASH), "BNB": Fraction(5)})
        self.positions: defaultdict[tuple[str, str], Fraction] = defaultdict(Fraction)
        self.marks: dict[str, Fraction] = {"USDT": Fraction(1), "BNB": Fraction("250.5")}
        self.done: list[tuple[Fill, OrderIntent]] = []

    @rule(
        strategy=st.sampled_from(STRATEGIES),
        symbol=st.sampled_from([BTC, ETH]),
        side=st.sampled_from(list(Side)),
        price=PRICES,
        quantity=QUANTITIES,
        fee=FEES,
        fee_in=st.sampled_from(["quote", "base", "BNB"]),
    )
    def fills(
        self,
        strategy: str,
        symbol: str,
        side: Side,
        price: Decimal,
        quantity: Decimal,
        fee: Decimal,
        fee_in: str,
    ) -> None:
        base = symbol.partition("/")[0]
        asset = {"quote": "USDT", "base": base}.get(fee_in, fee_in)
        purpose = Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
        order = intent(side, str(quantity), strategy=strategy, symbol=symbol, purpose=purpose)
        one = fill(order, str(price), fee=fee, fee_asset=asset)
        assert not self.books.apply_fill(one, order, "QUIET").duplicate
        self.done.append((one, order))
        signed = Fraction(side.sign) * Fraction(quantity)
        self.held[base] += signed
        self.held["USDT"] -= signed * Fraction(price)
        self.held[asset] -= Fraction(fee)
        paid = Fraction(fee) if asset == base else Fraction(0)
        self.positions[strategy, symbol] += signed - paid
        self.marks.setdefault(base, Fraction(price))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def hears_of_a_fill_again(self, data: st.DataObject) -> None:
        """F-016: at any later time, also after a restart."""
        one, order = data.draw(st.sampled_from(self.done))
        assert self.books.apply_fill(one, order, "QUIET").duplicate

    @rule(symbol=st.sampled_from([BTC, ETH]), price=PRICES)
    def price_moves(self, symbol: str, price: Decimal) -> None:
        self.books.mark(symbol, float(price))
        self.marks[symbol.partition("/")[0]] = Fraction(price)

    @rule(asset=st.sampled_from(["USDT", "BTC", "BNB"]), amount=st.integers(-500, 500))
    def deposit(self, asset: str, amount: int) -> None:
        self.books.adjust(asset, D(amount))
        self.held[asset] += amount

    @rule()
    def restart(self) -> None:
        """The books that are rebuilt from their state are the books that were."""
        before = self.books.state()
        self.books = Ledger.restore(before, shortable=[BTC, ETH])
        assert self.books.state() == before

    @invariant()
    def cash_is_the_sum_of_flows(self) -> None:
        """I-6, to the last digit."""
        assert Fraction(self.books.cash_quote) == self.held["USDT"]

    @invariant()
    def positions_are_the_sum_of_fills(self) -> None:
        """I-5."""
        for (strategy, symbol), quantity in self.positions.items():
            assert Fraction(self.books.position(strategy, symbol).quantity_base) == quantity
        for (strategy, symbol), quantity in self.positions.items():
            lots = [x for x in self.books.lots if (x.strategy, x.symbol) == (strategy, symbol)]
            signed = sum((x.side.sign * Fraction(x.quantity_base) for x in lots), Fraction(0))
            assert signed == quantity

    @invariant()
    def equity_is_what_is_held_at_its_marks(self) -> None:
        """I-6."""
        worth = sum(
            (held * self.marks[asset] for asset, held in self.held.items() if asset in self.marks),
            Fraction(0),
        )
        assert Fraction(self.books.equity_quote) == worth


def test_no_order_of_fills_deposits_and_restarts_loses_a_digit() -> None:
    """I-5, I-6, F-016, F-020, F-044: any fee asset, shorts, fills heard twice, restarts."""
    run_state_machine_as_test(LedgerMachine, settings=machine_settings(120, 40))
