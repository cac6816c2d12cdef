"""The order state machine: every pair of state and event has one stated answer."""

import itertools

import pytest

from engine.types.orders import OrderStatus as S
from trades.core.order_state import (
    TRANSITIONS,
    OrderEvent,
    event_for_word,
    is_allowed_edge,
    is_late_fill,
    next_status,
)

E = OrderEvent

# Written out by hand, apart from the table under test: (state, event) -> state. All else: None.
EXPECTED = """
INTENT deny DENIED; INTENT send SENDING; INTENT no_answer UNKNOWN; INTENT accept OPEN
INTENT fill PARTIAL; INTENT fill_all FILLED; INTENT cancel CANCELED; INTENT expire EXPIRED
SENDING no_answer UNKNOWN; SENDING accept OPEN; SENDING reject REJECTED; SENDING fill PARTIAL
SENDING fill_all FILLED; SENDING cancel CANCELED; SENDING expire EXPIRED
UNKNOWN send SENDING; UNKNOWN no_answer UNKNOWN; UNKNOWN accept OPEN; UNKNOWN reject REJECTED
UNKNOWN fill PARTIAL; UNKNOWN fill_all FILLED; UNKNOWN cancel CANCELED; UNKNOWN expire EXPIRED
OPEN accept OPEN; OPEN fill PARTIAL; OPEN fill_all FILLED; OPEN request_cancel PENDING_CANCEL
OPEN cancel CANCELED; OPEN expire EXPIRED
PARTIAL accept PARTIAL; PARTIAL fill PARTIAL; PARTIAL fill_all FILLED
PARTIAL request_cancel PENDING_CANCEL; PARTIAL cancel CANCELED; PARTIAL expire EXPIRED
PENDING_CANCEL request_cancel PENDING_CANCEL; PENDING_CANCEL no_answer PENDING_CANCEL
PENDING_CANCEL accept PENDING_CANCEL; PENDING_CANCEL cancel_refused OPEN
PENDING_CANCEL fill PENDING_CANCEL; PENDING_CANCEL fill_all FILLED
PENDING_CANCEL cancel CANCELED; PENDING_CANCEL expire EXPIRED
FILLED no_answer FILLED; FILLED accept FILLED; FILLED reject FILLED; FILLED fill FILLED
FILLED fill_all FILLED; FILLED cancel_refused FILLED; FILLED cancel FILLED; FILLED expire FILLED
CANCELED no_answer CANCELED; CANCELED accept CANCELED; CANCELED reject CANCELED
CANCELED fill CANCELED; CANCELED fill_all FILLED; CANCELED cancel_refused CANCELED
CANCELED cancel CANCELED; CANCELED expire CANCELED
REJECTED no_answer REJECTED; REJECTED accept REJECTED; REJECTED reject REJECTED
REJECTED fill REJECTED; REJECTED fill_all FILLED; REJECTED cancel_refused REJECTED
REJECTED cancel REJECTED; REJECTED expire REJECTED
EXPIRED no_answer EXPIRED; EXPIRED accept EXPIRED; EXPIRED reject EXPIRED; EXPIRED fill EXPIRED
EXPIRED fill_all FILLED; EXPIRED cancel_refused EXPIRED; EXPIRED cancel EXPIRED
EXPIRED expire EXPIRED
"""


def _expected() -> dict[tuple[S, OrderEvent], S]:
    rows = [row.split() for row in EXPECTED.replace("\n", ";").split(";") if row.strip()]
    return {(S(a), E(b)): S(c) for a, b, c in rows}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, OrderEvent)))
def test_every_pair_of_state_and_event_has_the_stated_answer(state: S, event: OrderEvent) -> None:
    """I-7: exhaustive, so a new state or event without an answer fails here."""
    assert next_status(state, event) == _expected().get((state, event))


def test_every_state_is_in_the_table() -> None:
    """I-7"""
    assert set(TRANSITIONS) == set(S)


def test_terminal_states_absorb_all_but_a_completing_late_fill() -> None:
    """I-7, F-014: the only edge out of a terminal state is a late fill that completes it."""
    for state in (s for s in S if s.is_terminal):
        leaving = {e for e in E if next_status(state, e) not in (None, state)}
        assert leaving <= {E.FILL_ALL}


def test_a_late_fill_on_a_canceled_order_is_flagged_and_kept() -> None:
    """F-014, I-7"""
    assert is_late_fill(S.CANCELED, E.FILL)
    assert next_status(S.CANCELED, E.FILL) is S.CANCELED
    assert not is_late_fill(S.OPEN, E.FILL)
    assert not is_late_fill(S.CANCELED, E.CANCEL)


def test_a_fill_heard_before_the_accept_is_allowed() -> None:
    """F-016"""
    assert next_status(S.SENDING, E.FILL) is S.PARTIAL
    assert next_status(S.PARTIAL, E.ACCEPT) is S.PARTIAL


def test_no_answer_never_means_rejected() -> None:
    """F-045: a timeout leads to UNKNOWN, from where only the venue's word decides."""
    assert next_status(S.SENDING, E.NO_ANSWER) is S.UNKNOWN
    for event in (E.NO_ANSWER, E.SEND):
        assert next_status(S.UNKNOWN, event) in (S.UNKNOWN, S.SENDING)


def test_an_order_that_was_denied_can_never_be_sent() -> None:
    """I-7"""
    assert all(next_status(S.DENIED, event) is None for event in E)


def test_every_state_can_be_reached_from_an_intent() -> None:
    """I-7"""
    reached, todo = {S.INTENT}, [S.INTENT]
    while todo:
        for after in TRANSITIONS[todo.pop()].values():
            if after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(S)


def test_edges_of_stored_histories_are_judged_by_the_same_table() -> None:
    """I-7"""
    assert is_allowed_edge(S.OPEN, S.FILLED)
    assert not is_allowed_edge(S.FILLED, S.OPEN)
    assert not is_allowed_edge(S.OPEN, S.REJECTED)


def test_a_venues_word_maps_to_the_event_that_leads_there() -> None:
    """F-015: querying an UNKNOWN order adopts whatever the venue says."""
    for word in (S.OPEN, S.PARTIAL, S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED):
        event = event_for_word(word)
        assert event is not None
        assert next_status(S.UNKNOWN, event) is word
    assert event_for_word(S.INTENT) is None
