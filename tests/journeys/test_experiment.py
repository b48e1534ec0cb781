"""`osteon experiment hong2023` at the small scale, once; then what it left is read and computed again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.cli import main
from osteon.dataset.grades import arrays
from osteon.experiments.hong2023.plan import SCALES
from osteon.tasks import rust

PLAN = SCALES["small"]
MODELS = ("lenet", "frozen-0", "frozen-1", "final", "final-by-patient")


@dataclass(frozen=True)
class Ran:
    """Where the experiment ran, what it said, and what report.json holds."""

    out: Path
    said: str
    report: dict

    def scores(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) folds and (n, 18) probabilities of a stage, in the order of `cohort`."""
        with np.load(self.out / "stages" / stage / "scores.npz", allow_pickle=False) as arrays:
            return arrays["fold"], arrays["probabilities"]

    @property
    def cohort(self) -> pd.DataFrame:
        return tables.read(self.out / "data" / "split" / "manifest.parquet", tables.MANIFEST)

    @property
    def labels(self) -> np.ndarray:
        grades, views = arrays(self.cohort)
        return rust.one_hot(grades, list(views))


def osteon(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["osteon", *map(str, words)])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return ran_small("hong2023", tmp_path_factory.mktemp("hong") / "work")


def ran_small(name: str, out: Path) -> Ran:
    """An experiment at its small scale, by its command."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("osteon.console.print", lambda line: lines.append(str(line)), raising=False)
        assert osteon("experiment", name, "--out", out, "--scale", "small", "--workers", 2) == 0
    return Ran(out, "\n".join(lines), json.loads((out / "report.json").read_text(encoding="utf-8")))


def test_every_stage_is_told_and_the_page_says_phantom(ran: Ran) -> None:
    for stage in ("cohort", "ingest", "prepared", "split", "lenet", "Regime I", "Regime II", "final", "nested", "ours"):
        assert re.search(rf"^{stage} ", ran.said, re.M), stage
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    assert "phantom figure, not clinical" in text and ran.report["phantom"]
    assert "Phantom figure, not clinical" in ran.report["sentence"]


def test_the_page_shows_every_figure_and_none_is_empty(ran: Ran) -> None:
    text = (ran.out / "report.html").read_text(encoding="utf-8")
    wanted = {"scatter", "examples", "heat-map", "beside-view", "added", "nested-floors", "ours-floors"}
    wanted |= {f"curves-{place}" for place in range(len(MODELS))}
    assert set(re.findall(r'<figure id="([\w-]+)"', text)) == wanted
    assert {path.stem for path in (ran.out / "figures").glob("*.svg")} == wanted
    for name in wanted:
        svg = (ran.out / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert len(re.findall(r"<(?:path|use|text) ", svg)) > 20, name
    assert not re.search(r"\bnan\b|None|Undefined", re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.S))


def test_the_figures_hold_the_numbers_of_the_tables(ran: Ran) -> None:
    one, two = (pd.read_csv(ran.out / "tables" / f"regime-{n}.csv") for n in (1, 2))
    assert len(one) == PLAN.trials and len(two) == len(PLAN.learning_rates) * len(PLAN.epsilons)
    heat = (ran.out / "figures" / "heat-map.svg").read_text(encoding="utf-8")
    for score in two["auroc"]:
        assert f">{score:.3f}<" in heat
    examples = (ran.out / "figures" / "examples.svg").read_text(encoding="utf-8")
    told = {(int(b), float(d)) for b, d in re.findall(r"batch (\d+), dropout (0\.\d\d)", examples)}
    assert told == {(int(row["batch"]), round(row["dropout"], 2)) for _, row in one.iterrows()}
    curves = (ran.out / "figures" / "curves-0.svg").read_text(encoding="utf-8")
    lines = re.findall(r"stroke: (#\w+); (?:stroke-opacity: 0.4; )?stroke-width: (0\.8|2\.2)", curves)
    for colour in ("#c0272d", "#0072b2"):  # training red, validation blue: each fold thin, the mean bold
        assert lines.count((colour, "0.8")) == PLAN.folds
        assert lines.count((colour, "2.2")) >= 1


def test_every_curve_is_in_a_file_and_the_scores_follow_from_them(ran: Ran) -> None:
    rows = [*ran.report["baselines"], ran.report["final"]["kfold"], ran.report["by_patient"]]
    for name, row in zip(MODELS, rows, strict=True):
        wide = pd.read_csv(ran.out / "curves" / f"{name}.csv").pivot_table(
            index=["part", "epoch"], columns="fold", values="auroc"
        )
        folds = wide.loc["validation", list(range(PLAN.folds))]
        np.testing.assert_allclose(wide.loc["validation", -1], folds.mean(axis=1))
        assert row["best_epoch"] == folds.mean(axis=1).idxmax() and row["folds"] == PLAN.folds
        assert row["at_best"]["mean"] == pytest.approx(folds.mean(axis=1).max(), abs=1e-6)
    for number in (1, 2):
        trials = pd.read_csv(ran.out / "tables" / f"regime-{number}.csv").set_index("trial")
        curves = pd.read_csv(ran.out / "curves" / f"regime-{number}.csv")
        means = curves.groupby(["trial", "epoch"])["validation_auroc"].mean().unstack()
        np.testing.assert_allclose(means.max(axis=1), trials["auroc"])
        top = pd.read_csv(ran.out / "tables" / f"regime-{number}-top-ten.csv")
        assert list(top["auroc"]) == sorted(trials["auroc"], reverse=True)[:10]


def test_each_step_goes_on_with_what_the_one_before_chose(ran: Ran) -> None:
    one, two = (ran.report["regimes"][name]["top"][0] for name in ("one", "two"))
    trials = pd.read_csv(ran.out / "tables" / "regime-2.csv")
    assert set(trials["batch"]) == {one["batch"]} and set(trials["dropout"]) == {one["dropout"]}
    for row in (ran.report["final"]["kfold"], ran.report["by_patient"]):
        assert row["options"] == {
            "batch": one["batch"],
            "dropout": one["dropout"],
            "learning_rate": two["learning_rate"],
            "epsilon": two["epsilon"],
            "epochs": PLAN.epochs,
        }
    frozen = [row for row in ran.report["baselines"] if "frozen" in row["network"]]
    best = ran.report["baselines"][ran.report["best"]]
    assert best["at_best"]["mean"] == max(row["at_best"]["mean"] for row in frozen)
    assert ran.report["final"]["kfold"]["network"] == best["network"]
    assert [row["published"] and row["published"]["auroc"] for row in frozen] == [0.784, None]
    assert "ImageNet" in frozen[0]["network"] and "random" in frozen[1]["network"]
    assert ran.report["nested"]["network"] == best["network"]
    assert frozen[0]["network"].startswith(ran.report["ours"]["network"])
    text = (ran.out / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert text.count(best["network"]) > 4 and text.count(ran.report["ours"]["network"]) > 5


@pytest.mark.parametrize("stage", ["lenet", "final", "final-by-patient"])
def test_the_view_alone_stands_beside_every_18_label_figure(ran: Ran, stage: str) -> None:
    fold, probabilities = ran.scores(stage)
    row = {
        "lenet": ran.report["baselines"][0],
        "final": ran.report["final"]["kfold"],
        "final-by-patient": ran.report["by_patient"],
    }[stage]
    labels, lateral = ran.labels, (ran.cohort["view"] == "LAT").to_numpy(bool)
    open_rows = fold >= 0
    shares = np.where(lateral[:, None], labels[open_rows & lateral].mean(0), labels[open_rows & ~lateral].mean(0))
    for scores, told in ((probabilities, "model"), (shares, "view_only")):
        areas = []
        for k in range(18):
            each = [m for m in (fold == f for f in range(PLAN.folds)) if 0 < labels[m, k].sum() < m.sum()]
            areas.append(np.mean([roc_auc_score(labels[m, k], scores[m, k]) for m in each]))
        figure = row["eighteen"][told]["macro_auroc"]
        assert figure["value"] == pytest.approx(np.mean(areas), abs=1e-6)
        assert figure["low"] <= figure["value"] <= figure["high"]
    gain = row["eighteen"]["gain"]["macro_auroc"]
    difference = row["eighteen"]["model"]["macro_auroc"]["value"] - row["eighteen"]["view_only"]["macro_auroc"]["value"]
    assert gain["value"] == pytest.approx(difference, abs=2e-6)


def test_folds_by_image_part_patients_under_their_name_alone(ran: Ran) -> None:
    patient = ran.cohort["patient"].to_numpy(str)
    rows = [*ran.report["baselines"], ran.report["final"]["kfold"], ran.report["by_patient"]]
    for stage, row in zip(MODELS, rows, strict=True):
        parted = pd.Series(ran.scores(stage)[0]).groupby(patient).nunique().max() > 1
        assert row["protocol"] == ("leaky-by-image" if parted else "by-patient")
        assert parted == (stage != "final-by-patient")


def test_the_honest_figures_stand_beside_floors(ran: Ran) -> None:
    grades = tables.read(ran.out / "grades.parquet", tables.GRADES)
    models = set(grades["model"])
    assert {
        "Hong 2023, nested",
        "osteon's cortex reader",
        "floor:view",
        "floor:majority",
        "floor:month",
        "floor:thumbnail",
    } <= models
    assert grades.groupby("group")[["part", "fold"]].nunique().max().max() == 1
    parts = [ran.report[name][part] for name in ("nested", "ours") for part in ("validation", "test")]
    for part in (*parts, ran.report["final"]["within"]):
        lines = [part["overall"][name] for name in ("kappa", "auroc", "mae")]
        lines += [part["totals"]["icc"], part["totals"]["mae"]] if part["totals"]["judged"] else []
        for line in lines:
            sign = -1 if line in (part["overall"]["mae"], part["totals"].get("mae")) else 1
            gain = sign * (line["figure"]["value"] - line["best_floor"]["figure"]["value"])
            assert line["gain"]["value"] == pytest.approx(gain, abs=2e-6)
    assert all((ran.out / name / "report.html").exists() for name in ("nested", "ours"))
    assert [row["fold"] for row in ran.report["nested"]["chosen"]] == [*range(PLAN.outer), -1]


def test_the_final_test_is_on_patients_that_no_stage_has_seen(ran: Ran) -> None:
    cohort = ran.cohort
    sealed = cohort["fold"] == -1
    assert not set(cohort.loc[sealed, "patient"]) & set(cohort.loc[~sealed, "patient"])
    assert ran.report["data"]["sealed"] == sealed.sum() == ran.report["final"]["test"]["images"]
    table = pd.read_csv(ran.out / "tables" / "final-test.csv").set_index("figure")
    answers = pd.read_csv(ran.out / "stages" / "opened.csv", dtype="string").set_index("image")
    grades, _ = arrays(answers.loc[cohort.loc[sealed, "image"]].reset_index(drop=True))
    labels = rust.one_hot(grades, cohort.loc[sealed, "view"].tolist())
    scores = ran.scores("final")[1][sealed.to_numpy(bool)]
    called = scores >= 0.5
    assert table.loc["micro_recall", "model"] == pytest.approx((called & (labels > 0)).sum() / labels.sum(), abs=1e-6)
    assert {"model", "view_only", "gain", "study"} <= set(table)
    openings = json.loads((ran.out / "data" / "split" / "openings.json").read_text())
    assert len(openings) == 1 == ran.report["openings"]


def test_what_folds_by_image_add_has_its_interval(ran: Ran) -> None:
    assert len(ran.report["leak"]) == 3
    for row in ran.report["leak"]:
        assert row["added"]["value"] == pytest.approx(row["leaky"]["value"] - row["honest"]["value"], abs=2e-6)
        assert row["added"]["low"] <= row["added"]["value"] <= row["added"]["high"]
    assert (ran.out / "tables" / "image-level-folds.csv").exists()


def test_a_second_run_finds_every_stage_done_and_says_the_same(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (ran.out / name).read_bytes() for name in ("report.json", "report.html", "grades.parquet")}
    assert osteon("experiment", "hong2023", "--out", ran.out, "--scale", "small", "--workers", 1) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^\S+ +kept: ", said, re.M)) == len(MODELS) and "cohort " not in said
    assert before == {name: (ran.out / name).read_bytes() for name in before}
    assert len(json.loads((ran.out / "data" / "split" / "openings.json").read_text())) == 1


def test_another_run_in_its_folder_is_refused(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    assert osteon("experiment", "hong2023", "--out", ran.out, "--network-epochs", 7) != 0
    assert "it differs in network_epochs" in capsys.readouterr().err


def test_data_that_are_no_graded_radiographs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    assert osteon("experiment", "hong2023", "--out", tmp_path / "out", "--data", tmp_path / "pictures") != 0
    assert "has neither a manifest nor a labels.csv" in capsys.readouterr().err
