"""The order state machine as a table: what may happen to an order in which state.

Pure. A pair that is not in the table is not allowed and answers None; the caller treats that as
a fault of its own, never as a state.
"""

from __future__ import annotations

from enum import StrEnum

from engine.types.orders import OrderStatus as S


class OrderEvent(StrEnum):
    """What happened to an order: acts of ours (deny, send, cancel request) and news of it.

    ``FILL`` leaves something open, ``FILL_ALL`` completes the order. ``EXPIRE`` is the venue's
    word, or ours for an order that the venue twice did not know.
    """

    DENY = "deny"
    SEND = "send"
    NO_ANSWER = "no_answer"
    ACCEPT = "accept"
    REJECT = "reject"
    FILL = "fill"
    FILL_ALL = "fill_all"
    REQUEST_CANCEL = "request_cancel"
    CANCEL_REFUSED = "cancel_refused"
    CANCEL = "cancel"
    EXPIRE = "expire"


E = OrderEvent

# A fill may be heard before its accept, and before our own note that the order was sent
# (F-016): so INTENT and SENDING accept fills.
_LIVE: dict[S, dict[OrderEvent, S]] = {
    S.INTENT: {
        E.DENY: S.DENIED,
        E.SEND: S.SENDING,
        E.NO_ANSWER: S.UNKNOWN,
        E.ACCEPT: S.OPEN,
        E.FILL: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
    S.SENDING: {
        E.NO_ANSWER: S.UNKNOWN,
        E.ACCEPT: S.OPEN,
        E.REJECT: S.REJECTED,
        E.FILL: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
    S.UNKNOWN: {
        E.SEND: S.SENDING,  # an exit that the venue twice did not know is resent with its id
        E.NO_ANSWER: S.UNKNOWN,
        E.ACCEPT: S.OPEN,
        E.REJECT: S.REJECTED,
        E.FILL: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
    S.OPEN: {
        E.ACCEPT: S.OPEN,
        E.FILL: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.REQUEST_CANCEL: S.PENDING_CANCEL,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
    S.PARTIAL: {
        E.ACCEPT: S.PARTIAL,
        E.FILL: S.PARTIAL,
        E.FILL_ALL: S.FILLED,
        E.REQUEST_CANCEL: S.PENDING_CANCEL,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
    S.PENDING_CANCEL: {
        E.REQUEST_CANCEL: S.PENDING_CANCEL,
        E.NO_ANSWER: S.PENDING_CANCEL,
        E.ACCEPT: S.PENDING_CANCEL,
        E.CANCEL_REFUSED: S.OPEN,  # the venue's next word tells OPEN from PARTIAL
        E.FILL: S.PENDING_CANCEL,
        E.FILL_ALL: S.FILLED,
        E.CANCEL: S.CANCELED,
        E.EXPIRE: S.EXPIRED,
    },
}

_NEWS = (
    E.NO_ANSWER,
    E.ACCEPT,
    E.REJECT,
    E.FILL,
    E.CANCEL_REFUSED,
    E.CANCEL,
    E.EXPIRE,
)


def _absorbing(state: S) -> dict[OrderEvent, S]:
    """A terminal state: later news changes nothing, acts of ours are not allowed.

    The one way out is a late fill that completes the order, because an order is FILLED exactly
    when its fills sum to its quantity (I-4). A late partial fill is booked on the state as it is.
    """
    return {**dict.fromkeys(_NEWS, state), E.FILL_ALL: S.FILLED}


TRANSITIONS: dict[S, dict[OrderEvent, S]] = {
    **_LIVE,
    S.FILLED: _absorbing(S.FILLED),
    S.CANCELED: _absorbing(S.CANCELED),
    S.REJECTED: _absorbing(S.REJECTED),
    S.EXPIRED: _absorbing(S.EXPIRED),
    S.DENIED: {},  # never left the platform: nothing can be heard of it
}


def next_status(current: S, event: OrderEvent) -> S | None:
    """Return the state after ``event``, or None where the event is not allowed in ``current``."""
    return TRANSITIONS[current].get(event)


def is_late_fill(current: S, event: OrderEvent) -> bool:
    """True for a fill on an order that was thought finished: book it and raise an alert (I-7)."""
    return current.is_terminal and current is not S.DENIED and event in (E.FILL, E.FILL_ALL)


def is_allowed_edge(before: S, after: S) -> bool:
    """True where some event leads from ``before`` to ``after`` (for checking stored histories)."""
    return after in TRANSITIONS[before].values()


def event_for_word(status: S) -> OrderEvent | None:
    """The event that a venue's word stands for when an order is queried.

    None for the states only we can be in (INTENT, SENDING, UNKNOWN, DENIED).
    """
    return _WORDS.get(status)


_WORDS: dict[S, OrderEvent] = {
    S.OPEN: E.ACCEPT,
    S.PARTIAL: E.FILL,
    S.FILLED: E.FILL_ALL,
    S.CANCELED: E.CANCEL,
    S.REJECTED: E.REJECT,
    S.EXPIRED: E.EXPIRE,
    S.PENDING_CANCEL: E.REQUEST_CANCEL,
}
