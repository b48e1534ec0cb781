"""Figures per study, held to what pandas and scikit-learn say of the same studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score, roc_auc_score

from osteon.evaluate import outcomes, thresholds
from osteon.evaluate.intervals import draw
from osteon.evaluate.per_study import CELLS, IMAGE_CUT, POINTS, judge_studies
from osteon.evaluate.report import evaluate
from osteon.types import Estimate
from tests.make import some_cases, some_predictions, with_floors

RESAMPLES = 60
VOTES = {"at_least_one": lambda share: share > 0, "majority": lambda share: share > 0.5}


def collected(table: pd.DataFrame, part: str = "validation") -> outcomes.Outcomes:
    return outcomes.collect(table, part, sorted(table["model"].unique(), reverse=True))


def judged(table: pd.DataFrame, **options) -> dict:
    return judge_studies(collected(table), "model", np.random.default_rng(0), resamples=RESAMPLES, **options)


def point_of(rule: dict, name: str, model: str = "model") -> dict:
    (rows,) = (line["rows"] for line in rule["points"] if line["model"] == model)
    (row,) = (row for row in rows if row["name"] == name)
    return row


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Studies of three images, labelled as a whole, with two floors."""
    return with_floors(some_predictions(images_each=3, strength=1.0), tags=0.7, majority=0.0)


@pytest.fixture(scope="module")
def found(table: pd.DataFrame) -> dict:
    return judged(table)


@pytest.mark.parametrize("rule", VOTES)
@pytest.mark.parametrize("model", ["model", "floor:tags", "floor:majority"])
def test_with_the_cut_off_of_images_a_rule_counts_votes(
    table: pd.DataFrame, found: dict, rule: str, model: str
) -> None:
    """As in de Cid 2021: each image is called by its own cut-off, and the calls of a study are put together."""
    images = table[table["model"] == model].sort_values("image")
    cut = thresholds.cross_fitted(
        images["probability"].to_numpy(float), images["target"].to_numpy(int) == 1, images["fold"].to_numpy(int)
    )["youden"]
    votes = images.assign(yes=images["probability"].to_numpy(float) >= cut).groupby("study")
    called, target = VOTES[rule](votes["yes"].mean()), votes["target"].max().astype(int) == 1
    (line,) = (line for line in found["rules"] if line["name"] == rule)
    row = point_of(line, IMAGE_CUT, model)
    assert row["accuracy"].value == pytest.approx(accuracy_score(target, called))
    assert row["sensitivity"].value == pytest.approx(recall_score(target, called))
    assert row["specificity"].value == pytest.approx(recall_score(~target, ~called))
    tn, fp, fn, tp = confusion_matrix(target, called).ravel()
    assert [row["counts"][cell] for cell in CELLS] == [tp, fp, fn, tn]
    assert sum(row["confusion"][cell].value for cell in CELLS) == pytest.approx(1)
    assert row["confusion"]["true_positives"].value == pytest.approx(tp / len(target))


def test_the_auroc_of_each_rule_is_that_of_its_scores(table: pd.DataFrame, found: dict) -> None:
    either = lambda p: 1 - np.prod(1 - p)  # noqa: E731
    of_scores = {"at_least_one": ("score", "max"), "majority": ("score", "median"), "mean": ("score", "mean")}
    told = {**of_scores, "noisy_or": ("probability", either)}
    assert [rule["name"] for rule in found["rules"]] == list(told)
    for rule in found["rules"]:
        for model, figure in [("model", rule["auroc"]), *((f["model"], f["auroc"]) for f in rule["floors"])]:
            studies = table[table["model"] == model].groupby("study")
            scores = studies.agg(score=told[rule["name"]], fold=("fold", "first"), target=("target", "max"))
            each = [roc_auc_score(f["target"].astype(int), f["score"]) for _, f in scores.groupby("fold")]
            assert figure.value == pytest.approx(np.mean(each))


def test_cut_offs_of_a_rule_are_chosen_on_the_studies_of_other_folds(table: pd.DataFrame, found: dict) -> None:
    studies = table[table["model"] == "model"].groupby("study")
    largest = studies.agg(p=("probability", "max"), fold=("fold", "first"), target=("target", "max"))
    for name in thresholds.OPERATING_POINTS:
        for cut in point_of(found["rules"][0], name)["cuts"]:
            others = largest[largest["fold"] != cut["fold"]]
            assert cut["cut"] == thresholds.choose(others["p"].to_numpy(float), others["target"].to_numpy(int))[name]


def test_the_test_part_is_judged_at_the_cut_offs_of_all_validation_studies(table: pd.DataFrame) -> None:
    away = table["fold"] == 2
    parted = table.assign(part=table["part"].where(~away, "test"), fold=table["fold"].where(~away, -1))
    validation = collected(parted)
    found = judge_studies(
        collected(parted, "test"), "model", np.random.default_rng(0), resamples=RESAMPLES, chosen_on=validation
    )
    mine = parted[(parted["model"] == "model") & (parted["part"] == "validation")]
    majority = mine.groupby("study").agg(p=("probability", "median"), target=("target", "max"))
    wanted = thresholds.choose(majority["p"].to_numpy(float), majority["target"].to_numpy(int))
    for name, cut in wanted.items():
        assert point_of(found["rules"][1], name)["cuts"] == [{"fold": -1, "cut": cut}]
    images = thresholds.choose(mine["probability"].to_numpy(float), mine["target"].to_numpy(int))
    assert point_of(found["rules"][1], IMAGE_CUT)["cuts"] == [{"fold": -1, "cut": images["youden"]}]


def test_every_figure_has_its_interval_and_its_floor(found: dict) -> None:
    for rule in found["rules"]:
        assert [line["model"] for line in rule["points"]] == ["model", *(f["model"] for f in rule["floors"])]
        for estimate in (rule["auroc"], rule["gain"], rule["best_floor"]["auroc"]):
            assert estimate.low < estimate.value < estimate.high
        for line in rule["points"]:
            assert [row["name"] for row in line["rows"]] == list(POINTS)
            for row in line["rows"]:
                for figure in (row["sensitivity"], row["specificity"], row["accuracy"], *row["confusion"].values()):
                    assert isinstance(figure, Estimate)
                    assert figure.low <= figure.value <= figure.high
    first, *others = found["rules"]
    assert first["over_first"] is None
    for other in others:
        assert other["over_first"].value == pytest.approx(other["auroc"].value - first["auroc"].value)
        assert other["over_first"].low < other["over_first"].high


def test_a_model_without_probabilities_is_judged_by_the_other_rules(table: pd.DataFrame) -> None:
    found = judged(table.drop(columns="probability"))
    assert [rule["name"] for rule in found["rules"]] == ["at_least_one", "majority", "mean"]


def test_on_studies_of_one_image_and_more_all_is_counted_and_told() -> None:
    table = some_predictions(patients=40, images_each=2)
    kept = ~((table["image"].str.endswith("1")) & (table["group"] < "p010"))
    table = table[kept].reset_index(drop=True)
    sick = table.loc[table["target"] == 1, "image"].iloc[-1]
    table.loc[table["image"] == sick, "target"] = 0
    table.loc[table["group"].isin(["p038", "p039"]), "study"] = ""
    found = judged(table)
    assert found["studies"] == 38
    assert found["images_each"] == [{"images": 1, "studies": 10}, {"images": 2, "studies": 28}]
    assert (found["one_image"], found["images_without_study"]) == (10, 4)
    assert found["mixed"] == (0 if sick.startswith(("0038", "0039")) else 1)
    assert found["without_judged_image"] is None
    told = " ".join(found["told"])
    assert "10 studies have one image, on which all rules agree" in told
    assert "4 images name no study and are not counted here" in told
    ties = found["ties"]
    assert ties > 0
    assert f"{ties} studies have as many images at or above the image cut-off as below it" in told
    # Of studies of one and two images, a tie is the only thing on which the two votes differ.
    first, second = (point_of(rule, IMAGE_CUT)["counts"] for rule in found["rules"][:2])
    calls = [sum(counts[c] for c in ("true_positives", "false_positives")) for counts in (first, second)]
    assert calls[0] - calls[1] == ties


def test_studies_of_which_no_image_was_judged_are_counted_by_the_manifest() -> None:
    table = some_predictions(patients=20)
    manifest = some_cases(24).assign(fold=[k // 2 % 3 for k in range(48)])
    assert judged(table, manifest=manifest)["without_judged_image"] == 4
    assert "4 studies have no judged image" in " ".join(judged(table, manifest=manifest)["told"])
    sealed = manifest.assign(fold=manifest["fold"].where(manifest["patient"] < "p022", -1))
    assert judged(table, manifest=sealed)["without_judged_image"] == 2
    assert judged(table, manifest=manifest.drop(columns="fold"))["without_judged_image"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns="study"), "the table names no studies"),
        (lambda t: t.assign(study=t["image"]), "each study has one image"),
        (lambda t: t[(t["target"] == 1) | (t["image"].str.endswith("1"))].assign(study=t["group"]), ""),
        (lambda t: t.assign(target=1 - t["image"].str[-1].astype(int)), "all 60 studies are positive"),
    ],
)
def test_without_studies_to_judge_the_reason_is_given(change, reason: str) -> None:
    found = judged(change(some_predictions()))
    assert found["reason"].startswith(reason)
    assert bool(found["rules"]) == (reason == "")


def test_one_fold_orders_studies_and_says_why_there_is_no_cut_off() -> None:
    found = judged(some_predictions(folds=1))
    for rule in found["rules"]:
        assert 0 < rule["auroc"].value <= 1
        assert rule["points"][0]["rows"] == []
        assert rule["points"][0]["reason"] == "one fold leaves no other to choose a cut-off on"
    assert found["ties"] is None


def test_a_floor_that_validation_lacks_has_no_cut_off_in_the_test_part(table: pd.DataFrame) -> None:
    away = table["fold"] == 2
    parted = table.assign(part=table["part"].where(~away, "test"), fold=table["fold"].where(~away, -1))
    validation = collected(parted[parted["model"] != "floor:tags"])
    found = judge_studies(
        collected(parted, "test"), "model", np.random.default_rng(0), resamples=RESAMPLES, chosen_on=validation
    )
    (line,) = (line for line in found["rules"][0]["points"] if line["model"] == "floor:tags")
    assert line["rows"] == []
    assert "no validation cases" in line["reason"]


def test_figures_per_study_take_no_random_numbers_from_what_follows() -> None:
    """The samples of studies are drawn once for all rules: the test part is resampled as it was with one rule."""
    table = with_floors(some_predictions(), tags=0.5)
    cases = collected(table)
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    judge_studies(cases, "model", rng, resamples=RESAMPLES)
    studies = table[table["model"] == "model"].groupby("study").agg(fold=("fold", "first"), target=("target", "max"))
    fold, target = studies["fold"].to_numpy(int), studies["target"].to_numpy(int) == 1
    draw(np.arange(60), fold, target, again, resamples=RESAMPLES)
    assert rng.random() == again.random()


def test_at_least_one_is_what_the_report_has_always_shown() -> None:
    table = some_predictions()
    part = evaluate(table, seed=0, resamples=RESAMPLES)["validation"]["per_study"]
    largest = table.groupby("study").agg(
        target=("target", "max"), p=("probability", "max"), score=("score", "max"), fold=("fold", "first")
    )
    first = part["rules"][0]
    assert (part["studies"], first["name"]) == (60, "at_least_one")
    target = largest["target"].to_numpy(int)
    assert first["auroc_pooled"]["value"] == pytest.approx(roc_auc_score(target, largest["p"]), abs=1e-6)
    assert part["constant_accuracy"] == pytest.approx(max(target.mean(), 1 - target.mean()), abs=1e-6)
