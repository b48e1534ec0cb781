"""Whole cohorts: the same bytes again, tables that agree, and nothing that gives the class away but the fracture."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from osteon import files
from osteon.dicom.read import read
from osteon.errors import BadTable, UnknownName
from osteon.phantom.cohort import AS_READ, Chance, Plan, even, make_cohort
from osteon.phantom.patient import make_patient, views_of, views_showing
from osteon.phantom.syntaxes import SYNTAXES

SMALL = Plan(patients=24, rows=320, columns=256, inverted=even(0.15))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    make_cohort(SMALL, folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def truth(cohort) -> pd.DataFrame:
    return pd.read_parquet(cohort / "truth.parquet")


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_workers(tmp_path):
    plan = Plan(patients=3, rows=256, columns=250)
    for name, seed, workers in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        make_cohort(plan, tmp_path / name, seed=seed, workers=workers)
    digests = [files.digest_of(tmp_path / name) for name in ("one", "two", "other")]
    assert digests[0] == digests[1] != digests[2]


def test_an_error_leaves_the_earlier_cohort_and_nothing_else(tmp_path):
    plan = Plan(patients=2, rows=250, columns=250, views=("PA",))
    make_cohort(plan, tmp_path / "cohort", seed=1)
    before = files.digest_of(tmp_path / "cohort")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cohort(plan, tmp_path / "cohort", seed=2, progress=stop)
    assert files.digest_of(tmp_path / "cohort") == before
    assert [p.name for p in tmp_path.iterdir()] == ["cohort"]


def test_progress_counts_patients(tmp_path):
    seen: list[tuple[int, int]] = []
    plan = Plan(patients=3, rows=250, columns=250, views=("PA",))
    make_cohort(plan, tmp_path / "c", seed=0, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_tables_and_files_agree(cohort, truth):
    labels = pd.read_csv(cohort / "labels.csv", dtype={"study": str})
    assert list(labels.columns) == ["study", "fractured", "hardware", "cast"]
    assert labels["study"].is_unique and set(labels["study"]) == set(truth["study"])
    assert labels["fractured"].sum() == 12
    joined = truth.merge(labels, on="study", suffixes=("", "_label"))
    assert (joined["fractured"] == joined["fractured_label"]).all()
    assert ((joined["hardware"] != "") == (joined["hardware_label"] == 1)).all()
    assert {p.relative_to(cohort).as_posix() for p in cohort.rglob("*.dcm")} == set(truth["path"])
    for row in truth.itertuples():
        dataset = pydicom.dcmread(cohort / row.path, stop_before_pixels=True)
        assert (dataset.StudyInstanceUID, dataset.SOPInstanceUID) == (row.study, row.instance)
        assert (dataset.PatientID, dataset.ViewPosition, dataset.ImageLaterality) == (row.patient, row.view, row.side)
        assert dataset.file_meta.TransferSyntaxUID == row.transfer_syntax
        assert dataset.PhotometricInterpretation == row.photometric
        assert [float(v) for v in dataset.ImagerPixelSpacing] == pytest.approx([0.3, 0.3])


def test_a_cohort_has_variety(truth):
    assert set(truth["photometric"]) == {"MONOCHROME1", "MONOCHROME2"}
    assert truth["transfer_syntax"].nunique() >= 5
    assert set(truth["side"]) == {"L", "R"} and truth["inverted"].any() and not truth["inverted"].all()
    broken = truth[truth["fractured"] == 1]
    assert (broken["displacement_mm"] > 0).any() and (broken["displacement_mm"] == 0).any()


def test_truth_speaks_of_a_fracture_only_where_there_is_one(truth):
    broken, whole = truth[truth["fractured"] == 1], truth[truth["fractured"] == 0]
    boxes = ["box_x", "box_y", "box_width", "box_height", "box_centre_x", "box_centre_y"]
    assert whole[boxes].isna().all(axis=None) and not whole["visible"].any() and (whole["kind"] == "").all()
    assert broken[boxes].notna().all(axis=None) and (broken["gap_mm"] >= 0.2).all()
    np.testing.assert_allclose(broken["box_centre_x"], broken["box_x"] + broken["box_width"] / 2)
    assert (broken["visible"] == (broken["contrast"] >= 0.05)).all()


def test_bone_is_white_unless_the_truth_says_inverted(cohort, truth):
    for row in truth[(truth["hardware"] == "") & ~truth["cast"]].itertuples():
        pixels = read(cohort / row.path).pixels
        beside = np.hstack([pixels[160:, :6], pixels[160:, -6:]])  # air, beside the forearm
        assert (pixels[140:180, 108:148].mean() > np.median(beside)) != row.inverted


def pair(plan: Plan, number: int, folder: Path) -> list[tuple[bytes, dict]]:
    """The images of one patient without and with a fracture, all else being equal."""
    made = []
    for fractured in (False, True):
        rows = make_patient(plan, 3, number, fractured, folder / str(fractured))
        made += [((folder / str(fractured) / row["path"]).read_bytes(), row) for row in rows]
    return made


NEUTRAL = replace(
    SMALL, turned=even(0.5), inverted=even(0.3), marker=even(0.5), hardware=even(0.5), cast=even(0.5), views=("PA",)
)


@pytest.mark.parametrize("number", range(1, 7))
def test_the_class_moves_nothing_but_the_fracture(number, tmp_path):
    """With and without a fracture, a patient of a neutral cohort has the same tags, pose, metal, letter and size."""
    (whole_bytes, whole), (broken_bytes, broken) = pair(NEUTRAL, number, tmp_path)
    for name in (
        "path",
        "side",
        "turn_deg",
        "inverted",
        "marker",
        "hardware",
        "cast",
        "transfer_syntax",
        "photometric",
    ):
        assert whole[name] == broken[name]
    first, second = (pydicom.dcmread(io.BytesIO(b)) for b in (whole_bytes, broken_bytes))
    pixels = {"PixelData", "WindowCenter", "WindowWidth"}  # the window follows the grey values
    tags = [{e.keyword: str(e.value) for e in d if e.keyword not in pixels} for d in (first, second)]
    assert tags[0] == tags[1]
    assert len(broken_bytes) == pytest.approx(len(whole_bytes), rel=0.03)


def test_simple_tags_and_file_size_do_not_tell_the_class(cohort, truth):
    studies = truth.drop_duplicates("study").reset_index(drop=True)
    headers = [pydicom.dcmread(cohort / p, stop_before_pixels=True) for p in studies["path"]]
    clues = {
        "size": [(cohort / p).stat().st_size for p in studies["path"]],
        "age": [int(h.PatientAge[:3]) for h in headers],
        "sex": [h.PatientSex == "F" for h in headers],
        "device": [h.ManufacturerModelName > "Phantom D" for h in headers],
        "side": studies["side"] == "L",
        "date": [int(h.StudyDate) for h in headers],
        "window": [float(h.WindowWidth) / 2**h.BitsStored for h in headers],
        "marker": studies["marker"] != "",
        "syntax": studies["transfer_syntax"].str.len(),
    }
    error = np.sqrt((len(studies) + 1) / 12 / 12 / 12)  # of an AUROC of 0.5, twelve patients a class
    for name, clue in clues.items():
        area = roc_auc_score(studies["fractured"], np.asarray(clue, float))
        assert abs(area - 0.5) < 3 * error, name


def test_a_planted_shortcut_is_there(tmp_path):
    plan = Plan(patients=6, rows=250, columns=250, views=("PA",), marker=Chance(1, 0), cast=Chance(0, 1))
    assert plan.planted == ("marker", "cast") and SMALL.planted == ()
    make_cohort(plan, tmp_path / "c", seed=0)
    truth = pd.read_parquet(tmp_path / "c" / "truth.parquet")
    assert ((truth["marker"] != "") == (truth["fractured"] == 1)).all()
    assert (truth["cast"] == (truth["fractured"] == 0)).all()


@settings(max_examples=10)
@given(
    rows=st.integers(250, 420),
    columns=st.integers(250, 420),
    field_mm=st.floats(60, 200),
    views=st.lists(st.sampled_from(("PA", "LAT", "OBL")), min_size=1, max_size=2),
    syntax=st.sampled_from(sorted(SYNTAXES)),
    turn_deg=st.floats(0, 180),
    fractured=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_any_plan_gives_images_that_can_be_read(
    tmp_path_factory, rows, columns, field_mm, views, syntax, turn_deg, fractured, seed
):
    plan = Plan(
        rows=rows, columns=columns, field_mm=field_mm, views=tuple(views), syntaxes=(syntax,), turn_deg=turn_deg,
        turned=even(1), hardware=even(0.5), cast=even(0.5),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    made = make_patient(plan, seed, 1, fractured, folder)
    assert [row["view"] for row in made] == views
    for row in made:
        image = read(folder / row["path"])
        assert image.pixels.shape == (rows, columns) and np.ptp(image.pixels) > 0.5 * image.white
        assert image.header.spacing_mm == pytest.approx((field_mm / rows,) * 2, abs=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 0},
        {"fractured": 1.2},
        {"rows": 100},
        {"columns": 5000},
        {"gap_mm": (2.0, 1.0)},
        {"views": ()},
        {"quanta_per_mm2": 0.0},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused_with_a_remedy(wrong):
    with pytest.raises(BadTable, match=";"):
        Plan(**wrong)


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(UnknownName, match="LAT"):
        Plan(views=("AP",))
    with pytest.raises(UnknownName, match="jpeg-ls"):
        Plan(syntaxes=("gif",))
    with pytest.raises(BadTable, match="probability"):
        Chance(0.5, 1.5)


@pytest.mark.system("dicom3tools")
def test_dciodvfy_finds_no_error_in_a_cohort_of_both_classes(cohort, truth):
    assert set(truth["fractured"]) == {0, 1}
    for path in truth["path"]:
        done = subprocess.run(["dciodvfy", str(cohort / path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr


def test_studies_have_as_many_of_the_views_as_the_plan_says_and_nothing_else_changes() -> None:
    some = Plan(patients=400, views=("PA", "LAT", "OBL"), instances=(0.5, 0.3, 0.2))
    shown = [views_of(some, 3, number) for number in range(1, 401)]
    assert set(shown) == {("PA",), ("PA", "LAT"), ("PA", "LAT", "OBL")}
    shares = np.bincount([len(views) for views in shown])[1:] / 400
    assert np.abs(shares - some.instances).max() < 0.08  # more than three standard deviations
    assert views_of(replace(some, instances=()), 3, 7) == some.views
    for wrong in ((0.5, 0.4), (0.5, 0.2, 0.2, 0.1), (1.5, -0.5)):
        with pytest.raises(BadTable, match="shares of studies"):
            replace(some, instances=wrong)


def test_a_study_of_fewer_views_has_the_images_that_it_would_have_with_all(tmp_path: Path) -> None:
    all_views, fewer = replace(SMALL, patients=1), replace(SMALL, patients=1, instances=(1.0,))
    assert make_cohort(all_views, tmp_path / "all", seed=1) == len(SMALL.views)
    assert make_cohort(fewer, tmp_path / "one", seed=1) == 1
    first = "dicom/PH0001/1.dcm"
    assert (tmp_path / "all" / first).read_bytes() == (tmp_path / "one" / first).read_bytes()


def test_a_view_that_does_not_show_the_fracture_is_that_of_the_unbroken_wrist(tmp_path):
    plan = Plan(patients=1, fractured=1, subtle=0, gap_mm=(2, 2), rows=256, columns=250, shown=(0, 1, 0))
    hidden = make_patient(plan, 3, 1, True, tmp_path / "hidden")
    shown = make_patient(replace(plan, shown=(1, 0, 0)), 3, 1, True, tmp_path / "shown")
    intact = make_patient(plan, 3, 1, False, tmp_path / "intact")
    assert sorted(row["visible"] for row in hidden) == [False, True]
    assert all(row["fractured"] for row in hidden)
    for row, with_it, without in zip(hidden, shown, intact, strict=True):
        paths = (tmp_path / "hidden" / row["path"], tmp_path / "shown" / row["path"], tmp_path / "intact" / row["path"])
        mine, broken, whole = (pydicom.dcmread(path).pixel_array for path in paths)
        expected = broken if row["visible"] else whole
        assert np.array_equal(mine, expected)
        assert not np.array_equal(broken, whole)
        twin = with_it if row["visible"] else without
        assert {k: row[k] for k in ("visible", "contrast", "kind")} == {
            k: twin[k] for k in ("visible", "contrast", "kind")
        }


def test_views_show_the_fracture_as_often_as_planned():
    plan = Plan(views=("PA", "LAT", "OBL", "LAT"), shown=AS_READ)
    counts = np.array([views_showing(plan, 0, number, 4).sum() for number in range(3000)])
    shares = [(counts == k).mean() for k in (4, 2, 1)]
    assert np.allclose(shares, AS_READ, atol=0.03)
    assert all(views_showing(plan, 0, number, 1).all() for number in range(50))


def test_labels_are_wrong_as_often_as_planned_and_the_truth_is_not(tmp_path):
    plan = Plan(patients=10, views=("PA",), rows=250, columns=250, mislabelled=0.3)
    make_cohort(plan, tmp_path / "wrong", seed=4)
    make_cohort(replace(plan, mislabelled=0), tmp_path / "right", seed=4)
    tables = [pd.read_csv(tmp_path / name / "labels.csv") for name in ("wrong", "right")]
    assert (tables[0]["fractured"] != tables[1]["fractured"]).sum() == 3
    assert set(tables[0]["fractured"]) == {0, 1}
    truths = [pd.read_parquet(tmp_path / name / "truth.parquet") for name in ("wrong", "right")]
    pd.testing.assert_frame_equal(*truths)


@pytest.mark.parametrize("wrong", [{"shown": (0.5, 0.4, 0.0)}, {"shown": (1.2, -0.2, 0.0)}, {"mislabelled": 1.5}])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(BadTable):
        Plan(**wrong)
