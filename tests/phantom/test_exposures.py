"""Where a plate says that things lie, against the same limb drawn by other means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from osteon.phantom.exposures import BONE_DEPTH, Pose, draw_subject, fracture_box, lay, rays_of, truth_masks
from osteon.phantom.limbs import bones_of
from osteon.phantom.projection import Shot
from osteon.phantom.space import view_at

SHAPE = (300, 240)


@given(
    turn=st.floats(-180, 180), x=st.floats(-500, 500), y=st.floats(-500, 500), spacing=st.floats(0.1, 1),
    seen=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
)  # fmt: skip
def test_a_pose_and_its_inverse_agree(turn, x, y, spacing, seen):
    pose = Pose(view_at(0.0), (3.0, -40.0), (x, y), turn, spacing)
    there = pose.pixels_of(np.array([seen]))
    np.testing.assert_allclose(pose.seen_at(there), [seen], atol=1e-6)
    # The distal end of a limb that is turned by nothing is up; by 90°, to the left.
    tip = pose.pixels_of(np.array([(3.0, -40.0 + 10 * spacing)]))[0] - (x, y)
    np.testing.assert_allclose(tip, (-10 * np.sin(np.deg2rad(turn)), -10 * np.cos(np.deg2rad(turn))), atol=1e-6)


@pytest.mark.parametrize("turn", [0.0, 37.0, -142.0])
@pytest.mark.parametrize("site", ["wrist", "knee"])
def test_the_bone_mask_is_that_of_a_full_size_projection(site, turn):
    """`Shot` projects at the spacing of the plate and turns with SciPy; the plate is coarser and turns with OpenCV."""
    subject = draw_subject(default_rng(3), site)
    spacing, focus = 0.5, (2.0, -10.0 if site == "wrist" else -380.0)
    rays = rays_of(subject, "LAT", 4.0)
    middle = ((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
    laid = lay(subject, "LAT", Pose(rays, focus, middle, turn, spacing), SHAPE)
    bone, _ = truth_masks([laid], None)
    fine = Shot(rays, focus, turn, (2 * SHAPE[0], 2 * SHAPE[1]), spacing / 2).depth(
        bones_of(subject.parts), subject.grain
    )
    share = 0.8 if site == "knee" else 1.0
    other = (share * fine).reshape(SHAPE[0], 2, SHAPE[1], 2).mean(axis=(1, 3)) > BONE_DEPTH
    assert (bone & other).sum() / (bone | other).sum() > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_the_fracture_box_holds_what_the_fracture_changes_most(seed):
    poses = {}
    for fractured in (False, True):
        subject = draw_subject(default_rng(seed), "wrist", fractured=fractured, subtle=1.0)
        pose = Pose(rays_of(subject, "PA", 0.0), (5.0, -18.0), (119.5, 149.5), 25.0, 0.4)
        poses[fractured] = lay(subject, "PA", pose, SHAPE)
    assert fracture_box(poses[False]) is None
    change = np.abs(poses[True].total - poses[False].total)
    x, y, width, height = fracture_box(poses[True])
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = (abs(columns - x - width / 2) <= width / 2 + 4) & (abs(rows - y - height / 2) <= height / 2 + 4)
    assert change[inside].sum() > 0.95 * change.sum() > 0
