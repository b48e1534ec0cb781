"""Chords against closed forms and against sampling; motions against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from osteon.phantom.fracture import contains
from osteon.phantom.solids import Solid, chord, ellipsoid, plane, rod, span, tube
from osteon.phantom.space import Motion, rotation_about, view_at

axis = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: sum(x * x for x in a) > 0.1)
angle = st.floats(-180, 180)


def turned(axes, turn):  # the quadratic form of an ellipsoid, by its definition
    return turn @ np.diag(1 / np.square(axes)) @ turn.T


@settings(max_examples=40)
@given(semi=st.tuples(*[st.floats(2, 15)] * 3), axis=axis, turn_deg=angle, view_deg=angle)
def test_chord_of_an_ellipsoid_is_the_root_distance_of_its_quadratic(semi, axis, turn_deg, view_deg):
    turn, view = rotation_about(axis, turn_deg), view_at(view_deg)
    z, u = np.linspace(-9, 9, 13), np.linspace(-8, 8, 11)
    found = chord(ellipsoid((1, -2, 0.5), semi, turn), view, z, u)
    form = turned(semi, turn)
    along = np.append(view.along, 0)
    for i, height in enumerate(z):
        for j, across in enumerate(u):
            start = np.append(across * view.across, height) - (1, -2, 0.5)
            a, b, c = along @ form @ along, start @ form @ along, start @ form @ start - 1
            expected = 2 * np.sqrt(max(b * b - a * c, 0)) / a
            assert found[i, j] == pytest.approx(expected, abs=2e-2)


def test_chords_of_an_ellipsoid_add_up_to_its_volume():
    step = 0.1
    grid = np.arange(-14, 14, step)
    body = ellipsoid((0, 0, 0), (5, 7, 9), rotation_about((1, 2, 3), 40))
    total = chord(body, view_at(33), grid, grid).sum(dtype=float) * step**2
    assert_allclose(total, 4 / 3 * np.pi * 5 * 7 * 9, rtol=1e-3)


@settings(max_examples=25)
@given(normal=axis, offset=st.floats(-4, 4), view_deg=angle)
def test_a_plane_parts_every_chord_in_two(normal, offset, view_deg):
    body = tube(np.array([(-12.0, 0, 1, 6, 4), (0, 1, 0, 8, 5), (12, 2, -1, 5, 5)]))
    unit = np.asarray(normal) / np.linalg.norm(normal)
    view, z, u = view_at(view_deg), np.linspace(-11, 11, 23) + 0.0137, np.linspace(-9, 9, 19) + 0.0071
    sides = [Solid(body, (plane(sign * unit, unit * offset),)) for sign in (1, -1)]
    parts = [np.subtract(*span(side, view, z, u)[::-1]) for side in sides]
    assert_allclose(sum(parts), chord(body, view, z, u), atol=1e-3)
    assert all((part >= 0).all() for part in parts)


def test_spans_agree_with_sampling_along_the_ray():
    solid = Solid(
        tube(np.array([(-10.0, 0, 0, 6, 4), (10, 3, 1, 3, 5)])),
        (plane((1, 1, 1), (2, 0, 0)), plane((0, -1, 2), (0, 0, 6))),
    )
    view, z, u = view_at(20), np.linspace(-9, 9, 10), np.linspace(-6, 8, 15)
    low, high = span(solid, view, z, u)
    t = np.arange(-12, 12, 0.01)
    for i, height in enumerate(z):
        for j, across in enumerate(u):
            points = np.column_stack([across * view.across + t[:, None] * view.along, np.full(len(t), height)])
            assert contains(solid, points).sum() * 0.01 == pytest.approx(high[i, j] - low[i, j], abs=0.04)


@settings(max_examples=30)
@given(axis=axis, turn_deg=st.floats(-40, 40), shift=st.tuples(*[st.floats(-5, 5)] * 3))
def test_moving_an_ellipsoid_and_moving_its_points_is_the_same(axis, turn_deg, shift):
    motion = Motion(rotation_about(axis, turn_deg), np.array([1.0, 2, 3]), np.array(shift))
    body = Solid(ellipsoid((0, 1, 2), (4, 5, 6), rotation_about((0, 1, 1), 30)), (plane((1, 0, 2), (0, 0, 4)),))
    points = np.random.default_rng(0).uniform((-8, -7, -6), (8, 9, 10), (400, 3))
    before, after = contains(body, points), contains(body.moved(motion), motion(points))
    assert (before == after).mean() > 0.99  # rounding may decide for points on the surface


def test_a_tilted_tube_is_a_tilted_cylinder():
    motion = Motion(rotation_about((1, 0, 0), 25), np.zeros(3), np.zeros(3))
    upright = tube(np.array([(-60.0, 0, 0, 5, 5), (60, 0, 0, 5, 5)]))
    grid = np.arange(-20, 20, 0.25)
    found = chord(upright.moved(motion), view_at(0), grid, grid)
    exact = 2 * np.sqrt(np.maximum(25 - grid**2, 0)) / np.cos(np.deg2rad(25))  # rays cross the axis at 65°
    assert_allclose(found, np.broadcast_to(exact, found.shape), atol=1e-2)


def test_a_rod_has_its_length_and_its_radius():
    step, grid = 0.05, np.arange(-12, 12, 0.05)
    body = rod((-5, -3, -4), (6, 2, 5), 1.2)
    low, high = span(body, view_at(10), grid, grid)
    length = np.linalg.norm(np.subtract((6, 2, 5), (-5, -3, -4)))
    assert_allclose((high - low).sum(dtype=float) * step**2, np.pi * 1.2**2 * length, rtol=5e-3)


def test_a_motion_keeps_distances():
    motion = Motion(rotation_about((1, 2, 3), 77), np.array([4.0, 5, 6]), np.array([1.0, 0, -1]))
    points = np.random.default_rng(1).normal(size=(20, 3))
    before, after = (np.linalg.norm(p[:, None] - p, axis=2) for p in (points, motion(points)))
    assert_allclose(before, after, atol=1e-12)
    assert_allclose(motion((4, 5, 6)), (5, 5, 5))
