"""A process without a file descriptor left: no order is doubled, lost, or forgotten."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

from engine.types.orders import OrderStatus, Unanswered
from tests.practice_process import PracticeProcess
from tests.trades.order_factory import World, age


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_order_that_no_socket_could_be_opened_for_is_unknown_until_the_venue_says_so(
    world: World, practice: PracticeProcess
) -> None:
    """F-095: not rejected, not sent again by itself; it ends once descriptors are back."""
    intent = world.intend()
    world.ccxt_client.session.close()
    with no_descriptor_left():
        assert isinstance(world.broker.submit(intent, world.event), Unanswered)
        assert world.broker.fills_at(world.event) == (), "an unreachable venue ends no process"
    assert world.order(intent).status == OrderStatus.UNKNOWN
    for _ in range(2):
        age(world.order(intent), 12)
        world.reconciler.reconcile()
    assert world.order(intent).status == OrderStatus.EXPIRED
    ids = [order["client_id"] for order in practice.ledger()["orders"]]
    assert intent.client_order_id not in ids
    later = world.intend()
    world.broker.submit(later, world.event)
    world.book()
    assert world.order(later).status == OrderStatus.FILLED
