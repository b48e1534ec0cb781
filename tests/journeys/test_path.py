"""The path from end to end, on phantoms: what a stranger finds after `make demo`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas as pd

from osteon import runs, tables
from osteon.evaluate.outcomes import unseal
from tests.journeys.conftest import SMALL, run_demo

Osteon = Callable[..., tuple[int, str, str]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the records of when and by whom."""
    records = {"run.json", "openings.json"}
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in records
    }


def test_every_file_is_in_the_manifest_or_refused(path: Path) -> None:
    given = len(list((path / "cohort" / "dicom").rglob("*.dcm")))
    prepared = tables.read(path / "prepared" / "manifest.parquet", tables.MANIFEST)
    refused = pd.read_parquet(path / "prepared" / "refusals.parquet")
    assert given == SMALL.patients * 2 == len(prepared) + len(refused)
    assert prepared["transfer_syntax"].nunique() >= 4
    assert set(prepared["photometric"]) == {"MONOCHROME1", "MONOCHROME2"}


def test_the_report_carries_floor_interval_and_the_word_phantom(path: Path) -> None:
    report = json.loads((path / "report" / "report.json").read_text())
    found = report["validation"]["discrimination"]
    assert found["auroc"]["low"] <= found["auroc"]["value"] <= found["auroc"]["high"]
    assert {f["model"] for f in found["floors"]} == {
        f"floor:{name}" for name in ("majority", "view", "tags", "size", "thumbnail")
    }
    assert report["phantom"]
    assert "Phantom figure" in (path / "report" / "report.html").read_text()


def test_no_patient_id_leaves_the_tables(path: Path) -> None:
    patients = set(pd.read_parquet(path / "prepared" / "manifest.parquet")["patient"])
    assert patients
    shared = [p for folder in ("report", "model/bundle") for p in (path / folder).rglob("*") if p.is_file()]
    for file in [*shared, path / "reading" / "readings.json"]:
        text = file.read_bytes().decode("latin-1")
        if file.name == "readings.json":  # names the files as the caller gave them
            text = "".join(str(r["images"][0]["findings"]) + r["note"] for r in json.loads(text))
        assert not [p for p in patients if p in text], file


def test_the_test_set_stays_sealed_until_it_is_opened(path: Path) -> None:
    split = tables.read(path / "split" / "manifest.parquet", tables.MANIFEST)
    predictions = tables.read(path / "model" / "predictions.parquet", tables.PREDICTIONS)
    assert split.loc[split["fold"] == -1, "target"].isna().all()
    assert predictions.loc[predictions["part"] == "test", "target"].isna().all()
    opened = json.loads((path / "split" / "openings.json").read_text())
    assert len(opened) == 1
    assert json.loads((path / "report" / "report.json").read_text())["test"]["state"] == "opened"


def test_six_overlays_show_where_the_model_looked(path: Path) -> None:
    overlays = sorted((path / "reading" / "overlays").glob("*.png"))
    assert len(overlays) == 6
    for overlay in overlays:
        picture = cv2.imread(str(overlay))
        assert picture is not None
        assert picture.shape == (448, 448, 3)
        assert picture.std() > 10


def test_any_result_leads_back_to_its_origin(path: Path) -> None:
    chain = runs.chain(path / "report", [p for p in path.iterdir() if p.is_dir()])
    assert [run.command for run in chain] == [
        *("evaluate", "train", "split", "features", "prepare", "ingest", "phantom")
    ]


def test_the_same_seed_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    run_demo(tmp_path / "again")
    first, second = contents(path), contents(tmp_path / "again")
    assert first.keys() == second.keys()
    # The reading names the files that it was given, which lie in another folder here.
    differing = [name for name in first if first[name] != second[name] and name != "reading/readings.json"]
    assert differing == []


def test_a_reading_says_what_it_rests_on(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    study = path / "unseen" / "dicom" / "PH0001"
    code, out, _ = osteon("read", study, "--bundle", path / "model" / "bundle", "--out", tmp_path)
    assert code == 0
    assert "probability" in out
    assert "Calibrated on" in out
    assert "Fitted on the scores of the folds' models" in out
    assert "Learnt from" in out and "phantom radiographs, simulated" in out
    assert "(phantom figure, not clinical)" in out
    assert "not a medical device" in out


def test_json_is_json_and_nothing_else(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    study = path / "unseen" / "dicom" / "PH0001" / "1.dcm"
    bundle = path / "model" / "bundle"
    code, out, _ = osteon("read", study, "--bundle", bundle, "--out", tmp_path, "--no-overlays", "--json")
    assert code == 0
    (reading,) = json.loads(out)["readings"]
    assert 0 <= reading["finding"]["probability"] <= 1
    assert not (tmp_path / "overlays").exists()


def test_a_report_needs_predictions_alone(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    code, out, _ = osteon("evaluate", path / "model" / "predictions.parquet", "--out", tmp_path)
    assert code == 0
    assert "best floor" in out
    assert "Phantom figure" in out  # no manifest says so here, but the run that wrote the predictions does
    assert json.loads((tmp_path / "report.json").read_text())["test"]["state"] == "sealed"


def test_a_test_part_that_was_never_sealed_is_not_called_sealed(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    predictions = tables.read(path / "model" / "predictions.parquet", tables.PREDICTIONS)
    answers = pd.read_parquet(path / "split" / "sealed.parquet")
    tables.write(tmp_path / "open.parquet", unseal(predictions, answers), tables.PREDICTIONS)
    code, out, _ = osteon("evaluate", tmp_path / "open.parquet", "--out", tmp_path / "report")
    assert code == 0
    assert "Test part, whose truth the table holds" in out
    assert "Sealed" not in out
    assert not re.search(r"\b0 times", out)


def test_features_of_images_that_were_prepared_anew_are_refused(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    prepared, bank, split = (shutil.copytree(path / n, tmp_path / n) for n in ("prepared", "features", "split"))
    record = json.loads((bank / "run.json").read_text())
    record["arguments"]["prepared"] = str(prepared)
    (bank / "run.json").write_text(json.dumps(record))
    code, _, _ = osteon("prepare", path / "ingest", "--out", prepared, "--size", "224", "--workers", "1")
    assert code == 0
    code, _, said = osteon("train", split, "--features", bank, "--out", tmp_path / "model")
    assert code == 78
    assert "prepared anew" in said and "osteon features" in said
    assert not (tmp_path / "model" / "bundle").exists()


def test_a_second_preparation_has_nothing_to_do(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    for expected in ("60 images prepared", "nothing to do"):
        code, out, _ = osteon("prepare", path / "ingest", "--out", tmp_path / "p", "--workers", "1")
        assert code == 0
        assert expected in out
