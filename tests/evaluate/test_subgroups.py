"""Figures within subgroups are the figures of those cases alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon.errors import BadTable
from osteon.evaluate import intervals, outcomes, subgroups
from tests.make import some_cases, some_predictions


def judged(manifest: pd.DataFrame, *, called: bool = True):
    cases = outcomes.collect(some_predictions(), "validation", ["model"])
    resamples = intervals.draw(cases.group, cases.fold, cases.target, np.random.default_rng(0), resamples=200)
    labels = subgroups.labels_of(manifest, cases.name)
    positive = cases.pooled("model") >= 0.5 if called else None
    return cases, labels, subgroups.judge(cases, "model", labels, positive, resamples)


def test_each_row_is_what_its_own_cases_give():
    cases, labels, rows = judged(some_cases(60))
    assert {row["column"] for row in rows} == {"View", "Side", "Sex", "Age"}
    for row in rows:
        mine = labels[row["column"]] == row["value"]
        target, values = cases.target[mine], cases.pooled("model")[mine]
        assert row["n"] == mine.sum()
        assert row["positives"] == target.sum()
        assert row["prevalence_elsewhere"] == pytest.approx(cases.target[~mine].mean())
        if 0 < target.sum() < len(target):
            assert row["auroc"].value == pytest.approx(roc_auc_score(target, values))
            assert row["auroc"].low <= row["auroc"].value <= row["auroc"].high
            assert row["sensitivity"].value == pytest.approx((values >= 0.5)[target].mean())
            assert row["specificity"].value == pytest.approx((values < 0.5)[~target].mean())


def test_what_a_subgroup_adds_is_the_figure_of_all_less_that_of_the_others():
    cases, labels, rows = judged(some_cases(60))
    of_all = roc_auc_score(cases.target, cases.pooled("model"))
    for row in rows:
        rest = labels[row["column"]] != row["value"]
        others = cases.target[rest]
        if 0 < others.sum() < len(others):
            expected = of_all - roc_auc_score(others, cases.pooled("model")[rest])
            assert row["added"].value == pytest.approx(expected)
            assert row["added"].low <= row["added"].value <= row["added"].high


def test_what_a_subgroup_adds_is_unknown_where_the_others_are_of_one_class():
    manifest = some_cases(60)
    _, _, rows = judged(manifest.assign(hardware=manifest["target"]))
    for row in (r for r in rows if r["column"] == "Hardware"):
        assert np.isnan(row["added"].value)
        assert row["added"].note == "the others are of one class"


def test_a_subgroup_of_one_class_says_so():
    manifest = some_cases(60)
    _, _, rows = judged(manifest.assign(hardware=manifest["target"]))
    for row in (r for r in rows if r["column"] == "Hardware"):
        assert np.isnan(row["auroc"].value)
        assert row["auroc"].note == "one class only"


def test_a_smaller_subgroup_has_a_wider_interval():
    manifest = some_cases(60)
    number = manifest["patient"].str[1:].astype(int)
    width: dict[str, float] = {"small": 0, "large": 0}
    for start in range(5):  # one small ward may be an easy one; five taken together are not
        _, _, rows = judged(manifest.assign(ward=np.where(number % 5 == start, "small", "large")))
        for row in (r for r in rows if r["column"] == "Ward"):
            width[row["value"]] += row["auroc"].high - row["auroc"].low
    assert width["small"] > 1.5 * width["large"]


def test_ages_fall_into_bands_and_unknown_is_named():
    manifest = some_cases(6, images_each=1, age_years=[0.5, 9.9, 10, 39, 65, None])
    labels = subgroups.labels_of(manifest, manifest["image"].to_numpy(str))["Age"]
    assert list(labels) == ["0 to 9", "0 to 9", "10 to 17", "18 to 39", "65 and over", "not stated"]


def test_columns_become_subgroups_if_they_have_two_to_twelve_values():
    n = 40
    manifest = some_cases(
        n,
        images_each=1,
        cast_on=["yes", ""] * 20,
        row_id=[f"r{i}" for i in range(n)],
        scanner=["one"] * n,
        hardware=[0, 1] * 20,
    ).assign(fractured=[0, 1] * 20)
    labels = subgroups.labels_of(manifest, manifest["image"].to_numpy(str))
    assert "Row id" not in labels
    assert "Scanner" not in labels
    assert "Fractured" not in labels  # the label itself
    assert set(labels["Cast on"]) == {"yes", "not stated"}
    assert set(labels["Hardware"]) == {"0", "1"}


def test_of_many_devices_the_largest_are_kept():
    devices = [f"d{i:02d}" for i in range(11) for _ in range(2)] + [f"rare{i}" for i in range(8)]
    manifest = some_cases(30, images_each=1, device=devices)
    labels = subgroups.labels_of(manifest, manifest["image"].to_numpy(str))["Device"]
    assert set(labels) == {*(f"d{i:02d}" for i in range(11)), "other"}
    assert (labels == "other").sum() == 8


def test_a_manifest_that_lacks_images_is_refused():
    with pytest.raises(BadTable, match="20 of 120 predicted images are not in the manifest"):
        judged(some_cases(60).iloc[20:])
    with pytest.raises(BadTable, match="for a second time"):
        judged(pd.concat([some_cases(60)] * 2))


def test_a_column_that_names_the_patients_of_a_small_cohort_is_no_subgroup():
    manifest = some_cases(12)
    named = manifest.assign(surname="family " + manifest["patient"], ward=np.where(manifest.index % 2, "a", "b"))
    labels = subgroups.labels_of(named, named["image"].to_numpy(str))
    assert "Ward" in labels and "Surname" not in labels
