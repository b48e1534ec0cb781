from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps import CollimationCrop
from osteon.dataset.steps.collimation import cropped_to_field
from osteon.dataset.steps.field import exposed_field, median
from osteon.phantom.plates import KINDS, draw_plate
from osteon.types import Radiograph

SEEDS = st.integers(0, 2**32 - 1)
SITE_KINDS = tuple(kind for kind in KINDS if kind != "joined")  # two exposures have two fields


def a_limb(height: int = 480, width: int = 360, seed: int = 0) -> NDArray[np.uint8]:
    """A tapering limb with a bone in it, on a dim ground: everything but straight edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    middle = width / 2 + 0.06 * width * np.sin(y / height * 3)
    half = width * (0.16 + 0.12 * y / height + 0.02 * np.sin(y / 23))
    deep = np.sqrt(np.clip(1 - ((x - middle) / half) ** 2, 0, 1))
    bone = np.abs(x - middle) < 0.3 * half
    values = 40 + 90 * deep + 60 * bone + rng.normal(0, 3, (height, width))
    return np.clip(values, 0, 255).astype(np.uint8)


def framed(image: NDArray[np.uint8], box: tuple[int, int, int, int], value: int) -> NDArray[np.uint8]:
    """The image, blank but for the box (left, top, right, bottom)."""
    out = np.full_like(image, value)
    left, top, right, bottom = box
    out[top:bottom, left:right] = image[top:bottom, left:right]
    return out


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("negative", [False, True])
def test_a_framed_image_is_cropped_to_what_the_frame_leaves(value: int, negative: bool) -> None:
    box = (40, 60, 330, 430)
    image = framed(a_limb(), box, value)
    image = (255 - image).astype(np.uint8) if negative else image
    (cropped,) = CollimationCrop()(Radiograph(image, 255))
    placed = frame.frame_of(cropped)
    assert placed.matrix[:, 2] == pytest.approx(box[:2], abs=6)
    assert placed.size == pytest.approx((370, 290), abs=10)
    assert (placed.matrix[:, 2] <= box[:2]).all()  # rather a line too much than one too few
    assert "cropped to the exposed field, from 360 × 480 to" in cropped.notes[0]


def test_one_side_is_cropped_where_only_one_is_shut() -> None:
    image = framed(a_limb(), (0, 0, 360, 400), 255)
    (cropped,) = CollimationCrop()(Radiograph(image, 255))
    assert frame.frame_of(cropped).size == (pytest.approx(400, abs=6), 360)


@pytest.mark.parametrize("degrees", [-30.0, -6.0, 4.0, 20.0])
def test_a_turned_field_is_turned_back_and_cropped(degrees: float) -> None:
    image = a_limb()
    matrix = cv2.getRotationMatrix2D((179.5, 239.5), degrees, 1.0)
    matrix[:, 2] += 120
    plate = cv2.warpAffine(image, matrix, (600, 720), flags=cv2.INTER_LINEAR, borderValue=255).astype(np.uint8)
    (cropped,) = CollimationCrop()(Radiograph(plate, 255))
    assert frame.frame_of(cropped).size == pytest.approx((480, 360), abs=14)
    turned = float(cropped.notes[0].split("after a turn by ")[1].removesuffix("°"))
    assert turned == pytest.approx(-degrees, abs=0.5)
    got = cv2.resize(frame.render(cropped), (360, 480)).astype(float)
    assert np.corrcoef(got[20:-20, 20:-20].ravel(), image[20:-20, 20:-20].ravel())[0, 1] > 0.9


def test_an_image_without_a_frame_stays_whole() -> None:
    for seed in range(5):
        image = a_limb(seed=seed)
        assert exposed_field(image).edges == ()
        assert (cropped_to_field(image) == image).all()


def test_a_thin_border_stays() -> None:
    image = framed(a_limb(), (5, 5, 355, 475), 255)  # less than 2 % a side
    assert (cropped_to_field(image) == image).all()


def test_the_field_of_an_image_and_of_its_negative_are_the_same() -> None:
    image = framed(a_limb(), (40, 60, 330, 430), 255)
    one, other = exposed_field(image), exposed_field((255 - image).astype(np.uint8))
    assert np.mean(one.mask() == other.mask()) > 0.99
    assert one.mask().mean() == pytest.approx(290 * 370 / image.size, rel=0.05)


def test_the_crop_of_phantom_plates_comes_closer_to_their_field_and_costs_no_bone() -> None:
    closer, hurt = [], 0
    for seed in range(24):
        plate = draw_plate(default_rng((4_200, seed)), kind=SITE_KINDS[seed % len(SITE_KINDS)], rows=450, columns=350)
        kept = exposed_field(frame.proxy_pixels(plate.radiograph())).mask()
        hurt += bool((plate.bone & ~kept).any())
        if plate.collimation:
            field = np.zeros(kept.shape, np.uint8)
            cv2.fillPoly(field, [np.round(corners).astype(np.int32) for corners in plate.fields], 1)
            truth = field > 0
            closer.append((truth & kept).sum() / (truth | kept).sum() - truth.mean())
    assert hurt <= 1
    assert np.mean(closer) > 0.1


@settings(max_examples=60)
@given(seed=SEEDS, count=st.integers(1, 12_000), levels=st.sampled_from([1, 2, 3, 1000]), ordered=st.booleans())
def test_the_median_is_that_of_numpy(seed: int, count: int, levels: int, ordered: bool) -> None:
    rng = default_rng(seed)
    values = (rng.integers(0, levels, count) / 7 if levels < 1000 else rng.gamma(1, 3, count)).astype(np.float32)
    values = np.sort(values) if ordered else values
    assert median(values) == float(np.median(values.astype(np.float64)))
