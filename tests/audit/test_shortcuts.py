"""What an attribute carries, against its definition by pairs, and the gate on tables where a shortcut was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.audit.attributes import Attribute, Unavailable, attribute, attributes_of
from osteon.audit.gate import CONFOUNDED, RULED_OUT, SHORTCUT, UNDECIDED, decide
from osteon.audit.shortcuts import Judged, carried_of, shortcut
from osteon.evaluate.intervals import draw, point
from tests.make import some_cases

LEVELS = ("no", "yes")


def some_judged(score: np.ndarray, target: np.ndarray) -> Judged:
    n = len(target)
    return Judged(np.asarray(score, float), np.asarray(target, bool), np.arange(n), np.arange(n) % 5)


def two(level: np.ndarray) -> Attribute:
    return Attribute("metal", "Metal", "column of the manifest", LEVELS, np.asarray(level, np.intp))


def by_pairs(score: np.ndarray, target: np.ndarray, level: np.ndarray) -> float:
    """The same by the words of the definition: how often, of two images of one class, the one with the attribute scores
    higher; classes weighed as least squares weighs them; times the difference of the shares."""
    e, weight = [], []
    for sick in (True, False):
        have, lack = score[(target == sick) & (level == 1)], score[(target == sick) & (level == 0)]
        if len(have) and len(lack):
            wins = (have[:, None] > lack).mean() + (have[:, None] == lack).mean() / 2
            e.append(wins - 0.5)
            weight.append(len(have) * len(lack) / (len(have) + len(lack)))
    return float((level[target].mean() - level[~target].mean()) * np.average(e, weights=weight))


def planted(n: int, share: tuple[float, float], reliance: float, seed: int) -> tuple[Judged, Attribute]:
    """A table in which a share of each class has metal, and the score rises by so much for it."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2 == 1
    level = (rng.random(n) < np.where(target, *share)).astype(int)
    return some_judged(0.8 * target + reliance * level + rng.normal(size=n), target), two(level)


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_what_is_carried_is_what_counting_pairs_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 40))
    target, level = rng.random(n) < 0.5, rng.integers(0, 2, n)
    target[:4], level[:4] = [True, True, False, False], [0, 1, 0, 1]
    score = rng.integers(0, 6, n).astype(float)
    value = point(carried_of(some_judged(score, target), two(level)), n)[0]
    assert value == pytest.approx(by_pairs(score, target, level), abs=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_no_attribute_carries_more_than_half_and_the_scale_of_the_score_is_of_no_account(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    target, level, score = rng.random(n) < 0.5, rng.integers(0, 4, n), rng.normal(size=n)
    target[:2] = [True, False]
    four = Attribute("site", "Site", "column of the manifest", tuple("abcd"), level)
    value = point(carried_of(some_judged(score, target), four), n)[0]
    assert abs(value) <= 0.5
    assert value == pytest.approx(point(carried_of(some_judged(np.exp(3 * score), target), four), n)[0])


def test_a_score_that_is_the_attribute_carries_all_that_the_attribute_tells() -> None:
    # Nine of ten positives and one of ten negatives have it, and the score says nothing else: AUROC 0.9, 0.4 above ½.
    target = np.repeat([True, False], 50)
    level = np.concatenate([np.arange(50) >= 5, np.arange(50) < 5]).astype(int)
    assert point(carried_of(some_judged(level, target), two(level)), 100)[0] == pytest.approx(0.4)


def test_a_score_that_only_sees_the_finding_owes_nothing_to_what_goes_with_it() -> None:
    target = np.repeat([True, False], 50)
    level = np.concatenate([np.arange(50) >= 5, np.arange(50) < 5]).astype(int)
    assert point(carried_of(some_judged(target, target), two(level)), 100)[0] == pytest.approx(0, abs=1e-12)


def test_an_attribute_that_is_the_label_cannot_be_told_from_it_and_fails() -> None:
    target = np.repeat([True, False], 30)
    cases = some_judged(np.random.default_rng(0).normal(size=60), target)
    found = shortcut(cases, two(target), _resamples(cases), tests=1)
    assert "no class holds it in two forms" in found.carried.note
    verdict = decide([found])
    assert (verdict.passed, verdict.findings) == (False, {"metal": CONFOUNDED})


@pytest.mark.parametrize("seed", [1, 2])
def test_the_gate_fails_where_a_shortcut_was_planted(seed: int) -> None:
    cases, metal = planted(200, (0.9, 0.1), 1.5, seed)
    found = shortcut(cases, metal, _resamples(cases), tests=8)
    assert found.carried.low < found.plain.low  # the correction widens
    assert decide([found]).findings == {"metal": SHORTCUT}
    assert decide([found], allowed=["metal"]).passed


@pytest.mark.parametrize(("share", "reliance"), [((0.5, 0.5), 1.5), ((0.9, 0.1), 0.0)])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_gate_passes_where_the_classes_are_alike_or_the_score_does_not_follow(
    share: tuple[float, float], reliance: float, seed: int
) -> None:
    cases, metal = planted(300, share, reliance, seed)
    verdict = decide([shortcut(cases, metal, _resamples(cases), tests=8)])
    assert verdict.passed
    assert verdict.findings["metal"] in (RULED_OUT, UNDECIDED)


def test_the_interval_holds_what_is_carried_in_a_large_cohort() -> None:
    truth = point(carried_of(*planted(20_000, (0.7, 0.3), 1.0, 99)), 20_000)[0]
    found = [
        shortcut(c, a, _resamples(c), tests=1).plain for c, a in (planted(160, (0.7, 0.3), 1.0, s) for s in range(20))
    ]
    assert sum(f.low <= truth <= f.high for f in found) >= 17


def test_no_attribute_is_no_verdict() -> None:
    verdict = decide([], [Unavailable("cast", "Cast", "the manifest has no column cast or plaster")])
    assert verdict.passed is None
    assert "1 attribute could not be audited" in verdict.said


def test_what_is_missing_says_so() -> None:
    cases = some_cases(20).assign(hardware=["1"] * 3 + ["0"] * 37, site="A")
    found, missing = attributes_of(cases, "no prepared images were given", list(cases["image"]))
    reasons = {each.name: each.reason for each in missing}
    assert reasons["cast"] == "the manifest has no column cast or plaster"
    assert reasons["hardware"] == "only 3 images differ from the others, and it takes 10"
    assert reasons["site"] == "the same for all images (A)"
    assert reasons["measured"] == "no prepared images were given"
    names = [each.name for each in found]
    assert "view" in names
    assert not {"patient", "study", "target", "image"} & set(names)


def test_a_quantity_is_cut_into_quarters_and_what_is_not_stated_is_a_level() -> None:
    age = pd.Series([*range(40), *[None] * 20], dtype="Float32")
    found = attribute("age", "Age", "column", age)
    assert isinstance(found, Attribute)
    assert found.levels == ("up to 9.75", "9.75 to 19.5", "19.5 to 29.25", "over 29.25", "not stated")
    assert list(np.bincount(found.level)) == [10, 10, 10, 10, 20]


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=200))
def test_every_level_holds_enough_images(values: list[str]) -> None:
    found = attribute("site", "Site", "column", pd.Series(values))
    if isinstance(found, Attribute):
        assert np.bincount(found.level, minlength=len(found.levels)).min() >= 10
        assert 2 <= len(found.levels) <= 12
    else:
        assert found.reason


def _resamples(cases: Judged):  # type: ignore[no-untyped-def]
    return draw(cases.group, cases.fold, cases.target, np.random.default_rng(0), resamples=400)
