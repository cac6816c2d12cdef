"""The processes of one installation: what each is called, how it starts, what it waits for."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from research.spread import QUEUE as RESEARCH_QUEUE
from tradeplatform.configuration import Configuration, practice_of
from tradeplatform.credentials import key_variables
from tradeplatform.supervisor import ChildSpec
from trades.queues import queue_of

LOOPBACK = "127.0.0.1"
# The trading worker signs with these; the practice exchange accepts the first two under its own
# names and knows no passphrase.
EXCHANGE_KEYS = ("TRADEPLATFORM_EXCHANGE_KEY", "TRADEPLATFORM_EXCHANGE_SECRET")
MASTER_KEYS = ("TRADEPLATFORM_MASTER_KEY", "TRADEPLATFORM_MASTER_KEY_FILE")
EXCHANGE_SECRETS = (*EXCHANGE_KEYS, "TRADEPLATFORM_EXCHANGE_PASSPHRASE", *MASTER_KEYS)
# How the variables of accounts' own keys begin.
NAMED_KEYS = tuple(f"TRADEPLATFORM_EXCHANGE_{word}__" for word in ("KEY", "SECRET", "PASSPHRASE"))
PRACTICE_SECRETS = ("PRACTICE_API_KEY", "PRACTICE_API_SECRET")
# Queues of the general worker; ``trading`` has workers of its own, so that nothing delays it.
GENERAL_QUEUES = "io,optimization,research,celery"
# What a worker of units is started with beside its queue; the others never load what it runs.
RESEARCH_NICE = ("nice", "-n", "19")
RESEARCH_WORDS = ("-I", "tradeplatform.sweep_tasks")
FILE = {"kind": "file"}
NOTIFIER = "notifier"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line of ``up`` asked for, and what was found before the start."""

    port: int
    workers: int
    seed: int
    speed: float
    data: tuple[Path, ...]
    var_dir: Path
    redis_server: str | None
    redis_socket: Path | None
    practice_port: int
    practice_admin_port: int
    research_workers: int = 0


def account_keys(config: Configuration) -> tuple[str, ...]:
    """Return the variables that sign for one account, master keys included: what its own worker
    inherits and no other's."""
    account = config.exchange.account
    named = key_variables(account, is_apart=True)
    return (*named, *MASTER_KEYS) if config.is_apart else (*EXCHANGE_SECRETS, *named)


def every_key(accounts: Sequence[Configuration]) -> tuple[str, ...]:
    """Return the variables of all accounts' keys, and of accounts the file does not have."""
    known = [name for config in accounts for name in account_keys(config)]
    found = [name for name in os.environ if name.startswith(NAMED_KEYS)]
    return tuple(dict.fromkeys([*known, *sorted(found)]))


def practice_keys(config: Configuration) -> tuple[str, str]:
    """Return the variables by which the practice exchange knows an account's key and secret."""
    ending = f"__{config.exchange.account.upper().replace('-', '_')}" if config.is_apart else ""
    key, secret = (f"{name}{ending}" for name in PRACTICE_SECRETS)
    return key, secret


def practice_state_dir(config: Configuration, options: Options) -> Path:
    """Return where the practice exchange keeps its ledger: one folder a market.

    Another seed, other files or other symbols are another market; their ledgers never mix.
    """
    market = {
        "seed": options.seed,
        "data": [str(path) for path in options.data],
        "symbols": [] if options.data else list(config.trading.symbols),
        "timeframe": "" if options.data else config.trading.timeframe,
        "cash": config.trading.cash,
    }
    digest = hashlib.sha256(json.dumps(market, sort_keys=True).encode()).hexdigest()
    return options.var_dir / "practice" / digest[:12]


def environment(
    config: Configuration, options: Options, others: Sequence[Configuration] = ()
) -> dict[str, str]:
    """Return the variables every child gets besides those of ``up`` itself."""
    variables = {
        # two learning libraries that each take every core are slower than one core each
        "OMP_NUM_THREADS": "1",
        "TRADEPLATFORM_PORT": str(options.port),
    }
    if options.research_workers:
        variables["TRADEPLATFORM_SWEEP_WORKERS"] = "true"
    if practice := practice_of((config, *others)):
        variables["TRADEPLATFORM_PRACTICE_URL"] = f"http://{LOOPBACK}:{options.practice_port}"
        variables["TRADEPLATFORM_PRACTICE_ADMIN_URL"] = (
            f"http://{LOOPBACK}:{options.practice_admin_port}"
        )
        variables["TRADEPLATFORM_PRACTICE_MARKET"] = practice_state_dir(practice[0], options).name
    return variables


def children(
    config: Configuration, options: Options, others: Sequence[Configuration] = ()
) -> tuple[ChildSpec, ...]:
    """Return the plan's children in the order of the page ``READY`` prints.

    ``config`` is that of ``main``, ``others`` those of the accounts beside it. Each account's run
    is opened by a child of its own and traded by a worker of its own, so that a venue that does
    not answer keeps no other account from trading.
    """
    accounts = (config, *others)
    specs: list[ChildSpec] = []
    base: tuple[str, ...] = ()
    if options.redis_server is not None and options.redis_socket is not None:
        specs.append(_redis(options.redis_server, options.redis_socket))
        base = ("redis",)
    market: tuple[str, ...] = ()
    if practice := practice_of(accounts):
        specs.append(_practice(practice, options))
        market = ("exchange",)
    specs.extend(_run(account, accounts, base + market) for account in accounts)
    specs.append(_web(options, base))
    for account in accounts:
        specs.extend(_trading(account, options, base))
    specs.append(_worker("general", GENERAL_QUEUES, 1, base))
    if options.research_workers:
        specs.append(_research(options.research_workers, base))
    specs.append(_beat(base))
    specs.append(
        ChildSpec(
            name="watchdog",
            argv=_manage("watchdog"),
            about="raises an alert when one of the others falls silent",
            after=base,
            ready=FILE,
        )
    )
    if config.notifications.is_wanted:
        specs.append(_notifier(config, base))
    return tuple(specs)


def _notifier(config: Configuration, after: tuple[str, ...]) -> ChildSpec:
    return ChildSpec(
        name=NOTIFIER,
        argv=_manage("notifier"),
        about="tells people what happened; trading never waits for it",
        after=after,
        ready=FILE,
        # addresses of channels are its secrets alone
        private=config.notifications.secret_names(),
    )


def _run(
    config: Configuration, accounts: Sequence[Configuration], after: tuple[str, ...]
) -> ChildSpec:
    account = config.exchange.account
    which = ("--account", account) if len(accounts) > 1 else ()
    return ChildSpec(
        name=_run_name(config),
        argv=_manage("ensure_run", *which),
        about="opens the trading run",
        after=after,
        # all of them: two accounts with one key are refused here
        private=every_key(accounts),
        once=True,
    )


def _run_name(config: Configuration) -> str:
    return f"run.{config.exchange.account}" if config.is_apart else "run"


def _trading(config: Configuration, options: Options, base: tuple[str, ...]) -> Iterator[ChildSpec]:
    # a session built before the run was ensured would trade by the configuration of before
    after = (*base, _run_name(config))
    queue = queue_of(config.exchange.account, config.as_json())
    n_workers = 1 if config.is_apart else options.workers
    for number in range(1, n_workers + 1):
        name = queue if n_workers == 1 else f"{queue}{number}"
        yield _worker(name, queue, 1, after, private=account_keys(config))


def as_json(specs: tuple[ChildSpec, ...]) -> list[dict[str, object]]:
    return [asdict(spec) for spec in specs]


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "manage.py", *arguments)


def _redis(server: str, socket_path: Path) -> ChildSpec:
    # A doorbell, never a ledger: nothing is kept, nothing is evicted, nobody else may connect.
    argv = [server, "--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700"]
    argv += ["--dir", str(socket_path.parent), "--save", "", "--loglevel", "warning"]
    argv += ["--appendonly", "no", "--daemonize", "no", "--maxmemory", "256mb"]
    argv += ["--maxmemory-policy", "noeviction"]
    return ChildSpec(
        name="redis",
        argv=tuple(argv),
        about="broker and stream, on a unix socket",
        ready={"kind": "redis", "path": str(socket_path)},
        stop_tier=3,
        stop_timeout_s=1.0,
    )


def _practice(accounts: Sequence[Configuration], options: Options) -> ChildSpec:
    config = accounts[0]
    state = practice_state_dir(config, options)
    argv: list[str] = [sys.executable, "-m", "market.practice"]
    argv += ["--port", str(options.practice_port), "--admin-port", str(options.practice_admin_port)]
    argv += ["--state", str(state), "--seed", str(options.seed), "--speed", f"{options.speed:g}"]
    argv += ["--cash", f"{config.trading.cash:.15g}"]
    if options.data:
        argv += ["--data", *(str(path) for path in options.data)]
    else:
        argv += ["--symbols", ",".join(config.trading.symbols)]
        argv += ["--timeframe", config.trading.timeframe]
    for other in accounts:
        if other.is_apart:
            argv += ["--account", f"{other.exchange.account}={other.trading.cash:.15g}"]
    return ChildSpec(
        name="exchange",
        argv=tuple(argv),
        about=f"practice exchange, simulated, on port {options.practice_port}",
        ready={"kind": "http", "url": f"http://{LOOPBACK}:{options.practice_port}/api/v3/ping"},
        private=tuple(name for one in accounts for name in practice_keys(one)),
        stop_tier=2,
        stop_timeout_s=1.5,
    )


def _web(options: Options, after: tuple[str, ...]) -> ChildSpec:
    words = f"-m uvicorn tradeplatform.asgi:application --host {LOOPBACK} --port {options.port}"
    words += " --lifespan off --timeout-graceful-shutdown 2 --no-access-log --no-server-header"
    words += " --no-proxy-headers --log-level warning --ws-max-size 8192"
    return ChildSpec(
        name="web",
        argv=(sys.executable, *words.split()),
        about=f"pages, API and sockets on http://{LOOPBACK}:{options.port}/",
        after=after,
        ready={"kind": "http", "url": f"http://{LOOPBACK}:{options.port}/api/v1/health"},
        stop_tier=1,
        stop_timeout_s=3.5,
    )


def _worker(
    name: str,
    queues: str,
    concurrency: int,
    after: tuple[str, ...],
    private: tuple[str, ...] = (),
) -> ChildSpec:
    words = f"-m celery --quiet -A tradeplatform worker -Q {queues} -n {name}@%h -P prefork"
    words += f" -c {concurrency} -Ofair --without-gossip --without-mingle --loglevel {_log_level()}"
    return ChildSpec(
        name=name,
        argv=(sys.executable, *words.split()),
        about=f"worker of the queues {queues}" if "," in queues else "worker of the trading loop",
        after=after,
        ready=FILE,
        env=_quiet_root(),
        private=private,
        stop_tier=1,
        stop_timeout_s=4.5,
    )


def _research(n_processes: int, after: tuple[str, ...]) -> ChildSpec:
    """Return the worker of sweeps' units: lowest priority, so that it never slows what trades."""
    plain = _worker("research", RESEARCH_QUEUE, n_processes, after)
    return replace(
        plain,
        argv=(*RESEARCH_NICE, *plain.argv, *RESEARCH_WORDS),
        about=f"runs units of sweeps, {n_processes} side by side",
    )


def _beat(after: tuple[str, ...]) -> ChildSpec:
    words = f"-m celery --quiet -A tradeplatform beat --pidfile= --loglevel {_log_level()}"
    return ChildSpec(
        name="beat",
        argv=(sys.executable, *words.split()),
        about="knocks once a second; decides nothing",
        after=after,
        ready=FILE,
        env=_quiet_root(),
    )


def _log_level() -> str:
    return os.environ.get("LOG_LEVEL", "WARNING").upper()


def _quiet_root() -> dict[str, str]:
    # `up` has said it once; Celery would say it again in eight lines for every worker
    return {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"}
