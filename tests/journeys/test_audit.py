"""`osteon audit` from the command line: what it writes, its exit codes, and what it says is not available."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from osteon import runs, tables
from osteon.phantom.plan import Chance, even
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
