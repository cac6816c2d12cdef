"""Refusals of the practice exchange, with the codes and sentences of Binance spot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class VenueError(Exception):
    """One refusal as the client sees it: HTTP status, code, message."""

    code: int
    message: str
    status: int = 400


def unknown_symbol() -> VenueError:
    return VenueError(-1121, "Invalid symbol.")


def missing(name: str) -> VenueError:
    return VenueError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def invalid(name: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'.")


def filter_failure(name: str) -> VenueError:
    return VenueError(-1013, f"Filter failure: {name}")


def rejected(message: str) -> VenueError:
    return VenueError(-2010, message)


def insufficient_balance() -> VenueError:
    return rejected("Account has insufficient balance for requested action.")


def cancel_rejected() -> VenueError:
    return VenueError(-2011, "Unknown order sent.")


def no_such_order() -> VenueError:
    return VenueError(-2013, "Order does not exist.")


def bad_key() -> VenueError:
    return VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def bad_signature() -> VenueError:
    return VenueError(-1022, "Signature for this request is not valid.")


def bad_timestamp() -> VenueError:
    return VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
