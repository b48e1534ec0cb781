"""Rules from images to studies: votes counted one by one, studies that are not alike, and what is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.errors import BadTable, Leak
from osteon.evaluate import metrics, outcomes
from osteon.evaluate.study_rules import STUDY_RULES, at_least_one, by_rule, majority, mean, noisy_or, studies_of, ties
from tests.make import some_predictions, with_floors

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=8)
"""Scores of one study, with many ties among them."""


def in_one(study: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(study), np.zeros(len(study), int)


def collected(table) -> outcomes.Outcomes:
    return outcomes.collect(table, "validation", sorted(table["model"].unique(), reverse=True))


@given(SCORES, st.integers(-5, 5))
def test_the_score_of_a_rule_is_cut_where_its_votes_turn(study: list[float], cut: int) -> None:
    yes = sum(score >= cut for score in study)
    assert (at_least_one(*in_one(study))[0] >= cut) == (yes >= 1)
    assert (majority(*in_one(study))[0] >= cut) == (yes > len(study) / 2)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=8), min_size=1, max_size=6), st.randoms())
def test_every_study_is_judged_by_itself_in_any_order_of_rows(studies: list[list[float]], random) -> None:
    rows = [(score, number) for number, study in enumerate(studies) for score in study]
    random.shuffle(rows)
    values, number = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    for rule in STUDY_RULES.values():
        alone = [rule.of_instances(*in_one(study))[0] for study in studies]
        np.testing.assert_array_equal(rule.of_instances(values, number), alone)


@given(st.floats(0, 1))
def test_all_rules_agree_on_one_image_and_all_but_noisy_or_on_equal_ones(p: float) -> None:
    for name, rule in STUDY_RULES.items():
        assert rule.of_instances(*in_one([p]))[0] == p
        for images in (2, 5):
            assert rule.of_instances(*in_one([p] * images))[0] == (
                p if name != "noisy_or" else noisy_or_by_hand(images, p)
            )


def noisy_or_by_hand(images: int, p: float) -> object:
    return pytest.approx(1 - (1 - p) ** images, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_mean_and_noisy_or_are_what_they_are_called(study: list[float]) -> None:
    assert mean(*in_one(study))[0] == pytest.approx(np.mean(study))
    none_is = np.prod([1 - p for p in study])  # each image is negative, independently of the others
    found = noisy_or(*in_one(study))[0]
    assert found == pytest.approx(1 - none_is)
    assert max(study) <= found <= 1


def test_noisy_or_takes_probabilities_alone() -> None:
    with pytest.raises(BadTable, match=r"takes probabilities, and some values lie outside 0\.\.1.*calibrate"):
        noisy_or(*in_one([0.3, 1.7]))


def test_a_model_without_probabilities_has_no_noisy_or() -> None:
    table = with_floors(some_predictions(patients=20, images_each=3), tags=0.5)
    table.loc[table["model"] == "model", "probability"] = np.nan
    images = collected(table)
    cases = by_rule(images, studies_of(images), STUDY_RULES["noisy_or"])
    assert list(cases.scores) == list(cases.probabilities) == ["floor:tags"]
    told = noisy_or(images.probabilities["floor:tags"], studies_of(images).number)
    np.testing.assert_array_equal(cases.scores["floor:tags"], told)


def test_of_two_images_the_majority_is_both_and_of_three_two() -> None:
    assert majority(*in_one([0.9, 0.1]))[0] == 0.1
    assert majority(*in_one([0.9, 0.1, 0.8]))[0] == 0.8
    assert majority(*in_one([0.9, 0.1, 0.8, 0.2]))[0] == 0.2


def test_a_study_without_instances_has_no_value() -> None:
    values, number = np.array([0.3, 0.7]), np.array([0, 2])
    for rule in STUDY_RULES.values():
        np.testing.assert_array_equal(rule.of_instances(values, number), [0.3, np.nan, 0.7])
        assert not len(rule.of_instances(np.empty(0), np.empty(0, int)))


@given(st.integers(0, 2**31), st.sampled_from(["at_least_one", "majority"]))
def test_the_auroc_of_a_vote_is_the_same_under_any_rising_map(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    number = np.sort(rng.integers(0, 12, 40))
    number = np.unique(number, return_inverse=True)[1]
    values = np.round(rng.normal(size=40), 1)
    target = np.arange(number.max() + 1) % 2
    rule = STUDY_RULES[name].of_instances
    plain = metrics.auroc(rule(values, number), target)
    for risen in (np.exp(values), 3 * values - 7, np.arctan(values)):
        assert metrics.auroc(rule(risen, number), target) == plain


def test_every_model_goes_by_the_same_rule() -> None:
    images = collected(with_floors(some_predictions(patients=20, images_each=3), tags=0.5))
    studies = studies_of(images)
    for rule, told in (("at_least_one", max), ("majority", lambda scores: sorted(scores)[1])):
        cases = by_rule(images, studies, STUDY_RULES[rule])
        assert sorted(cases.scores) == ["floor:tags", "model"]
        for i, name in enumerate(cases.name):
            mine = images.study == name
            for model in cases.scores:
                assert cases.scores[model][i] == told(images.scores[model][mine])
                assert cases.probabilities[model][i] == told(images.probabilities[model][mine])
            assert cases.target[i] == images.target[mine].any()
            assert cases.fold[i] == images.fold[mine][0]


def test_what_patients_and_studies_are_called_is_no_matter() -> None:
    table = some_predictions(patients=20, images_each=3)
    renamed = table.assign(
        **{c: table[c].map(lambda name: hashlib.sha256(str(name).encode()).hexdigest()) for c in ("group", "study")}
    )
    first, second = (
        by_rule(images, studies_of(images), STUDY_RULES["majority"]) for images in map(collected, (table, renamed))
    )
    np.testing.assert_array_equal(first.group, second.group)
    np.testing.assert_array_equal(first.scores["model"], second.scores["model"])


def test_a_study_is_positive_if_any_image_is_and_mixed_labels_are_marked() -> None:
    table = some_predictions(patients=10, images_each=2)
    negative = table.loc[table["target"] == 0, "study"].iloc[0]
    table.loc[table.index[table["study"] == negative][0], "target"] = 1
    studies = studies_of(collected(table))
    assert studies.names[studies.mixed].tolist() == [negative]
    assert studies.target[studies.mixed].all()
    assert studies.target.sum() == 5


def test_images_that_name_no_study_are_in_none() -> None:
    table = some_predictions(patients=10, images_each=2)
    table.loc[table.index[:3], "study"] = None
    studies = studies_of(collected(table))
    assert len(studies.rows) == 17
    assert len(studies.names) == 9
    assert sorted(studies.images) == [1] + [2] * 8
    assert not studies_of(collected(table.drop(columns="study"))).rows.size


def test_a_tie_is_half_of_the_votes() -> None:
    images = collected(some_predictions(patients=40, images_each=4))
    studies = studies_of(images)
    values, cut = images.scores["model"], np.full(160, 0.5)
    votes = [(values[images.study == name] >= 0.5).sum() for name in studies.names]
    np.testing.assert_array_equal(ties(values, cut, studies), np.array(votes) == 2)
    assert 0 < ties(values, cut, studies).sum() < 40


def test_a_study_torn_between_folds_is_a_leak() -> None:
    torn = some_predictions()
    torn.loc[torn["group"].isin(["p001", "p002"]), "study"] = "s1"
    with pytest.raises(Leak, match=r"1 study has images in several folds \(s1\)"):
        studies_of(collected(torn))


def test_a_study_of_two_patients_is_refused() -> None:
    shared = some_predictions()  # folds are dealt by number: p001 and p004 lie in one
    shared.loc[shared["group"].isin(["p001", "p004"]), "study"] = "visit 1"
    with pytest.raises(BadTable, match=r"images of several patients \(groups\) \(visit 1\).*different ids"):
        studies_of(collected(shared))


def test_the_rules_are_named_and_explained() -> None:
    assert list(STUDY_RULES) == ["at_least_one", "majority", "mean", "noisy_or"]
    for name, rule in STUDY_RULES.items():
        assert rule.name == name
        assert rule.title
        assert rule.about.startswith("a study is positive if")
