"""Writing is found where it was painted, whatever it says; anatomy and side letters stay."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset.writing import find_writing
from osteon.phantom.plates import CLEAN, draw_plate
from tests.make import SHARED


def written(
    text: str,
    *,
    height: int = 20,
    at: tuple[int, int] = (60, 700),
    ink: float = 1.0,
    shape: tuple[int, int] = (800, 640),
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A limb-like picture with a line of text, and where its ink is."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    ground = 0.1 + 0.5 * np.exp(-(((x - 320) / 90) ** 2)) + 0.02 * np.sin(y / 37)
    stamp = np.zeros(shape, np.uint8)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height, 2)
    cv2.putText(stamp, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 2, cv2.LINE_AA)
    share = stamp / 255
    return np.rint((ground * (1 - share) + ink * share) * 255).astype(np.uint8), stamp > 100


def mask_of(pixels: NDArray[np.uint8] | NDArray[np.uint16], white: int = 255) -> NDArray[np.bool_]:
    mask = np.zeros(pixels.shape, bool)
    for x, y, width, height in find_writing(pixels, white):
        assert x >= 0
        assert y >= 0
        assert x + width <= pixels.shape[1]
        assert y + height <= pixels.shape[0]
        mask[y : y + height, x : x + width] = True
    return mask


@pytest.mark.parametrize("text", ["QUUX, Zebedee", "03.07.2019 11:12", "Dr. Oe"])
@pytest.mark.parametrize("at", [(250, 400), (20, 780)])
def test_a_line_is_covered_to_its_last_stroke(text: str, at: tuple[int, int]) -> None:
    pixels, ink = written(text, at=at)
    assert mask_of(pixels)[ink].mean() > 0.98


def test_dark_writing_on_light_is_covered_too() -> None:
    pixels, ink = written("QUUX, Zebedee")
    assert mask_of(255 - pixels)[ink].mean() > 0.98


def test_writing_along_the_edge_is_covered() -> None:
    pixels, ink = written("QUUX, Zebedee")
    for quarter in (1, 3):
        turned = np.ascontiguousarray(np.rot90(pixels, quarter))
        assert mask_of(turned)[np.rot90(ink, quarter)].mean() > 0.98


def test_large_images_are_searched_too() -> None:
    pixels, ink = written("QUUX, Zebedee", height=40, at=(100, 2700), shape=(2800, 2300))
    mask = mask_of(pixels.astype(np.uint16) * 16, 4080)
    assert mask[ink].mean() > 0.98
    assert mask.mean() < 0.03


@pytest.mark.parametrize("letter", ["L", "R", "R 1"])
@pytest.mark.parametrize("height", [14, 24, 40])
def test_a_side_letter_stays(letter: str, height: int) -> None:
    pixels, _ = written(letter, height=height)
    assert not mask_of(pixels).any()


@pytest.mark.parametrize("turn_deg", [0, 8, 90])
def test_a_large_lead_letter_is_one_letter_and_not_its_corners(turn_deg: float) -> None:
    pixels, _ = written("")
    cv2.putText(pixels, "R", (480, 650), cv2.FONT_HERSHEY_SIMPLEX, 2.8, 255, 11, cv2.LINE_AA)
    matrix = cv2.getRotationMatrix2D((510, 620), turn_deg, 1)
    turned = cv2.warpAffine(pixels, matrix, (640, 800), borderMode=cv2.BORDER_REPLICATE)
    for picture in (turned, 255 - turned):
        assert not mask_of(np.asarray(picture, np.uint8)).any()


@pytest.mark.parametrize("kind", ["wrist", "hand", "forearm"])
def test_a_limb_alone_has_no_writing(kind: str) -> None:
    for seed in range(2):
        plate = draw_plate(default_rng(seed), kind=kind, dirt=replace(CLEAN, letter=1.0, turned=0.5))
        assert not mask_of(plate.values, plate.white).any()


def test_noise_is_no_writing() -> None:
    noise = default_rng(5).normal(0.5, 0.2, (600, 500)).clip(0, 1)
    assert not mask_of(np.rint(noise * 255).astype(np.uint8)).any()


def test_an_even_image_has_none() -> None:
    assert find_writing(np.full((64, 64), 7, np.uint8), 255) == []


@pytest.mark.shared
def test_real_words_under_side_letters_are_found_and_the_letters_stay() -> None:
    """`Fore Arm` under an R, and the name of the department in a logo, at full size; places seen by eye."""
    path = SHARED / "fracatlas" / "full_size" / "fa6d686ea1.jpg"
    pixels = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
    mask = mask_of(pixels)
    word, letter = mask[560:600, 940:1100], mask[490:540, 960:1060]
    assert word.mean() > 0.9
    assert not letter.any()
    assert mask.mean() < 0.01
