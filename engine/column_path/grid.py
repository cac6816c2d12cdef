"""Money and prices as whole numbers of one grid, so that sums are those of the Decimal ledger."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import log10

from engine.types.bars import Instrument

# Whole numbers below this are exact as floats too, and leave room for one factor of a limit.
LARGEST = 2**53
FEE_DECIMALS = 8
# Beyond this many decimals a float no longer spells its price.
MAX_DECIMALS = 12


class NotCovered(Exception):
    """Why the column path gives no answer here; the session has to. ``at_ms`` is the close of the
    bar on which it was found out, None where no bar was walked."""

    def __init__(self, reason: str, at_ms: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_ms = at_ms


@dataclass(frozen=True, slots=True)
class Grid:
    """Decimals of prices, quantities and money; a whole number is the value times 10^decimals."""

    price: int
    quantity: int
    money: int

    @classmethod
    def of(cls, instrument: Instrument, cash_quote: Decimal) -> Grid:
        """Return the grid on which every product of price and quantity, every fee and the cash are
        whole.

        Raises:
            NotCovered: more decimals than a float can tell apart.
        """
        price, quantity = decimals_of(instrument.tick_size), decimals_of(instrument.lot_size)
        grid = cls(price, quantity, max(FEE_DECIMALS, price + quantity, decimals_of(cash_quote)))
        if price > MAX_DECIMALS or grid.money > 2 * MAX_DECIMALS:
            raise NotCovered(
                f"tick {instrument.tick_size} and lot {instrument.lot_size} are too fine"
            )
        return grid

    @property
    def value_of_unit(self) -> int:
        """Money units in one price unit times one quantity unit."""
        return int(10 ** (self.money - self.price - self.quantity))

    def in_money(self, value: Decimal) -> int:
        """Return an amount of quote in money units; see ``whole``."""
        return whole(value, self.money, "amount")

    def in_price(self, value: Decimal) -> int:
        return whole(value, self.price, "price")

    def in_quantity(self, value: Decimal) -> int:
        return whole(value, self.quantity, "quantity")


def decimals_of(value: Decimal) -> int:
    """Return how many decimals spell ``value`` exactly, at least 0."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def whole(value: Decimal, decimals: int, what: str) -> int:
    """Return ``value`` times 10^decimals.

    Raises:
        NotCovered: it is not whole.
    """
    scaled = value.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise NotCovered(f"{what} {value} has more than {decimals} decimals")
    return int(scaled)


def of_units(units: int, decimals: int) -> Decimal:
    """Return the exact value of a whole number of units."""
    return Decimal(int(units)).scaleb(-decimals)


def as_ratio(value: Decimal) -> tuple[int, int]:
    """Return numerator and denominator of a limit in lowest terms."""
    ratio = value.as_integer_ratio()
    return int(ratio[0]), int(ratio[1])


def fits(units: int, factor: int, what: str) -> None:
    """Refuse a product that 64 bits could not hold with room to spare.

    Raises:
        NotCovered: it could not.
    """
    if abs(units) * factor >= 2**62:
        raise NotCovered(f"{what} is too large: about 1e{log10(abs(units) * factor):.0f} units")
