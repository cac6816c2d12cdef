"""Money as text: in JSON digit for digit, without an exponent or trailing zeros; and read back."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from rest_framework import serializers

from accounts.errors import AmountRefused

MOST = Decimal(10) ** 18
PLACES = 12


class MoneyField(serializers.DecimalField):
    """Shape of ``ExactDecimalField`` in answers."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 30)
        kwargs.setdefault("decimal_places", 12)
        super().__init__(**kwargs)

    def to_representation(self, value: Any) -> str:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        return format(exact.normalize() + Decimal(0), "f")


def amount_of(name: str, text: str | None) -> Decimal | None:
    """Return an exact number that a person typed, None where nothing was.

    Raises:
        AmountRefused: it is no number, or has more digits than an amount may have.
    """
    if text is None or not text.strip():
        return None
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise AmountRefused(f"{name} was {text[:40]!r}, allowed: a number") from None
    if not value.is_finite() or abs(value) >= MOST or value != round(value, PLACES):
        raise AmountRefused(f"{name} was {text[:40]}, allowed: a number of at most {PLACES} places")
    return value
