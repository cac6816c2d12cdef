"""What may be said of a source: how often a word is false where nothing is to be known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.types.bars import FloatColumn
from research.core.predictor_verdicts import Answers, SourceResult, holm, results

HORIZON, ROWS, SEEN = 4, 1_500, 1_000


def answers(seed: int, edge: float = 0.0, n_sources: int = 6, drift: float = 0.0) -> Answers:
    """Opinions on a random walk: of the base rate, of nobody (0.5), and noisy ones.

    ``edge`` of the noisy ones is the share of the coming move they know.
    """
    rng = np.random.default_rng(seed)
    moves = rng.normal(drift, 1.0, SEEN + ROWS + HORIZON)
    path = np.concatenate(([0.0], np.cumsum(moves)))
    coming = path[HORIZON:] - path[:-HORIZON]
    up = (coming > 0.0).astype(np.int64)
    counted = np.concatenate(([0], np.cumsum(up)))
    rows = np.arange(SEEN, SEEN + ROWS)
    known = rows - HORIZON + 1
    said: dict[str, FloatColumn] = {
        "base-rate": (counted[known] + 10.0) / (known + 20.0),
        "silent": np.full(ROWS, 0.5),
    }
    for number in range(n_sources):
        lean = np.convolve(rng.normal(0.0, 1.0, SEEN + ROWS + 40), np.ones(20) / 20, "same")
        # a lean worth what it says where it knows something; too small to lose where it does not
        said[f"s{number}"] = 0.5 + 0.02 * lean[rows] + edge * np.tanh(coming[rows])
    moved = coming[rows]
    return Answers(dict.fromkeys(said, "predictor"), said, up[rows], moved, rows, 0)


def judged(seed: int, **kind: float) -> dict[str, SourceResult]:
    return {r.name: r for r in results(answers(seed, **kind), HORIZON, 1)}  # type: ignore[arg-type]


def test_source_that_says_nothing_is_not_called_better_though_the_base_rate_is_worse() -> None:
    """D-55, ORC-83: on a random walk 0.5 is nearer the truth than any running mean is."""
    found = [judged(seed, n_sources=0)["silent"] for seed in range(120)]
    fooled = sum(source.against_base_rate.high < 0.0 for source in found)
    assert fooled > 0.06 * len(found)
    assert not any(source.verdict == "beats" for source in found)


def test_nobody_is_called_better_on_walks_that_drift() -> None:
    """D-55: there the base rate is the better reference of the two."""
    found = [judged(seed, n_sources=0, drift=0.15)["silent"] for seed in range(40)]
    assert not any(source.verdict == "beats" for source in found)
    assert sum(source.verdict == "loses to" for source in found) > 0.9 * len(found)


def test_among_many_sources_that_know_nothing_a_false_word_is_rare() -> None:
    """D-55, ORC-83: at most 2.5 % of the series (allowing for chance); uncorrected far more."""
    uncorrected = corrected = 0
    for seed in range(80):
        found = judged(seed, n_sources=8).values()
        uncorrected += any(
            max(r.against_base_rate.high, r.against_even_chances.high) < 0.0 for r in found
        )
        corrected += any(r.verdict == "beats" for r in found)
    assert corrected <= 5
    assert uncorrected > corrected


def test_what_is_known_is_found_among_many() -> None:
    """D-55: a small edge of every source survives the correction."""
    for seed in range(10):
        found = judged(seed, edge=0.06)
        for number in range(6):
            assert found[f"s{number}"].verdict == "beats"
        assert found["silent"].verdict != "beats"
        assert found["base-rate"].verdict == "is"


def test_holm_by_hand() -> None:
    """0.01 * 4, 0.02 * 3, then 0.03 * 2 and 0.04 * 1 held up to the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([float("nan"), 0.001]) == pytest.approx([1.0, 0.002])
    assert holm([]) == []


def test_sentence_names_both_references_and_the_correction() -> None:
    source = judged(1, edge=0.06)["s0"]
    assert source.sentence.startswith("s0 beats the base rate (log loss difference -0.")
    assert "; to even chances -0." in source.sentence
    assert "corrected for 7 sources" in source.sentence
    plain = source.as_json()
    assert plain["sources_judged"] == 7
    assert plain["p_better"] == source.chance_better < 0.025
    base = judged(1, edge=0.06)["base-rate"].as_json()
    assert (base["p_better"], base["p_worse"], base["verdict"]) == (None, None, "is")
