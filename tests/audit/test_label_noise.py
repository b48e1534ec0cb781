"""Wrong labels that were planted are found near the top, and estimated in number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.audit.label_noise import if_wrong, shares_wrong, suspects
from osteon.evaluate.intervals import Resamples, draw, point


def planted(n: int, flipped: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right probabilities of the label as it stands, labels of which a share was turned, and which were."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    evidence = np.where(truth, 2.5, -2.5) + rng.normal(0, 1.6, n)
    p = 1 / (1 + np.exp(-evidence * 5 / 1.6**2 - np.log(0.4 / 0.6)))
    wrong = rng.permutation(n) < round(flipped * n)
    return (1 - flipped) * p + flipped * (1 - p), truth ^ wrong, wrong


def resamples(target: np.ndarray) -> Resamples:
    n = len(target)
    return draw(np.arange(n), np.zeros(n, int), target, np.random.default_rng(0), resamples=200)


@pytest.mark.parametrize("seed", [1, 2])
def test_flipped_labels_stand_at_the_top_and_their_number_is_estimated(seed: int) -> None:
    p, label, wrong = planted(1500, 0.1, seed)
    found = suspects(p, label, resamples(label))
    assert wrong[found.order[:150]].mean() >= 0.7
    assert found.wrong.value == pytest.approx(0.1, abs=0.04)
    assert found.read_again == round(found.wrong.value * 1500)
    assert (np.diff(found.confidence[found.order]) >= 0).all()


def test_right_labels_are_hardly_doubted() -> None:
    p, label, _ = planted(1500, 0.0, 3)
    assert suspects(p, label, resamples(label)).wrong.value < 0.03


def test_the_shares_are_those_of_the_confident_joint_counted_one_by_one() -> None:
    p, label, _ = planted(200, 0.15, 4)
    yes, no = (
        np.mean([x for x, y in zip(p, label, strict=True) if y]),
        np.mean([1 - x for x, y in zip(p, label, strict=True) if not y]),
    )
    joint = np.zeros((2, 2))
    for x, y in zip(p, label, strict=True):
        classes = [k for k, (chance, least) in enumerate(((1 - x, no), (x, yes))) if chance >= least]
        if classes:
            joint[int(y), max(classes, key=lambda k: (1 - x, x)[k])] += 1
    wrong = {y: joint[y, 1 - y] / joint[y].sum() for y in (0, 1)}
    share = label.mean()
    told = point(shares_wrong(p, label), 200)
    assert told == pytest.approx([share * wrong[1] + (1 - share) * wrong[0], wrong[1], wrong[0]])


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_shares_are_shares_and_every_image_is_ranked_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 60))
    label = rng.random(n) < 0.5
    label[:2] = [True, False]
    found = suspects(rng.random(n).round(1), label, resamples(label))
    assert 0 <= found.wrong.value <= 1
    assert sorted(found.order) == list(range(n))


def test_what_the_figure_would_be_is_no_less_than_it_is() -> None:
    p, label, _ = planted(600, 0.1, 5)
    found = if_wrong(p, label, suspects(p, label, resamples(label)))
    assert found["as labelled"] < found["left out"] <= 1
    assert found["as labelled"] < found["turned"] <= 1
