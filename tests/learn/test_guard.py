"""The guard: what is like the training passes at the stated rate, what is not is refused with its reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from osteon.dataset.steps.polarity import whiteness
from osteon.errors import Mismatch, TooFewCases
from osteon.learn.guard import Guard, fit_guard
from osteon.types import REFUSAL_CODES, Header
from tests.make import a_radiograph

SPREAD = np.linspace(3.0, 0.2, 12)


def some_features(patients: int, seed: int, *, strange: float = 0.0, axes: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Twelve directions in which radiographs differ, the same for all; strange ones leave that space."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(axes, axes)))[0]
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(patients), 3)
    own = rng.normal(size=(patients, 12))[group] * SPREAD
    inside = (own + 0.5 * rng.normal(size=(len(group), 12)) * SPREAD) @ basis[:12]
    outside = rng.normal(size=(len(group), axes - 12)) * (0.3 + strange) @ basis[12:]
    rows = 5.0 + inside + outside
    return np.stack([rows, rows + rng.normal(0, 0.01, rows.shape)], axis=1).astype(np.float32), group


def a_guard(patients: int = 120, **options) -> Guard:
    features, group = some_features(patients, 1)
    white = np.random.default_rng(2).normal(6, 1, len(group))
    return fit_guard(features, white, group, **{"components": 12, **options})


def test_images_of_new_patients_are_refused_as_seldom_as_stated():
    guard = a_guard(false_alarm=0.1)
    features, _ = some_features(2000, 5)
    rate = (guard.distance(features) > guard.farthest).mean()
    assert 0.015 < rate < 0.085  # half of 0.1 is granted to the distance; 120 patients leave it loose
    strange, _ = some_features(200, 6, strange=1.0)
    assert (guard.distance(strange) > guard.farthest).mean() > 0.95


def test_the_distance_is_what_a_projection_leaves_over():
    guard = a_guard()
    features, _ = some_features(5, 7)
    standard = (features.astype(float).mean(axis=1) - guard.centre) / guard.scale
    left = standard - standard @ guard.components.T @ np.linalg.pinv(guard.components.T.astype(float))
    np.testing.assert_allclose(guard.distance(features), np.linalg.norm(left, axis=1), rtol=1e-4)
    scaled, _ = some_features(120, 1)
    other = fit_guard(3 * scaled + 1, np.full(360, 6.0), np.repeat(np.arange(120), 3), components=12)
    np.testing.assert_allclose(other.distance(3 * features + 1), guard.distance(features), rtol=2e-3)


def bone(**options) -> np.ndarray:
    return a_radiograph(160, 120, **options).pixels


def test_each_reason_is_given_for_what_it_is_about():
    guard = a_guard(parts=("wrist", "hand"))
    like, strange = some_features(1, 8)[0][0], some_features(1, 9, strange=4.0)[0][0]
    assert whiteness(bone()) > 2  # a shaft on a dark ground is bone shown white
    assert guard.darkest == 0.0
    wrist, skull, silent = Header(body_part="WRIST"), Header(body_part="SKULL"), Header()
    assert guard.why_not(bone(), like, wrist) is None
    assert guard.why_not(bone(), like, silent) is None
    given = {
        "body_part": guard.why_not(bone(), like, skull),
        "blank": guard.why_not(np.full((64, 64), 90, np.uint8), like, wrist),
        "inverted": guard.why_not(255 - bone(), like, wrist),
        "unfamiliar": guard.why_not(bone(), strange, wrist),
    }
    for code, error in given.items():
        assert error is not None, code
        assert error.code == code
        assert code in REFUSAL_CODES
        assert error.remedy
    assert "names the skull, and the model learnt from wrist or hand" in str(given["body_part"])
    assert a_guard().why_not(bone(), like, skull) is None  # trained on parts that nobody named


def test_training_images_that_look_like_negatives_widen_the_limit():
    features, group = some_features(120, 1)
    white = np.where(group < 9, -2.0 - group / 10, 5.0)
    assert fit_guard(features, white, group, components=12, false_alarm=0.05).darkest < -2.0


def test_a_guard_comes_back_from_what_is_stored():
    guard = a_guard(parts=("wrist",))
    again = Guard.of(guard.arrays(), json.loads(json.dumps(guard.to_json())))
    features, _ = some_features(4, 3)
    np.testing.assert_array_equal(again.distance(features), guard.distance(features))
    assert again.to_json() == guard.to_json()
    assert again.describe() == guard.describe()
    assert "of wrist" in again.describe()


def test_the_same_images_give_the_same_guard():
    one, two = a_guard(), a_guard()
    assert one.to_json() == two.to_json()
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, two.arrays()[name])


def test_too_few_patients_are_told_how_many_it_takes():
    with pytest.raises(TooFewCases, match="30 patients are too few") as caught:
        a_guard(30, false_alarm=0.05)
    assert "take 39 patients" in str(caught.value)
    assert a_guard(39, false_alarm=0.05).patients == 39


def test_features_of_another_trunk_and_damaged_guards_are_refused():
    guard = a_guard()
    with pytest.raises(Mismatch, match="knows 30 features"):
        guard.distance(np.zeros((2, 2, 31)))
    for wrong in ({"farthest": float("nan")}, {"parts": ["tail"]}, {"false_alarm": 2.0}):
        with pytest.raises(ValueError, match=r"finite|named tail"):
            Guard.of(guard.arrays(), {**guard.to_json(), **wrong})
    with pytest.raises(ValueError, match="centre and scale"):
        Guard.of({**guard.arrays(), "scale": np.ones(2, np.float32)}, guard.to_json())
