"""Money in JSON: a string, digit for digit, without an exponent or trailing zeros."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers


class MoneyField(serializers.DecimalField):
    """Shape of ``ExactDecimalField`` in answers."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 30)
        kwargs.setdefault("decimal_places", 12)
        super().__init__(**kwargs)

    def to_representation(self, value: Any) -> str:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        return format(exact.normalize() + Decimal(0), "f")
