"""Body parts: the arm is the wrist continued, fingers lie in their flesh, and no field shows a cut limb."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from osteon.phantom.anatomy import draw_person
from osteon.phantom.arm import arm
from osteon.phantom.limbs import SITES, bones_of, outline, soft_of
from osteon.phantom.projection import Canvas, depth, draw_grain
from osteon.phantom.solids import Tube
from osteon.phantom.space import view_at
from osteon.phantom.wrist import wrist


def test_the_arm_is_the_wrist_continued():
    person = draw_person(default_rng(1))
    longer, short = arm(person, default_rng(2)), {p.name: p for p in wrist(person, default_rng(2))}
    for part in bones_of(longer):
        if part.name == "humerus":
            continue
        for new, old in zip(part.layers, short[part.name].layers, strict=True):
            if isinstance(old.solid.shape, Tube):
                inside = old.solid.shape.z
                np.testing.assert_allclose(
                    new.solid.shape.sections(inside).spread, old.solid.shape.sections(inside).spread, rtol=1e-9
                )
    radius = next(p for p in longer if p.name == "radius").layers[0].solid.shape
    steps = np.abs(np.diff(np.sqrt(radius.stack.spread[:, 0])))
    assert steps[10:].max() < 1.5, "a step where the old end was"


@pytest.mark.parametrize("seed", range(2))
def test_bones_lie_in_flesh(seed):
    """Hand and arm, seen from the front: hardly any ray meets bone without soft tissue."""
    person = draw_person(default_rng(seed))
    parts, grain, view = arm(person, default_rng(seed)), draw_grain(default_rng(seed)), view_at(0.0)
    canvas = Canvas.around((0, -20), (820, 400), 0.6)
    bone, soft = (depth(p, view, canvas, grain) for p in (bones_of(parts), soft_of(parts)))
    assert ((bone > 0.03) & (soft < 0.02)).sum() < 0.001 * (bone > 0.03).sum()


@pytest.mark.parametrize("site", SITES)
def test_a_field_shows_no_cut_end_and_something_of_every_limb(site):
    """Flesh reaches the proximal border of the field over which a plate may show it, whatever its turn."""
    made = SITES[site]
    for seed in range(3):
        person = draw_person(default_rng(seed))
        parts = made.build(person, default_rng(seed))
        low = min(p.layers[0].solid.shape.heights[0] for p in soft_of(parts))
        reach = 0.5 * made.field_mm[1] * person.size
        if site != "foot":  # a foot is seen whole
            assert low < made.centre_mm * person.size - reach
        points = outline(soft_of(parts), view_at(0.0).across, low, made.centre_mm * person.size + reach)
        assert np.ptp(points[:, 0]) > 40
        assert len(bones_of(parts)) >= 3
