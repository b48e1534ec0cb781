"""Plates: the truth of every artefact, asked of the pixels; and that no artefact shifts another."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from osteon.errors import BadTable, UnknownName
from osteon.phantom.dirt import CLEAN, Dirt
from osteon.phantom.plates import KINDS, Plate, draw_plate

SMALL = {"rows": 360, "columns": 300}
"""Most plates of the tests."""


def a_plate(seed: int = 0, kind: str = "wrist", dirt: Dirt = CLEAN, **options) -> Plate:
    return draw_plate(default_rng(seed), kind=kind, dirt=dirt, **{**SMALL, **options})


def always(**chances) -> Dirt:
    return replace(CLEAN, **chances)


def grey(plate: Plate) -> np.ndarray:
    return plate.values / plate.white


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_limbs_and_the_same_seed_the_same_plate(kind):
    plate, again = (a_plate(3, kind, Dirt(), rows=300, columns=260) for _ in range(2))
    assert (plate.values == again.values).all() and [p.box for p in plate.parts] == [p.box for p in again.parts]
    assert plate.values.shape == (300, 260) and plate.values.max() <= plate.white
    assert len(plate.parts) == (2 if kind in ("two", "joined") else 1)


def test_another_seed_gives_another_plate():
    assert (a_plate(3).values != a_plate(4).values).any()


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_masks_and_boxes_tell_of_the_same_limbs(seed, kind):
    plate = a_plate(seed, kind, Dirt())
    assert (plate.body == (plate.owner > 0)).all() and not (plate.bone & ~plate.body).any()
    assert plate.owner.max() <= len(plate.parts)
    for number, limb in enumerate(plate.parts, start=1):
        rows, columns = np.nonzero(plate.owner == number)
        x, y, width, height = limb.box
        if len(rows):
            assert (x, y) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert -180 < limb.turn_deg <= 180 and limb.upright == (np.cos(np.deg2rad(limb.turn_deg)) > 0)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "chest"])
def test_bone_is_brighter_than_flesh_and_flesh_than_air(kind):
    plate = a_plate(1, kind, always(inverted=0.0))
    shown, flesh = grey(plate), plate.body & ~plate.bone
    assert plate.bone.any() and flesh.any()
    near = cv2.dilate(plate.bone.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & flesh
    inside = cv2.dilate((~plate.bone).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert np.median(shown[inside]) > np.median(shown[near])
    if (~plate.body).mean() > 0.05:
        assert np.median(shown[near]) > np.median(shown[~plate.body])


def test_an_inverted_plate_is_the_negative_of_the_same_plate():
    for seed in range(3):
        positive, negative = a_plate(seed), a_plate(seed, dirt=always(inverted=1.0))
        assert not positive.inverted and negative.inverted
        assert np.abs(positive.values.astype(int) + negative.values - positive.white).max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_two_limbs_of_one_exposure_do_not_touch(seed):
    plate = a_plate(seed, "two", always(turned=0.5, touching=0.5))
    assert min((plate.owner == number).mean() for number in (1, 2)) > 0.02
    _, components = cv2.connectedComponents(plate.body.astype(np.uint8))
    for component in range(1, components.max() + 1):
        assert len(np.unique(plate.owner[components == component])) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_long_axis_lies_where_the_truth_says(seed):
    """The forearm, a long thing, lies along the turn: principal axis of its mask, modulo 180°, near the middle."""
    plate = a_plate(seed, "forearm", always(turned=1.0), rows=400, columns=400)
    y, x = np.mgrid[-199.5:200, -199.5:200]
    seen = plate.bone & (np.hypot(x, y) < 195)
    centred = np.column_stack([x[seen], y[seen]]) - (x[seen].mean(), y[seen].mean())
    long = np.linalg.eigh(np.cov(centred.T))[1][:, 1]
    found = np.rad2deg(np.arctan2(-long[0], -long[1]))  # counter-clockwise from up
    assert abs((found - plate.parts[0].turn_deg + 90) % 180 - 90) < 5


@pytest.mark.parametrize("seed", range(6))
def test_the_hand_widens_towards_the_distal_end(seed):
    """Which end is up, asked of the mask: fingers are several runs of bone, a forearm is two."""
    plate = a_plate(seed, "hand", always(upside_down=0.5), view="PA")
    runs = (np.diff(np.pad(plate.bone.astype(int), ((0, 0), (1, 0))), axis=1) == 1).sum(axis=1)
    top, bottom = runs[20:140].mean(), runs[-60:-5].mean()
    assert (top > bottom) == plate.parts[0].upright


@pytest.mark.parametrize("seed", range(5))
def test_marks_are_where_the_truth_says_and_never_on_bone(seed):
    plate = a_plate(seed, "two", always(letter=1.0, dot=1.0, text=1.0), rows=600, columns=600)
    bare = a_plate(seed, "two", CLEAN, rows=600, columns=600)
    assert {m.kind for m in plate.markers} >= {"dot", "text"}
    marked = np.zeros(plate.body.shape, bool)
    for mark in plate.markers:
        x, y, width, height = mark.box
        assert x >= 0 and y >= 0 and x + width <= 600 and y + height <= 600
        here = slice(y, y + height), slice(x, x + width)
        assert not plate.bone[here].any()
        assert np.abs(grey(plate)[here] - grey(bare)[here]).max() > 0.2, mark.kind
        marked[here] = True
    assert np.quantile(np.abs(grey(plate) - grey(bare))[~marked], 0.999) < 0.2


def test_outside_the_field_nothing_is_seen():
    for seed in range(4):
        plate = a_plate(seed, "wrist", always(collimated=1.0, shutter=1.0, skewed=1.0))
        lit = np.zeros(plate.values.shape, np.uint8)
        cv2.fillConvexPoly(lit, np.rint(plate.fields[0]).astype(np.int32), 1)
        far = cv2.dilate(lit, np.ones((5, 5), np.uint8)) == 0
        assert far.any() and (plate.values[far] == 0).all() and not plate.body[far].any()
        x, y, width, height = plate.collimation
        rows, columns = np.nonzero(lit)
        assert abs(columns.min() - x) <= 1 and abs(rows.min() - y) <= 1
        assert abs(np.ptp(columns) + 1 - width) <= 2 and abs(np.ptp(rows) + 1 - height) <= 2
    assert a_plate(0).collimation is None and a_plate(0).fields == ()


def test_a_frame_is_painted_over_everything():
    kinds = set()
    for seed in range(12):
        plate = a_plate(seed, "wrist", always(border=1.0, inverted=0.5))
        kinds.add(plate.border)
        edge = np.concatenate([grey(plate)[0], grey(plate)[-1], grey(plate)[:, 0], grey(plate)[:, -1]])
        assert (edge == (plate.border != "black")).all()
        assert not plate.body[0].any() and not plate.body[:, -1].any()
    assert kinds == {"white", "black", "film"}


def test_a_limb_that_touches_is_cut_by_a_side():
    cut = [a_plate(seed, "wrist", always(touching=1.0, tilt_deg=0.0)).body[:, [0, -1]].any() for seed in range(5)]
    assert all(cut)


def test_noise_and_fog_are_seen():
    for seed in range(3):
        quiet, noisy, fogged = (a_plate(seed, dirt=d) for d in (CLEAN, always(noisy=1.0), always(fog=1.0)))
        assert noisy.noisy and fogged.fogged and not quiet.noisy and not quiet.fogged
        air = ~cv2.dilate(quiet.body.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool)
        assert grey(noisy)[air].std() > 2 * grey(quiet)[air].std()
        assert np.median(grey(fogged)[air]) > np.median(grey(quiet)[air]) + 0.05


def test_a_fracture_changes_only_what_lies_about_it():
    changed = 0
    for seed in range(4):
        whole = a_plate(seed, dirt=replace(Dirt(), noisy=0.0), view="PA")
        broken = a_plate(seed, dirt=replace(Dirt(), noisy=0.0), view="PA", fractured=True)
        for name in ("inverted", "border", "collimation", "white", "spacing_mm"):
            assert getattr(whole, name) == getattr(broken, name)
        assert [p.turn_deg for p in whole.parts] == [p.turn_deg for p in broken.parts]
        assert whole.parts[0].fracture is None
        x, y, width, height = broken.parts[0].fracture
        assert width > 0 and height > 0
        inside = (x + width > 0) and (y + height > 0) and x < 300 and y < 360
        changed += inside and bool((whole.values != broken.values).any())
    assert changed >= 3


def test_a_wrong_kind_or_chance_is_refused():
    with pytest.raises(UnknownName, match="joined"):
        a_plate(kind="tail")
    with pytest.raises(BadTable, match="between 0 and 1"):
        Dirt(letter=1.5)
    with pytest.raises(UnknownName, match="LAT"):
        a_plate(view="AXIAL")


def test_a_plate_is_a_radiograph():
    radiograph = a_plate().radiograph()
    assert radiograph.pixels.shape == (360, 300) and radiograph.white == a_plate().white
