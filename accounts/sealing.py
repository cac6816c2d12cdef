"""Encrypts what the database keeps and must be readable again: nobody with a dump alone reads it.

Fernet (AES-128-CBC with HMAC-SHA256). The first key seals, every key opens, so a key may be
exchanged while old rows are still there.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["InvalidToken", "derived", "vault"]


def vault(keys: Sequence[str]) -> MultiFernet:
    """Return what seals with the first key and opens with any.

    Raises:
        ValueError: no key, or one that is not 32 bytes in URL-safe base64.
    """
    if not keys:
        raise ValueError("no key was given")
    return MultiFernet([Fernet(key) for key in keys])


def derived(secrets: Sequence[str], purpose: str) -> MultiFernet:
    """Return a vault whose keys follow from ``secrets``, one purpose never opening another's."""
    return vault([_derive(secret, purpose) for secret in secrets])


def _derive(secret: str, purpose: str) -> str:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return base64.urlsafe_b64encode(kdf.derive(secret.encode())).decode()
