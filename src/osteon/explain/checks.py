"""Does a map depend on what the network learnt, and on the lesion? Only methods that pass are for readers.

Three questions are asked of a method and a network, on images whose lesion is boxed:

1. **Randomisation** (Adebayo et al., NeurIPS 2018): is the map another one once the weights are shuffled?
2. **Pointing game and energy** (Zhang et al., IJCV 2018; Wang et al., CVPR workshops 2020): is its highest place in a
   box, and how much of what speaks for the finding is?
3. **Deletion** (Samek et al., TNNLS 2017; Petsiuk et al., BMVC 2018): does the score fall faster when parts are taken
   away in the order of the map?

Each has a comparator that knows nothing of the lesion: any place and the centre of the image for pointing, the area of
the boxes for energy, any order and brightest first for deletion. What counts is the gain over the better of the two.

All maps are compared on one grid, so that none gains by its resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from osteon.evaluate import intervals
from osteon.evaluate.localisation import hits, peak_of
from osteon.evaluate.places import Boxes
from osteon.explain.maps import Explanation, as_found, explain
from osteon.explain.shuffling import forgotten, likeness, structure
from osteon.learn.heads import Network
from osteon.types import Estimate

CELLS = 28
"""Cells of the grid along the shorter side: 16 px of 448."""

TAKEN = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the grid that are taken away, one after the other."""

ORDERS = 2
"""Random orders that a deletion is compared with."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """An image with the finding, and where that lies.

    Attributes:
        name: of the image.
        group: of the patient; images of one group are not independent.
        image: (h, w) uint8, prepared as the network expects.
        boxes: (b, 4) x, y, width, height in pixels of the prepared image; at least one.
    """

    name: str
    group: str
    image: NDArray[np.uint8]
    boxes: Floats

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or not len(self.boxes):
            raise ValueError(f"a case has at least one box (b, 4), not {self.boxes.shape}")

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(h, w) True for pixels whose centre lies in a box."""
        y, x = (np.arange(length) + 0.5 for length in self.image.shape)
        covered = np.zeros(self.image.shape, bool)
        for left, top, width, height in self.boxes:
            covered |= ((y > top) & (y < top + height))[:, None] & ((x > left) & (x < left + width))[None]
        return covered


@dataclass(frozen=True)
class Row:
    """What was measured of one method on one case; NaN where there was no map.

    Attributes:
        method, name, group: of what.
        missing: why there is no map; "" if there is.
        likeness: `shuffling.likeness` with the map of the shuffled network; 0 if that network has no map.
        structure: `shuffling.structure` with it.
        hit: 1 if the highest place lies in a box, else 0; 0 without a map.
        by_chance: probability of a hit for a place drawn at random: the share of the image that the boxes cover.
        centre: 1 if the centre of the image is a hit, else 0.
        energy: share of the evidence for the finding that lies in a box.
        deletion: by how much lower the logit is, averaged over TAKEN, when cells go in the order of the map; the
            logit of the whole image less this. As are the next two.
        at_random: the same in random order.
        brightest: the same with the brightest cells first.
    """

    method: str
    name: str
    group: str
    missing: str = ""
    likeness: float = float("nan")
    structure: float = float("nan")
    hit: float = 0.0
    by_chance: float = float("nan")
    centre: float = float("nan")
    energy: float = float("nan")
    deletion: float = float("nan")
    at_random: float = float("nan")
    brightest: float = float("nan")


def measure(network: Network, case: Case, methods: Sequence[str], *, seed: int = 0) -> list[Row]:
    """One row for each method.

    The weights are shuffled anew for each case: how alike two maps are depends more on the shuffle than on the image.

    Args:
        network: whose maps are checked.
        case: an image with boxes.
        methods: names in `EXPLAINERS`.
        seed: of the shuffle and of the random orders of deletion, with the name of the case.

    Raises:
        UnknownName: for a method that does not exist.
    """
    shuffled = forgotten(network, [seed, *case.name.encode()])
    blank = _without_a_map(network, case, seed)
    return [_row(network, shuffled, case, replace(blank, method=method)) for method in methods]


def on_grid(values: NDArray[np.floating] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means over the cells of the grid, (h, w) to (rows, columns): CELLS along the shorter side, about square ones."""
    height, width = values.shape
    cells = min(CELLS, height, width)
    rows, columns = (max(1, round(cells * length / min(height, width))) for length in (height, width))
    return np.asarray(cv2.resize(values.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA))


def falls(network: Network, image: NDArray[np.uint8], orders: Sequence[NDArray[np.floating]]) -> list[float]:
    """By how much the logit falls, averaged over TAKEN, when cells are taken away in each order.

    A cell that is taken away shows the image blurred, so that no edge is added; the highest of an order go first.

    Args:
        network: in any mode; left in it.
        image: (h, w) uint8.
        orders: grids as `on_grid` makes them.
    """
    blurred = cv2.GaussianBlur(image, (0, 0), min(image.shape) / 16)
    pictures = [image]
    for order in orders:
        ranks = np.argsort(np.argsort(-order.ravel(), kind="stable")).reshape(order.shape) / order.size
        place = cv2.resize(ranks.astype(np.float32), image.shape[::-1], interpolation=cv2.INTER_NEAREST)
        pictures += [np.where(place < share, blurred, image) for share in TAKEN]
    with as_found(network), torch.no_grad():
        device = next(network.parameters()).device
        scores = [
            float(network.score(torch.from_numpy(each).to(device)[None, None].float() / 255.0)) for each in pictures
        ]
    fallen = scores[0] - np.array(scores[1:]).reshape(len(orders), len(TAKEN))
    return [float(value) for value in fallen.mean(axis=1)]


def _without_a_map(network: Network, case: Case, seed: int) -> Row:
    """What the comparators come to on a case."""
    bright = on_grid(case.image)
    rng = np.random.default_rng([seed, *case.name.encode()])
    orders = [rng.permutation(bright.size).reshape(bright.shape).astype(float) for _ in range(ORDERS)]
    brightest, *at_random = falls(network, case.image, [bright, *orders])
    height, width = case.image.shape
    return Row(
        method="",
        name=case.name,
        group=case.group,
        by_chance=float(case.inside.mean()),
        centre=_is_hit((width / 2, height / 2), case),
        brightest=brightest,
        at_random=float(np.mean(at_random)),
    )


def _row(network: Network, shuffled: Network, case: Case, row: Row) -> Row:
    """The row of a method, from one that has its name and what the comparators came to."""
    found = explain(network, case.image, row.method)
    if found.missing:
        return replace(row, missing=found.missing)
    grid, other = on_grid(found.evidence), on_grid(explain(shuffled, case.image, row.method).evidence)
    peak = peak_of(grid, (case.image.shape[0], case.image.shape[1]))
    return replace(
        row,
        likeness=likeness(grid, other),
        structure=structure(grid, other),
        hit=_is_hit(peak[:2], case) if peak and peak[2] > 0 else 0.0,
        energy=energy_inside(found, case),
        deletion=falls(network, case.image, [grid])[0],
    )


def energy_inside(found: Explanation, case: Case) -> float:
    """Share of the evidence for the finding that lies in a box; NaN if none speaks for it."""
    supporting = np.maximum(found.evidence, 0.0).astype(float)
    total = float(supporting.sum())
    return float(supporting[case.inside].sum() / total) if total > 0 else float("nan")


def _is_hit(point: tuple[float, float], case: Case) -> float:
    truth = Boxes(np.zeros(len(case.boxes), np.intp), case.boxes, np.zeros(len(case.boxes)))
    return float(hits(np.array([point]), truth)[0])


@dataclass(frozen=True)
class Check:
    """What a method came to on all cases of a bundle.

    Attributes:
        method: its name.
        images: cases it was measured on.
        without: of these, cases without a map.
        missing: why the first of those has none.
        likeness, structure: with the maps of the shuffled network, mean.
        pointing: share of hits. pointing_gain: less that of the better comparator.
        energy: mean share inside. energy_gain: less the mean area of the boxes.
        deletion_gain: fall of the logit more than by the better comparator, mean.
    """

    method: str
    images: int
    without: int
    missing: str
    likeness: Estimate
    structure: Estimate
    pointing: Estimate
    pointing_gain: Estimate
    energy: Estimate
    energy_gain: Estimate
    deletion_gain: Estimate


FIGURES = ("likeness", "structure", "pointing", "pointing_gain", "energy", "energy_gain", "deletion_gain")


def summed_up(rows: Sequence[Row], *, seed: int = 0, resamples: int = intervals.RESAMPLES) -> dict[str, Check]:
    """Method → what its rows come to, with 95 % intervals by a bootstrap of whole groups.

    Args:
        rows: of any number of methods, one for each case.
        seed: of the resamples.
        resamples: how many.
    """
    methods = dict.fromkeys(row.method for row in rows)
    return {m: _summed([row for row in rows if row.method == m], seed, resamples) for m in methods}


def _summed(rows: Sequence[Row], seed: int, resamples: int) -> Check:
    table = {
        name: np.array([getattr(row, name) for row in rows], float)
        for name in asdict(rows[0])
        if name not in ("method", "name", "group", "missing")
    }
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    zeros, rng = np.zeros(len(rows), np.intp), np.random.default_rng(seed)
    drawn = intervals.draw(groups, zeros, np.ones(len(rows), bool), rng, resamples=resamples)

    def sampled(values: Floats) -> Floats:
        return intervals.bootstrap(lambda w: _weighted_mean(w, values), drawn.of(~np.isnan(values)))

    def mean(values: Floats) -> Estimate:
        known = values[~np.isnan(values)]
        if not known.size:
            return Estimate(float("nan"), note="no map on any case")
        return intervals.estimate(float(known.mean()), sampled(values), known.size, trials=len(np.unique(groups)))

    # The better comparator is the one with the higher mean, the same for all resamples.
    blind = max((table["by_chance"], table["centre"]), key=np.mean)
    order = max((table["at_random"], table["brightest"]), key=np.mean)
    empty = [row.missing for row in rows if row.missing]
    return Check(
        method=rows[0].method,
        images=len(rows),
        without=len(empty),
        missing=empty[0] if empty else "",
        likeness=mean(table["likeness"]),
        structure=mean(table["structure"]),
        pointing=mean(table["hit"]),
        pointing_gain=intervals.difference(mean(table["hit"]), mean(blind), sampled(table["hit"] - blind)),
        energy=mean(table["energy"]),
        energy_gain=mean(table["energy"] - table["by_chance"]),
        deletion_gain=mean(table["deletion"] - order),
    )


def _weighted_mean(weights: Floats, values: Floats) -> Floats:
    """(b,) means of the values that are known; NaN for weights that leave them all out."""
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ values[~np.isnan(values)] / np.maximum(total, 1), np.nan)
