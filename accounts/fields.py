"""Column types that every room above shares."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

# Wider than any column: the usual context rounds to 28 digits.
_WIDE = Context(prec=64)


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A decimal that survives the database to the last digit.

    SQLite has no decimal type: its NUMERIC affinity turns money into REAL and keeps only about
    15 digits, so ledger sums would drift. There it is kept as text; PostgreSQL keeps ``numeric``.
    Sums and sorting therefore happen in Python, or in SQL over a cast where a chart may round.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 30)
        kwargs.setdefault("decimal_places", 12)
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        return "ExactDecimalField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        if connection.vendor == "sqlite":
            return "text"
        return f"numeric({self.max_digits}, {self.decimal_places})"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        # plus() takes the sign off a zero
        return None if value is None else _WIDE.plus(_WIDE.normalize(Decimal(str(value))))
