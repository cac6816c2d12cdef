"""Side books as JSON values: what ``SessionState`` keeps of them between events."""

from __future__ import annotations

import msgspec

from engine.side_books import SideBookState
from engine.types.decisions import JsonValue


class JsonCodec:
    """Implements ``engine.side_books.StateCodec``; money is text, so nothing is rounded."""

    def dump(self, state: SideBookState) -> JsonValue:
        plain: JsonValue = msgspec.to_builtins(state)
        return plain

    def load(self, value: JsonValue) -> SideBookState:
        """Return the state that ``dump`` wrote.

        Raises:
            ValueError: the value is not of that shape.
        """
        # msgspec.ValidationError is a ValueError
        return msgspec.convert(value, SideBookState)
