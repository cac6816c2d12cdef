"""Scripts for Tradeplatform. Needs nothing but Python; the stream needs ``websockets``."""

from tradeplatform_client.client import Client
from tradeplatform_client.errors import (
    ClientError,
    Forbidden,
    Invalid,
    NotAuthenticated,
    NotFound,
    Problem,
    Refused,
    TooManyRequests,
    UnexpectedAnswer,
    Unreachable,
)
from tradeplatform_client.stream import Frame, Stream, StreamRefused

__all__ = [
    "Client",
    "ClientError",
    "Forbidden",
    "Frame",
    "Invalid",
    "NotAuthenticated",
    "NotFound",
    "Problem",
    "Refused",
    "Stream",
    "StreamRefused",
    "TooManyRequests",
    "UnexpectedAnswer",
    "Unreachable",
]
