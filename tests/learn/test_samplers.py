"""Samplers: who is shown in an epoch, how often, and how many of either class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from osteon.errors import Mismatch, TooFewCases
from osteon.learn.batches import generator_of
from osteon.learn.samplers import Balanced, OppositeClass, Sampler, Shuffled, expected_share

SAMPLERS: tuple[Sampler, ...] = (Shuffled(), OppositeClass(), Balanced())


def a_target(positives: int, negatives: int, seed: int = 0) -> np.ndarray:
    target = np.r_[np.ones(positives), np.zeros(negatives)].astype(np.float32)
    return np.random.default_rng(seed).permutation(target)


def drawn(sampler: Sampler, target: np.ndarray, epoch: int, seed: int = 0) -> np.ndarray:
    return sampler.order(target, generator_of(seed, epoch), seed=seed, epoch=epoch)


counts = st.integers(1, 40)


@pytest.mark.parametrize("sampler", SAMPLERS)
@given(positives=counts, negatives=counts, epoch=st.integers(0, 6))
@settings(max_examples=30)
def test_nobody_is_shown_twice_in_an_epoch_and_as_many_as_said(
    sampler: Sampler, positives: int, negatives: int, epoch: int
) -> None:
    target = a_target(positives, negatives)
    order = drawn(sampler, target, epoch)
    assert len(order) == sampler.drawn(target) and order.dtype == np.intp
    assert len(set(order.tolist())) == len(order) and set(order.tolist()) <= set(range(len(target)))
    np.testing.assert_array_equal(order, drawn(sampler, target, epoch))
    np.testing.assert_array_equal(order, drawn(sampler, target[:, None], epoch))  # one column says the same


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_epoch_or_seed_is_another_order(sampler: Sampler) -> None:
    target = a_target(30, 40)
    first = drawn(sampler, target, 0)
    assert (first != drawn(sampler, target, 1)).any() and (first != drawn(sampler, target, 0, seed=1)).any()


def test_shuffled_is_the_permutation_of_the_epochs_generator() -> None:
    target = np.zeros((23, 18), np.float32)  # of several columns, and of one class
    wanted = torch.randperm(23, generator=generator_of(5, 2)).tolist()
    assert drawn(Shuffled(), target, 2, seed=5).tolist() == wanted


def share_by_counting(positives: int, negatives: int) -> float:
    """The mean share, draw by draw: the distribution of the number of positives drawn so far."""
    draws = 2 * min(positives, negatives)
    chance = np.zeros(draws + 2)
    chance[0] = 1.0
    for done in range(draws):
        after = np.zeros_like(chance)
        for k in range(max(0, done - negatives), min(done, positives) + 1):
            left, right = (positives - k) * negatives, (negatives - (done - k)) * positives
            after[k + 1] += chance[k] * left / (left + right)
            after[k] += chance[k] * right / (left + right)
        chance = after
    return float(chance @ np.arange(draws + 2)) / draws


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 9), (7, 20), (20, 7), (15, 15), (60, 130)])
def test_the_expected_share_is_what_counting_draw_by_draw_gives(positives: int, negatives: int) -> None:
    assert expected_share(positives, negatives) == pytest.approx(share_by_counting(positives, negatives), abs=1e-6)


def test_the_studys_epoch_has_41_positives_in_100() -> None:
    """4,214 broken and 9,324 not: by the distribution, by a limit for many images, and by drawing."""
    broken, whole = 4214, 9324
    share = expected_share(broken, whole)
    assert share == pytest.approx(0.41, abs=0.005)

    # Images leave as if each had a clock, whose rate is its weight; the epoch ends when 2 · broken clocks have rung.
    def rung(hours: float) -> tuple[float, float]:
        return broken * -np.expm1(-whole * hours), whole * -np.expm1(-broken * hours)

    end = brentq(lambda hours: sum(rung(hours)) - 2 * broken, 0, 1)
    assert share == pytest.approx(rung(end)[0] / (2 * broken), abs=1e-4)

    target = a_target(broken, whole)
    seen = [target[drawn(OppositeClass(), target, epoch)].mean() for epoch in range(40)]
    assert np.mean(seen) == pytest.approx(share, abs=4 * np.std(seen) / np.sqrt(len(seen)))
    assert np.std(seen) < 0.01


def test_the_first_draws_of_the_opposite_class_are_balanced_and_the_last_are_not() -> None:
    target = a_target(500, 1200)
    orders = np.stack([target[drawn(OppositeClass(), target, epoch)] for epoch in range(60)])
    assert orders[:, :50].mean() == pytest.approx(0.5, abs=0.03)
    assert orders[:, -50:].mean() < 0.4


@given(positives=counts, negatives=counts, epochs=st.integers(1, 12))
@settings(max_examples=40)
def test_balanced_shows_all_of_the_smaller_class_and_lets_the_larger_come_round(
    positives: int, negatives: int, epochs: int
) -> None:
    target = a_target(positives, negatives)
    times = np.zeros(len(target), int)
    for epoch in range(epochs):
        order = drawn(Balanced(), target, epoch, seed=3)
        assert target[order].sum() == len(order) / 2 == min(positives, negatives)
        times[order] += 1
        for kind in (0, 1):
            assert np.ptp(times[target == kind]) <= 1
    assert (times[target == (positives <= negatives)] == epochs).all()


def test_the_larger_class_comes_in_other_company_in_every_round() -> None:
    target = a_target(10, 20)  # a round is two epochs
    halves = [frozenset(p for p in drawn(Balanced(), target, epoch).tolist() if not target[p]) for epoch in range(8)]
    assert len(set(halves)) == 8
    assert all(halves[e] | halves[e + 1] == set(np.flatnonzero(target == 0)) for e in range(0, 8, 2))


@pytest.mark.parametrize("sampler", [OppositeClass(), Balanced()])
def test_what_cannot_be_drawn_by_class_is_refused(sampler: Sampler) -> None:
    calls: list[Callable[[np.ndarray], object]] = [sampler.drawn, lambda target: drawn(sampler, target, 0)]
    for call in calls:
        with pytest.raises(TooFewCases, match="none of 4 training images is positive"):
            call(np.zeros(4, np.float32))
        with pytest.raises(TooFewCases, match="is negative"):
            call(np.ones(4, np.float32))
        with pytest.raises(Mismatch, match=rf"{type(sampler).__name__}\(\).*18 columns; train with Shuffled"):
            call(np.eye(4, 18, dtype=np.float32))
        with pytest.raises(Mismatch, match="0 or 1"):
            call(np.array([0, 1, 2], np.float32))
    with pytest.raises(TooFewCases):
        expected_share(0, 4)
