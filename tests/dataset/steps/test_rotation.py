from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps import RotationAlignment
from osteon.dataset.steps.rotation import axis_turn, principal_axis, printed_turn, turn_of
from osteon.dataset.steps.upright import HEIGHTS, MEASURES, fitted
from osteon.phantom.plates import CLEAN, Plate, draw_plate
from osteon.types import Radiograph
from tests.dataset.steps.making import FRACATLAS, radiographs

HANDS = Path(__file__).resolve().parents[3] / "benchmarks" / "lists" / "fracatlas_hands.csv"


def a_bar(turn_deg: float) -> NDArray[np.uint8]:
    """A bar whose upper end is turned counter-clockwise by this angle."""
    image = np.full((240, 240), 10, np.uint8)
    angle = np.deg2rad(turn_deg)
    reach = 80 * np.array([-np.sin(angle), -np.cos(angle)])
    ends = [tuple(np.round((120 + sign * reach) * 16).astype(int).tolist()) for sign in (1, -1)]
    cv2.line(image, ends[0], ends[1], 120, 50, cv2.LINE_AA, 4)
    cv2.line(image, ends[0], ends[1], 220, 16, cv2.LINE_AA, 4)
    return image


def turned_wrists(count: int) -> list[Plate]:
    dirt = replace(CLEAN, turned=1.0)
    return [draw_plate(default_rng([8, k]), rows=480, columns=400, dirt=dirt) for k in range(count)]


def apart(one: float, other: float, period: float) -> float:
    return abs((one - other + period / 2) % period - period / 2)


@pytest.mark.parametrize("turn", [-88, -45, -20, -3, 0, 2, 10, 30, 60, 89])
def test_the_axis_found_is_the_axis_drawn(turn: float) -> None:
    assert apart(axis_turn(a_bar(turn)), turn, 180) < 1


def test_the_turn_found_is_the_turn_the_phantom_was_given() -> None:
    plates = turned_wrists(20)
    turns = [turn_of((plate.values / plate.white * 255).astype(np.uint8)) for plate in plates]
    off = [apart(turn, plate.parts[0].turn_deg, 180) for turn, plate in zip(turns, plates, strict=True)]
    assert np.median(off) <= 2
    upright = [apart(turn, plate.parts[0].turn_deg, 360) < 90 for turn, plate in zip(turns, plates, strict=True)]
    assert np.mean(upright) >= 0.95


def test_a_turned_phantom_stands_upright_after_the_step() -> None:
    for plate in turned_wrists(4):
        (once,) = RotationAlignment()(plate.radiograph())
        assert abs(axis_turn(frame.seen(once))) < 6
        assert "to set the limb upright" in once.notes[-1]


def test_the_end_is_told_by_a_rule_that_changes_its_sign_with_the_limb() -> None:
    profile = default_rng(3).normal(size=(len(MEASURES), HEIGHTS))
    assert fitted()(profile) == pytest.approx(-fitted()(profile[:, ::-1]), abs=1e-9)


def test_under_one_degree_nothing_is_turned() -> None:
    image = Radiograph(a_bar(0.4), 255)
    (same,) = RotationAlignment(fingers_up=False)(image)
    assert same.notes == ()
    (turned,) = RotationAlignment(fingers_up=False)(Radiograph(a_bar(3), 255))
    assert turned.notes[-1].startswith("turned by")


def test_a_half_turn_resamples_nothing() -> None:
    upright = a_bar(0)
    other = np.ascontiguousarray(upright[::-1, ::-1])
    shown = [frame.render(RotationAlignment()(Radiograph(image, 255))[0]) for image in (upright, other)]
    assert all(np.isin(image, upright).all() for image in shown)


@settings(max_examples=60)
@given(image=radiographs(), fingers_up=st.booleans())
def test_whatever_the_image_a_second_turn_changes_nothing(image: Radiograph, fingers_up: bool) -> None:
    step = RotationAlignment(fingers_up)
    (once,) = step(image)
    (twice,) = step(once)
    assert twice.notes == once.notes
    assert (frame.frame_of(twice).matrix == frame.frame_of(once).matrix).all()


@settings(max_examples=40)
@given(image=radiographs())
def test_without_an_end_no_turn_exceeds_a_quarter(image: Radiograph) -> None:
    assert -90 <= axis_turn(frame.seen(image)) <= 90
    assert -180 <= turn_of(frame.seen(image)) <= 180


def test_the_printed_rule_cannot_tell_left_from_right() -> None:
    left, right = (abs(printed_turn(a_bar(turn))) for turn in (25, -25))
    assert left == pytest.approx(25, abs=1.5)
    assert right == pytest.approx(25, abs=1.5)


def test_the_principal_axis_is_that_of_the_covariance() -> None:
    rng = default_rng(5)
    points = rng.normal(size=(4000, 2)) * (30, 6)
    angle = np.deg2rad(35)
    x = points[:, 0] * np.cos(angle) - points[:, 1] * np.sin(angle)
    y = points[:, 0] * np.sin(angle) + points[:, 1] * np.cos(angle)
    mask = np.zeros((301, 301), bool)
    mask[np.clip(150 - y, 0, 300).astype(int), np.clip(150 + x, 0, 300).astype(int)] = True
    found = principal_axis(mask)
    assert found is not None
    assert np.rad2deg(np.arctan(found[0][1] / found[0][0])) == pytest.approx(35, abs=2)
    assert principal_axis(np.zeros((5, 5), bool)) is None


@pytest.mark.shared
def test_a_real_limb_turned_by_a_known_angle_is_found_turned_by_it() -> None:
    known = pd.read_csv(HANDS)
    for name in known[known["half"] == "reported"]["image"].head(6):
        image = np.asarray(cv2.imread(str(FRACATLAS / name), cv2.IMREAD_GRAYSCALE), np.uint8)
        # White bands lie along the sides of a plate; a turned one would lie aslant in it, as none does.
        image = image[tuple(slice(side // 10, side - side // 10) for side in image.shape)]
        height, width = image.shape
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 20, 1.0)
        turned = np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        assert apart(axis_turn(turned) - axis_turn(image), 20, 180) < 8


def test_a_limb_that_an_earlier_step_found_is_the_one_that_is_turned() -> None:
    image = np.full((300, 400), 10, np.uint8)
    image[20:280, :200] = np.rot90(a_bar(0))[:, :200].repeat(2, axis=0)[:260]  # lies; larger
    image[40:260, 300:340] = 180  # stands
    both = frame.proxy_of(Radiograph(image, 255))
    mask = np.zeros(image.shape, bool)
    mask[40:260, 300:340] = True
    (alone,) = RotationAlignment(fingers_up=False)(both)
    (carrying,) = RotationAlignment(fingers_up=False)(frame.with_limb(both, mask, both))
    assert "90" in " ".join(alone.notes)
    assert not carrying.notes


def test_a_limb_that_was_cut_off_is_looked_for_anew() -> None:
    image = frame.proxy_of(Radiograph(np.hstack([np.full((240, 100), 10, np.uint8), a_bar(30)]), 255))
    mask = np.zeros((240, 340), bool)
    mask[:, :50] = True
    cut = frame.window(frame.with_limb(image, mask, image), top=0, left=100, height=240, width=240)
    (turned,) = RotationAlignment(fingers_up=False)(cut)
    angle = np.degrees(np.arctan2(turned.frame.matrix[1, 0], turned.frame.matrix[0, 0])) if turned.frame else 0
    assert abs(abs(angle) - 30) < 1
