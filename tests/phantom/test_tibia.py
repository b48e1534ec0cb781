"""A healing tibia, asked point by point: is the line open, how thick is the callus, and do both views show the same?"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.testing import assert_allclose

from osteon.phantom.anatomy import CORTEX, MUSCLE, Part, draw_person
from osteon.phantom.fracture import contains
from osteon.phantom.fragment import Fragment
from osteon.phantom.healing import CORTICES, SHOWN
from osteon.phantom.healing_patient import NO_GRAIN
from osteon.phantom.limbs import SITES
from osteon.phantom.projection import Canvas, depth
from osteon.phantom.solids import Solid
from osteon.phantom.space import Floats, view_at
from osteon.phantom.tibia import TOWARDS, Shank, draw_shank, healed, sector_shares


@cache
def a_shank(seed: int) -> Shank:
    rng = default_rng(seed)
    return draw_shank(draw_person(rng), rng, rng)


def attenuation(parts: list[Part], points: Floats) -> Floats:
    """1/mm at (n, 3) points, from what each layer is said to be."""
    total = np.zeros(len(points))
    for part in parts:
        for layer in part.layers:
            inside = contains(layer.solid, points)
            for hollow in layer.solid.hollows:
                inside &= ~contains(Solid(hollow), points)
            if part.fragment is not None:
                inside &= on_its_side(part.fragment, points)
            total += inside * np.interp(points[:, 2], layer.heights, layer.weights)
    return total


def on_its_side(fragment: Fragment, points: Floats) -> np.ndarray:
    fracture = fragment.fracture
    still = points - (fracture.motion.shift if fragment.distal else 0) - fracture.centre
    beyond = still @ fracture.normal + fracture.roughness(still[:, 0], still[:, 1])
    half = fracture.gap(still[:, 0], still[:, 1]) / 2
    return beyond > half if fragment.distal else beyond < -half


def along_wall(shank: Shank, cortex: int, reach_mm: float = 14.0) -> Floats:
    """Points down the middle of the wall at a cortex, every 0.05 mm."""
    z = shank.fracture.centre[2] + np.arange(-reach_mm, reach_mm, 0.05)
    outer, inner = (layer.solid.shape.sections(z) for layer in shank.tibia.layers)
    axis = slice(0, 3, 2)
    middle = (np.sqrt(outer.spread[:, axis]) + np.sqrt(inner.spread[:, axis])) / 2
    return np.column_stack([outer.centre + TOWARDS[cortex] * middle, z])


def out_of_wall(shank: Shank, cortex: int, above_mm: float) -> Floats:
    """Points from the surface of a cortex outwards, every 0.02 mm, some mm above the gap."""
    height = shank.fracture.centre[2] + above_mm
    section = shank.surface.sections(np.array([height]))
    reach = np.sqrt(section.spread[0][[0, 2]])
    out = np.arange(0.02, 12, 0.02)
    points = section.centre[0] + TOWARDS[cortex] * (reach + out[:, None])
    return np.column_stack([points, np.full(len(out), height)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cortex", range(4), ids=CORTICES)
def test_the_line_is_open_through_a_cortex_of_grade_1_or_2_and_no_other(seed, cortex):
    shank = a_shank(seed)
    for grade in (1, 2, 3, 4):
        others = 3 if grade <= 2 else 1  # what the other cortices do is not seen here
        grades = np.full(4, others, np.int8)
        grades[cortex] = grade
        wall = attenuation(healed(shank, grades), along_wall(shank, cortex))
        open_mm = 0.05 * np.count_nonzero(wall < (CORTEX + MUSCLE) / 2)
        if grade <= 2:
            # A gap is as wide as it is, or wider along a wall that it crosses aslant; a step at it takes some away.
            assert shank.fracture.gap_mm - 1.2 < open_mm < shank.fracture.gap_mm / shank.fracture.normal[2] + 1.2
        else:
            assert open_mm < 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cortex", range(4), ids=CORTICES)
def test_callus_comes_grows_and_goes(seed, cortex):
    shank = a_shank(seed)
    thick, dense = [], []
    for grade in (1, 2, 3, 4):
        grades = np.ones(4, np.int8)
        grades[cortex] = grade
        beyond = np.maximum(
            *(
                attenuation([p for p in healed(shank, grades) if p.name == "callus"], out_of_wall(shank, cortex, above))
                for above in (-5.0, 5.0)
            )
        )
        thick.append(0.02 * np.count_nonzero(beyond > 0.005))
        dense.append(beyond.max())
    assert thick[0] == 0 and thick[3] < 1.7  # the cortex of a displaced shaft makes a step
    assert 2 < thick[1] < 5.3 and 2.7 < thick[2] < 6.8
    assert 1.4 * dense[1] < dense[2] < CORTEX - MUSCLE


def test_a_bridge_closes_over_the_gap_and_a_young_cuff_does_not():
    shank = a_shank(1)
    for grade, bridged in ((2, False), (3, True)):
        callus = [p for p in healed(shank, np.full(4, grade, np.int8)) if p.name == "callus"]
        for cortex in range(4):
            height = shank.fracture.centre[2]
            z = height + np.arange(-9, 9, 0.05)
            surface = out_of_wall(shank, cortex, 0.0)[50, :2]  # a millimetre out of the bone
            beside = attenuation(callus, np.column_stack([np.tile(surface, (len(z), 1)), z]))
            assert (beside > 0).all() == bridged


@settings(max_examples=100)
@given(st.floats(-20, 20), st.floats(-20, 20))
def test_every_point_belongs_to_cortices_by_shares_that_sum_to_one(x, y):
    shares = sector_shares(np.array([x]), np.array([y]))
    assert_allclose(shares.sum(axis=0), 1, atol=1e-9)
    assert (shares >= 0).all()


def test_the_middle_of_each_sector_is_its_cortex():
    assert_allclose(sector_shares(*TOWARDS.T), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("cortex", range(4), ids=CORTICES)
@pytest.mark.parametrize("grade", [2, 3, 4])
def test_a_cortex_heals_in_profile_where_its_view_shows_it(cortex, grade):
    """Only one cortex differs: its own view shows it at the rim of the shaft on its side, the other over the shaft."""
    shank = a_shank(2)
    grades = np.ones(4, np.int8)
    before = healed(shank, grades)
    grades[cortex] = grade
    after = healed(shank, grades)
    height = float(shank.fracture.centre[2])
    canvas = Canvas.around((0.0, height), (280, 400), 0.25)
    section = shank.surface.sections(np.array([height]))
    for view, shown in SHOWN.items():
        rays = view_at(SITES["leg"].views[view])
        change = np.abs(depth(after, rays, canvas, NO_GRAIN) - depth(before, rays, canvas, NO_GRAIN)).sum(axis=0)
        middle = float(change @ canvas.u / change.sum())
        axis = float(section.centre[0] @ rays.across)
        side = float(TOWARDS[cortex] @ rays.across)
        half = float(np.sqrt(section.spread[0][[0, 2]]) @ np.abs(rays.across))
        if cortex in shown:
            assert 0.65 * half < (middle - axis) * side < half + 4
        else:
            assert abs(middle - axis) < 0.2 * half


@pytest.mark.parametrize("grades", [(1, 1, 1, 1), (1, 2, 3, 4), (4, 3, 3, 2), (3, 3, 3, 3)])
def test_both_views_see_the_same_mass(grades):
    shank = a_shank(3)
    parts = [p for p in healed(shank, np.array(grades, np.int8)) if p.name not in ("leg", "fibula")]
    canvas = Canvas.around((0.0, float(shank.fracture.centre[2])), (300, 300), 0.25)
    masses = [depth(parts, view_at(angle), canvas, NO_GRAIN).sum(dtype=float) for angle in (0, 90)]
    assert_allclose(masses[0], masses[1], rtol=3e-3)
