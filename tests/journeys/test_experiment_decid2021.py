"""`osteon experiment decid2021` at the small scale, once; then what it left is read and computed again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.experiments.decid2021.arms import BASELINE, BY_SIZE, RX_LARGE
from osteon.experiments.decid2021.plan import PUBLISHED, SCALES
from tests.journeys.test_experiment import Ran, osteon, ran_small

PLAN = SCALES["small"]
ARMS = {arm.name: arm for arm in PLAN.arms}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return ran_small("decid2021", tmp_path_factory.mktemp("decid") / "work")


def test_every_stage_is_told_and_the_page_says_phantom(ran: Ran) -> None:
    for stage in ("cohort", "ingest", "prepared", "split", *PLAN.forms, "hairlines", *ARMS, "floors"):
        assert re.search(rf"^{stage} ", ran.said, re.M), stage
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    assert text.count("phantom figure, not clinical") > 4 and ran.report["phantom"]
    assert "Phantom figure, not clinical" in ran.report["sentence"]


def test_the_page_shows_every_figure_and_none_is_empty(ran: Ran) -> None:
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    wanted = {f"curves-{group}" for group in ("sizes", "augmentation", "batches", "optimisers", "models", "ours")}
    wanted |= {"protocols", "layers", "floors", "hairlines", "pointing"}
    assert set(re.findall(r'<figure id="([\w-]+)"', text)) == wanted
    assert {path.stem for path in (ran.out / "figures").glob("*.svg")} == wanted
    for name in wanted:
        svg = (ran.out / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert len(re.findall(r"<(?:path|use|text) ", svg)) > 20, name
    assert not re.search(r"\bnan\b|None|Undefined", re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.S))


def test_studies_have_one_to_four_images_and_the_parts_share_no_patient(ran: Ran) -> None:
    cohort = ran.cohort
    each = cohort.groupby("study").size()
    assert each.min() == 1 and each.max() <= 4 and each.mean() > 1.2
    assert [row["studies"] for row in ran.report["data"]["images_each"]] == [
        int((each == n).sum()) for n in sorted(set(each))
    ]
    assert (cohort.groupby("patient")["fold"].nunique() == 1).all()
    assert cohort.groupby("study")["target"].nunique().max() == 1  # images inherit the label of their study
    parts = ran.report["data"]["parts"]
    assert parts["train"]["images"] + parts["inner"]["images"] + parts["test"]["images"] == len(cohort)
    assert 2 * parts["validation"]["fractured_studies"] == parts["validation"]["studies"]
    truth = pd.read_parquet(ran.out / "data" / "cohort" / "truth.parquet")
    assert ran.report["data"]["fractured"] == pytest.approx(truth.groupby("study")["fractured"].max().mean(), abs=1e-6)


def test_the_figures_of_the_test_set_follow_from_the_predictions(ran: Ran) -> None:
    predictions = tables.read(ran.out / "predictions.parquet", tables.PREDICTIONS)
    listed = pd.read_csv(ran.out / "tables" / "arms.csv").set_index("arm")
    assert list(listed.index) == list(ARMS)
    for name, arm in ARMS.items():
        mine = predictions[(predictions["model"] == arm.label) & (predictions["part"] == "test")]
        target, score = mine["target"].to_numpy(int), mine["score"].to_numpy(float)
        line = listed.loc[name]
        assert line["test_auroc_instance"] == pytest.approx(roc_auc_score(target, score), abs=1e-5)
        studies = mine.groupby("study").agg(score=("score", "max"), target=("target", "max"))
        called, sick = studies["score"] >= 0, studies["target"] == 1
        balanced = (called[sick].mean() + (~called[~sick]).mean()) / 2
        assert line["test_balanced_at_least_one"] == pytest.approx(balanced, abs=1e-5)
        assert line["test_auroc_instance_low"] <= line["test_auroc_instance"] <= line["test_auroc_instance_high"]
    assert {"floor:view", "floor:tags", "floor:size", "floor:thumbnail", "floor:majority"} <= set(predictions["model"])
    openings = json.loads((ran.out / "data" / "split" / "openings.json").read_text())
    assert len(openings) == 1 == ran.report["openings"]


def test_the_study_s_tables_stand_beside_ours_and_say_whose_figures_they_are(ran: Ran) -> None:
    sizes = pd.read_csv(ran.out / "tables" / "sizes.csv")
    assert list(sizes["arm"]) == list(BY_SIZE)
    assert list(sizes["study_instance"]) == [row["instance"] for row in PUBLISHED["sizes"]]
    assert list(sizes["study_majority"]) == [row["majority"] for row in PUBLISHED["sizes"]]
    models = pd.read_csv(ran.out / "tables" / "models.csv").set_index("arm")
    assert models.loc[BASELINE, "study_at_least_one"] == 85.0 and np.isnan(models.loc[RX_LARGE, "study_instance"])
    assert (models["weights"].str.contains("random") | models["weights"].str.contains("ImageNet")).all()
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    assert text.count("the study, its own radiographs") == 4 and "resnet18 (random, seed 0)" in text
    assert any("No ImageNet weights of ResNet18 can be had offline" in caution for caution in ran.report["cautions"])


def test_the_sampler_says_what_share_it_realises(ran: Ran) -> None:
    sampler, parts = ran.report["data"]["sampler"], ran.report["data"]["parts"]["train"]
    assert sampler["drawn"] == 2 * parts["fractured_images"]
    assert sampler["of_all"] < sampler["expected"] < 0.5
    epochs = PLAN.epochs.baseline
    steps = pd.read_csv(ran.out / "curves" / "baseline-steps.csv")
    assert steps["step"].max() == epochs * -(-sampler["drawn"] // ARMS[BASELINE].batch)
    assert abs(ran.report["arms"][BASELINE]["share"] - sampler["expected"]) < 0.15


def test_the_hairlines_follow_from_the_scores_of_the_probe(ran: Ran) -> None:
    probe = pd.read_csv(ran.out / "tables" / "probe.csv")
    listed = pd.read_csv(ran.out / "tables" / "hairlines.csv")
    assert set(listed["arm"]) == {name for name, arm in ARMS.items() if arm.probed}
    for row in listed.itertuples():
        mine = probe[probe["gap_mm"].isin([0.0, row.gap_mm])]
        assert row.auroc == pytest.approx(roc_auc_score(mine["gap_mm"] > 0, mine[row.arm]), abs=1e-5)
        assert len(mine) == 2 * PLAN.probe.patients
    told = ran.report["hairlines"]["paragraph"]
    for row in ran.report["hairlines"]["sizes"]:
        assert all(f"at {ran.report['arms'][name]['size']} pixels" in told for name in row["names"])
        assert f"changes by {row['gained']['value']:.3f}".replace("-", "−") in told
    assert not (ran.out / "stages" / "hairlines" / "resize-256x384").exists()


def test_the_gradients_of_model_rx_are_there_before_and_after(ran: Ran) -> None:
    layers = pd.read_csv(ran.out / "tables" / "layers.csv")
    counts = layers.groupby(["arm", "when"]).size()
    assert counts["rx-lite"].tolist() == [7, 7] and counts[RX_LARGE].tolist() == [11, 11]
    large = layers[(layers["arm"] == RX_LARGE) & (layers["when"] == "at the start")]["gradient"].to_numpy()
    mended = layers[(layers["arm"] == "rx-large-mended") & (layers["when"] == "at the start")]["gradient"].to_numpy()
    assert large[0] / large[-1] < 0.1 < mended[0] / mended[-1]


def test_labels_that_images_inherit_are_counted_against_the_truth(ran: Ran) -> None:
    noise = ran.report["data"]["noise"]
    truth = pd.read_parquet(ran.out / "data" / "cohort" / "truth.parquet")
    assert noise["wrong"] <= int(((truth["fractured"] == 1) & ~truth["visible"]).sum())
    assert noise["images"] == len(ran.cohort[ran.cohort["fold"] != -1])
    assert noise["of_all"] == pytest.approx(noise["wrong"] / noise["images"], abs=1e-6)
    assert any(f"{noise['wrong']} of {noise['images']} images" in caution for caution in ran.report["cautions"])


def test_what_was_scaled_down_is_in_a_table_and_the_full_reports_are_there(ran: Ran) -> None:
    rows = {row["what"]: row for row in ran.report["compared"]}
    assert not rows["sizes compared, pixels"]["same"] and rows["studies"]["study"] == "13,538"
    for name in ran.report["main"]:
        assert (ran.out / "models" / name / "report.html").exists()


def test_a_second_run_finds_every_stage_done_and_says_the_same(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (ran.out / name).read_bytes() for name in ("report.json", "report.html", "predictions.parquet")}
    assert osteon("experiment", "decid2021", "--out", ran.out, "--scale", "small", "--workers", 1) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^\S+ +kept", said, re.M)) == len(ARMS) + 2 and "cohort " not in said
    assert before == {name: (ran.out / name).read_bytes() for name in before}


def test_another_run_in_its_folder_is_refused(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert osteon("experiment", "decid2021", "--out", ran.out, "--backbone", "resnet18=random") != 0
    assert "it differs in ours" in capsys.readouterr().err


def test_bad_input_is_refused_before_anything_is_trained(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert osteon("experiment", "decid2021", "--out", tmp_path / "out", "--inception") != 0
    assert "--inception means nothing to decid2021" in capsys.readouterr().err
    assert osteon("experiment", "decid2021", "--out", tmp_path / "out", "--data", tmp_path / "nowhere") != 0
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out" / "stages").exists()
