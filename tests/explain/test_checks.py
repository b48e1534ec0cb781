from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from osteon.errors import BadTable
from osteon.explain import checks, verdict
from osteon.explain.checks import Case, Row, falls, measure, on_grid, summed_up
from osteon.explain.maps import EXPLAINERS, Explanation
from osteon.explain.shuffling import forgotten
from osteon.explain.verdict import Rule, for_readers, methods_shown, passes, to_json
from osteon.types import Estimate
from tests.explain.planted import finds_lines, four_squares, square_of

OF_A_CONVOLUTION = [name for name in EXPLAINERS if not name.startswith("attention")]


def some_cases(count: int = 12) -> list[Case]:
    """Lines across speak for the finding, and are in the box; where, differs from case to case."""
    rng = np.random.default_rng(0)
    orders = [tuple(int(i) for i in rng.permutation(4)) for _ in range(count)]
    return [Case(f"c{i}", f"p{i // 2}", four_squares(order=o, seed=i), square_of(o, 0)) for i, o in enumerate(orders)]


@pytest.fixture(scope="module")
def measured() -> Mapping[str, checks.Check]:
    network = finds_lines()
    rows = [row for case in some_cases() for row in measure(network, case, list(EXPLAINERS))]
    return summed_up(rows, resamples=300)


@pytest.mark.parametrize("method", OF_A_CONVOLUTION)
def test_on_planted_evidence_every_method_points_there_and_forgets_with_the_weights(
    method: str, measured: Mapping[str, checks.Check]
) -> None:
    check = measured[method]
    assert check.images == 12 and not check.without
    assert (
        check.pointing.value == 1.0 and check.pointing_gain.low > 0.4
    )  # 6 patients: the exact limit for 6 of 6 is 0.54, less 0.06 by chance
    assert check.energy_gain.low > 0.2 and check.deletion_gain.low > 0
    assert check.likeness.high < 0.8  # half of the image is plain in both maps, and so alike
    assert passes({method: check}, Rule(images=12, likeness=0.8))[method].shown


@pytest.mark.parametrize("method", OF_A_CONVOLUTION)
def test_a_network_that_has_forgotten_points_at_nothing(method: str) -> None:
    rows = [row for case in some_cases() for row in measure(forgotten(finds_lines(), 5), case, [method])]
    check = summed_up(rows, resamples=300)[method]
    assert not check.pointing_gain.low > 0.5 and check.pointing.value < 0.8
    assert not passes({method: check}, Rule(images=12, likeness=2.0, pointing_gain=0.3))[method].shown


def test_a_method_without_a_map_is_not_shown_and_says_why(measured: Mapping[str, checks.Check]) -> None:
    found = passes(measured)["attention-rollout"]
    assert not found.shown and found.reasons[0].startswith("not available: only vision transformers")


def test_a_map_of_the_image_alone_does_not_pass() -> None:
    # What Adebayo warns of: it looks sensible, points to bright places, and does not know the network.
    def row(case: Case) -> Row:
        grid = on_grid(case.image)
        return Row("edges", case.name, case.group, "", 1.0, 1.0, 0.0, 0.06, 0.0, 0.06, 0.2, 0.1, 0.2 + 0 * grid[0, 0])

    check = summed_up([row(case) for case in some_cases(40)], resamples=200)["edges"]
    reasons = passes({"edges": check})["edges"].reasons
    assert len(reasons) == 3 and "shuffled network" in reasons[0]
    assert "points no better" in reasons[1] and "no faster" in reasons[2]


@pytest.mark.parametrize(("images", "said"), [(1, "1 image"), (29, "29 images")])
def test_on_too_few_images_that_is_the_whole_reason(images: int, said: str) -> None:
    unknown = Estimate(float("nan"), note="nothing")
    check = checks.Check("m", images, 0, "", *[unknown] * 7)
    assert passes({"m": check})["m"].reasons == (f"measured on {said}, fewer than 30",)


def test_energy_is_the_share_of_what_speaks_for_it_inside() -> None:
    case = Case("a", "a", np.zeros((10, 10), np.uint8), np.array([[2.0, 3.0, 4.0, 2.0], [4.0, 3.0, 4.0, 2.0]]))
    assert case.inside.sum() == 12  # two overlapping boxes of 8 pixels, counted once
    evidence = np.full((10, 10), -5.0, np.float32)
    evidence[3:5, 2:8] = 1.0
    evidence[9] = 0.6
    assert checks.energy_inside(Explanation("m", evidence), case) == pytest.approx(12 / 18)
    assert np.isnan(checks.energy_inside(Explanation("m", -np.abs(evidence)), case))
    with pytest.raises(ValueError, match="at least one box"):
        replace(case, boxes=np.zeros((0, 4)))


def test_deletion_takes_the_highest_cells_first() -> None:
    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(1))

        def score(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :, :28, :28].sum(dim=(1, 2, 3))

    image = np.zeros((56, 56), np.uint8)
    image[:28, :28] = np.random.default_rng(0).integers(0, 2, (28, 28)) * 255  # noise: blurring takes it away
    there = np.zeros((28, 28))
    there[:14, :14] = 1
    network = Sum()
    first, last = falls(network, image, [there + image[::2, ::2] / 255, -there])  # type: ignore[arg-type]
    assert first > last
    # Nothing is taken from the quarter before half of the grid is gone: the order ends there.
    assert last == pytest.approx(0, abs=1e-3)


def test_the_grid_has_square_cells_and_keeps_the_mean() -> None:
    values = np.random.default_rng(0).random((448, 336)).astype(np.float32)
    grid = on_grid(values)
    assert grid.shape == (37, 28) and grid.mean() == pytest.approx(values.mean(), rel=1e-2)
    assert on_grid(values[:9, :11]).shape == (9, 11)


def test_the_record_comes_back_from_json_and_names_what_may_be_shown(measured: Mapping[str, checks.Check]) -> None:
    rule = Rule(images=12, likeness=0.8)
    record = json.loads(json.dumps(to_json(measured, "phantoms, 12 images", rule), allow_nan=False))
    assert methods_shown(record) == tuple(m for m in EXPLAINERS if m in OF_A_CONVOLUTION)
    assert methods_shown(to_json(measured, "phantoms, 12 images")) == ()  # 12 images are too few
    assert record["rule"]["images"] == 12 and record["methods"]["lrp"]["figures"]["pointing"]["value"] == 1.0
    assert record["methods"]["attention-rollout"]["figures"]["likeness"]["value"] is None
    assert methods_shown(None) == ()
    for damaged in ({}, {"methods": {"lrp": {}}}, {"methods": {"lrp": {"shown": "yes"}}}, {"methods": []}):
        with pytest.raises(BadTable, match="damaged"):
            methods_shown(damaged)


def test_a_reader_sees_what_points_best_and_is_told_if_nobody_has_checked(
    measured: Mapping[str, checks.Check],
) -> None:
    assert for_readers(None) == ("grad-cam", "overlay by grad-cam, which has not been checked for this bundle")
    assert for_readers(to_json(measured, "12 images"))[0] == ""
    better = {
        method: replace(measured[method], pointing=Estimate(1.0 if method == "lrp" else 0.9))
        for method in OF_A_CONVOLUTION
    }
    assert for_readers(to_json(better, "12 images", Rule(images=12, likeness=0.8))) == ("lrp", "overlay by lrp")


def test_what_could_not_be_measured_does_not_pass() -> None:
    unknown = Estimate(float("nan"), note="nothing")
    check = checks.Check("m", 40, 0, "", *[unknown] * 7)
    assert len(passes({"m": check})["m"].reasons) == 3
    assert verdict.RULE.images == 30
