"""What keeps the stops of a stored run at its broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.client_ids import RunIdentity
from engine.protection import Protection
from engine.types.bars import Instrument
from market.venues import venue_of
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration
from tradeplatform.watch import RunWatch
from trades import books
from trades.models import Mode, TradingRun


def protection_of(
    run: TradingRun,
    config: Configuration,
    client: Any,
    identity: RunIdentity,
    instruments: Mapping[str, Instrument],
    watch: RunWatch,
) -> Protection | None:
    """Return what keeps stops, or targets, at the run's broker; a venue that takes none is told of,
    and stops are judged at closes there, as they are where it is the target that rests."""
    has_stops = run.mode == Mode.PAPER or venue_of(client.id).has_stops
    watch.stops_can_rest(has_stops or not config.trading.resting_stops, client.id)
    if not has_stops:
        return None
    kind = bootstrap.guard(config)
    return bootstrap.protection(
        config,
        identity,
        instruments,
        named=books.newest_stops(run),
        watch=None if kind is None or kind.is_target else watch,
    )
