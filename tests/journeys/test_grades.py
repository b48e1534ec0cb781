"""`osteon evaluate` on grades: the columns decide which report is made, and sealed grades come back on demand alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from osteon import files, tables, verbs, visit_reader
from osteon.errors import BadTable
from osteon.learn.bundle import CARD
from osteon.learn.healing import bundle as healing_bundle
from osteon.phantom.healing_plan import HealingPlan
from osteon.tasks.rust import CORTICES
from tests.make import some_grades, some_split_cases, with_grade_floors


def some_sealed_grades(folder: Path) -> pd.DataFrame:
    """Predictions whose fold 2 is the sealed test part, beside the split that holds its grades; returns them open."""
    whole = with_grade_floors(some_grades(patients=60))
    test = whole["fold"] == 2
    mine = whole[test & (whole["model"] == "ours")]
    sealed = mine.pivot(index="image", columns="cortex", values="target").reindex(columns=list(CORTICES))
    sealed = sealed.astype("string").fillna("").reset_index().assign(target=0)  # text, as a label table has it
    images = whole["image"].unique()
    cases = some_split_cases(patients=len(images), folds=2).iloc[: len(images)].assign(image=images)
    tables.write(folder / "split" / "manifest.parquet", cases, tables.MANIFEST)
    tables.write(folder / "split" / "sealed.parquet", sealed, {n: tables.MANIFEST[n] for n in ("image", "target")})
    opened = whole.assign(part=whole["part"].mask(test, "test"), fold=whole["fold"].mask(test, -1))
    tables.write(folder / "predictions.parquet", opened.assign(target=whole["target"].mask(test)), tables.GRADES)
    return opened


def test_grades_are_judged_and_the_sealed_ones_only_when_asked(tmp_path: Path) -> None:
    opened = some_sealed_grades(tmp_path)
    closed = verbs.evaluate(tmp_path, tmp_path / "closed", manifest=tmp_path / "split")
    assert closed.figures["test"]["state"] == "sealed" and closed.figures["openings"] == 0
    asked = verbs.evaluate(tmp_path, tmp_path / "opened", manifest=tmp_path / "split", unseal=True)
    assert asked.figures["test"]["state"] == "opened" and asked.figures["openings"] == 1
    tables.write(tmp_path / "never-sealed.parquet", opened, tables.GRADES)
    known = verbs.evaluate(tmp_path / "never-sealed.parquet", tmp_path / "known")
    figures = [files.read_json(tmp_path / name / "report.json") for name in ("opened", "known")]
    assert figures[0]["test"]["totals"] == figures[1]["test"]["totals"]
    assert figures[0]["validation"] == figures[1]["validation"]
    assert known.figures["icc"] == asked.figures["icc"] == closed.figures["icc"]
    assert (tmp_path / "opened" / "report.html").read_text().count("<svg") > 3


def test_what_does_not_belong_to_grades_is_refused(tmp_path: Path) -> None:
    some_sealed_grades(tmp_path)
    with pytest.raises(BadTable, match="grades have no prevalence; leave --prevalence out"):
        verbs.evaluate(tmp_path, tmp_path / "out", prevalence=0.3)
    sealed = tmp_path / "split" / "sealed.parquet"
    columns = {n: tables.MANIFEST[n] for n in ("image", "target")}
    held = tables.read(sealed, columns)
    tables.write(sealed, held.drop(columns="medial"), columns)
    with pytest.raises(BadTable, match="no grades of the medial cortex"):
        verbs.evaluate(tmp_path, tmp_path / "out", manifest=tmp_path / "split", unseal=True)
    tables.write(sealed, held.iloc[1:], columns)
    with pytest.raises(BadTable, match="rows of the test part have no sealed grade"):
        verbs.evaluate(tmp_path, tmp_path / "out", manifest=tmp_path / "split", unseal=True)


@pytest.fixture(scope="module")
def healed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cohort of healing tibiae, gone the way from files to a bundle."""
    out = tmp_path_factory.mktemp("healing")
    verbs.healing(out / "cohort", HealingPlan(patients=24, rows=250, columns=250), seed=5)
    verbs.ingest(out / "cohort", out / "in", labels=out / "cohort" / "labels.csv", task="modified-rust")
    verbs.prepare(out / "in", out / "prepared", size=96)
    verbs.split(out / "prepared", out / "split", folds=3, test=0.2)
    verbs.features(out / "prepared", out / "maps", maps=True)
    verbs.train(out / "split", out / "model", bank=out / "maps")
    return out


def test_tibiae_go_from_files_to_a_judged_healing_score(healed: Path) -> None:
    table = tables.read(healed / "model" / "predictions.parquet", tables.GRADES)
    manifest = tables.read(healed / "split" / "manifest.parquet", tables.MANIFEST)
    assert set(table["image"]) == set(manifest["image"])
    assert table.loc[table["part"] == "test", "target"].isna().all()
    done = verbs.evaluate(healed / "model", healed / "report", manifest=healed / "split", unseal=True)
    assert done.figures["phantom"] and "hantom figure" in done.said
    bundle = healing_bundle.load(healed / "model" / "bundle")
    assert bundle.task == "modified-rust" and "phantom" in bundle.describe()
    card = (healed / "model" / "bundle" / CARD).read_text()
    assert "not a medical device" in card and "best floor" in card


def test_maps_of_images_without_grades_make_no_healing_score(healed: Path, tmp_path: Path) -> None:
    columns = tables.MANIFEST
    manifest = tables.read(healed / "split" / "manifest.parquet", columns).drop(columns="medial")
    tables.write(tmp_path / "split" / "manifest.parquet", manifest, columns)
    with pytest.raises(BadTable, match="carries no grades; ingest with --task rust"):
        verbs.train(tmp_path / "split", tmp_path / "model", bank=healed / "maps")


def test_visits_of_a_patient_become_a_trajectory(healed: Path, tmp_path: Path) -> None:
    truth = pd.read_parquet(healed / "cohort" / "truth.parquet")
    several = truth.groupby("patient").filter(lambda mine: mine["study"].nunique() > 1)
    mine = several[several["patient"] == several["patient"].iloc[0]]
    done = verbs.read([healed / "cohort" / path for path in mine["image"]], tmp_path / "out", bundle=healed / "model")
    readings = done.figures["readings"]
    assert {reading["study"] for reading in readings} and len(readings) == mine["study"].nunique()
    months = sorted(mine.groupby("study")["month"].first())
    since = sorted(reading["month"] for reading in readings)
    assert since == pytest.approx([month - months[0] for month in months], abs=1.5)
    for reading in readings:
        seen = {cortex["cortex"] for cortex in reading["cortices"] if cortex["probabilities"]}
        assert len(seen) in (2, 4) and len(reading["images"]) in (1, 2)
        if reading["total"] is not None:
            assert len(seen) == 4 and reading["low"] <= reading["total"] <= reading["high"]
    trajectories = files.read_json(tmp_path / "out" / "trajectories.json")["patients"]
    assert [one["patient"] for one in trajectories] == ["patient 1"] and len(trajectories[0]["visits"]) == len(readings)
    drawn = (tmp_path / "out" / "trajectory-1.svg").read_text()
    assert mine["patient"].iloc[0] not in drawn and "not a medical device" in done.said


def test_a_visit_with_one_view_has_grades_and_no_total(healed: Path) -> None:
    truth = pd.read_parquet(healed / "cohort" / "truth.parquet")
    image = healed / "cohort" / truth.loc[truth["view"] == "AP", "image"].iloc[0]
    bundle = healing_bundle.load(healed / "model" / "bundle")
    early, late = (visit_reader.read_visits([[image]], bundle, injured=date(2019, 1, day))[0] for day in (1, 31))
    assert early.total is None and early.month is not None and late.month is not None
    assert early.month - late.month == pytest.approx(30 / (365.25 / 12))
    assert [c.cortex for c in early.cortices if c.probabilities] == ["medial", "lateral"]
