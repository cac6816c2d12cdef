"""Time-based one-time codes (RFC 6238): pure arithmetic, no clock and no database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from urllib.parse import quote, urlencode

DIGITS = 6
STEP_S = 30
# one step to either side: a phone's clock is not ours
STEPS_ALLOWED = 1
SECRET_BYTES = 20
ISSUER = "Tradeplatform"


def new_secret() -> str:
    """Return 160 random bits in base32, as authenticator apps read them."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def step_at(unix_s: float) -> int:
    return int(unix_s) // STEP_S


def code_of(secret: str, step: int) -> str:
    """Return the six digits of one step. Source: RFC 4226 section 5.3, RFC 6238 section 4."""
    # SHA-1 is what every authenticator app computes; HMAC does not need its collision resistance
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def step_of(secret: str, code: str, *, unix_s: float) -> int | None:
    """Return the step ``code`` belongs to, None where it fits no step near ``unix_s``.

    Every allowed step is compared, so the time taken does not tell which one fitted.
    """
    given = "".join(code.split())
    now = step_at(unix_s)
    found = None
    for step in range(now - STEPS_ALLOWED, now + STEPS_ALLOWED + 1):
        if hmac.compare_digest(code_of(secret, step).encode(), given.encode()):
            found = step
    return found


def enrolment_uri(secret: str, username: str) -> str:
    """Return the address that an authenticator app takes over (Key URI format)."""
    query = urlencode({"secret": secret, "issuer": ISSUER, "digits": DIGITS, "period": STEP_S})
    return f"otpauth://totp/{quote(f'{ISSUER}:{username}')}?{query}"


def in_groups(secret: str) -> str:
    """Return text in groups of four, for typing."""
    return " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))
