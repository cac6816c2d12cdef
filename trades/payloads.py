"""The stored JSON of analyses and decisions: written without repetition, read back whole.

A record's output and the sections beside it say the same thing twice, and names repeat on every
bar. What can be rebuilt from what is stored is left out; it is left out only where rebuilding was
tried at writing and gave exactly the same, so nothing is lost when a phase learns to say more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.phases.recorder import digest
from engine.types.decisions import PHASES
from engine.types.opinions import REGIMES

VERSION = 2
Json = dict[str, Any]

_RECORD = ("number", "status", "duration_us", "input_digest", "output_digest", "output", "reasons")
_SOURCE = (
    "source",
    "score",
    "selected",
    "brier",
    "settled",
    "regime_fit",
    "reason",
    "skill",
    "latency_us",
    "voice",
)
_OPINION = ("source", "probability_up", "latency_us", "version")
_REASON = ("code", "text", "value", "limit")
_STEP = ("code", "before_base", "after_base", "text")
# Stored instead of an output that the sections give.
REBUILT = 0


@dataclass(frozen=True, slots=True)
class Legend:
    """What the values of a feature row are called; ``key`` is the digest of the rest."""

    key: str
    names: tuple[str, ...]
    categories: Mapping[str, int]


def legend_in(whole: Json) -> Legend | None:
    """Return the legend of an analysis's features, None where it has none."""
    output = next((r["output"] for r in whole["records"] if r["number"] == 2), {})
    if "values" not in output:
        return None
    names, categories = tuple(output["values"]), output.get("categories", {})
    return Legend(digest([list(names), dict(categories)]), names, categories)


Legends = Callable[[str], Legend | None]


# -- analyses --------------------------------------------------------------------------------------


def pack_analysis(whole: Json) -> Json:
    """Return the stored form of an analysis; its ``legend_in`` must be kept beside it."""
    legend, whole = legend_in(whole), _lists(whole)
    records = [dict(record) for record in whole["records"]]
    sections = {key: value for key, value in whole.items() if key != "records"}
    outputs = {record["number"]: record["output"] for record in records}
    for record in records:
        if record["number"] == 2:
            record["output"] = _packed_features(outputs[2], legend)
        elif rebuilt := _from_sections(record["number"], sections):
            record["output"] = _rest(record["output"], rebuilt)
    kept = {
        key: value
        for key, value in sections.items()
        if key not in _SECTIONS or _SECTIONS[key](outputs) != value
    }
    kept.pop("features", None)
    told = sections["validation"] or {}
    if told and _validation(outputs.get(5), sections["opinions"], told["reason"]) == told:
        kept["validation"] = told["reason"]
    for key, fields in (("sources", _SOURCE), ("opinions", _OPINION)):
        kept[key] = _rows(sections[key], fields)
    return {"v": VERSION, "records": [_row(record) for record in records], **kept}


def unpack_analysis(stored: Json, legends: Legends) -> Json:
    """Return what ``pack_analysis`` was given; feature values have six decimals.

    A payload of an older form comes back as it is.
    """
    if stored.get("v") != VERSION:
        return stored
    records = [_record(row) for row in stored["records"]]
    whole = {key: value for key, value in stored.items() if key not in ("v", "records")}
    for key, fields in (("sources", _SOURCE), ("opinions", _OPINION)):
        whole[key] = [dict(zip(fields, row, strict=True)) for row in stored[key]]
    for record in records:
        if record["number"] == 2:
            record["output"] = _features_output(record["output"], legends)
        elif isinstance(record["output"], list):
            record["output"] = {**_from_sections(record["number"], whole), **record["output"][0]}
    outputs = {record["number"]: record["output"] for record in records}
    if isinstance(whole.get("validation"), str):
        whole["validation"] = _validation(outputs[5], whole["opinions"], whole["validation"])
    for key, build in _SECTIONS.items():
        whole.setdefault(key, build(outputs))
    whole["features"] = _features_section(outputs.get(2, {}))
    return {"records": records, **whole}


def _packed_features(output: Json, legend: Legend | None) -> Any:
    if legend is None:
        return output
    told = ("version", "ready", "values", "categories")
    rest = {key: value for key, value in output.items() if key not in told}
    rounded = [round(float(value), 6) for value in output["values"].values()]
    return [output["version"], output["ready"], legend.key, rounded, *([rest] if rest else [])]


def _features_output(stored: Any, legends: Legends) -> Json:
    if not isinstance(stored, list):
        return dict(stored)
    version, ready, key, values, *rest = stored
    legend = legends(key)
    # without its legend a value is numbered: it is never shown under another's name
    names = [f"feature {n}" for n in range(len(values))] if legend is None else legend.names
    output: Json = {
        "version": version,
        "ready": ready,
        "categories": {} if legend is None else dict(legend.categories),
        "values": dict(zip(names, values, strict=True)),
    }
    return output | (rest[0] if rest else {})


def _features_section(output: Json) -> Json:
    if "values" not in output:
        return {"reason": str(output.get("missing", ""))}
    return {key: output[key] for key in ("version", "ready", "values")}


def _rest(output: Json, rebuilt: Json) -> Any:
    """Return what the sections do not tell of an output, in a list; all of it where they differ."""
    if any(name not in output or output[name] != value for name, value in rebuilt.items()):
        return output
    return [{name: value for name, value in output.items() if name not in rebuilt}]


def _from_sections(number: int, sections: Json) -> Json:
    """Return the output of phase 4 as far as its sections tell it; nothing of other phases."""
    sources, opinions = sections.get("sources"), sections.get("opinions")
    if number != 4 or not sources:
        return {}
    return {
        "scores": {s["source"]: s["score"] for s in sources},
        "selected": [s["source"] for s in sources if s["selected"]],
        "reasons": {s["source"]: s["reason"] for s in sources},
        "opinions": {o["source"]: o["probability_up"] for o in opinions or ()},
    }


def _market(outputs: Mapping[int, Json]) -> Any:
    output = outputs.get(1) or {}
    if "regime" not in output:
        return _missing(output)
    probabilities = output["regime_probabilities"]
    feeling = output["sentiment"]
    view = {key: value for key, value in output.items() if key != "changes"}
    return {
        **view,
        "regime_probabilities": [probabilities.get(regime.value) for regime in REGIMES],
        "sentiment": {"reason": feeling} if isinstance(feeling, str) else feeling,
    }


def _order_flow(outputs: Mapping[int, Json]) -> Any:
    output = outputs.get(3) or {}
    if "advice" not in output:
        return _missing(output)
    return {**output, "inputs": {"reason": "no order-flow inputs"}}


def _validation(output: Json | None, opinions: Sequence[Json], reason: str) -> Json | None:
    """Return phase 5's section: the opinions it kept are among all opinions."""
    if not output:
        return None
    by_source = {opinion["source"]: opinion for opinion in opinions}
    kept = [by_source.get(source) for source in output["kept"]]
    return {**output, "kept": kept, "reason": reason}


def _consensus(outputs: Mapping[int, Json]) -> Any:
    output = outputs.get(6)
    if not output:
        return None
    weights = output.get("weights", {})
    rest = {key: value for key, value in output.items() if key != "weights"}
    return {**rest, "contributors": list(weights), "weights": list(weights.values())}


def _missing(output: Json) -> Any:
    return {"reason": output["missing"]} if "missing" in output else _UNKNOWN


_UNKNOWN: Json = {"reason": "this phase left no view"}
_SECTIONS: Mapping[str, Callable[[Mapping[int, Json]], Any]] = {
    "market": _market,
    "order_flow": _order_flow,
    "consensus": _consensus,
}


def opinions_in(stored: Json) -> dict[str, float]:
    """Return every source's opinion of a stored analysis, of whichever form."""
    rows = stored.get("opinions") or ()
    if stored.get("v") == VERSION:
        return {row[0]: row[1] for row in rows}
    return {row["source"]: row["probability_up"] for row in rows}


# -- decisions -------------------------------------------------------------------------------------


def pack_decision(whole: Json, votes: Mapping[str, float]) -> Json:
    """Return the stored form of a decision; ``votes`` are its analysis's opinions by source."""
    whole = _lists(whole)
    records = [dict(record) for record in whole["records"]]
    outputs = {record["number"]: record for record in records}
    kept = {key: value for key, value in whole.items() if key != "records"}
    for key, build in _DECIDED.items():
        if key in kept and build(outputs) == kept[key]:
            del kept[key]
    # the layer finds what it said of a signal by this key: it stays in one place, this one
    if not kept.get("policy"):
        kept.pop("policy", None)
    for record in records:
        output = record["output"]
        if record["number"] == 8 and output.get("votes") == votes:
            record["output"] = {**output, "votes": REBUILT}
        elif record["number"] == 7 and "policy" in kept and output.get("policy") == kept["policy"]:
            record["output"] = {**output, "policy": REBUILT}
    return {"v": VERSION, "records": [_row(record) for record in records], **kept}


def unpack_decision(stored: Json, votes: Mapping[str, float]) -> Json:
    """Return what ``pack_decision`` was given; an older form comes back as it is."""
    if stored.get("v") != VERSION:
        return stored
    records = [_record(row) for row in stored["records"]]
    for record in records:
        if record["number"] == 8 and record["output"].get("votes") == REBUILT:
            record["output"]["votes"] = dict(votes)
        elif record["number"] == 7 and record["output"].get("policy") == REBUILT:
            record["output"]["policy"] = stored["policy"]
    outputs = {record["number"]: record for record in records}
    whole = {key: value for key, value in stored.items() if key not in ("v", "records")}
    for key, build in _DECIDED.items():
        whole.setdefault(key, build(outputs))
    whole.setdefault("policy", {})
    return {"records": records, **whole}


def _sizing(records: Mapping[int, Json]) -> Any:
    record = records.get(7)
    if record is None or "steps" not in record["output"]:
        return None
    output = record["output"]
    is_blocked = record["status"] == "blocked" and record["reasons"]
    return {
        **{key: output[key] for key in output if key not in ("steps", "policy", "gates")},
        "steps": [dict(zip(_STEP, step, strict=True)) for step in output["steps"]],
        "denied": record["reasons"][0] if is_blocked else None,
    }


def _reasons(records: Mapping[int, Json]) -> Any:
    record = records.get(8)
    return record["reasons"] if record else []


def _none(records: Mapping[int, Json]) -> Any:
    return None


def _empty(records: Mapping[int, Json]) -> Any:
    return {}


_DECIDED: Mapping[str, Callable[[Mapping[int, Json]], Any]] = {
    "sizing": _sizing,
    "reasons": _reasons,
    "proposal": _none,
    "inputs": _empty,
}


# -- records ---------------------------------------------------------------------------------------


def _row(record: Json) -> list[Any]:
    row = [record[name] for name in _RECORD]
    row[2] = round(float(row[2]), 1)
    row[-1] = _rows(row[-1], _REASON)
    return row


def _record(row: Sequence[Any]) -> Json:
    record: Json = dict(zip(_RECORD, row, strict=True))
    record["name"] = PHASES[record["number"] - 1]
    record["reasons"] = [dict(zip(_REASON, reason, strict=True)) for reason in record["reasons"]]
    return record


def _lists(value: Any) -> Any:
    """Return a value as JSON would give it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _rows(items: Sequence[Json], fields: Sequence[str]) -> list[list[Any]]:
    return [[item[name] for name in fields] for item in items]
