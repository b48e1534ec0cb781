"""Log-mean-exp over the views of studies: between two rules, and where between is learnt from labels of studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from osteon import tables
from osteon.dataset.splits import SEALED
from osteon.errors import Mismatch, TooFewCases
from osteon.evaluate.metrics import auroc
from osteon.evaluate.study_rules import at_least_one, mean
from osteon.learn.crossval import cross_validate
from osteon.learn.studies.bags import bags_of
from osteon.learn.studies.lse import SHARPNESSES, cross_validate_lse, log_mean_exp
from tests.learn.studies import some_studies

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(SIZES, st.floats(0.01, 30), st.integers(0, 2**31))
def test_it_is_the_log_of_the_mean_power_of_the_views_of_each_study(sizes: list[int], sharpness, seed: int) -> None:
    rng = np.random.default_rng(seed)
    study = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = 5 * rng.normal(size=(2, len(study)))
    found = log_mean_exp(values, study, sharpness)
    for place, size in enumerate(sizes):
        mine = values[:, study == place]
        np.testing.assert_allclose(found[:, place], (logsumexp(sharpness * mine, axis=1) - np.log(size)) / sharpness)
    least, most = (log_mean_exp(values, study, end) for end in (0.0, np.inf))
    np.testing.assert_allclose(least, [mean(row, study) for row in values])
    np.testing.assert_array_equal(most, [at_least_one(row, study) for row in values])
    assert (least <= found + 1e-9).all()
    assert (found <= most + 1e-9).all()


@given(SIZES, st.sampled_from(SHARPNESSES), st.integers(0, 2**31))
def test_views_that_are_there_twice_change_nothing(sizes: list[int], sharpness: float, seed: int) -> None:
    study = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(seed).normal(size=len(study))
    twice = log_mean_exp(np.tile(values, 2), np.tile(study, 2), sharpness)
    np.testing.assert_allclose(twice, log_mean_exp(values, study, sharpness))


@pytest.fixture(scope="module")
def judged():
    manifest, features = some_studies(90, strength=1.5)
    manifest.loc[manifest["study"].isin(["s001", "s002"]), "fold"] = SEALED
    manifest.loc[manifest["fold"] == SEALED, "target"] = pd.NA
    bags = bags_of(manifest)
    return manifest, bags, features.values, cross_validate_lse(features.values, manifest, bags, model="ours")


def test_every_study_is_spoken_of_once_and_the_final_model_scores_the_sealed_ones(judged) -> None:
    _, bags, features, found = judged
    table = tables.check(found.predictions, tables.PREDICTIONS, "a test")
    assert sorted(table["image"]) == sorted(bags.table["study"])
    for number in np.flatnonzero(bags.table["fold"] == SEALED):
        (said,) = table.loc[table["study"] == bags.table["study"][number], "score"]
        rows = bags.rows[number]
        assert said == pytest.approx(found(features[rows], np.zeros(len(rows), int))[0])
    assert len(found.sharpnesses) == len(found.regularisations) == 3
    open_rows = table[table["part"] == "validation"]
    assert auroc(open_rows["score"], open_rows["target"].to_numpy(int)) > 0.8


def test_no_fold_has_seen_its_own_labels(judged) -> None:
    manifest, bags, features, found = judged
    mine = (bags.table["fold"] == 1).to_numpy(bool)
    turned = bags.table.assign(target=bags.table["target"].mask(mine, 1 - bags.table["target"]))
    again = cross_validate_lse(features, manifest, type(bags)(turned, bags.rows))
    first, second = (
        run.predictions.set_index("study").loc[bags.table["study"][mine], ["score", "probability"]]
        for run in (found, again)
    )
    # All fits share the steps of one optimiser, so they end a little apart.
    np.testing.assert_allclose(first.to_numpy(float), second.to_numpy(float), rtol=1e-4, atol=1e-4)


def test_at_least_one_alone_is_the_rule_on_the_reader_of_single_images(judged) -> None:
    manifest, bags, features, _ = judged
    found = cross_validate_lse(features, manifest, bags, sharpnesses=[np.inf]).predictions.set_index("study")["score"]
    single = cross_validate(features, manifest, model="single").predictions
    rule = single[single["model"] == "single"].groupby("study")["score"].max()
    np.testing.assert_allclose(found, rule.loc[found.index])


@pytest.mark.parametrize(("shown", "sharp"), [(1.0, 0.0), (0.0, np.inf)])
def test_the_labels_say_where_between_the_rules(shown: float, sharp: float) -> None:
    """Where every view shows it, noise averages out; where one of many does, the others are in its way."""
    manifest, features = some_studies(600, shown=shown, strength=1.5 if shown else 4.0)
    found = cross_validate_lse(features.values, manifest, bags_of(manifest))
    assert sharp in found.sharpnesses
    assert (np.inf if sharp == 0 else 0.0) not in found.sharpnesses


def test_features_and_studies_of_other_images_are_refused(judged) -> None:
    manifest, bags, features, _ = judged
    with pytest.raises(Mismatch, match=r"features of shape .* do not fit a manifest"):
        cross_validate_lse(features[1:], manifest, bags)
    with pytest.raises(Mismatch, match=f"studies of {len(manifest)} images do not fit"):
        cross_validate_lse(features[1:], manifest[1:], bags)


def test_a_study_with_an_unlabelled_image_is_not_learnt_from_and_one_class_is_refused() -> None:
    manifest, features = some_studies(60)
    lost = manifest["study"].iloc[0]
    found = cross_validate_lse(features.values, manifest, bags_of(manifest)).predictions
    half = manifest.copy()
    half.loc[0, "target"] = pd.NA
    without = cross_validate_lse(features.values, half, bags_of(half)).predictions
    assert set(found["study"]) - set(without["study"]) == {lost}
    sick = manifest.assign(target=1)
    with pytest.raises(TooFewCases, match="of one class"):
        cross_validate_lse(features.values, sick, bags_of(sick))
