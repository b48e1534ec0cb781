"""The worklist against closed forms, another road to the same queue, and what no order can change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import files
from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import triage_figures
from osteon.evaluate.triage import (
    BY_SCORE,
    BY_SCORE_AGED,
    DAY,
    FIRST_COME,
    ORDERS,
    Arrivals,
    Worklist,
    arrivals,
    simulate,
    triage,
    urgency,
)

EVEN = (1.0,) * 24
HALVES = np.array([True, False])


def some_arrivals(seed: int, n: int = 60) -> tuple[Arrivals, np.ndarray]:
    rng = np.random.default_rng(seed)
    at = np.sort(np.round(rng.uniform(0, 300, n)))  # whole minutes, so that some come together
    return Arrivals(at, rng.gamma(2, 2.5, n), np.arange(n)), rng.random(n)


def lindley(come: Arrivals) -> np.ndarray:
    """Waits of one reader, first come, first read: W' = max(0, W + reading - gap) (Lindley 1952)."""
    waits = [0.0]
    for gap, minutes in zip(np.diff(come.at), come.minutes[:-1], strict=True):
        waits.append(max(0.0, waits[-1] + minutes - gap))
    return np.array(waits)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_first_come_with_one_reader_follows_lindleys_recursion(seed):
    come, _ = some_arrivals(seed)
    np.testing.assert_allclose(simulate(come, come.at, 1) - come.at, lindley(come), atol=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(list(ORDERS)))
def test_no_order_changes_the_work_that_is_left(seed, order):
    come, scores = some_arrivals(seed)
    start = simulate(come, urgency(order, come, scores, 60.0), 1)
    first = come.at + lindley(come)
    # One reader is busy at the same minutes whatever the order, and ∫ work left dt = Σ (reading · wait + reading² / 2).
    np.testing.assert_allclose((start + come.minutes).max(), (first + come.minutes).max())
    np.testing.assert_allclose(come.minutes @ (start - come.at), come.minutes @ lindley(come))
    assert (start >= come.at).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(list(ORDERS)))
def test_nobody_idles_nobody_reads_two_and_the_most_urgent_is_taken(seed, readers, order):
    come, scores = some_arrivals(seed)
    key = urgency(order, come, scores, 60.0)
    start = simulate(come, key, readers)
    end = start + come.minutes
    for case in range(len(start)):
        busy = (start < start[case]) & (end > start[case])
        assert busy.sum() < readers
        waiting = (come.at <= start[case]) & (start > start[case])
        assert (key[waiting] >= key[case]).all()
        if start[case] > come.at[case]:  # who waits, waits because all readers read up to that moment
            assert ((start < start[case]) & (end >= start[case])).sum() == readers


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 120))
def test_with_ageing_nobody_is_overtaken_by_who_came_later_than_the_patience(seed, patience):
    come, scores = some_arrivals(seed)
    start = simulate(come, urgency(BY_SCORE_AGED, come, scores, patience), 1)
    for case in range(len(start)):
        overtakers = (come.at > come.at[case]) & (start < start[case])
        assert (come.at[overtakers] <= come.at[case] + patience + 1e-9).all()


def test_without_patience_ageing_is_first_come():
    come, scores = some_arrivals(1)
    one, two = (simulate(come, urgency(order, come, scores, 0.0), 2) for order in (BY_SCORE_AGED, FIRST_COME))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("variation", "readers"), [(1.0, 1), (0.0, 1), (1.0, 2)])
def test_mean_waits_are_those_of_queueing_theory(variation, readers):
    load = 0.6
    worklist = Worklist(DAY * load * readers / 5, readers, 5.0, variation, profile=EVEN)
    assert worklist.load == pytest.approx(load)
    rng = np.random.default_rng(7)
    means = []
    for _ in range(20):
        come = arrivals(worklist, HALVES, rng, days=20)
        means.append((simulate(come, come.at, readers) - come.at).mean())
    if readers == 1:  # Pollaczek and Khinchine; M/M/1 for a variation of 1
        wanted = 5.0 * load / (1 - load) * (1 + variation**2) / 2
    else:  # Erlang C for two: P(wait) = 2 load² / (1 + load)
        wanted = 2 * load**2 / (1 + load) * 5.0 / (readers * (1 - load))
    assert np.mean(means) == pytest.approx(wanted, abs=4 * np.std(means) / np.sqrt(20))
    assert np.std(means) / np.sqrt(20) < 0.05 * wanted  # or the line above could not fail


def test_two_classes_told_apart_wait_as_cobham_says():
    load, ill = 0.8, 0.2
    worklist = Worklist(DAY * load / 5, 1, 5.0, 1.0, ill, profile=EVEN)
    rng, waits = np.random.default_rng(8), []
    for _ in range(30):
        come = arrivals(worklist, HALVES, rng, days=20)
        wait = simulate(come, urgency(BY_SCORE, come, np.array([1.0, 0.0]), 0.0), 1) - come.at
        waits.append([wait[come.case == 0].mean(), wait[come.case == 1].mean()])
    residual = load * 5.0  # mean work in the reading under way, for exponential reading times
    first = residual / (1 - load * ill)
    wanted = np.array([first, first / (1 - load)])
    error = np.std(waits, axis=0) / np.sqrt(len(waits))
    np.testing.assert_array_less(np.abs(np.mean(waits, axis=0) - wanted), 4 * error)
    np.testing.assert_array_less(error, 0.1 * wanted)


def test_arrivals_follow_the_profile_and_the_prevalence():
    worklist = Worklist(500, prevalence=0.3)
    come = arrivals(worklist, np.array([True, False, False]), np.random.default_rng(0), days=100)
    per_hour = np.bincount((come.at // 60 % 24).astype(int), minlength=24) / len(come.at)
    np.testing.assert_allclose(per_hour, np.array(worklist.profile) / sum(worklist.profile), atol=0.004)
    assert (come.case == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert len(come.at) == pytest.approx(50_000, abs=4 * np.sqrt(50_000))
    assert come.minutes.mean() == pytest.approx(5, abs=0.1)
    assert come.minutes.std() == pytest.approx(3.5, abs=0.1)


def some_scores(seed: int = 0, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.random(400) < 0.2
    return 1 / (1 + np.exp(-(rng.normal(size=400) + distance * target - 1))), target


BUSY = Worklist(arrivals_per_day=240)


def test_a_good_score_brings_fractures_forward_and_the_normal_images_pay():
    found = triage(*some_scores(), np.random.default_rng(1), BUSY, days=30)
    first, scored, aged = found["orders"]
    assert scored["positive"]["saved"]["median"].low > 0
    assert scored["negative"]["saved"]["ninth_decile"].high < 0
    assert aged["positive"]["saved"]["median"].low > 0
    assert aged["negative"]["longest"] < scored["negative"]["longest"]
    saved, mine = scored["positive"]["saved"]["median"], scored["positive"]["median"]
    assert saved.value == pytest.approx(first["positive"]["median"].value - mine.value)
    assert first["positive"]["saved"]["median"].value == 0.0
    assert mine.low < mine.value < mine.high


def test_a_score_that_knows_nothing_saves_nothing():
    _, target = some_scores()
    score = np.random.default_rng(5).random(len(target))
    found = triage(score, target, np.random.default_rng(2), BUSY, days=40)
    gap = found["orders"][1]["positive"]["median"], found["orders"][1]["negative"]["median"]
    assert gap[0].low < gap[1].high
    assert gap[1].low < gap[0].high


def test_the_same_seed_gives_the_same_figures():
    one, two = (triage(*some_scores(), np.random.default_rng(3), days=5) for _ in range(2))
    assert repr(one) == repr(two)  # NaN, where there is no interval, equals nothing
    assert one["orders"][0]["all"]["median"].n == 5


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"score": [0.1, 1.2]}, BadTable, "outside 0..1"),
        ({"score": [0.1, np.nan]}, BadTable, "outside 0..1"),
        ({"target": [1, 1]}, TooFewCases, "both classes"),
        ({"worklist": Worklist(400)}, TooFewCases, "busy for 139% of the time"),
        ({"days": 1}, TooFewCases, "one day"),
    ],
)
def test_bad_input_ends_in_a_sentence(change, error, says):
    given = {"score": [0.2, 0.8], "target": [0, 1], "rng": np.random.default_rng(0), **change}
    with pytest.raises(error, match=says):
        triage(**given)


def test_a_department_that_cannot_be_is_no_worklist():
    for wrong in ({"readers": 0}, {"prevalence": 1.0}, {"profile": (1.0,)}, {"variation": -1.0}):
        with pytest.raises(ValueError, match=r"not|has 24"):
            Worklist(**wrong)


def test_what_is_written_is_the_same_each_time_and_holds_what_was_found(tmp_path):
    found = triage(*some_scores(), np.random.default_rng(3), days=5)
    for folder in ("one", "two"):
        triage_figures.write(found, tmp_path / folder)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {triage_figures.JSON, triage_figures.FIGURE, triage_figures.TABLE}
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)
    told = files.read_json(tmp_path / "one" / triage_figures.JSON)
    median = found["orders"][1]["positive"]["median"]
    assert told["orders"][1]["positive"]["median"]["value"] == pytest.approx(median.value, abs=1e-6)
    assert f"{median.value:.1f}" in (tmp_path / "one" / triage_figures.TABLE).read_text()
    assert all(order in (tmp_path / "one" / triage_figures.FIGURE).read_text() for order in ORDERS)
