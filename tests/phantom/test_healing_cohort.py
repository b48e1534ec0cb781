"""Cohorts of healing tibiae: published numbers, tables that agree with the files, and nothing that gives union away."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from osteon import files
from osteon.cli import app
from osteon.dicom.read import read
from osteon.errors import BadTable, UnknownName
from osteon.phantom.healing import CORTICES, COUNTS, SHOWN, draw_healing
from osteon.phantom.healing_cohort import ByUnion, HealingPlan, Spoilt, always, make_healing_cohort, plan_visits
from osteon.phantom.healing_patient import draw_patient, draw_scene, streams
from osteon.phantom.healing_plan import healing_plan

SMALL = HealingPlan(patients=24, spoilt_ap=Spoilt(0.15, (0.1, 0.1)), spoilt_lat=Spoilt(0.1, (0.1, 0.1)))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("healing") / "cohort"
    made = make_healing_cohort(SMALL, folder, seed=1)
    assert made["images"] == len(list(folder.rglob("*.dcm")))
    return folder


@pytest.fixture(scope="module")
def truth(cohort) -> pd.DataFrame:
    return pd.read_parquet(cohort / "truth.parquet")


@pytest.fixture(scope="module")
def labels(cohort) -> pd.DataFrame:
    return pd.read_csv(cohort / "labels.csv", dtype=dict.fromkeys(CORTICES, "Int8"))


@pytest.fixture(scope="module")
def ratings(cohort) -> pd.DataFrame:
    return pd.read_csv(cohort / "ratings.csv", dtype={**dict.fromkeys(CORTICES, "Int8"), "total": "Int8"})


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_workers(tmp_path):
    plan = HealingPlan(patients=3)
    for name, seed, workers in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        make_healing_cohort(plan, tmp_path / name, seed=seed, workers=workers)
    digests = [files.digest_of(tmp_path / name) for name in ("one", "two", "other")]
    assert digests[0] == digests[1] != digests[2]


def test_the_default_cohort_has_the_published_numbers():
    visits = [v for those in plan_visits(HealingPlan(), seed=3) for v in those]
    assert len(plan_visits(HealingPlan(), seed=3)) == 1207
    images = [(view, spoilt) for v in visits for view, spoilt in v.spoilt.items()]
    assert len(images) == 2936 and sum(spoilt != "" for _, spoilt in images) == 494
    for view, count in (("AP", 1493), ("LAT", 1443)):
        reasons = [spoilt for v, spoilt in images if v == view]
        assert len(reasons) == count
        for cortex in SHOWN[view]:
            graded = sum(r not in ("both", CORTICES[cortex]) for r in reasons)
            assert graded == COUNTS[cortex].sum()
    complete = sum(len(v.spoilt) == 2 and not any(v.spoilt.values()) for v in visits)
    assert complete == pytest.approx(1118, rel=0.02)
    assert {v.month for v in visits} == {0, 3, 6, 12}


def test_a_patient_comes_once_a_month_and_in_order():
    for visits in plan_visits(HealingPlan(patients=200, visits=(1, 1, 1, 1)), seed=0):
        months = [v.month for v in visits]
        assert months == sorted(set(months))


def test_tables_and_files_agree(cohort, truth, labels, ratings):
    assert list(labels.columns) == ["image", "patient", "study", "month", "view", *CORTICES]
    assert list(ratings.columns) == ["study", "patient", "month", "rater", *CORTICES, "total"]
    assert labels["image"].tolist() == truth["image"].tolist() and labels["image"].is_unique
    assert {p.relative_to(cohort).as_posix() for p in cohort.rglob("*.dcm")} == set(labels["image"])
    assert set(ratings["rater"]) == {"A", "B"} and not ratings.duplicated(["study", "rater"]).any()
    for row in truth.itertuples():
        dataset = pydicom.dcmread(cohort / row.image, stop_before_pixels=True)
        assert (dataset.StudyInstanceUID, dataset.SOPInstanceUID) == (row.study, row.instance)
        assert (dataset.PatientID, dataset.ViewPosition, dataset.ImageLaterality) == (row.patient, row.view, row.side)
        assert dataset.file_meta.TransferSyntaxUID == row.transfer_syntax
        assert float(dataset.ImagerPixelSpacing[0]) == pytest.approx(row.spacing_mm, abs=1e-5)


def test_labels_are_what_rater_a_gave_for_the_cortices_of_the_view(truth, labels, ratings):
    first = ratings[ratings["rater"] == "A"].set_index("study")
    for row, true in zip(labels.itertuples(), truth.itertuples(), strict=True):
        for k, cortex in enumerate(CORTICES):
            given = getattr(row, cortex)
            if k not in SHOWN[row.view]:
                assert given is pd.NA
            else:
                assert given == first.loc[row.study, cortex]
                assert (given == 0) == (true.spoilt != "" or true.hidden == cortex)


def test_a_total_needs_all_four_grades(ratings):
    grades = ratings[list(CORTICES)]
    complete = (grades.fillna(0) > 0).all(axis=1)
    assert complete.any() and not complete.all()
    assert ratings.loc[~complete, "total"].isna().all()
    assert (ratings.loc[complete, "total"] == grades[complete].sum(axis=1)).all()


def test_both_views_of_a_visit_have_one_truth(truth):
    for _, visit in truth.groupby("study"):
        assert len(visit[[*CORTICES, "total", "united", "implant", "cast", "side"]].drop_duplicates()) == 1
    assert (truth["total"] == truth[list(CORTICES)].sum(axis=1)).all()


def test_bone_is_white_and_lies_in_the_image(cohort, truth):
    for row in truth[(truth["implant"] == "") & (truth["hidden"] == "") & (truth["spoilt"] == "")].itertuples():
        pixels = read(cohort / row.image).pixels
        assert pixels.shape == (320, 256)
        y, x = round(row.box_centre_y), round(row.box_centre_x)
        assert 40 < y < 280 and 40 < x < 216
        assert pixels[y - 40 : y - 25, x - 5 : x + 6].mean() > 1.5 * np.median(pixels[:, [0, -1]])


def test_faint_images_are_noisy_and_moved_ones_blurred(cohort, truth):
    def detail(row) -> float:
        pixels = read(cohort / row.image).pixels.astype(float)
        return float(np.abs(np.diff(pixels[:, 100:156], axis=0)).mean() / np.ptp(pixels))

    sharp = [detail(r) for r in truth[truth["spoilt"] == ""].itertuples()]
    faint = [detail(r) for r in truth[truth["spoilt"] == "faint"].itertuples()]
    assert len(faint) and min(faint) > 2 * np.median(sharp)
    assert (truth["spoilt"] == "moved").any()


def test_what_heals_moves_nothing_else():
    plan = replace(SMALL, nail=always(0.4), plate=always(0.3), cast=always(0.5))
    for number, visits in enumerate(plan_visits(plan, seed=2)[:8], start=1):
        patient = draw_patient(plan, 2, number, [v.month for v in visits])
        scenes = [
            draw_scene(plan, patient, visits[0], np.full(4, grade, np.int8), streams(2, number, len(visits))[5])
            for grade in (1, 2, 3, 4)
        ]
        for scene in scenes[1:]:
            assert (scene.implant, scene.cast) == (scenes[0].implant, scenes[0].cast)
            for view, shot in scene.shots.items():
                first = scenes[0].shots[view]
                assert (shot.centre, shot.turn_deg, shot.spacing_mm) == (first.centre, first.turn_deg, first.spacing_mm)


def test_a_planted_shortcut_is_there(tmp_path):
    plan = replace(SMALL, patients=12, united=11, nail=ByUnion(0, 1), cast=ByUnion(1, 0), marker=ByUnion(0, 1))
    assert plan.planted == ("nail", "cast", "marker") and SMALL.planted == ()
    make_healing_cohort(plan, tmp_path / "c", seed=0)
    truth = pd.read_parquet(tmp_path / "c" / "truth.parquet")
    assert 0 < truth["united"].mean() < 1
    assert ((truth["implant"] == "nail") == ~truth["united"]).all() and (truth["cast"] == truth["united"]).all()
    assert ((truth["marker"] == "") == truth["united"]).all()


def test_the_month_of_a_visit_says_little_about_its_grades():
    """Grades progress within a patient, yet the frequency of grades in each month, fitted on half, ranks hardly."""
    plan, rng = HealingPlan(patients=4000), np.random.default_rng(6)
    months, grades, fit = [], [], []
    for number, visits in enumerate(plan_visits(plan, seed=6), start=1):
        healing = draw_healing([v.month for v in visits], plan.pace, plan.between, rng)
        months += [v.month for v in visits]
        grades += healing.grades().tolist()
        fit += [number % 2] * len(visits)
    month, grade, fitted = np.array(months), np.array(grades), np.array(fit) == 1
    areas = []
    for cortex in range(4):
        for g in (1, 2, 3, 4):
            hit = grade[:, cortex] == g
            share = {m: hit[fitted & (month == m)].mean() for m in (0, 3, 6, 12)}
            areas.append(roc_auc_score(hit[~fitted], [share[m] for m in month[~fitted]]))
    assert 0.5 < np.mean(areas) <= 0.6 and max(areas) < 0.65


def test_a_plan_from_the_command_line_keeps_what_is_not_given():
    plan = healing_plan(patients=7, visits=4, cast=0.5, nail=None)
    assert (plan.patients, plan.visits, plan.cast) == (7, (0, 0, 0, 1), always(0.5))
    assert plan.nail == HealingPlan().nail and healing_plan() == HealingPlan()


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 0},
        {"visits": (0, 0)},
        {"visits": (1, 1, 1, 1, 1)},
        {"views": (1, -1, 0)},
        {"icc": 1.2},
        {"pace": 5.0},
        {"united": 17},
        {"rows": 100},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused_with_a_remedy(wrong):
    with pytest.raises(BadTable, match=";"):
        HealingPlan(**wrong)


def test_a_wrong_name_or_chance_is_refused():
    with pytest.raises(UnknownName, match="jpeg-ls"):
        HealingPlan(syntaxes=("gif",))
    with pytest.raises(BadTable, match="probability"):
        ByUnion(0.5, 1.5)
    with pytest.raises(BadTable, match="probability"):
        Spoilt(0.6, (0.3, 0.3))
    with pytest.raises(BadTable, match="seed"):
        make_healing_cohort(SMALL, Path("nowhere"), seed=-1)


def test_options_that_do_not_fit_healing_are_refused():
    for words in (["--healing", "--turned", "0.1"], ["--visits", "2"]):
        done = CliRunner().invoke(app, ["phantom", "nowhere", *words])
        assert done.exit_code == 2 and "--healing" in done.output


@pytest.mark.system("dicom3tools")
def test_dciodvfy_finds_no_error(cohort, truth):
    for path in truth["image"]:
        done = subprocess.run(["dciodvfy", str(cohort / path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr
