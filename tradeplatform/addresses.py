"""Where the database and the broker are: one readable line when an address is wrong (F-087).

Nothing printed from here carries a password.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection

WRONG_USE = 2
_DATABASES = "sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME"
_BROKERS = "redis://HOST:PORT/NUMBER, rediss://HOST:PORT/NUMBER or unix:///PATH"


def without_password(url: str) -> str:
    """Return an address as it may be printed: user, password and query left out."""
    scheme, found, rest = url.partition("://")
    if not found:
        # whatever this is, it may be a password pasted into the wrong variable
        return "not an address"
    place = rest.partition("?")[0]
    authority, slash, path = place.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def database_from(url: str) -> dict[str, Any]:
    """Return Django's description of a database address, engine options left to the settings.

    Raises:
        ImproperlyConfigured: not an address, another engine, or SQLite in no existing folder.
    """
    shown = without_password(url)
    try:
        with warnings.catch_warnings():
            # it warns of what is refused below
            warnings.simplefilter("ignore")
            database: dict[str, Any] = environ.Env.db_url_config(url)  # type: ignore[no-untyped-call]
        engine = database["ENGINE"]
    except (KeyError, TypeError, ValueError, AttributeError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"DATABASE_URL was {shown}, allowed: {_DATABASES}") from error
    if engine not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise ImproperlyConfigured(
            f"DATABASE_URL was {shown}, allowed: sqlite and postgres ({_DATABASES})"
        )
    if engine == "django.db.backends.sqlite3":
        folder = Path(database["NAME"]).parent
        if database["NAME"] != ":memory:" and not folder.is_dir():
            raise ImproperlyConfigured(
                f"DATABASE_URL was {shown}, and the folder {folder} does not exist; make it first"
            )
    return database


def redis_from(url: str) -> str:
    """Return a broker address that can be used as it is.

    Raises:
        ImproperlyConfigured: another scheme, no host, or a port that is none.
    """
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.path if parts.scheme == "unix" else parts.hostname)
        is_whole = is_whole and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured(f"REDIS_URL was {shown}, allowed: {_BROKERS}")
    return url


def database_refusal() -> str | None:
    """Return why the database cannot be reached, in one line; None where it answers."""
    # what a failed attempt left behind must not be taken for an answer
    connection.close()
    try:
        connection.ensure_connection()
    except OperationalError as error:
        cause = str(error).strip().splitlines()[0]
        shown = without_password(settings.DATABASE_URL)
        return f"DATABASE_URL ({shown}) could not be opened: {cause}"
    finally:
        # a connection must not be inherited by the workers that are forked next
        connection.close()
    return None


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """End the process with one line and exit code 2 where settings or the database are wrong.

    Everything else goes its way: an error of a database that answers is no wrong address.
    """
    try:
        yield
    except ImproperlyConfigured as error:
        refuse(str(error))
    except OperationalError:
        line = database_refusal()
        if line is None:
            raise
        refuse(line)


def refuse(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    raise SystemExit(WRONG_USE)
