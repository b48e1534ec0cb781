"""`osteon experiment kim2018` at the small scale, once; then what it left is read and computed again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.experiments.kim2018.plan import SCALES
from tests.journeys.test_experiment import Ran, osteon, ran_small

PLAN = SCALES["small"]
PROTOCOLS = {"leaky-by-copy": "as_study", "by-patient": "by_patient"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return ran_small("kim2018", tmp_path_factory.mktemp("kim") / "work")


def test_every_stage_is_told_and_the_page_says_phantom(ran: Ran) -> None:
    for stage in ("cohort", "ingest", "prepared", "split", "copies", "features", *PROTOCOLS, "rates", "floors"):
        assert re.search(rf"^{stage} ", ran.said, re.M), stage
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    assert text.count("phantom figure, not clinical") > 5 and ran.report["phantom"]
    assert "Phantom figure, not clinical" in ran.report["sentence"]


def test_the_page_shows_every_figure_and_none_is_empty(ran: Ran) -> None:
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    kinds = ("accuracy", "error", "roc", "histogram")
    wanted = {f"{kind}-{protocol}" for kind in kinds for protocol in PROTOCOLS} | {"floors", "added"}
    assert set(re.findall(r'<figure id="([\w-]+)"', text)) == wanted
    assert {path.stem for path in (ran.out / "figures").glob("*.svg")} == wanted
    for name in wanted:
        svg = (ran.out / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert len(re.findall(r"<(?:path|use|text) ", svg)) > 20, name
    assert not re.search(r"\bnan\b|None|Undefined", re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.S))


def test_the_curves_have_a_point_for_each_recorded_iteration_and_their_mean(ran: Ran) -> None:
    for protocol, key in PROTOCOLS.items():
        curves = pd.read_csv(ran.out / "curves" / f"{protocol}.csv")
        assert len(curves) == PLAN.training.iterations // PLAN.training.points
        assert curves["rate"].nunique() == 12 and curves["rate"].iloc[0] == PLAN.training.learning_rate
        mean = curves["training_accuracy"].rolling(40).mean()
        assert ran.report[key]["last"]["training_accuracy"] == pytest.approx(mean.iloc[-1], abs=1e-6)
        svg = (ran.out / "figures" / f"accuracy-{protocol}.svg").read_text(encoding="utf-8")
        light, dark = (longest_line(svg, colour) for colour in ("#f2b98c", "#222222"))
        assert light > dark - 40 > 50  # the mean begins at the fortieth point


def longest_line(svg: str, colour: str) -> int:
    """Points of the longest line of a colour."""
    lines = re.findall(rf'<path d="([^"]+)"[^>]*?stroke: {colour}', svg, re.S)
    return max(len(re.findall(r"[ML] ", line)) for line in lines)


def test_the_table_of_figures_follows_from_the_predictions(ran: Ran) -> None:
    predictions = tables.read(ran.out / "predictions.parquet", tables.PREDICTIONS)
    figures = pd.read_csv(ran.out / "tables" / "figures.csv").set_index(["protocol", "figure"])
    for protocol, key in PROTOCOLS.items():
        model = ran.report[key]["name"]
        rows = predictions[(predictions["model"] == model) & (predictions["part"] == "test")]
        target, score = rows["target"].to_numpy(int), rows["score"].to_numpy(float)
        line = figures.loc[(protocol, "auroc")]
        assert line["here"] == pytest.approx(roc_auc_score(target, score), abs=1e-6) and line["study"] == 0.954
        assert line["here_low"] <= line["here"] <= line["here_high"]
        cuts = np.unique(score)
        best = max(np.mean(score[target == 1] >= c) + np.mean(score[target == 0] < c) for c in cuts)
        told = [
            figures.loc[(protocol, f"{rate}_cut_off_chosen_here"), "here"] for rate in ("sensitivity", "specificity")
        ]
        assert sum(told) == pytest.approx(best, abs=1e-5)
        assert [ran.report["published"][rate] for rate in ("sensitivity", "specificity")] == [0.90, 0.88]
    assert {"floor:view", "floor:tags", "floor:size", "floor:thumbnail", "floor:majority"} <= set(predictions["model"])
    assert predictions.groupby("group")[["part", "fold"]].nunique().max().max() == 1
    sealed = predictions[predictions["part"] == "test"].groupby("model")["image"].nunique()
    assert set(sealed) == {sum(ran.report["data"]["final_classes"])} and ran.report["data"]["final_classes"] == [8, 8]


def test_the_final_set_is_of_patients_that_no_stage_has_seen_and_is_opened_once(ran: Ran) -> None:
    cohort = ran.cohort
    sealed = cohort["fold"] == -1
    copies = pd.read_parquet(ran.out / "stages" / "copies" / "manifest.parquet")
    assert not set(copies["patient"]) & set(cohort.loc[sealed, "patient"])
    assert len(copies) == (PLAN.each - 1) * int((~sealed).sum())
    openings = json.loads((ran.out / "data" / "split" / "openings.json").read_text())
    assert len(openings) == 1 == ran.report["openings"]


def test_what_was_scaled_down_and_which_weights_were_used_is_in_a_table(ran: Ran) -> None:
    rows = {row["what"]: row for row in ran.report["compared"]}
    assert "ImageNet" in rows["backbone, frozen"]["here"] and "efficientnet" in rows["backbone, frozen"]["here"]
    assert rows["iterations"]["study"] == "20,000" and not rows["iterations"]["same"]
    assert any("Inception v3 were not used" in text for text in ran.report["cautions"])
    assert any("small scale" in text for text in ran.report["cautions"])
    assert (ran.out / "by-patient" / "report.html").exists()


def test_a_second_run_finds_every_stage_done_and_says_the_same(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (ran.out / name).read_bytes() for name in ("report.json", "report.html", "predictions.parquet")}
    assert osteon("experiment", "kim2018", "--out", ran.out, "--scale", "small", "--workers", 1) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^\S+ +kept", said, re.M)) == 4 and "cohort " not in said
    assert re.search(r"^features +0 images", said, re.M)
    assert before == {name: (ran.out / name).read_bytes() for name in before}
    assert len(json.loads((ran.out / "data" / "split" / "openings.json").read_text())) == 1


def test_another_run_in_its_folder_is_refused(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert osteon("experiment", "kim2018", "--out", ran.out, "--backbone", "resnet18=random") != 0
    assert "it differs in trunk" in capsys.readouterr().err


def test_options_of_another_experiment_are_refused_and_the_scales_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert osteon("experiment", "kim2018", "--out", tmp_path / "out", "--inception") != 0
    assert "--inception means nothing to kim2018" in capsys.readouterr().err
    assert osteon("experiment", "hong2023", "--out", tmp_path / "out", "--scale", "medium") != 0
    assert "no scale of hong2023 named 'medium'" in capsys.readouterr().err
    assert osteon("experiment", "kim2018") == 0
    assert capsys.readouterr().out.count("--scale ") == len(SCALES)
    assert not (tmp_path / "out").exists()
