"""Boxes are read as they were drawn, lie on the same bone in the prepared image, and find their way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from osteon.dataset import boxes as boxes_of
from osteon.dataset import steps
from osteon.dataset.frame import frame_of, render, turned, window
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import prepare
from osteon.dataset.placement import Placement
from osteon.dataset.steps import FitSquare, RegionOfInterest, RotationAlignment
from osteon.errors import BadTable, Mismatch
from osteon.phantom.patient import draw_patient, draw_shot, truth_of
from osteon.phantom.plan import Plan
from osteon.phantom.projection import Grain
from osteon.tasks import FRACTURE
from osteon.types import Radiograph
from tests.make import SHARED, a_radiograph, some_cases

SIDES = list(boxes_of.SIDES)
EVEN = Grain(np.zeros((96, 96, 96), np.float32))  # no trabecular pattern


def cases() -> pd.DataFrame:
    """Four images of 512 rows and 384 columns, p000/0.dcm to p001/1.dcm, the first two with a fracture."""
    return some_cases(2, fractured=0.5, seed=3).assign(target=[1, 1, 0, 0])


def table(folder: Path, rows: str, header: str = "image,x,y,width,height") -> Path:
    path = folder / "boxes.csv"
    path.write_text(f"{header}\n{rows}\n")
    return path


@pytest.mark.parametrize("name", ["p000/1.dcm", "p000\\1.dcm", "0000" + "0" * 27 + "1"])
def test_a_box_names_its_file_by_path_or_id(tmp_path: Path, name: str) -> None:
    read = boxes_of.read(table(tmp_path, f"{name},10.5,20,30,40.25\n{name},0,0,384,512"), cases())
    assert read["image"].tolist() == [cases()["image"][1]] * 2
    assert read[SIDES].to_numpy().tolist() == [[10.5, 20, 30, 40.25], [0, 0, 384, 512]]


@pytest.mark.parametrize("name", ["wrist.jpg", "wrist"])
def test_a_bare_name_does_where_one_file_has_it(tmp_path: Path, name: str) -> None:
    files = cases().assign(path=["a/x.jpg", "a/wrist.jpg", "b/x.jpg", "x.jpg"])
    assert boxes_of.read(table(tmp_path, f"{name},1,2,3,4"), files)["image"].tolist() == [files["image"][1]]
    assert boxes_of.read(table(tmp_path, "x.jpg,1,2,3,4"), files.assign(target=1))["image"].tolist() == [
        files["image"][3]
    ]
    with pytest.raises(BadTable, match=r"names y\.jpg, and there are a/y\.jpg and b/y\.jpg"):
        boxes_of.read(table(tmp_path, "y.jpg,1,2,3,4"), files.assign(path=["a/y.jpg", "b/y.jpg", "c", "d"]))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "p000/0.dcm,1,2,3,4\np009/0.dcm,1,2,3,4",
            r"boxes on 1 files that the manifest does not hold, e.g. p009/0\.dcm",
        ),
        ("p000/0.dcm,1,2,0,4", r"row 2 \(p000/0\.dcm\).*|no positive width"),
        ("p000/0.dcm,1,2,3,-4", "no positive width and height"),
        ("p000/0.dcm,1,2,3,", "is not four numbers"),
        ("p000/0.dcm,one,2,3,4", "is not four numbers"),
        ("p000/0.dcm,inf,2,3,4", "is not four numbers"),
        ("p000/0.dcm,380,2,6,4", "lies outside its image"),
        ("p000/0.dcm,-2,2,6,4", "lies outside its image"),
        ("p000/0.dcm,10,600,6,4", "lies outside its image"),
        ("p001/0.dcm,1,2,3,4", "labelled as without a finding"),
    ],
)
def test_a_wrong_box_is_an_error_that_names_it(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(BadTable, match=said):
        boxes_of.read(table(tmp_path, rows), cases())


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="has no column height"):
        boxes_of.read(table(tmp_path, "p000/0.dcm,1,2,3", "image,x,y,width"), cases())
    with pytest.raises(BadTable, match="has no column image"):
        boxes_of.read(table(tmp_path, "1,2,3,4", "x,y,width,height"), cases())


def test_what_hangs_over_by_rounding_is_cut_off(tmp_path: Path) -> None:
    read = boxes_of.read(table(tmp_path, "p000/0.dcm,-0.5,500,20,12.6"), cases())
    assert read[SIDES].to_numpy().tolist() == [[0, 500, 19.5, 12]]


def test_a_fracture_of_the_phantom_lies_in_its_box_after_turning_and_cropping() -> None:
    """Where the fracture shows is found by another road: the difference that it makes, led through the same frame."""
    shown = 0
    for seed in range(6):
        plan = Plan(patients=1, subtle=1.0, gap_mm=(1.0, 1.5), rows=400, columns=320)
        patient = draw_patient(plan, seed, 1, True)
        shot = replace(draw_shot(plan, patient, "PA", True, default_rng(seed)), turn_deg=24.0)
        depth = shot.depth(patient.parts, patient.grain)
        pixels = np.round(60000 * depth / depth.max()).astype(np.uint16)
        (part,) = steps.apply((RotationAlignment(), RegionOfInterest(), FitSquare(256)), Radiograph(pixels, 65535))
        placement = Placement.read(str(Placement.of(frame_of(part))))
        assert abs(placement.matrix[0, 1]) > 0.2, "the recipe has turned the image"
        truth = truth_of(patient, shot)
        x, y, width, height = (truth[f"box_{side}"] for side in SIDES)
        # The phantom counts from the centre of the first pixel.
        x, y, width, height = placement.to_prepared(np.array([[x + 0.5, y + 0.5, width, height]]))[0]
        broken = [p for p in patient.parts if p.fragment is not None]
        change = np.clip(shot.depth([patient.intact], EVEN) - shot.depth(broken, EVEN), 0, None)
        frame = replace(frame_of(part), grey=np.arange(256, dtype=np.uint8), covers=())
        drawn = render(Radiograph(np.round(255 * change / change.max()).astype(np.uint8), 255, frame=frame))
        rows, columns = np.nonzero(drawn > 64)
        inside = (columns + 0.5 >= x) & (columns + 0.5 <= x + width) & (rows + 0.5 >= y) & (rows + 0.5 <= y + height)
        if len(rows) > 20:
            shown += 1
            assert inside.mean() > 0.95
            assert width * height < 0.2 * drawn.size
    assert shown >= 3


@settings(max_examples=60)
@given(
    degrees=st.floats(-180, 180),
    corner=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    scale=st.sampled_from((64, 100, 333)),
    box=st.tuples(st.floats(0, 100), st.floats(0, 150), st.floats(0.5, 30), st.floats(0.5, 40)),
)
def test_there_and_back_the_centre_stays_and_an_upright_box_stays_whole(
    degrees: float, corner: tuple[int, int], scale: int, box: tuple[float, ...]
) -> None:
    radiograph = window(a_radiograph(200, 130), top=corner[0], left=corner[1], height=150, width=90)
    for turn in (0.0, 90.0, degrees):
        (part,) = steps.apply((FitSquare(scale),), turned(radiograph, turn))
        placement = Placement.read(str(Placement.of(frame_of(part))))
        there = placement.to_prepared(np.array([box]))
        back = placement.to_source(there)
        centre = np.array(box[:2]) + np.array(box[2:]) / 2
        assert np.abs(back[0, :2] + back[0, 2:] / 2 - centre).max() < 1e-6
        assert (back[0, 2:] >= np.array(box[2:]) - 1e-6).all()
        if turn % 90 == 0:
            assert np.abs(back - box).max() < 1e-6


def test_a_box_covers_what_was_painted_in_it() -> None:
    """By another road: a patch painted into the pixels is found again in the rendered image."""
    painted = np.zeros((200, 130), np.uint8)
    painted[50:90, 30:70] = 255
    part = turned(window(Radiograph(painted, 255), top=20, left=10, height=150, width=100), 17)
    (part,) = steps.apply((FitSquare(300),), part)
    x, y, width, height = Placement.of(frame_of(part)).to_prepared(np.array([[30.0, 50, 40, 40]]))[0]
    rows, columns = np.nonzero(render(part) > 127)
    assert columns.min() == pytest.approx(x, abs=1.5) and columns.max() + 1 == pytest.approx(x + width, abs=1.5)
    assert rows.min() == pytest.approx(y, abs=1.5) and rows.max() + 1 == pytest.approx(y + height, abs=1.5)


def a_prepared_set(folder: Path, size: int = 64) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifests before and after the preparation of three images of 90 to 92 × 70 pixels, all fractured."""
    (folder / "in").mkdir()
    for seed in range(3):
        assert cv2.imwrite(str(folder / "in" / f"{seed}.png"), a_radiograph(90 + seed, 70, seed=seed).pixels)
    with ThreadPoolExecutor(1) as pool:
        manifest = ingest(folder / "in", None, task=FRACTURE, executor=pool).manifest.assign(target=1)
        return manifest, prepare(manifest, folder / "in", (FitSquare(size),), folder / "out", executor=pool).manifest


def test_boxes_on_files_become_boxes_on_prepared_images_and_find_back(tmp_path: Path) -> None:
    manifest, prepared = a_prepared_set(tmp_path)
    drawn = boxes_of.read(table(tmp_path, "1.png,35,45.5,10,8\n0.png,10,20,30,40\n0.png,0,0,70,90"), manifest)
    there = boxes_of.on_prepared(drawn, prepared)
    assert there["image"].tolist() == [manifest["image"][0]] * 2 + [manifest["image"][1]]
    scale = 64 / 90  # 90 × 70 is fitted into a square of 64, in its middle
    assert np.allclose(there[SIDES].to_numpy()[0], [32 + (10 - 35) * scale, 20 * scale, 30 * scale, 40 * scale])
    back = boxes_of.on_source(there.assign(score=[1, 2, 3]), prepared)
    assert back["score"].tolist() == [1, 2, 3]
    wanted = drawn.iloc[[1, 2, 0]]
    assert np.abs(back[SIDES].to_numpy() - wanted[SIDES].to_numpy()).max() < 0.5
    per_image = boxes_of.by_image(there, list(prepared["image"]))
    assert [len(found) for found in per_image] == [2, 1, 0]
    with pytest.raises(Mismatch, match="1 images that the manifest does not hold"):
        boxes_of.on_source(there, prepared[1:])


def test_a_box_that_is_mostly_cropped_away_is_left_out(tmp_path: Path) -> None:
    manifest, prepared = a_prepared_set(tmp_path)
    shifted = replace_placement(prepared, "64 64 1.0 0.0 20.0 0.0 1.0 0.0")  # shows x from 20 to 84
    drawn = boxes_of.read(table(tmp_path, "0.png,5,10,20,20\n0.png,15,10,20,20"), manifest)
    there = boxes_of.on_prepared(drawn, shifted)
    assert there[SIDES].to_numpy().tolist() == [[0, 10, 15, 20]]


def replace_placement(prepared: pd.DataFrame, placement: str) -> pd.DataFrame:
    return prepared.assign(placement=[placement] * len(prepared))


def test_parts_of_a_plate_get_the_boxes_that_they_show(tmp_path: Path) -> None:
    manifest, prepared = a_prepared_set(tmp_path)
    image = manifest["image"][0]
    halves = prepared.iloc[[0, 0]].assign(
        image=[f"{image}-0", f"{image}-1"],
        placement=["90 35 1.0 0.0 0.0 0.0 1.0 0.0", "90 35 1.0 0.0 35.0 0.0 1.0 0.0"],
    )
    drawn = boxes_of.read(table(tmp_path, "0.png,5,10,20,20\n0.png,40,50,10,10"), manifest)
    there = boxes_of.on_prepared(drawn, halves)
    assert there["image"].tolist() == [f"{image}-0", f"{image}-1"]
    assert there[SIDES].to_numpy().tolist() == [[5, 10, 20, 20], [5, 50, 10, 10]]


def test_an_image_prepared_by_an_earlier_version_has_no_place(tmp_path: Path) -> None:
    manifest, prepared = a_prepared_set(tmp_path)
    drawn = boxes_of.read(table(tmp_path, "0.png,5,10,20,20"), manifest)
    with pytest.raises(Mismatch, match="does not say where the prepared images lie"):
        boxes_of.on_prepared(drawn, prepared.drop(columns="placement"))


@pytest.mark.parametrize("text", ["", "64 64 1 0 0 0 1", "64 64 1 0 0 0 1 x", "0 64 1 0 0 0 1 0", "64 64 1 0 0 1 0 0"])
def test_a_text_that_is_no_placement_is_refused(text: str) -> None:
    with pytest.raises(BadTable, match="place"):
        Placement.read(text)


@pytest.mark.shared
def test_the_boxes_of_fracatlas_belong_to_its_files(tmp_path: Path) -> None:
    data = SHARED / "fracatlas"
    labels = pd.read_csv(data / "labels.csv").query("fractured == 1").reset_index(drop=True)
    size = [cv2.imread(str(data / "images" / name), cv2.IMREAD_GRAYSCALE).shape for name in labels["image"][:60]]
    manifest = pd.DataFrame({"image": [f"{i:032x}" for i in range(60)], "path": labels["image"][:60], "target": 1})
    manifest = manifest.assign(rows=[s[0] for s in size], columns=[s[1] for s in size])
    drawn = pd.read_csv(data / "boxes.csv")
    drawn[drawn["image"].isin(manifest["path"])].to_csv(tmp_path / "some.csv", index=False)
    read = boxes_of.read(tmp_path / "some.csv", manifest)
    assert len(read) >= 60 and read["image"].nunique() == 60
    with pytest.raises(BadTable, match="files that the manifest does not hold"):
        boxes_of.read(data / "boxes.csv", manifest)
