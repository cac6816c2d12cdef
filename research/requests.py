"""What a replay may be asked for: checked on the way in, one line an error, kept as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.phases.ensemble import ENSEMBLE
from market.errors import DataError
from market.models import Instrument
from market.sources.instruments import timeframe_to_ms
from research.data_files import data_file_path
from research.errors import ReplayInvalid
from strategies.core.registry import PREDICTORS, RULES

STRATEGIES = (*RULES, ENSEMBLE)
BOOKS = ("none", "synthetic")
MAX_FILES = 20
MAX_SYMBOLS = 20
MAX_CASH = Decimal(10) ** 15
MAX_SLIPPAGE_BPS = Decimal(1000)
MAX_SEED = 2**32 - 1


def request_checked(given: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the request with every key and its default; types are those of the API's input.

    ``predictors`` None means all of them; ``strategies`` empty means those of the configuration.

    Raises:
        ReplayInvalid: with one line for everything that was wrong.
    """
    errors: list[str] = []
    slippage = given.get("slippage_bps", "2")
    request = {
        "data": list(given.get("data") or []),
        "venue": str(given.get("venue") or ""),
        "symbols": list(given.get("symbols") or []),
        "timeframe": str(given.get("timeframe") or ""),
        "from": _moment("from", given.get("from"), errors),
        "to": _moment("to", given.get("to"), errors),
        "strategies": _codes("strategies", given.get("strategies"), STRATEGIES, errors),
        "predictors": None,
        "layer": bool(given.get("layer", False)),
        "cash": _amount("cash", given.get("cash"), MAX_CASH, errors),
        "slippage_bps": _amount("slippage_bps", slippage, MAX_SLIPPAGE_BPS, errors),
        "seed": given.get("seed", 1),
        "book": given.get("book", "none"),
    }  # fmt: skip
    if given.get("predictors") is not None:
        request["predictors"] = _codes("predictors", given["predictors"], tuple(PREDICTORS), errors)
    if not isinstance(request["seed"], int) or not 0 <= request["seed"] <= MAX_SEED:
        errors.append(f"seed was {request['seed']}, allowed: a whole number in 0..{MAX_SEED}")
    if request["book"] not in BOOKS:
        errors.append(f"book was {request['book']!r}, allowed: {', '.join(BOOKS)}")
    if request["from"] and request["to"] and request["from"] >= request["to"]:
        errors.append(f"from was {request['from']}, allowed: before to, which was {request['to']}")
    errors += _source_errors(request, folders)
    if errors:
        raise ReplayInvalid(errors)
    return request


def options_of(request: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Return the request as options of the ``replay`` command; ``paths`` are its files."""
    predictors = request["predictors"]
    return {
        "data": [str(path) for path in paths],
        "from_iso": request["from"],
        "to_iso": request["to"],
        # files say themselves whose bars they hold; symbols choose among them
        "symbol": None,
        "timeframe": request["timeframe"] or None,
        "strategies": ",".join(request["strategies"]),
        "predictors": "all" if predictors is None else ",".join(predictors) or "none",
        "seed": request["seed"],
        "cash": request["cash"],
        "book": request["book"],
        "slippage_bps": request["slippage_bps"],
        "config": None,
    }


def _source_errors(request: Mapping[str, Any], folders: Sequence[Path]) -> list[str]:
    names, venue, symbols = request["data"], request["venue"], request["symbols"]
    if bool(names) == bool(venue):
        said = "both" if venue else "neither"
        return [f"data and venue: {said} given, allowed: files, or a venue whose candles are kept"]
    if len(names) > MAX_FILES or len(symbols) > MAX_SYMBOLS:
        return [
            f"data had {len(names)} files and symbols {len(symbols)},"
            f" allowed: at most {MAX_FILES} and {MAX_SYMBOLS}"
        ]
    if names:
        missing = [name for name in names if data_file_path(name, folders) is None]
        twice = sorted({name for name in names if names.count(name) > 1})
        return [
            *(f"data was {name!r}, allowed: a file of the data folders" for name in missing),
            *(f"data was {name!r} twice, allowed: once" for name in twice),
        ]
    return _candle_errors(venue, symbols, request["timeframe"])


def _candle_errors(venue: str, symbols: Sequence[str], timeframe: str) -> list[str]:
    errors = []
    known = set(Instrument.objects.filter(venue=venue).values_list("symbol", flat=True))
    if not known:
        venues = sorted(set(Instrument.objects.values_list("venue", flat=True)))
        errors.append(f"venue was {venue!r}, allowed: {', '.join(venues) or 'none is known yet'}")
    elif not symbols:
        errors.append(f"symbols were none, allowed: one or more of {', '.join(sorted(known))}")
    errors += [
        f"symbols had {symbol!r}, allowed: {', '.join(sorted(known))}"
        for symbol in symbols
        if known and symbol not in known
    ]
    try:
        timeframe_to_ms(timeframe)
    except DataError as error:
        errors.append(str(error))
    return errors


def _codes(
    name: str, given: Sequence[str] | None, allowed: Sequence[str], errors: list[str]
) -> list[str]:
    asked = list(given or [])
    errors += [
        f"{name} had {code!r}, allowed: {', '.join(allowed)}"
        for code in asked
        if code not in allowed
    ]
    return [code for code in allowed if code in asked]


def _moment(name: str, text: Any, errors: list[str]) -> str | None:
    """Return UTC as ISO text, so that two of them compare as they follow each other."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(str(text))
        utc = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        errors.append(f"{name} was {text!r}, allowed: an ISO date or time such as 2024-03-01T00:00")
        return None
    return utc.isoformat(timespec="seconds")


def _amount(name: str, text: Any, most: Decimal, errors: list[str]) -> str | None:
    if text in (None, ""):
        return None if name == "cash" else "0"
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= most or (name == "cash" and amount == 0):
        least = "above 0" if name == "cash" else "0 or more"
        errors.append(f"{name} was {text}, allowed: a number {least}, at most {most:f}")
        return None
    return f"{amount:f}"
