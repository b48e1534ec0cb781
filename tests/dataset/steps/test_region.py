from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.random import default_rng

from osteon.dataset import frame
from osteon.dataset.steps import RegionOfInterest
from osteon.dataset.steps.region import chances, stretches_of, surroundings, wrist_span
from osteon.dataset.steps.upright import MEASURES
from osteon.phantom.plates import CLEAN, Plate, draw_plate
from osteon.types import Header, Radiograph
from tests.dataset.steps.making import radiographs


def an_arm(seed: int, kind: str = "hand") -> Plate:
    dirt = replace(CLEAN, tilt_deg=1.0)
    return draw_plate(default_rng([9, seed]), kind=kind, rows=600, columns=466, fractured=True, dirt=dirt)


def kept(plate: Plate, region: Radiograph) -> tuple[bool, float]:
    """Whether the fracture lies in a region, and the share of the plate that the region shows."""
    fracture = plate.parts[0].fracture
    assert fracture is not None
    x, y, width, height = fracture
    left, top = frame.frame_of(region).matrix[:, 2]
    rows, columns = frame.frame_of(region).size
    inside = left <= x and top <= y and x + width <= left + columns and y + height <= top + rows
    return bool(inside), rows * columns / plate.values.size


def test_the_fracture_stays_in_the_region_and_most_of_the_plate_goes() -> None:
    found = [kept(plate, RegionOfInterest()(plate.radiograph())[0]) for plate in map(an_arm, range(12))]
    assert all(inside for inside, _ in found)
    assert np.median([share for _, share in found]) < 0.4


def test_without_spacing_the_limb_is_the_measure() -> None:
    for seed in range(4):
        plate = an_arm(seed)
        blind = replace(plate.radiograph(), header=Header(bits=16))
        inside, share = kept(plate, RegionOfInterest()(blind)[0])
        assert inside
        assert share < 0.6


def test_margins_are_millimetres_where_the_spacing_is_known() -> None:
    plate = an_arm(2)
    small, large = (
        RegionOfInterest(proximal_mm=20, distal_mm=margin)(plate.radiograph())[0] for margin in (20.0, 35.0)
    )
    grown = frame.frame_of(large).size[0] - frame.frame_of(small).size[0]
    assert grown * plate.spacing_mm == pytest.approx(15, abs=2 * plate.spacing_mm + 0.5)


@settings(max_examples=50)
@given(image=radiographs())
def test_whatever_the_image_a_second_cut_changes_nothing(image: Radiograph) -> None:
    (once,) = RegionOfInterest()(image)
    (twice,) = RegionOfInterest()(once)
    assert twice.notes == once.notes
    assert frame.frame_of(twice).size == frame.frame_of(once).size


def test_an_image_without_a_limb_stays_as_it_is() -> None:
    image = Radiograph(np.full((200, 150), 30, np.uint8), 255)
    assert wrist_span(np.asarray(image.pixels, np.uint8)) is None
    (same,) = RegionOfInterest()(image)
    assert same.notes == ()


def test_chances_add_up_to_one_and_do_not_depend_on_what_lies_beyond_the_limb() -> None:
    profile = default_rng(4).normal(size=(len(MEASURES), 40))
    assert chances(profile).sum() == pytest.approx(1)
    assert (chances(profile) >= 0).all()


def test_surroundings_are_means_of_the_measures_around_each_stretch() -> None:
    profile = default_rng(4).normal(size=(len(MEASURES), 50))
    features = surroundings(profile)
    measures = len(MEASURES)
    assert features[:measures, 20] == pytest.approx(profile[:, 19:22].mean(axis=1))
    assert features[measures : 2 * measures, 20] == pytest.approx(profile[:, 12:19].mean(axis=1))
    assert features[6 * measures : 7 * measures, 20] == pytest.approx(profile[:, :21].mean(axis=1))
    assert features[7 * measures : 8 * measures, 20] == pytest.approx(profile[:, 20:].mean(axis=1))


def test_a_stretch_is_an_eighth_of_the_limbs_width() -> None:
    limb = np.zeros((240, 60), bool)
    limb[:, 10:50] = True
    assert stretches_of(limb) == (40.0, 48)


def test_margins_are_not_negative() -> None:
    with pytest.raises(ValueError, match="proximal_mm is a margin"):
        RegionOfInterest(proximal_mm=-1)
