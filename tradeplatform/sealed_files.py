"""Files that are of no use without their key: backups leave the machine (SEC-53).

AES-256-GCM over pieces of one MiB, each with its number and whether it is the last one in the
nonce, so that pieces can be neither exchanged, left out nor cut off at the end (the STREAM
construction, Hoang, Reyhanitabar, Rogaway and Vizar 2015).
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ImproperlyConfigured

from tradeplatform import env

KEY = "TRADEPLATFORM_BACKUP_KEY"
MAGIC = b"TPSEAL01"
_PREFIX_BYTES = 7
_PIECE = 1 << 20
_TAG = 16


class SealRefused(Exception):
    """No usable key, or a file that it does not open; one line that holds neither."""


def backup_key() -> bytes | None:
    """Return the key of ``TRADEPLATFORM_BACKUP_KEY`` or its file, None where none is set.

    Raises:
        SealRefused: not 32 bytes in URL-safe base64.
    """
    try:
        text = env.secret(KEY, generated_in=None)
    except ImproperlyConfigured:
        return None
    try:
        key = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise SealRefused(f"{KEY} was not usable, allowed: what exchangekeys newmaster prints")
    return key


def is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def seal(source: Path, target: Path, key: bytes) -> None:
    """Write ``source`` to the new file ``target``, sealed, with mode 0600."""
    prefix = os.urandom(_PREFIX_BYTES)
    cipher = AESGCM(key)
    with source.open("rb") as plain, _new(target) as out:
        out.write(MAGIC + prefix)
        piece, number = plain.read(_PIECE), 0
        while True:
            following = plain.read(_PIECE)
            out.write(cipher.encrypt(_nonce(prefix, number, not following), piece, MAGIC))
            if not following:
                break
            piece, number = following, number + 1
        out.flush()
        os.fsync(out.fileno())


def unseal(source: Path, target: Path, key: bytes) -> None:
    """Write what is in the sealed ``source`` to the new file ``target``, with mode 0600.

    Raises:
        SealRefused: another key, or a file that was changed, cut off or put together anew.
    """
    cipher = AESGCM(key)
    with source.open("rb") as file, _new(target) as out:
        head = file.read(len(MAGIC) + _PREFIX_BYTES)
        prefix = head[len(MAGIC) :]
        piece, number = file.read(_PIECE + _TAG), 0
        while True:
            following = file.read(_PIECE + _TAG)
            try:
                out.write(cipher.decrypt(_nonce(prefix, number, not following), piece, MAGIC))
            except (InvalidTag, ValueError) as error:
                raise SealRefused(f"{source}: another key, or damaged") from error
            if not following:
                return
            piece, number = following, number + 1


@contextmanager
def opened(path: Path, *, folder: Path) -> Iterator[Path]:
    """Give the file itself, or, where it is sealed, what is in it, in ``folder`` for a while.

    Raises:
        SealRefused: sealed, and there is no key or another one.
    """
    if not path.is_file() or not is_sealed(path):
        yield path
        return
    if (key := backup_key()) is None:
        raise SealRefused(f"{path}: sealed, and {KEY} is not set")
    scratch = Path(mkdtemp(prefix=".unsealed-", dir=folder))
    try:
        unseal(path, scratch / path.name, key)
        yield scratch / path.name
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([is_last])


@contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
