"""Copies are moved as they say: what was painted into an image is found in its copies, where the affine leads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon.dataset.placement import Placement
from osteon.errors import Mismatch
from osteon.learn.augmentation import Augmentation
from osteon.learn.detector.box_targets import covered, seen_in
from osteon.learn.detector.views import copy_name, write_views

SIZE = (120, 160)
BOX = np.array([[60.0, 40, 40, 24]])


def painted(folder: Path, count: int = 3) -> dict[str, Path]:
    """Black images with a grey patch at BOX."""
    folder.mkdir()
    images = {}
    for number in range(count):
        pixels = np.zeros(SIZE, np.uint8)
        pixels[40:64, 60:100] = 200
        images[f"image{number}"] = folder / f"{number}.png"
        cv2.imwrite(str(images[f"image{number}"]), pixels)
    return images


def test_a_patch_lies_where_the_affine_leads(tmp_path: Path) -> None:
    images = painted(tmp_path / "images")
    views = write_views(images, tmp_path / "views", copies=4, seed=0)
    assert list(views.images) == [copy_name(image, number) for image in images for number in range(1, 5)]
    assert views.moved.shape == (3, 4, 2, 3)
    turned = 0
    for place, path in enumerate(views.images.values()):
        matrix = views.moved[place // 4, place % 4]
        copy = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert copy is not None and copy.shape == SIZE
        rows, columns = np.nonzero(copy > copy.max() / 2)
        x, y, width, height = Placement(SIZE, matrix).to_prepared(BOX)[0]
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.allclose(found, (x, y, x + width, y + height), atol=1.6)
        turned += abs(matrix[0, 1]) > 0.1
    assert turned >= 4, "most copies are turned"


def test_the_targets_of_a_copy_are_those_of_its_boxes_and_of_their_mirror_image(tmp_path: Path) -> None:
    views = write_views(painted(tmp_path / "images", 1), tmp_path / "views", copies=2, seed=1)
    seen = [seen_in(BOX, SIZE, view, moved=views.moved[0]) for view in range(6)]
    assert np.array_equal(seen[0], BOX) and np.array_equal(seen[1], seen_in(BOX, SIZE, 1))
    for copy in range(2):
        there = Placement(SIZE, views.moved[0, copy]).to_prepared(BOX)
        plain, mirrored = (covered(seen[2 + 2 * copy + flip], SIZE, 16) for flip in range(2))
        assert np.array_equal(plain, covered(there, SIZE, 16))
        assert np.allclose(mirrored, plain[:, ::-1])  # 16 divides the width


def test_a_finding_that_was_moved_out_of_a_copy_is_not_in_its_targets() -> None:
    moved = np.array([[[1.0, 0, 90], [0, 1, 0]]])  # shows what lies 90 pixels further right
    assert [len(seen_in(BOX, SIZE, view, moved=moved)) for view in range(4)] == [1, 1, 0, 0]


def test_copies_are_the_same_whenever_and_with_whomever_they_are_made(tmp_path: Path) -> None:
    images = painted(tmp_path / "images")
    first = write_views(images, tmp_path / "a", copies=2, seed=0)
    some = write_views(dict(list(images.items())[1:]), tmp_path / "b", copies=1, seed=0)
    for name, path in some.images.items():
        assert path.read_bytes() == first.images[name].read_bytes()
    times = {path: path.stat().st_mtime_ns for path in first.images.values()}
    again = write_views(images, tmp_path / "a", copies=2, seed=0)
    assert {path: path.stat().st_mtime_ns for path in again.images.values()} == times
    assert np.array_equal(again.moved, first.moved)
    cv2.imwrite(str(images["image0"]), np.full(SIZE, 9, np.uint8))  # prepared anew
    anew = write_views(images, tmp_path / "a", copies=2, seed=0)
    assert [a != b for a, b in zip(anew.images.values(), first.images.values(), strict=True)] == [True] * 2 + [
        False
    ] * 4


def test_a_folder_of_other_copies_is_refused(tmp_path: Path) -> None:
    images = painted(tmp_path / "images", 1)
    write_views(images, tmp_path / "views", copies=1, seed=0)
    with pytest.raises(Mismatch, match="moved in another way"):
        write_views(images, tmp_path / "views", copies=1, seed=1)
    with pytest.raises(ValueError, match="not mirrored"):
        write_views(images, tmp_path / "other", copies=1, seed=0, augmentation=Augmentation())
