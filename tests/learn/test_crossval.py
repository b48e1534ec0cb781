"""The cross-validation finds what is there, nothing that is not, and never looks where it must not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from osteon import tables
from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.evaluate.calibration import fit_platt
from osteon.evaluate.thresholds import choose
from osteon.learn.crossval import CrossValidation, cross_validate
from tests.make import some_split_cases

STRENGTHS = (1e-3, 1e-1)


def some_features(cases: pd.DataFrame, *, strength: float = 1.0, d: int = 12, seed: int = 0) -> np.ndarray:
    """(n, 2, d) noise; the first three features rise with the target, both flips of an image are alike."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(len(cases), 1, d))
    image[:, 0, :3] += strength * cases["target"].fillna(0).to_numpy(float)[:, None]
    return (image + 0.2 * rng.normal(size=(len(cases), 2, d))).astype(np.float32)


def of(done: CrossValidation, model: str, part: str = "validation") -> pd.DataFrame:
    rows = done.predictions
    return rows[(rows["model"] == model) & (rows["part"] == part)]


def auroc(rows: pd.DataFrame) -> float:
    """Mean over the folds."""
    return float(np.mean([roc_auc_score(f["target"].astype(int), f["score"]) for _, f in rows.groupby("fold")]))


def test_what_is_in_the_features_is_found_and_stands_beside_its_floors() -> None:
    cases = some_split_cases(patients=60, sealed=8)
    done = cross_validate(some_features(cases, strength=1.5), cases, regularisations=STRENGTHS)
    tables.check(done.predictions, tables.PREDICTIONS, "the predictions")
    assert auroc(of(done, "model")) > 0.85
    assert {"floor:majority", "floor:view", "floor:tags", "floor:size"} < set(done.predictions["model"])
    assert sorted(of(done, "model", "test")["image"]) == sorted(cases.loc[cases["fold"] == -1, "image"])
    assert of(done, "model", "test")["target"].isna().all()


def test_a_fold_is_what_scikit_learn_makes_of_it_step_by_step() -> None:
    """The definition again: scale, choose C on inner folds, fit, calibrate, one fold at a time."""
    cases = some_split_cases(patients=45, fractured=0.5)
    features = some_features(cases, strength=0.7)
    done = cross_validate(features, cases, regularisations=STRENGTHS)
    target, fold = cases["target"].to_numpy(int), cases["fold"].to_numpy(int)

    def fitted(rows: np.ndarray, strength: float) -> np.ndarray:
        flat = features[rows].reshape(-1, features.shape[-1])
        scaler = StandardScaler().fit(flat)
        head = LogisticRegression(C=strength, tol=1e-9, max_iter=5000)
        head.fit(scaler.transform(flat), np.repeat(target[rows], 2), sample_weight=np.full(len(flat), 0.5))
        both = [head.decision_function(scaler.transform(features[:, flip])) for flip in (0, 1)]
        return np.mean(both, axis=0)

    for outer in range(5):
        inner = fold != outer
        unseen = {c: np.zeros(len(cases)) for c in STRENGTHS}
        for c in STRENGTHS:
            for k in set(range(5)) - {outer}:
                unseen[c][fold == k] = fitted(inner & (fold != k), c)[fold == k]
        losses = {c: log_loss(target[inner], 1 / (1 + np.exp(-unseen[c][inner]))) for c in STRENGTHS}
        best = min(STRENGTHS, key=losses.__getitem__)
        assert done.regularisations[outer] == best
        score = fitted(inner, best)[fold == outer]
        own = of(done, "model").query(f"fold == {outer}")
        np.testing.assert_allclose(own["score"], score, atol=2e-3)
        expected = fit_platt(unseen[best][inner], target[inner])(score)
        np.testing.assert_allclose(own["probability"], expected, atol=2e-3)


def test_the_final_head_thresholds_and_calibration_belong_together() -> None:
    cases = some_split_cases(patients=60, sealed=10)
    features = some_features(cases)
    done = cross_validate(features, cases, regularisations=STRENGTHS)
    test = of(done, "model", "test").set_index("image")
    rows = (cases["fold"] == -1).to_numpy(bool)
    np.testing.assert_allclose(done.head(features)[rows], test.loc[cases["image"][rows], "score"], atol=1e-6)
    np.testing.assert_allclose(done.calibration(test["score"].to_numpy(float)), test["probability"], atol=1e-9)
    own = of(done, "model")
    assert done.thresholds == choose(own["probability"], own["target"].astype(int))
    assert done.calibration.n == len(own)


def test_sealed_targets_change_nothing() -> None:
    cases = some_split_cases(patients=60, sealed=12)
    features = some_features(cases)
    rng = np.random.default_rng(0)
    sealed = (cases["fold"] == -1).to_numpy(bool)
    betrayed = cases.copy()
    betrayed.loc[sealed, "target"] = rng.integers(0, 2, sealed.sum())
    honest, other = (cross_validate(features, c, regularisations=STRENGTHS) for c in (cases, betrayed))
    pd.testing.assert_frame_equal(honest.predictions, other.predictions)
    np.testing.assert_array_equal(honest.head.weight, other.head.weight)
    assert (honest.calibration, honest.thresholds) == (other.calibration, other.thresholds)


def test_sealed_and_unlabelled_images_do_not_touch_the_folds() -> None:
    cases = some_split_cases(patients=60, sealed=12)
    features = some_features(cases)
    kept = (cases["fold"] >= 0).to_numpy(bool)
    whole = cross_validate(features, cases, regularisations=STRENGTHS)
    alone = cross_validate(features[kept], cases[kept].reset_index(drop=True), regularisations=STRENGTHS)
    for model in ("model", "floor:view", "floor:tags", "floor:size"):
        pd.testing.assert_frame_equal(
            of(whole, model).reset_index(drop=True), of(alone, model).reset_index(drop=True), rtol=1e-6
        )


def test_a_feature_that_names_the_patient_does_not_help() -> None:
    cases = some_split_cases(patients=80, images_each=4, fractured=0.5)
    number = cases["patient"].str[1:].astype(int).to_numpy()
    features = np.zeros((len(cases), 2, 80), np.float32)
    features[np.arange(len(cases)), :, number] = 1
    by_patient = auroc(of(cross_validate(features, cases, regularisations=STRENGTHS), "model"))
    by_image = cases.assign(fold=np.arange(len(cases)) % 4, group=cases["image"], patient=cases["image"])
    leaky = auroc(of(cross_validate(features, by_image, regularisations=STRENGTHS), "model"))
    assert by_patient == pytest.approx(0.5, abs=0.1)
    assert leaky > 0.95  # the same feature is all it takes where patients are split over folds


def test_noise_is_near_one_half() -> None:
    cases = some_split_cases(patients=300, images_each=1)
    done = cross_validate(some_features(cases, strength=0.0), cases, regularisations=STRENGTHS)
    assert auroc(of(done, "model")) == pytest.approx(0.5, abs=0.1)


def test_probabilities_of_a_fold_do_not_depend_on_its_own_targets() -> None:
    cases = some_split_cases(patients=60)
    features = some_features(cases)
    own = (cases["fold"] == 2).to_numpy(bool)
    flipped = cases.copy()
    flipped.loc[own, "target"] = 1 - flipped.loc[own, "target"]
    here, there = (cross_validate(features, c, regularisations=STRENGTHS) for c in (cases, flipped))
    for model in ("model", "floor:majority", "floor:view", "floor:tags", "floor:size"):
        a, b = (of(done, model).query("fold == 2")["probability"] for done in (here, there))
        np.testing.assert_allclose(a, b, atol=1e-4)
    a, b = (of(done, "model").query("fold == 1")["probability"] for done in (here, there))
    assert not np.allclose(a, b, atol=1e-2)


def test_twice_is_the_same_to_the_bit_and_progress_ends_whole() -> None:
    cases, seen = some_split_cases(patients=40), []
    features = some_features(cases)
    one = cross_validate(features, cases, regularisations=STRENGTHS, progress=lambda *step: seen.append(step))
    two = cross_validate(features, cases, regularisations=STRENGTHS)
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    np.testing.assert_array_equal(one.head.weight, two.head.weight)
    assert seen[-1][0] == seen[-1][1]


def test_a_choice_at_the_end_of_the_range_is_said() -> None:
    cases = some_split_cases(patients=60)
    done = cross_validate(some_features(cases, strength=0.0), cases, regularisations=(1e-3, 1e-1, 10))
    assert "a wider one" in done.notes["model"] and done.regularisation == 1e-3


def test_what_does_not_fit_is_refused() -> None:
    cases = some_split_cases()
    features = some_features(cases)
    with pytest.raises(Mismatch, match="do not fit"):
        cross_validate(features[1:], cases)
    with pytest.raises(TooFewCases, match="one class"):
        cross_validate(features, cases.assign(target=0))
    for row in (4, -1):  # labelled, and sealed
        broken = features.copy()
        broken[row, 1, 2] = np.inf
        with pytest.raises(Diverged, match="no numbers"):
            cross_validate(broken, some_split_cases(sealed=3))
