"""The environment, read in one place: every variable the platform knows, and its default.

Secrets and addresses come from the environment only. In development they are generated into
``var/`` with mode 0600, so that one command works on a fresh machine (D-39).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("development", "test", "production")
PREFIX = "TRADEPLATFORM_"
# Every variable of that name; those of an account's keys may end in ``__NAME``.
KNOWN = frozenset(
    PREFIX + name
    for name in [
        "BACKUP_KEY",
        "CONFIG",
        "CRASH_MUTANT",
        "ENV",
        "FAILPOINTS",
        "FREQTRADE_API",
        "LIVE_ARMED",
        "MACHINES",
        "MARKET_DATA",
        "MASTER_KEY",
        "MASTER_KEY_FILE",
        "PLAN",
        "PORT",
        "PRACTICE_ADMIN_URL",
        "PRACTICE_MARKET",
        "PRACTICE_URL",
        "READY_FILE",
        "RESULTS",
        "SWEEP_WORKERS",
        "TELEGRAM_API",
        "TOKEN",
        "TOTP_REQUIRED",
        "TRUSTED_PROXY",
        "URL",
        "VAR",
    ]
)
BY_ACCOUNT = tuple(PREFIX + f"EXCHANGE_{name}" for name in ("KEY", "SECRET", "PASSPHRASE"))


def text(name: str, default: str = "") -> str:
    """Return a variable; an empty one counts as unset."""
    return os.environ.get(name) or default


def boolean(name: str, default: bool) -> bool:
    value = text(name)
    if not value:
        return default
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} was {value!r}, allowed: true or false")


def listing(name: str, default: list[str]) -> list[str]:
    value = text(name)
    return [part.strip() for part in value.split(",") if part.strip()] if value else default


def refuse_unknown(also: Iterable[str] = ()) -> None:
    """Refuse a variable with our prefix that nobody reads: a switch that was renamed or misspelt
    would silently not be set (F-092). ``also`` are names that the configuration gives.

    Raises:
        ImproperlyConfigured: it names the variable, never its value, and the nearest known one.
    """
    known = KNOWN | set(BY_ACCOUNT) | set(also)
    for name in sorted(os.environ):
        whole, _, account = name.partition("__")
        if not name.startswith(PREFIX) or name in known or (account and whole in BY_ACCOUNT):
            continue
        near = get_close_matches(name, known, n=1) or sorted(known)
        raise ImproperlyConfigured(f"{name} is set and nobody reads it, allowed: {', '.join(near)}")


def environment() -> str:
    value = text("TRADEPLATFORM_ENV", "development")
    if value not in ENVIRONMENTS:
        raise ImproperlyConfigured(
            f"TRADEPLATFORM_ENV was {value!r}, allowed: {', '.join(ENVIRONMENTS)}"
        )
    return value


def var_dir() -> Path:
    """Where this installation keeps its files (database, sockets, secrets), mode 0700.

    A folder that stood there before is tightened where it is ours; one of somebody else, say a
    mounted volume, keeps the mode its owner gave it.
    """
    path = Path(text("TRADEPLATFORM_VAR", str(BASE_DIR / "var"))).resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_private(path, 0o700)
    return path


def candle_folders(own: Path) -> list[Path]:
    """Return where candle files lie: our own below ``var``, and the folder of recorded markets.

    Recorded markets keep candles apart from books and trades, which no replay reads.
    """
    folders = [own / "candles"]
    if named := text("TRADEPLATFORM_MARKET_DATA"):
        candles = Path(named) / "ohlcv"
        folders.append(candles if candles.is_dir() else Path(named))
    return folders


def keep_private(path: Path, mode: int = 0o600) -> None:
    """Take away from a file or folder of ours what ``mode`` does not allow."""
    status = path.stat()
    if status.st_uid == os.geteuid() and status.st_mode & 0o777 & ~mode:
        path.chmod(status.st_mode & mode)


def config_file() -> str:
    """Return the configuration file: the shipped one, or the one that was named and is there."""
    named = text("TRADEPLATFORM_CONFIG")
    if named and not Path(named).is_file():
        raise ImproperlyConfigured(f"TRADEPLATFORM_CONFIG was {named}, allowed: an existing file")
    return named or str(BASE_DIR / "config.yaml")


def secret(name: str, *, generated_in: Path | None, length: int = 64) -> str:
    """Return a secret from ``NAME``, ``NAME_FILE`` or, in development, a generated file."""
    if value := text(name):
        return value
    if file_name := text(f"{name}_FILE"):
        return Path(file_name).read_text().strip()
    if generated_in is None:
        raise ImproperlyConfigured(f"{name} is not set; production needs {name} or {name}_FILE")
    path = generated_in / name.lower()
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(length))
    return path.read_text().strip()


def private_database(path: Path) -> None:
    """Keep an SQLite database for its owner only; where there is none, make an empty one.

    SQLite gives its journals the mode of the database, but makes the database by the umask.
    """
    if not path.exists():
        _write_private(path, "")
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        if (file := path.with_name(name)).exists():
            keep_private(file)


def _write_private(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)


def installation_id(directory: Path) -> str:
    """Return six hex characters that mark this installation's orders on a venue (D-19).

    Made once and kept: orders that carry another prefix are somebody else's (F-012).
    """
    path = directory / "installation_id"
    if not path.exists():
        _write_private(path, secrets.token_hex(3))
    keep_private(path)
    value = path.read_text().strip()
    if len(value) != 6 or any(c not in "0123456789abcdef" for c in value):
        raise ImproperlyConfigured(f"{path.name} held {value!r}, allowed: six hex characters")
    return value
