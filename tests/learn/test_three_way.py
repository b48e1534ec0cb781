"""Three learned answers: found where they were put in, out of fold; refused where there is nothing to learn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from osteon.errors import BadTable, Mismatch, TooFewCases
from osteon.evaluate.intervals import draw
from osteon.evaluate.subgroups import labels_of
from osteon.evaluate.three_way import shares_of
from osteon.learn.crossval import cross_validate
from osteon.learn.floors import NOT_TAGS
from osteon.learn.three_way import CLASSES, COLUMN, cross_validate_three, says_any, truth_of
from tests.make import some_cases


def a_cohort(patients: int = 90, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """A third of the patients each fractured, doubtful and normal; one feature tells how much, another how doubtful."""
    manifest = some_cases(patients, seed=seed)
    rng = np.random.default_rng(seed)
    number = manifest["patient"].str[1:].astype(int).to_numpy()
    kind = number % 3
    doubtful = kind == 1
    manifest = manifest.assign(
        target=pd.array(np.where(doubtful, rng.integers(0, 2, len(kind)), kind == 2), dtype="Int8"),
        group=manifest["patient"],
        fold=(number // 3) % 3,
        **{COLUMN: pd.array(np.where(doubtful, "yes", "0"), dtype="string")},
    )
    seen = np.stack([kind - 1.0, doubtful * 2.0, np.zeros(len(kind))], axis=1)
    features = seen[:, None, :] + rng.normal(0, 0.6, (len(kind), 2, 3))
    return features, manifest


def test_what_people_found_doubtful_is_learnt_and_said_out_of_fold():
    features, manifest = a_cohort()
    found = cross_validate_three(features, manifest)
    table = found.predictions
    assert len(table) == len(manifest)
    assert (table["answer"] == table["truth"]).mean() > 0.85
    np.testing.assert_allclose(table[[f"p_{name}" for name in CLASSES]].sum(axis=1), 1)
    group = pd.factorize(table["group"])[0]
    positive = (table["truth"] == "positive").to_numpy()
    sample = draw(group, table["fold"].to_numpy(int), positive, np.random.default_rng(0), resamples=100)
    rows = shares_of(table["truth"].to_numpy(str), table["answer"].to_numpy(str), group, sample)
    assert {row["truth"]: row[row["truth"]].value > 0.8 for row in rows} == dict.fromkeys(CLASSES, True)


def test_a_fold_has_no_part_in_what_is_said_of_it():
    features, manifest = a_cohort()
    here = manifest["fold"].to_numpy(int) == 1
    turned = manifest.assign(target=manifest["target"].where(~here, 1 - manifest["target"]))
    one, two = (cross_validate_three(features, table, regularisations=[0.01]) for table in (manifest, turned))
    np.testing.assert_array_equal(one.predictions["p_positive"][here], two.predictions["p_positive"][here])
    assert not np.array_equal(one.predictions["p_positive"][~here], two.predictions["p_positive"][~here])


def test_the_head_is_scikit_learns_on_standardised_features():
    features, manifest = a_cohort(30)
    flat = features[:, :1]
    found = cross_validate_three(flat, manifest, regularisations=[0.05])
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
    plain.fit(flat[:, 0], truth_of(manifest))
    order = [list(plain.classes_).index(name) for name in CLASSES]
    np.testing.assert_allclose(found.head(flat), plain.predict_proba(flat[:, 0])[:, order], atol=1e-4)


def test_with_more_features_than_rows_the_head_is_the_same():
    features, manifest = a_cohort(30)
    wide = np.concatenate([features[:, :1], np.random.default_rng(1).normal(size=(len(features), 1, 97))], axis=2)
    assert wide.shape[2] > len(wide)
    found = cross_validate_three(wide, manifest, regularisations=[0.05])
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000, tol=1e-8))
    plain.fit(wide[:, 0], truth_of(manifest))
    order = [list(plain.classes_).index(name) for name in CLASSES]
    np.testing.assert_allclose(found.head(wide), plain.predict_proba(wide[:, 0])[:, order], atol=2e-3)


def test_the_penalty_is_chosen_inside_and_the_flips_count_as_one_image():
    features, manifest = a_cohort()
    found = cross_validate_three(features, manifest, regularisations=[1e-9, 0.1])
    assert found.regularisations == (0.1,) * 4
    twice = cross_validate_three(np.repeat(features, 2, axis=1), manifest, regularisations=[0.1])
    once = cross_validate_three(features, manifest, regularisations=[0.1])
    np.testing.assert_allclose(twice.head.weight, once.head.weight, atol=1e-3)


def test_bad_input_ends_in_a_sentence():
    features, manifest = a_cohort()
    with pytest.raises(BadTable, match="no column 'inconclusive'"):
        truth_of(manifest.drop(columns=COLUMN))
    with pytest.raises(BadTable, match="says 'perhaps'"):
        truth_of(manifest.assign(inconclusive="perhaps"))
    with pytest.raises(Mismatch, match="do not fit"):
        cross_validate_three(features[1:], manifest)
    with pytest.raises(TooFewCases, match="2 folds"):
        cross_validate_three(features, manifest.assign(fold=manifest["fold"] % 2))
    with pytest.raises(TooFewCases, match="no inconclusive image"):
        cross_validate_three(features, manifest.assign(inconclusive="0"))


def test_an_image_without_target_is_left_out_unless_it_is_called_inconclusive():
    _, manifest = a_cohort(6)
    unknown = manifest.assign(target=pd.array([pd.NA] * len(manifest), dtype="Int8"))
    assert set(truth_of(unknown)) == {"", "inconclusive"}


def test_whether_anybody_was_unsure_is_told_by_the_column():
    _, manifest = a_cohort(6)
    assert says_any(manifest)
    assert says_any(manifest.assign(inconclusive="perhaps"))  # to be refused with its reason, not to be overlooked
    for nobody in (manifest.drop(columns=COLUMN), manifest.assign(inconclusive="0"), manifest.assign(inconclusive="")):
        assert not says_any(nobody)


def test_no_floor_and_no_subgroup_sees_who_was_unsure():
    assert COLUMN in NOT_TAGS
    _, manifest = a_cohort(30)
    assert "Inconclusive" not in labels_of(manifest.assign(site="a"), manifest["image"].to_numpy(str))


def test_the_model_of_two_answers_tells_a_probability_of_images_without_target_out_of_fold():
    features, manifest = a_cohort(60)
    unsure = manifest[COLUMN].eq("yes").to_numpy(bool)
    manifest = manifest.assign(target=manifest["target"].mask(unsure))
    found = cross_validate(features, manifest, regularisations=(1e-3, 1e-1))
    assert found.unlabelled["image"].tolist() == manifest["image"][unsure].tolist()
    # Had it been labelled in its own fold, the model of that fold would have said the same of it.
    here = np.flatnonzero(unsure & manifest["fold"].eq(1).to_numpy(bool))[:2]
    target = manifest["target"].copy()
    target.iloc[here] = [1, 0]
    other = cross_validate(features, manifest.assign(target=target), regularisations=(1e-3, 1e-1)).predictions
    known = other[other["model"] == "model"].set_index("image")
    told = found.unlabelled.set_index("image").loc[manifest["image"].iloc[here]]
    np.testing.assert_allclose(told["score"], known.loc[told.index, "score"], rtol=1e-3)
    np.testing.assert_allclose(told["probability"], known.loc[told.index, "probability"], rtol=1e-3)


def test_with_a_target_for_every_image_nothing_is_unlabelled():
    features, manifest = a_cohort(30)
    assert cross_validate(features, manifest, regularisations=(1e-2,)).unlabelled.empty
