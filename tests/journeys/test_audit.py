"""`osteon audit` from the command line: what it writes, its exit codes, and what it says is not available."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from osteon import runs, tables, verbs
from osteon.phantom.plan import Chance, Plan, even
from osteon.verbs.audits import DUPLICATES, JSON, PAGE, REREADING
from tests.audit.test_audit import a_cohort

Osteon = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def tables_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, as tables alone: one that was taught a shortcut, and one that was not."""
    folder = tmp_path_factory.mktemp("runs")
    for name, chance in (("planted", Chance(fractured=0.9, intact=0.1)), ("neutral", even(0.4))):
        cohort = a_cohort(chance, 1)
        assert cohort.manifest is not None
        assert cohort.predictions is not None
        tables.write(folder / name / "split" / "manifest.parquet", cohort.manifest, tables.MANIFEST)
        tables.write(folder / name / "predictions.parquet", cohort.predictions, tables.PREDICTIONS)
    return folder


@pytest.mark.parametrize(("name", "code"), [("planted", 77), ("neutral", 0)])
def test_the_gate_ends_with_its_code_after_everything_is_written(
    tables_of: Path, tmp_path: Path, osteon: Osteon, name: str, code: int
) -> None:
    run, out = tables_of / name, tmp_path / "audit"
    ended, said, told = osteon("audit", run, "--manifest", run / "split", "--out", out, "--gate")
    assert ended == code
    assert ("speaks against a release" in told) == (code == 77)
    assert said.startswith("Fail. " if code else "Pass. ")
    assert {p.name for p in out.iterdir()} == {PAGE, JSON, REREADING, DUPLICATES, runs.RECORD}
    content = json.loads((out / JSON).read_text())
    assert content["gate"]["passed"] == runs.read(out).result["passed"] == (code == 0)
    page = (out / PAGE).read_text()
    assert content["gate"]["said"] in page
    assert "no --images was given" in page  # copies, marks and changed images say why they are not there
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert list(pd.read_csv(out / REREADING)) == ["rank", "image", "label", "probability_of_label", "read_again"]


def test_without_the_gate_a_shortcut_is_told_and_no_error(tables_of: Path, tmp_path: Path, osteon: Osteon) -> None:
    run = tables_of / "planted"
    words = ("audit", run, "--manifest", run / "split", "--out", tmp_path / "audit", "--json")
    code, said, _ = osteon(*words)
    assert code == 0
    assert json.loads(said)["findings"]["hardware"] == "shortcut"
    first = {p.name: p.read_bytes() for p in (tmp_path / "audit").iterdir() if p.name != runs.RECORD}
    osteon(*words)
    assert {p.name: p.read_bytes() for p in (tmp_path / "audit").iterdir() if p.name != runs.RECORD} == first


def test_a_gate_with_nothing_to_decide_on_is_no_pass(tables_of: Path, tmp_path: Path, osteon: Osteon) -> None:
    code, _, told = osteon("audit", tables_of / "neutral" / "split", "--out", tmp_path / "audit", "--gate")
    assert code == 65
    assert "nothing to decide on" in told
    assert "no out-of-fold scores: split holds no predictions.parquet" in (tmp_path / "audit" / PAGE).read_text()
    code, _, told = osteon("audit", tmp_path, "--out", tmp_path / "other")
    assert (code, "holds neither predictions.parquet nor manifest.parquet" in told) == (66, True)


def test_drift_from_a_reference_stands_on_the_page(tables_of: Path, tmp_path: Path, osteon: Osteon) -> None:
    new, old = tables_of / "planted", tables_of / "neutral"
    manifest = pd.read_parquet(new / "split" / "manifest.parquet")
    for column in ("image", "patient", "group"):
        manifest[column] = "x" + manifest[column].astype(str)
    tables.write(tmp_path / "new" / "manifest.parquet", manifest.assign(device="Another"), tables.MANIFEST)
    words = ("audit", tmp_path / "new", "--drift", old / "split", "--out", tmp_path / "audit", "--json")
    code, said, told = osteon(*words)
    assert code == 0, told
    assert "device" in json.loads(said)["drift"]
    page = (tmp_path / "audit" / PAGE).read_text()
    assert "Drift since the reference" in page
    assert "split holds no predictions.parquet" in page  # scores cannot be compared, and it says why


def test_readings_are_the_scores_that_drift_compares(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    verbs.phantom(tmp_path / "cohort", Plan(patients=10, rows=320, columns=256, views=("PA",)), seed=77)
    verbs.ingest(tmp_path / "cohort", tmp_path / "ingest", labels=tmp_path / "cohort" / "labels.csv")
    verbs.prepare(tmp_path / "ingest", tmp_path / "new")
    verbs.read([tmp_path / "cohort" / "dicom"], tmp_path / "reading", bundle=path / "model" / "bundle", overlays=False)
    words = ("audit", tmp_path / "new", "--drift", path / "model", "--out", tmp_path / "audit")
    code, _, told = osteon(*words, "--readings", tmp_path / "reading")
    assert code == 0, told
    drift = json.loads((tmp_path / "audit" / JSON).read_text())["drift"]
    (row,) = [row for row in drift["rows"] if row["family"] == "scores"]
    assert row["effect"]["value"] >= 0
    code, _, _ = osteon(*words)
    assert code == 0
    without = json.loads((tmp_path / "audit" / JSON).read_text())["drift"]
    assert not [row for row in without["rows"] if row["family"] == "scores"]
    assert "predictions.parquet" in str(without["missing"])


@pytest.mark.parametrize(
    ("content", "code", "what"),
    [
        ("{", 65, "is not readable JSON"),
        ("7", 65, "does not hold readings"),
        ('{"study": 1}', 65, "does not hold readings"),
        ('[{"bundle": "a", "images": [{"image": "i", "findings": [{"probability": "high"}]}]}]', 65, "does not hold"),
        ('[{"bundle": "a", "images": []}, {"bundle": "b", "images": []}]', 65, "of 2 bundles"),
        ('[{"bundle": "a", "images": [{"image": "i", "findings": [{"probability": 0.5}]}]}]', 78, "tells of none of"),
    ],
)
def test_readings_that_are_none_are_refused(
    tables_of: Path, tmp_path: Path, osteon: Osteon, content: str, code: int, what: str
) -> None:
    (tmp_path / "readings.json").write_text(content)
    new = tables_of / "planted"
    words = ("audit", new / "split", "--drift", tables_of / "neutral" / "split", "--out", tmp_path / "audit")
    ended, _, told = osteon(*words, "--readings", tmp_path / "readings.json")
    assert ended == code
    assert what in told
    assert not (tmp_path / "audit" / PAGE).exists()


def test_the_records_of_a_run_lead_to_its_images_and_features(path: Path, tmp_path: Path, osteon: Osteon) -> None:
    code, _, told = osteon("audit", path / "model", "--out", tmp_path / "audit", "--no-probes")
    assert code == 0, told
    content = json.loads((tmp_path / "audit" / JSON).read_text())
    assert content["phantom"]
    assert content["duplicates"]["of"] == len(pd.read_parquet(path / "split" / "manifest.parquet"))
    names = {row["name"] for row in content["shortcuts"]["rows"]} | {
        row["name"] for row in content["shortcuts"]["unavailable"]
    }
    assert {"hardware", "cast", "marker", "marks_found", "border_grey", "rows", "view", "device"} <= names
    page = (tmp_path / "audit" / PAGE).read_text()
    assert "phantom figure, not clinical" in page
    assert ("data:image/png;base64," in page) == (content["label_noise"]["read_again"] > 0)
    patients = set(pd.read_parquet(path / "split" / "manifest.parquet")["patient"])
    for name in (PAGE, JSON, REREADING, DUPLICATES):
        text = (tmp_path / "audit" / name).read_text()
        assert not [patient for patient in patients if patient in text], name
