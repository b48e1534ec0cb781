"""The first day of a researcher, on an export whose truth is known: nothing is lost, and each loss has its reason."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from osteon.dataset.exclusions import parse
from osteon.dataset.ingest import ingest
from osteon.dataset.settle import Ingested, Rules
from osteon.dataset.sources import files_given
from osteon.phantom.hospital import HospitalPlan, make_export
from osteon.tasks import FRACTURE

PLAN = HospitalPlan(
    studies=24, giant=9, rows=(250, 300), columns=(250, 280), same_file=0.15, same_uid=0.15, same_pixels=0.15,
    corrupt=0.1, unlabelled=0.15, orphaned=0.2, inconclusive=0.1, growth_plate=0.15, zipped=0.4,
)  # fmt: skip
EXCLUDED = ("cast", "growth_plate", "other_fracture", "inconclusive")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "made"
    make_export(PLAN, folder, seed=11)
    return folder


@pytest.fixture(scope="module")
def taken(hospital: Path) -> Ingested:
    rules = Rules(tuple(map(parse, EXCLUDED)), max_instances=8, drop_outliers=True)
    return ingest(hospital / "export", hospital / "labels.csv", task=FRACTURE, rules=rules)


@pytest.fixture(scope="module")
def truth(hospital: Path) -> pd.DataFrame:
    """What became of each file, as the plan wants it and by the order of the flow."""
    files = pd.read_parquet(hospital / "truth.parquet").set_index("path").drop(index="DICOMDIR", errors="ignore")
    labels = pd.read_csv(hospital / "labels.csv", dtype=str).set_index("accession")
    images = files[files["content"] == "image"]
    fate = pd.Series("", files.index)
    fate[files["content"] != "image"] = "unreadable"
    for _, group in images.groupby(images["duplicate_of"].where(images["duplicate"] != "", images.index)):
        _settle_copies(group.sort_index(), fate)
    alive = images[fate[images.index] == ""]
    size = alive.groupby("study")["study"].transform("size")
    for path, row in alive.iterrows():
        if size[path] > 8:
            fate[path] = "outlier"
        elif row["accession"] not in labels.index:
            fate[path] = "no_label"
        elif (labels.loc[row["accession"], list(EXCLUDED)] == "1").any():
            fate[path] = "excluded"
    return files.assign(fate=fate)


def _settle_copies(group: pd.DataFrame, fate: pd.Series) -> None:
    """Of an image and its copies, by bytes, then by instance, then by pixels, the first path stays."""
    alike = {"": ("bytes", "uid"), "file": ("bytes", "uid"), "uid": ("edited", "uid"), "pixels": ("new", "new uid")}
    for place, code in ((0, "duplicate_file"), (1, "duplicate_instance"), (None, "duplicate_pixels")):
        known = set()
        for path, kind in group["duplicate"].items():
            key = None if place is None else alike[kind][place]
            if fate[path] == "":
                fate[path] = code if key in known else ""
                known.add(key)


def test_every_file_given_is_taken_or_refused(hospital: Path, taken: Ingested, truth: pd.DataFrame) -> None:
    ends = sorted([*taken.manifest["path"], *(refusal.path for refusal in taken.refusals)])
    assert ends == files_given(hospital / "export", hospital / "labels.csv")
    hidden = {path for path in truth.index if any(part.startswith(".") for part in path.split("/"))}
    assert set(truth.index) - hidden <= set(ends)
    assert any(".zip!/" in path for path in taken.manifest["path"])


def test_each_image_has_the_fate_that_it_was_made_for(taken: Ingested, truth: pd.DataFrame) -> None:
    codes = {refusal.path: refusal.code for refusal in taken.refusals}
    for path, fate in truth["fate"].items():
        if truth.loc[path, "content"] == "image":
            assert codes.get(path, "") == fate, path
    assert {fate for fate in truth["fate"] if fate} >= {"duplicate_file", "outlier", "no_label", "excluded"}


def test_labels_ids_and_mismatches_are_those_of_the_truth(hospital: Path, taken: Ingested, truth: pd.DataFrame) -> None:
    known = truth[["study_fractured", "patient", "study"]].add_suffix("_true")
    rows = taken.manifest.set_index("path").join(known)
    rows = rows[rows["study_fractured_true"].notna()]
    assert (rows["target"] == rows["study_fractured_true"]).all()
    assert (rows["study"] == rows["study_true"]).all()
    assert (rows["patient"] == rows["patient_true"]).all()
    there = set(truth.loc[truth["content"] == "image", "accession"])
    labels = pd.read_csv(hospital / "labels.csv", dtype=str)
    readable = {*there, *truth.loc[truth["spoiled"] == "cut", "accession"]}
    unmet = set(taken.labels_without_study["accession"])
    assert unmet >= set(labels["accession"]) - set(truth["accession"].dropna())
    assert not unmet & there
    assert set(taken.studies_without_label["accession"]) <= readable - set(labels["accession"])


def test_the_numbers_of_the_flow_add_up(taken: Ingested) -> None:
    files = taken.flow[0].files
    for stage in taken.flow[1:]:
        files -= sum(one.files for one in stage.left_out)
        assert stage.files == files
    assert files == len(taken.manifest)
