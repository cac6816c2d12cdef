"""Models in a replay: trained on what has closed, tried, promoted, all of it repeatable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import EvolutionTrigger
from engine.types.learned import Seat, Trial
from strategies.core.candidates import cutoff_ms, held_out, thinned, train_candidate
from strategies.core.desk import EvolutionDesk, seen
from strategies.core.evolution import EvolutionRules, ModelStage
from strategies.core.training.dataset import dataset_of
from tests.bar_factory import random_walk

QUICK = EvolutionRules(looks=(20, 40), probation=(20, 40), min_new_bars=500)


def planted(n: int = 4_000, seed: int = 4) -> BarColumns:
    """Closes that go on rising while they rise and falling while they fall, plainly enough."""
    rng = np.random.default_rng(seed)
    step = 0.0006 * np.sign(np.sin(np.arange(n) / 25.0)) + rng.normal(0.0, 0.0004, n)
    close = 100.0 * np.exp(np.cumsum(step))
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.0002, np.minimum(opened, close) * 0.9998
    volume = 10.0 + rng.random(n)
    return BarColumns(np.arange(n) * 60_000, opened, high, low, close, volume, 60_000)


BARS = planted()
END_MS = int(BARS.ts_ms[3_400])


def trigger(code: str = "gradient-boosting", at_ms: int = END_MS) -> EvolutionTrigger:
    return EvolutionTrigger(code, "schedule", "time has come", 1.0, 1.0, at_ms)


def desk(bars: BarColumns = BARS, rules: EvolutionRules = QUICK) -> EvolutionDesk:
    return EvolutionDesk(
        ["gradient-boosting"], {"BTC/USDT": bars}, horizon_bars=12, seed=1, rules=rules
    )


def trials(answers: dict[str, tuple[float, float]], n: int = 40) -> list[Trial]:
    """What each name says where the outcome is up, and where it is down."""
    ups = np.random.default_rng(5).integers(0, 2, n).tolist()
    return [
        Trial(
            "BTC/USDT",
            "QUIET",
            tuple((name, said[0] if up else said[1]) for name, said in answers.items()),
            up,
            END_MS + i * 720_000,
            END_MS + (i + 1) * 720_000,
        )
        for i, up in enumerate(ups)
    ]


def seated_by(made: EvolutionDesk) -> dict[str, str]:
    return {s.name: s.seat.value for s in made.seated() if s.seat is not Seat.CONTROL}


def test_a_planted_signal_takes_the_challengers_seat_and_wins_it_in_the_shadow() -> None:
    """ORC-16, ORC-85: a replay trains, tries and promotes by the rules of the live platform."""
    made = desk()
    seats = made.after([trigger()], [], END_MS)
    assert seats is not None
    (first,) = made.made
    version = first.move.version
    assert first.move.to_stage is ModelStage.CHALLENGER, first.move.reason
    shadow = f"gradient-boosting@{version}"
    assert seated_by(made) == {"gradient-boosting": "champion", shadow: "challenger"}
    good = {"gradient-boosting": (0.5, 0.5), shadow: (0.7, 0.35)}
    assert made.after([], trials(good), END_MS + 1) is not None
    assert seated_by(made) == {"gradient-boosting": "champion", "gradient-boosting@base": "guard"}
    assert made.seated()[0].version == version
    held = {"gradient-boosting": (0.7, 0.35), "gradient-boosting@base": (0.5, 0.5)}
    assert made.after([], trials(held), END_MS + 2) is not None
    assert seated_by(made) == {"gradient-boosting": "champion"}


def test_a_promoted_model_that_fails_is_rolled_back() -> None:
    """ORC-16"""
    made = desk()
    made.after([trigger()], [], END_MS)
    shadow = f"gradient-boosting@{made.made[0].move.version}"
    made.after([], trials({"gradient-boosting": (0.5, 0.5), shadow: (0.7, 0.35)}), END_MS + 1)
    bad = {"gradient-boosting": (0.3, 0.6), "gradient-boosting@base": (0.5, 0.5)}
    made.after([], trials(bad), END_MS + 2)
    assert made.seated()[0].version == ""
    assert [m.move.to_stage.value for m in made.made[-2:]] == ["DISCARDED", "CHAMPION"]


def test_noise_takes_no_seat() -> None:
    """ORC-16, D-55: nothing to find, nothing found."""
    made = desk(random_walk(7, 4_000))
    at_ms = int(random_walk(7, 4_000).ts_ms[3_900])
    assert made.after([trigger(at_ms=at_ms)], [], at_ms) is None
    assert [m.move.to_stage for m in made.made] == [ModelStage.DISCARDED]


def test_the_future_changes_no_model() -> None:
    """ORC-16: other bars after the trigger give the same model, digest for digest."""
    ours, theirs = desk(), desk(replace(BARS, close=np.where(BARS.ts_ms < END_MS, BARS.close, 1.0)))
    for made in (ours, theirs):
        made.after([trigger()], [], END_MS)
    assert ours.made == theirs.made


def test_too_few_bars_wait_for_a_later_trigger_and_cool_down_holds() -> None:
    """ORC-16"""
    made = desk()
    early = int(BARS.ts_ms[300])
    assert made.after([trigger(at_ms=early)], [], early) is None
    assert made.made == []
    made.after([trigger()], [], END_MS)
    count = len(made.made)
    made.after([], trials({"gradient-boosting": (0.5, 0.5)}, 3), END_MS + 1)
    made.after([trigger(at_ms=END_MS + 60_000)], [], END_MS + 60_000)
    assert len(made.made) == count


def test_sources_that_learn_as_they_go_are_not_trained() -> None:
    made = EvolutionDesk(["online-linear"], {"BTC/USDT": BARS}, horizon_bars=12, seed=1)
    assert made.after([trigger("online-linear")], [], END_MS) is None


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_no_label_of_the_training_reaches_into_the_holdout(share: float) -> None:
    """ORC-16: purged by time; rows are the same whatever bar history starts with."""
    end = seen(BARS, int(BARS.ts_ms[-1] * share) + 400_000)
    cut = replace(
        BARS,
        **{n: getattr(BARS, n)[:end] for n in ("ts_ms", "open", "high", "low", "close", "volume")},
    )
    data = thinned(dataset_of({"BTC/USDT": ColumnStore(cut)}, 12))
    at_ms = cutoff_ms(data)
    assert data.known_by(at_ms).label_ms.max() <= at_ms
    assert (np.diff(data.ts_ms) == 3 * 60_000).all()


def test_rows_that_the_champion_saw_are_left_out_of_the_comparison() -> None:
    """ORC-16: on the same rows, and neither was trained on them."""
    data = thinned(dataset_of({"BTC/USDT": ColumnStore(BARS)}, 12))
    candidate = train_candidate("gradient-boosting", data, seed=1)
    fresh = held_out(data, candidate, None)
    assert (fresh.champion == 0.5).all()
    assert fresh.at_ms.min() >= candidate.model.lineage.trained_to_ms
    later = replace(
        candidate.model,
        lineage=replace(candidate.model.lineage, trained_to_ms=int(data.ts_ms[-100])),
    )
    both = held_out(data, candidate, replace(candidate, model=later))
    assert len(both) == 100


def test_a_bar_is_seen_from_its_close_on_and_not_a_moment_before() -> None:
    """ORC-16: a model trained on a bar that is still open would have looked ahead."""
    bars = random_walk(3, 50)
    closes_ms = bars.ts_ms + bars.timeframe_ms
    for row in (0, 17, 49):
        assert seen(bars, int(closes_ms[row])) == row + 1
        assert seen(bars, int(closes_ms[row]) - 1) == row
