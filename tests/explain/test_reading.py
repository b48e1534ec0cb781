"""A bundle keeps what the checks of its explanations came to, and reading with it obeys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon import reader
from osteon.dataset.steps import FitSquare
from osteon.errors import BadTable
from osteon.explain.pictures import overlay_of
from osteon.learn import bundle as bundles
from osteon.learn.bundle import Bundle
from osteon.types import Calibration
from tests.explain.planted import random_head
from tests.learn.nets import TINY, grey_image


def a_bundle(**shown: bool) -> Bundle:
    record = {"data": "planted", "methods": {name.replace("_", "-"): {"shown": ok} for name, ok in shown.items()}}
    return Bundle(
        random_head(TINY),
        (FitSquare(64),),
        "fracture",
        Calibration(1.0, 0.0, 20, 0.5),
        {"youden": 0.5},
        (64, 64),
        explanations=record if shown else None,
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), grey_image(64, 64, seed=2))
    return path


def test_the_method_that_has_passed_is_drawn(image: Path, tmp_path: Path) -> None:
    bundle = a_bundle(grad_cam=False, hires_cam=True)
    (read,) = reader.read([image], bundle, overlays=tmp_path / "overlays").images
    drawn = cv2.imread(str(tmp_path / "overlays" / read.overlay))
    assert drawn is not None
    assert np.array_equal(drawn[..., ::-1], overlay_of(bundle.classifier, grey_image(64, 64, seed=2), "hires-cam"))
    assert "overlay by hires-cam" in read.notes


def test_where_none_has_passed_nothing_is_drawn_and_the_reading_says_so(image: Path, tmp_path: Path) -> None:
    (read,) = reader.read([image], a_bundle(grad_cam=False), overlays=tmp_path / "overlays").images
    assert read.overlay == "" and not (tmp_path / "overlays").exists()
    assert any("no method of explanation has passed" in note for note in read.notes)


def test_what_nobody_has_checked_is_drawn_with_a_note(image: Path, tmp_path: Path) -> None:
    (read,) = reader.read([image], a_bundle(), overlays=tmp_path / "overlays").images
    assert read.overlay and any("has not been checked" in note for note in read.notes)
    (read,) = reader.read([image], a_bundle()).images
    assert not any("overlay" in note for note in read.notes)


def test_a_bundle_keeps_its_record_and_without_one_its_bytes(tmp_path: Path) -> None:
    bundles.save(a_bundle(lrp=True), tmp_path / "with")
    assert bundles.load(tmp_path / "with").explanations == a_bundle(lrp=True).explanations
    bundles.save(a_bundle(), tmp_path / "without")
    assert "explanations" not in (tmp_path / "without" / "bundle.json").read_text()
    assert bundles.load(tmp_path / "without").explanations is None
    described = json.loads((tmp_path / "with" / "bundle.json").read_text())
    (tmp_path / "with" / "bundle.json").write_text(json.dumps(described | {"explanations": [1]}))
    with pytest.raises(BadTable, match="record of checked explanations"):
        bundles.load(tmp_path / "with")


def test_a_damaged_record_is_an_error_not_a_picture(image: Path, tmp_path: Path) -> None:
    bundle = replace(a_bundle(), explanations={"methods": {"lrp": {}}})
    with pytest.raises(BadTable, match="damaged"):
        reader.read([image], bundle, overlays=tmp_path / "overlays")
