"""The pieces of the experiment: who is in the cohort, what is kept, what a leak adds, what is said of a plan."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from osteon.errors import BadTable, TooFewCases
from osteon.experiments.hong2023 import judged, pictures
from osteon.experiments.hong2023.cohort import Cohort, cohort_of
from osteon.experiments.hong2023.honest import grades_of
from osteon.experiments.hong2023.models import INCEPTION, LENET, best_of, curves_of
from osteon.experiments.hong2023.outcomes import Outcome, keep, kept, once
from osteon.experiments.hong2023.plan import SCALES, STUDY, Plan, compared
from osteon.experiments.hong2023.stages import FINAL
from osteon.experiments.hong2023.story import counterpart
from osteon.experiments.stages import STAGE
from osteon.experiments.trunks import TrunkChoice
from osteon.learn.end_to_end import MEAN
from osteon.learn.fold_tables import BY_IMAGE, BY_PATIENT
from osteon.learn.search.flat_heads import FittedHead
from osteon.learn.search.regimes import Searched, regime_one
from osteon.tasks import rust

LABELS = list(rust.LABELS)


def a_manifest(patients: int = 40, *, sealed: int = 0, names: str = "p") -> pd.DataFrame:
    """Patients with an AP and a lateral image, whose four grades are near each other."""
    rng = np.random.default_rng(5)
    rows = []
    for patient in range(patients):
        grades = np.clip(rng.integers(1, 5) + rng.integers(0, 2, 4), 1, 4)
        for view in ("AP", "LAT"):
            told = dict.fromkeys(rust.CORTICES, "")
            told |= {c: str(grades[rust.CORTICES.index(c)]) for c in rust.SHOWN[view]}
            rows.append(
                {"image": f"{patient:03d}{view}", "patient": f"{names}{patient * 7 % 41}", "view": view, **told}
            )
    frame = pd.DataFrame(rows)
    fold = np.where(np.arange(len(frame)) < 2 * sealed, -1, 0)
    return frame.assign(group=frame["patient"], study=frame["patient"] + "@0", fold=fold)


def a_cohort(patients: int = 40, *, sealed: int = 0) -> Cohort:
    manifest = a_manifest(patients, sealed=sealed)
    return cohort_of(manifest, {image: Path(f"{image}.png") for image in manifest["image"]})


def an_outcome(cohort: Cohort, protocol: str, *, noise: float, seed: int = 0) -> Outcome:
    """Scores that are the labels and so much noise."""
    rng = np.random.default_rng(seed)
    table = cohort.dealt(4, seed=seed, protocol=protocol)
    scores = cohort.labels + rng.normal(0, noise, cohort.labels.shape)
    curves = pd.DataFrame(
        [(f, e, part, 0.5, 0.5 + 0.1 * e) for f in (0, 1, MEAN) for e in (1, 2) for part in ("training", "validation")],
        columns=["fold", "epoch", "part", "loss", "auroc"],
    )
    return Outcome(
        "a model",
        "a network",
        protocol,
        table["fold"].to_numpy(np.intp),
        1 / (1 + np.exp(-4 * (scores - 0.5))),
        curves,
        2,
        0,
        {"batch": 16},
    )


def test_the_view_is_taken_from_the_first_column_that_tells_one() -> None:
    manifest = a_manifest(4).assign(resolved_view="", label_view="AP")
    manifest.loc[0, "view"] = "OBL"
    manifest.loc[1, ["view", "resolved_view"]] = ["", "LAT"]
    manifest.loc[2, ["view", "label_view"]] = ["", ""]
    cohort = cohort_of(manifest, {image: Path() for image in manifest["image"]})
    assert cohort.left_out == 1 and list(cohort.views[:2]) == ["AP", "LAT"]
    assert set(cohort.images) == set(cohort.table["image"])


def test_a_grade_of_a_hidden_cortex_is_counted_and_not_used() -> None:
    manifest = a_manifest(3)
    manifest.loc[0, "anterior"] = "3"
    cohort = cohort_of(manifest, {image: Path() for image in manifest["image"]})
    assert cohort.contradicting == 1
    assert cohort.grades[0, 0] == rust.NOT_VISIBLE and pd.isna(cohort.table.loc[0, "anterior"])


def test_other_pseudonyms_make_no_other_folds() -> None:
    one, two = (a_manifest(30, names=name) for name in ("p", "zz"))
    images = {image: Path() for image in one["image"]}
    folds = [cohort_of(m, images).dealt(5, seed=3)["fold"].tolist() for m in (one, two)]
    assert folds[0] == folds[1] and len(set(folds[0])) == 5


def test_folds_by_patient_keep_patients_whole_and_folds_by_image_do_not() -> None:
    cohort = a_cohort()
    for protocol, most in ((BY_PATIENT, 1), (BY_IMAGE, 2)):
        table = cohort.dealt(5, seed=0, protocol=protocol)
        assert table.groupby("patient")["fold"].nunique().max() == most


def test_the_sealed_part_has_no_grades_until_it_is_opened() -> None:
    manifest = a_manifest(20, sealed=5)
    cohort = cohort_of(manifest, {image: Path() for image in manifest["image"]})
    assert (cohort.grades[cohort.sealed] == rust.NOT_VISIBLE).all() and cohort.sealed.sum() == 10
    opened = cohort.opened(manifest[["image", *rust.CORTICES]])
    assert (opened.grades[opened.sealed] > 0).sum() == 20
    np.testing.assert_array_equal(opened.grades[~opened.sealed], cohort.grades[~cohort.sealed])
    with pytest.raises(BadTable, match="2 of 10 sealed images have no answer"):
        cohort.opened(manifest.iloc[2:])


def test_a_table_that_is_no_graded_split_is_refused() -> None:
    with pytest.raises(BadTable, match="no column anterior"):
        cohort_of(a_manifest(3).drop(columns="anterior"), {})
    with pytest.raises(TooFewCases, match="no image has a view"):
        cohort_of(a_manifest(3).assign(view="OBL"), {})


def test_a_kept_outcome_is_the_one_that_was_made_and_is_not_made_again(tmp_path: Path) -> None:
    made = an_outcome(a_cohort(sealed=3), BY_IMAGE, noise=1)
    keep(tmp_path / "one", made)
    again = kept(tmp_path / "one")
    assert again is not None
    for field in fields(Outcome):
        one, two = getattr(made, field.name), getattr(again, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, two, check_exact=True)
        else:
            np.testing.assert_array_equal(one, two)
    told: list[str] = []
    done = once(tmp_path / "one", lambda: pytest.fail("made again"), told.append)
    assert done.at_best() == pytest.approx({"mean": 0.7, "lowest": 0.7, "highest": 0.7}) and "kept" in told[0]
    (tmp_path / "one" / STAGE).unlink()  # what a kill would leave: scores without their end
    assert kept(tmp_path / "one") is None


def test_what_a_leak_adds_is_the_difference_of_figures_computed_by_another_road() -> None:
    cohort = a_cohort(60)
    leaky, honest = an_outcome(cohort, BY_IMAGE, noise=0.6), an_outcome(cohort, BY_PATIENT, noise=1.8, seed=1)
    sample = judged.of_patients(cohort, ~cohort.sealed, seed=0, resamples=100)
    rows = judged.added(cohort, leaky, honest, sample)
    assert [row["title"] for row in rows] == list(judged.LEAK)
    for row in rows:
        assert row["added"].value == pytest.approx(row["leaky"].value - row["honest"].value)
        assert 0 < row["added"].low < row["added"].high
    for outcome, key in ((leaky, "leaky"), (honest, "honest")):
        p, labels = outcome.probabilities, cohort.labels
        parts = [outcome.fold == k for k in range(4)]
        per_label = [[roc_auc_score(labels[m, k], p[m, k]) for m in parts if np.ptp(labels[m, k])] for k in range(18)]
        assert rows[0][key].value == pytest.approx(np.mean([np.mean(each) for each in per_label]))
        said = np.floor(grades_of(p) @ np.arange(1, 5) + 0.5)
        kappas = []
        for place in range(4):
            mine = cohort.grades[:, place] > 0
            kappas.append(cohen_kappa_score(cohort.grades[mine, place], said[mine, place], weights="quadratic"))
        assert rows[2][key].value == pytest.approx(np.mean(kappas))


def test_two_equal_outcomes_differ_by_nothing() -> None:
    cohort = a_cohort()
    outcome = an_outcome(cohort, BY_PATIENT, noise=1)
    sample = judged.of_patients(cohort, ~cohort.sealed, seed=0, resamples=50)
    assert [row["added"].value for row in judged.added(cohort, outcome, outcome, sample)] == [0, 0, 0]


def test_scores_become_probabilities_of_grades_even_if_all_vanish() -> None:
    scores = np.zeros((2, 18))
    scores[0, :4] = [0.1, 0.3, 0.4, 0.2]
    p = grades_of(scores)
    np.testing.assert_allclose(p.sum(axis=2), 1)
    np.testing.assert_allclose(p[0, 0], [0.1, 0.3, 0.4, 0.2], atol=1e-9)
    np.testing.assert_allclose(p[1], 0.25)


def a_head(validation: list[float]) -> FittedHead:
    values = np.array([[0.7, 0.5, 0.6, v] for v in validation])
    best = int(np.nanargmax(values[:, 3]))
    return FittedHead(values, best, (np.zeros((18, 2), np.float32), np.zeros(18, np.float32)), np.zeros((1, 18)))


def test_the_mean_curve_is_missing_where_a_fold_diverged() -> None:
    heads = [a_head([0.5, 0.6, np.nan]), a_head([0.7, 0.8, 0.9])]
    curves = curves_of([0, 1], heads)
    mean = curves[(curves["fold"] == MEAN) & (curves["part"] == "validation")].set_index("epoch")["auroc"]
    assert mean[1] == pytest.approx(0.6) and mean[2] == pytest.approx(0.7) and np.isnan(mean[3])
    assert best_of(heads) == 1


def test_the_table_of_differences_marks_what_differs_from_the_study() -> None:
    rows = compared(SCALES["full"], images=2936, patients=1207, sealed=441, frozen=["lite0 (ImageNet)"])
    same = {row["what"] for row in rows if row["same"]}
    assert {"images, of patients", "random trials of Regime I", "grid of Regime II, learning rates × ε"} <= same
    assert "frozen backbones" not in same and "InceptionV3 end to end" not in same
    small = compared(SCALES["small"], images=140, patients=60, sealed=20, frozen=["lite0 (ImageNet)"])
    assert not any(row["same"] for row in small)
    assert STUDY.inception and SCALES["full"] == replace(STUDY, scale="full", inception=False)


def test_a_plan_without_trials_or_with_a_backbone_twice_is_refused() -> None:
    assert str(TrunkChoice.parse("inception_v3=weights.h5")) == "inception_v3=weights.h5"
    assert TrunkChoice.parse("resnet18") == TrunkChoice("resnet18", "default")
    for change in ({"trials": 0}, {"folds": 1}, {"trunks": (TrunkChoice("a"), TrunkChoice("a"))}, {"trunks": ()}):
        with pytest.raises(BadTable):
            replace(Plan(), **change)


def a_search(trials: int, *, failed: int = 0) -> Searched:
    """Trials of Regime I with curves of two folds and three epochs."""
    regime = regime_one(seed=1, trials=trials)
    rows, curves = [], []
    for index, options in enumerate(regime.trials):
        score = np.nan if index < failed else 0.6 + 0.01 * index
        rows.append({"trial": index, "batch": options.batch, "dropout": options.dropout, "auroc": score})
        rows[-1] |= {"epoch": 3, "lowest": score - 0.02, "highest": score + 0.02}
        if index >= failed:
            for fold in (0, 1):
                for epoch in (1, 2, 3):
                    curves.append((index, fold, epoch, 0.5, 0.5, 0.5, score - 0.03 + 0.01 * epoch))
    columns = ["trial", "fold", "epoch", "loss", "auroc", "validation_loss", "validation_auroc"]
    return Searched(regime, pd.DataFrame(rows), pd.DataFrame(curves, columns=columns))


@pytest.mark.parametrize(("trials", "panels"), [(1, 1), (4, 4), (9, 9), (40, 9)])
def test_examples_show_up_to_nine_trials_from_the_best_to_the_worst(trials: int, panels: int) -> None:
    svg = pictures.examples(a_search(trials))
    ranks = [int(rank) for rank in re.findall(r"rank (\d+):", svg)]
    assert len(ranks) == panels == len(set(ranks)) and ranks[0] == 1 and ranks[-1] == trials
    assert svg.count('id="axes_') == panels  # no empty panel


def test_a_trial_without_score_is_shown_as_such() -> None:
    found = a_search(6, failed=2)
    assert "no score" in pictures.scatter(found.trials) and "rank 4:" in pictures.examples(found)
    assert "no score" not in pictures.scatter(a_search(6).trials)


def test_the_heat_map_holds_every_cell_in_its_place() -> None:
    grid = [(rate, small) for rate in (1e-2, 1e-3) for small in (1e-1, 1e-4, 1e-8)]
    trials = pd.DataFrame(grid, columns=["learning_rate", "epsilon"]).assign(
        auroc=[0.71, 0.72, 0.73, 0.74, 0.75, np.nan]
    )
    svg = pictures.heat_map(trials)
    assert re.findall(r">(0\.7\d0|no score)<", svg)[:6] == ["0.710", "0.720", "0.730", "0.740", "0.750", "no score"]
    assert [svg.index(text) for text in (">1e−1<", ">1e−4<", ">1e−8<")] == sorted(
        svg.index(text) for text in (">1e−1<", ">1e−4<", ">1e−8<")
    )


def test_a_model_stands_beside_its_own_counterpart_in_the_study() -> None:
    outcome = an_outcome(a_cohort(), BY_IMAGE, noise=1)
    for name, network, auroc in (
        (LENET, "LeNet-1998, 299×299", 0.608),
        (INCEPTION, "inception_v3_keras (random, seed 0), end to end, + Hong's head", 0.692),
        ("lite0", "tf_efficientnet_lite0 (ImageNet, PyPI package), frozen, + Hong's head", 0.784),
        ("v3", "inception_v3 (file RadImageNet-InceptionV3.h5), frozen, + Hong's head", 0.706),
        (FINAL, "tf_efficientnet_lite0 (random, seed 0), frozen, + Hong's head", 0.821),
    ):
        found = counterpart(replace(outcome, name=name, network=network))
        assert found is not None and found["auroc"] == auroc
        assert counterpart(replace(outcome, name=name, network=network, protocol=BY_PATIENT)) is None
    assert counterpart(replace(outcome, name="lite0", network="lite0 (random, seed 0), frozen")) is None
