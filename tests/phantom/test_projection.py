"""Depth of attenuation: one truth for every view, and a fracture that only takes away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.testing import assert_allclose

from osteon.phantom.anatomy import Part, draw_person, even_layer
from osteon.phantom.draw import draw_fracture
from osteon.phantom.fracture import Fracture, contains
from osteon.phantom.patient import draw_patient, draw_shot
from osteon.phantom.plan import Plan
from osteon.phantom.projection import Canvas, Grain, Shot, depth, draw_grain
from osteon.phantom.solids import Solid, ellipsoid
from osteon.phantom.space import Motion, view_at
from osteon.phantom.wrist import break_radius, radius_of, wrist

EVEN = Grain(np.zeros((96, 96, 96), np.float32))
"""No trabecular pattern."""


@pytest.fixture(scope="module")
def parts():
    rng = default_rng(3)
    return wrist(draw_person(rng), rng)


def a_fracture(gap_mm=1.0, *, motion=None, normal=(0.2, 0.1, 1.0), opening=None) -> Fracture:
    centre = np.array([9.0, -0.8, -18.0])
    still = Motion(np.eye(3), centre, np.zeros(3))
    unit = np.asarray(normal) / np.linalg.norm(normal)
    waves = np.array([[0.4, 0.6, 0.2, 0.0], [0.2, -0.3, 1.1, 1.0]])
    return Fracture("oblique", unit, centre, waves, gap_mm, opening, motion or still, 0.0, 0.0)


def the_window(spacing_mm: float = 0.4) -> Canvas:
    return Canvas.around((0, 0), (round(90 / spacing_mm), round(150 / spacing_mm)), spacing_mm)


def test_every_view_sees_the_same_mass(parts):
    canvas = the_window()
    masses = [depth(parts, view_at(a), canvas, EVEN).sum(dtype=float) for a in (0, 30, 90, 137)]
    assert_allclose(masses, masses[0], rtol=2e-3)


def test_mass_is_the_volume_integral_of_attenuation():
    part = Part("ball", "stays", (even_layer(Solid(ellipsoid((2, 3, 4), (6, 7, 8))), 0.1),), np.zeros(3))
    canvas = the_window()
    assert_allclose(
        depth([part], view_at(50), canvas, EVEN).sum(dtype=float) * 0.4**2, 0.1 * 4 / 3 * np.pi * 6 * 7 * 8, rtol=2e-3
    )


def test_the_trabecular_pattern_sums_to_the_same_in_two_views():
    rng = default_rng(5)
    person = draw_person(rng)
    radius, grain = radius_of(wrist(person, rng)), draw_grain(rng)
    canvas = the_window(0.2)
    pattern = [
        depth([radius], view_at(a), canvas, grain).sum(dtype=float)
        - depth([radius], view_at(a), canvas, EVEN).sum(dtype=float)
        for a in (0, 90)
    ]
    spread = np.abs(depth([radius], view_at(0), canvas, grain) - depth([radius], view_at(0), canvas, EVEN)).sum(
        dtype=float
    )
    assert abs(pattern[0] - pattern[1]) < 0.02 * spread


def test_a_closed_still_fracture_changes_nothing(parts):
    canvas = the_window(0.3)
    broken = break_radius(parts, a_fracture(gap_mm=0.0))
    for angle in (0, 90):
        assert_allclose(
            depth(broken, view_at(angle), canvas, EVEN), depth(parts, view_at(angle), canvas, EVEN), atol=2e-3
        )


def test_a_gap_takes_away_its_volume_of_bone(parts):
    # By another road: points thrown into the bone, counted where the gap is.
    fracture = a_fracture(gap_mm=1.5)
    bone = replace(radius_of(parts), layers=(even_layer(radius_of(parts).layers[0].solid, 1.0),))
    canvas = the_window(0.2)
    points = default_rng(0).uniform((-10, -15, -40), (30, 15, 0), (400_000, 3))
    x, y, _ = (points - fracture.centre).T
    height = points @ fracture.normal - fracture.centre @ fracture.normal + fracture.roughness(x, y)
    gap = contains(bone.layers[0].solid, points) & (np.abs(height) < fracture.gap_mm / 2)
    expected = gap.mean() * 40 * 30 * 40
    for angle in (0, 90, 40):
        whole, broken = (
            depth(p, view_at(angle), canvas, EVEN).sum(dtype=float) * 0.2**2
            for p in ([bone], break_radius([bone], fracture))
        )
        assert_allclose(whole - broken, expected, rtol=0.04)


def test_a_displaced_fragment_keeps_its_mass():
    rng = default_rng(8)
    whole = [radius_of(wrist(draw_person(rng), rng))]
    motion = Motion(np.eye(3), np.zeros(3), np.array([2.0, 3.0, 0.7]))
    canvas = the_window(0.3)
    masses = [
        depth(p, view_at(0), canvas, EVEN).sum(dtype=float)
        for p in (break_radius(whole, a_fracture(0.5)), break_radius(whole, a_fracture(0.5, motion=motion)))
    ]
    # It slides out at the far end of nothing: only the bone's cut at the lower border of the canvas is fixed.
    assert_allclose(masses[0], masses[1], rtol=3e-3)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), view=st.sampled_from(("PA", "LAT", "OBL")), turn=st.floats(-40, 40))
def test_the_fracture_box_holds_where_the_bone_has_changed(seed, view, turn):
    """The box comes from 3-D points of the surface; here it is found again in the two projections' difference."""
    plan = Plan(patients=1, subtle=1.0, gap_mm=(0.6, 0.8), rows=320, columns=256)
    patient = draw_patient(plan, seed, 1, True)
    shot = replace(draw_shot(plan, patient, view, True, default_rng(seed)), turn_deg=turn)
    broken = [p for p in patient.parts if p.fragment is not None]
    change = shot.depth([patient.intact], EVEN) - shot.depth(broken, EVEN)
    rows, columns = np.nonzero(change > 0.02)
    pixels = shot.pixels_of(patient.fracture.points(patient.intact.layers[0].solid))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    inside = (low > 3).all() and (high < np.array([252, 316])).all()
    if len(rows) and inside:
        assert columns.min() >= low[0] - 4 and columns.max() <= high[0] + 4
        assert rows.min() >= low[1] - 4 and rows.max() <= high[1] + 4


def test_both_views_see_the_fracture_at_the_same_height():
    plan = Plan(patients=1, rows=320, columns=256)
    for number in range(1, 9):
        patient = draw_patient(plan, 4, number, True)
        points = patient.fracture.points(patient.intact.layers[0].solid)
        heights = []
        for angle in (0, 90):
            shot = Shot(view_at(angle), (0, -5), 0.0, (320, 256), 0.3)
            pixels = shot.pixels_of(points)
            heights.append((pixels[:, 1].min() + pixels[:, 1].max()) / 2)
            assert_allclose(-5 - (pixels[:, 1] - 159.5) * 0.3, points[:, 2], atol=1e-9)
        assert heights[0] == pytest.approx(heights[1])


def test_a_point_is_seen_where_the_turned_image_shows_it():
    ball = Part("ball", "stays", (even_layer(Solid(ellipsoid((12, 3, 9), (1, 1, 1))), 1.0),), np.zeros(3))
    for turn in (0.0, 20.0, -75.0):
        shot = Shot(view_at(5, mirrored=True), (1, -2), turn, (260, 300), 0.25)
        image = shot.depth([ball], EVEN).astype(float)
        row, column = ((image * i).sum() / image.sum() for i in np.indices(image.shape))
        assert_allclose(shot.pixels_of(np.array([[12.0, 3, 9]]))[0], (column, row), atol=0.1)


def test_turning_is_counter_clockwise():
    thumb = np.array([[20.0, 0, 0]])
    shot = Shot(view_at(0), (0, 0), 10.0, (300, 300), 0.2)
    x, y = shot.pixels_of(thumb)[0]
    assert x > 149.5 and y < 149.5  # what pointed right now points up a little


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), subtle=st.booleans(), narrow=st.floats(0.05, 2), more=st.floats(0, 3))
def test_drawn_fractures_stay_in_their_ranges(seed, subtle, narrow, more):
    fracture = draw_fracture(default_rng(seed), subtle=subtle, gap_mm=(narrow, narrow + more))
    assert narrow - 1e-9 <= fracture.gap_mm <= narrow + more + 1e-9
    assert fracture.normal[2] > 0.7 and np.linalg.norm(fracture.normal) == pytest.approx(1)
    assert (fracture.displacement_mm == 0) == subtle
    assert fracture.displacement_mm <= 6 + 1e-9
