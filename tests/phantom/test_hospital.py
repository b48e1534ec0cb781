"""The export of a hospital: the same bytes again, truth that agrees with the files, dirt of every kind, no shortcut."""

from __future__ import annotations

import io
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from numpy.random import default_rng

from osteon import files, verbs
from osteon.dicom.read import read
from osteon.errors import BadTable, UnknownName, UnreadableImage
from osteon.phantom.archive import INSIDE
from osteon.phantom.hospital import HospitalPlan, make_export
from osteon.phantom.hospital_study import make_study
from osteon.phantom.syntaxes import SYNTAXES
from tests.phantom.test_write import UNKNOWN_TO_DCIODVFY

SMALL = HospitalPlan(
    studies=32, giant=6, rows=(250, 320), columns=(250, 300), same_file=0.1, same_uid=0.1, same_pixels=0.1,
    corrupt=0.1, stray=0.1, unlabelled=0.1, orphaned=0.1, wrong_part=0.1,
)  # fmt: skip


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "made"
    make_export(SMALL, folder, seed=2)
    return folder


@pytest.fixture(scope="module")
def truth(hospital) -> pd.DataFrame:
    return pd.read_parquet(hospital / "truth.parquet")


@pytest.fixture(scope="module")
def images(truth) -> pd.DataFrame:
    return truth[truth["content"] == "image"].reset_index(drop=True)


def bytes_of(hospital: Path, path: str) -> bytes:
    archive, inside, member = path.partition(INSIDE)
    if not inside:
        return (hospital / "export" / path).read_bytes()
    with zipfile.ZipFile(hospital / "export" / archive) as opened:
        return opened.read(member)


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_workers(tmp_path):
    plan = replace(SMALL, studies=3, giant=2, zipped=0.5)
    for name, seed, workers in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        make_export(plan, tmp_path / name, seed=seed, workers=workers)
    digests = [files.digest_of(tmp_path / name) for name in ("one", "two", "other")]
    assert digests[0] == digests[1] != digests[2]


def test_the_truth_has_one_row_for_each_file_and_member(hospital, truth):
    found = []
    for path in (hospital / "export").rglob("*"):
        name = path.relative_to(hospital / "export").as_posix()
        if path.suffix == ".zip":
            found += [f"{name}{INSIDE}{member}" for member in zipfile.ZipFile(path).namelist()]
        elif path.is_file():
            found.append(name)
    assert sorted(found) == sorted(truth["path"]) and truth["path"].is_unique
    assert truth["path"].str.contains(INSIDE).any() and "DICOMDIR" in set(truth["path"])
    assert any("." not in Path(p).name for p in truth["path"]) and any(p.endswith(".dcm") for p in truth["path"])


def test_the_truth_agrees_with_the_headers(hospital, images):
    for row in images.itertuples():
        ds = pydicom.dcmread(io.BytesIO(bytes_of(hospital, row.path)), stop_before_pixels=True)
        assert (ds.StudyInstanceUID, ds.SOPInstanceUID) == (row.study, row.instance)
        assert (ds.AccessionNumber, ds.PatientID) == (row.accession, row.patient)
        assert ds.file_meta.TransferSyntaxUID == row.transfer_syntax
        assert (ds.BodyPartExamined or "") == row.body_part_tag.strip(" ") or row.body_part_tag.endswith(" ")
        assert ds.StudyDescription.strip() == row.study_description.strip()
        assert ds.ViewPosition == row.view_tag and ds.BurnedInAnnotation == row.burned_in_tag
        assert (ds.Rows, ds.Columns) == (row.rows, row.columns)


def test_every_image_can_be_read_and_shows_what_the_truth_says(hospital, images):
    """The middle of an upright wrist is brighter than its field on the whole, unless the tags lie."""
    clean = images[(images["kind"] == "wrist") & ~images["noisy"] & ~images["fogged"] & (images["hardware"] == "")]
    clean = clean[[abs(t[0]) < 12 for t in clean["turns_deg"]]]
    assert len(clean) > 10 and set(clean["photometric"]) == {"MONOCHROME1", "MONOCHROME2"} and clean["inverted"].any()
    for row in clean.itertuples():
        shown = read(bytes_of(hospital, row.path)).pixels.astype(float)
        assert shown.shape == (row.rows, row.columns)
        x, y, width, height = row.boxes[0]
        middle = shown[y + 2 * height // 5 : y + 3 * height // 5, x + 2 * width // 5 : x + 3 * width // 5]
        left, top, wide, tall = row.collimation
        field = shown[top + tall // 12 : top + tall - tall // 12, left + wide // 12 : left + wide - wide // 12]
        assert (np.median(middle) > field.mean()) != row.inverted, row.path
    for row in images[~images["path"].isin(clean["path"])].itertuples():
        assert read(bytes_of(hospital, row.path)).pixels.shape == (row.rows, row.columns)


def test_spoiled_files_and_strangers_are_no_radiographs(hospital, truth):
    wrong = truth[(truth["content"] != "image")]
    assert set(wrong["content"]) == {"other", "spoiled"}
    for row in wrong.itertuples():
        with pytest.raises(UnreadableImage):
            read(bytes_of(hospital, row.path))


def test_duplicates_are_what_they_are_called(hospital, truth):
    again = truth[(truth["duplicate"].fillna("") != "") & (truth["content"] == "image")]
    first = truth[truth["content"] == "image"].set_index("path")
    seen = set()
    for row in again.itertuples():
        if row.duplicate_of not in first.index:
            continue
        seen.add(row.duplicate)
        a, b = (bytes_of(hospital, p) for p in (row.path, row.duplicate_of))
        assert (a == b) == (row.duplicate == "file")
        assert (row.instance == first.loc[row.duplicate_of, "instance"]) == (row.duplicate != "pixels")
        np.testing.assert_array_equal(read(a).pixels, read(b).pixels)
    assert seen == {"file", "uid", "pixels"}


def test_labels_and_studies_agree(hospital, truth):
    labels = pd.read_csv(hospital / "labels.csv")
    studies = pd.read_parquet(hospital / "studies.parquet")
    assert set(labels.columns) == {
        "accession", "fractured", "inconclusive", "cast", "growth_plate", "other_fracture",
    }  # fmt: skip
    assert labels["accession"].is_unique and set(labels["accession"]) == set(studies[studies["labelled"]]["accession"])
    sent = set(truth["accession"].dropna())
    assert set(studies[studies["instances"] > 0]["accession"]) == sent
    assert set(labels["accession"]) - sent and sent - set(labels["accession"])
    assert studies["giant"].fillna(False).sum() == 1 and studies["instances"].max() == 6
    own = truth[(truth["duplicate"] == "")].groupby("accession").size()
    assert (own == studies.set_index("accession")["instances"].loc[own.index]).all()
    regular = studies[(studies["instances"] > 0) & ~studies["giant"].fillna(False).astype(bool)]
    assert len(regular) == 32 and regular["fractured"].sum() == round(0.3113 * 32)


def test_an_export_has_variety(images):
    assert images["transfer_syntax"].nunique() >= 10 and images["language"].nunique() >= 6
    assert (images["view_tag"] == "").any() and (images["body_part_tag"].str.len() > 16).any()
    assert (images["site"] != "wrist").any() and (images["text_part"] != images["site"]).any()
    assert images["body_part_tag"].nunique() > 20


def test_the_class_moves_nothing_but_the_fracture(tmp_path):
    """With and without a fracture, a study has the same files, tags, dirt and table row."""
    plan = replace(SMALL, giant=0)
    for number in range(1, 5):
        made = [make_study(plan, 3, number, sick, tmp_path / str(sick)) for sick in (False, True)]
        (study, rows), (sick_study, sick_rows) = made
        assert study == {**sick_study, "fractured": 0}
        aside = {"fractured", "study_fractured", "fracture_boxes", "boxes"}
        for a, b in zip(rows, sick_rows, strict=True):
            assert {k: v for k, v in a.items() if k not in aside} == {k: v for k, v in b.items() if k not in aside}
            whole, broken = ((tmp_path / str(s)).rglob(Path(a["path"]).name) for s in (False, True))
            sizes = [next(p).stat().st_size for p in (whole, broken)]
            assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


def test_the_share_of_studies_by_instances_is_that_of_the_hospital():
    shares = HospitalPlan().instances
    drawn = 1 + default_rng(0).choice(len(shares), size=20_000, p=shares)
    assert drawn.mean() == pytest.approx(21_372 / 13_538, abs=0.02) and drawn.max() == 8


@pytest.mark.parametrize(
    "wrong",
    [{"studies": 0}, {"fractured": -0.1}, {"rows": (100, 200)}, {"instances": (0.5,)}, {"corrupt": 2.0}],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused_with_a_remedy(wrong):
    with pytest.raises(BadTable, match=";"):
        HospitalPlan(**wrong)


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(UnknownName, match="htj2k"):
        HospitalPlan(syntaxes=("gif",))
    with pytest.raises(UnknownName, match="ca"):
        HospitalPlan(languages=("xx",))


def test_the_command_writes_a_run_record_that_says_phantom(tmp_path):
    done = verbs.hospital(tmp_path / "h", replace(SMALL, studies=2, giant=0), seed=1)
    record = files.read_json(tmp_path / "h" / "run.json")
    assert record["command"] == "phantom" and record["result"]["phantom"] and record["seeds"] == {"seed": 1}
    truth = pd.read_parquet(tmp_path / "h" / "truth.parquet")
    assert done.figures["images"] == (truth["content"] == "image").sum() and "phantom" in done.said


@pytest.mark.system("dicom3tools")
def test_dciodvfy_finds_no_error_in_files_that_are_meant_to_be_valid(hospital, images, tmp_path):
    unknown = {SYNTAXES[name].uid for name in UNKNOWN_TO_DCIODVFY}
    valid = images[images["valid"].astype(bool) & ~images["transfer_syntax"].isin(unknown)]
    assert len(valid) > 10
    for row in valid.itertuples():
        path = tmp_path / "image.dcm"
        path.write_bytes(bytes_of(hospital, row.path))
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, (row.path, done.stderr)
