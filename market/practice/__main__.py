"""Run one practice exchange: ``python -m market.practice --state DIR``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from aiohttp import web

from engine.matching import FeeIn
from market.errors import DataError
from market.practice.admin import MAX_SPEED, AdminDoor, advance
from market.practice.server import RestDoor
from market.practice.sockets import Sockets
from market.practice.streams import Hub
from market.practice.tape import HistoryTape, SyntheticTape, Tape
from market.practice.venue import WARMUP_BARS, OtherAccount, Venue, VenueSettings
from market.sources.history import load_history
from market.sources.instruments import timeframe_to_ms

LOOPBACK = "127.0.0.1"
SYNTHETIC_START_MS = 1_704_067_200_000  # 2024-01-01 UTC
_SHUTDOWN_S = 1.0


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; 2 = wrong use or bad input, with one line on stderr."""
    options = _parser().parse_args(argv)
    try:
        venue = Venue(_settings(options), _tape(options))
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        asyncio.run(_serve(venue, options.port, options.admin_port))
    except OSError as error:
        sys.stderr.write(f"port was not free: {error}\n")
        return 2
    finally:
        venue.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m market.practice", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="REST and WebSocket; 0 = any free one")
    parser.add_argument("--admin-port", type=int, default=0, help="faults, clock; 0 = any free one")
    parser.add_argument("--state", type=Path, required=True, help="folder of the ledger")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", nargs="*", default=[], metavar="FILE", help="candle files")
    parser.add_argument("--speed", type=float, default=1.0, help="bars a second; 0 = by hand")
    parser.add_argument("--cash", default="10000", help="of each quote asset, given once")
    parser.add_argument(
        "--account", action="append", default=[], metavar="NAME=CASH", help="one more account"
    )
    parser.add_argument("--symbols", default="BTC/USDT,ETH/USDT", help="of the synthetic market")
    parser.add_argument("--timeframe", default="1m", help="of the synthetic market")
    parser.add_argument("--warmup-bars", type=int, default=WARMUP_BARS, help="history at the start")
    parser.add_argument("--fee-in", choices=[str(f) for f in FeeIn], default=str(FeeIn.QUOTE))
    return parser


def _settings(options: argparse.Namespace) -> VenueSettings:
    cash = _cash("--cash", options.cash)
    if not 0.0 <= options.speed <= MAX_SPEED:
        raise DataError(f"--speed was {options.speed}, allowed: 0 to {MAX_SPEED:g}")
    if options.warmup_bars < 1:
        raise DataError(f"--warmup-bars was {options.warmup_bars}, allowed: 1 or more")
    # Keys come by environment: a command line can be read by every user of the machine.
    key = os.environ.get("PRACTICE_API_KEY", "")
    keys = {key: os.environ.get("PRACTICE_API_SECRET", "")} if key else {}
    return VenueSettings(
        state=options.state,
        seed=options.seed,
        speed=options.speed,
        cash_quote=cash,
        fee_in=FeeIn(options.fee_in),
        warmup_bars=options.warmup_bars,
        keys=keys,
        others=tuple(_other(text) for text in options.account),
    )


def _cash(name: str, text: str) -> Decimal:
    try:
        cash = Decimal(text)
    except InvalidOperation:
        raise DataError(f"{name} was {text!r}, allowed: an amount") from None
    if not cash.is_finite() or cash < 0:
        raise DataError(f"{name} was {text}, allowed: 0 or more")
    return cash


def _other(text: str) -> OtherAccount:
    """Read NAME=CASH; the account's key and secret are in the environment."""
    name, _, cash = text.partition("=")
    ending = name.upper().replace("-", "_")
    key = os.environ.get(f"PRACTICE_API_KEY__{ending}", "")
    secret = os.environ.get(f"PRACTICE_API_SECRET__{ending}", "")
    if not name or not key or not secret:
        raise DataError(
            f"--account was {text!r}, allowed: NAME=CASH with PRACTICE_API_KEY__NAME and"
            " PRACTICE_API_SECRET__NAME set"
        )
    return OtherAccount(name, key, secret, _cash(f"cash of --account {name}", cash))


def _tape(options: argparse.Namespace) -> Tape:
    if options.data:
        return HistoryTape.of(load_history(options.data))
    symbols = [symbol.strip() for symbol in options.symbols.split(",") if symbol.strip()]
    if not symbols or any("/" not in symbol for symbol in symbols):
        raise DataError(f"--symbols was {options.symbols!r}, allowed: BASE/QUOTE,BASE/QUOTE")
    return SyntheticTape(
        options.seed, symbols, SYNTHETIC_START_MS, timeframe_to_ms(options.timeframe)
    )


async def _serve(venue: Venue, port: int, admin_port: int) -> None:
    hub = Hub(venue)
    wake = asyncio.Event()
    rest = RestDoor(venue, hub, Sockets(venue, hub))
    admin = AdminDoor(venue, hub, wake.set)
    runners = []
    ports = []
    for application, wanted in ((rest.application(), port), (admin.application(), admin_port)):
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, LOOPBACK, wanted).start()
        ports.append(runner.addresses[0][1])
    ready = {"ready": True, "port": ports[0], "admin_port": ports[1], "pid": os.getpid()}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stepper = asyncio.create_task(_keep_stepping(venue, hub, wake))
    stopper = asyncio.create_task(stopping.wait())
    # A stepper that fails (disk full) ends the process: a venue whose clock died must not linger.
    await asyncio.wait({stepper, stopper}, return_when=asyncio.FIRST_COMPLETED)
    stepper.cancel()
    stopper.cancel()
    results = await asyncio.gather(stepper, stopper, return_exceptions=True)
    for socket in hub.sockets():
        await socket.close()
    for runner in runners:
        await runner.cleanup()
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _keep_stepping(venue: Venue, hub: Hub, wake: asyncio.Event) -> None:
    """Close bars when they are due; sleep until the speed changes where nothing ever is."""
    while True:
        wake.clear()
        due_in_s = venue.clock.due_in_s()
        try:
            await asyncio.wait_for(wake.wait(), due_in_s)
        except TimeoutError:
            advance(venue, hub)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
