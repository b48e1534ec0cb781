"""Does a model look where the finding is: the pointing game, boxes against boxes, and what they make by chance.

Places are in pixels of the prepared image: x to the right, y down, 0 at the outer corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import metrics
from osteon.evaluate.metrics import Floats, Statistic, ratio
from osteon.evaluate.places import Boxes, Lessons, Places, Rows

OVERLAP = 0.5
"""Intersection over union from which a found box counts as being the true one."""

FALSE_BOXES = (0.5, 1.0, 2.0)
"""False boxes per image at which the free-response curve is read."""

GRID = 64
"""Cells a side of the map of where boxes lie."""


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every pair of boxes: (a, 4) and (b, 4), x, y, width, height, to (a, b) in 0..1."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(_ends(first)[:, None], _ends(second)[None])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    both = first[:, 2:].prod(axis=1)[:, None] + second[:, 2:].prod(axis=1)[None] - shared
    # A box against itself is 1 and not a last bit more or less.
    same = (first[:, None] == second[None]).all(axis=2)
    return np.where(same, 1.0, np.minimum(ratio(shared, both), 1.0))


def matched(found: Boxes, truth: Boxes, overlap: float = OVERLAP) -> NDArray[np.bool_]:
    """(f,) whether each found box is the one that finds a true box, matched as in COCO.

    In each image, found boxes choose in the order of their scores. Each takes, of the true boxes that are still free,
    the one that it overlaps most, if by `overlap` (above 0) or more; so a true box is found once, and whatever finds it
    again is false. Of equal scores the better overlap chooses first.
    """
    right = np.zeros(len(found.image), bool)
    for image in np.intersect1d(found.image, truth.image):
        rows, true = (np.arange(*np.searchsorted(each.image, [image, image + 1])) for each in (found, truth))
        shared = iou(found.corners[rows], truth.corners[true])
        for i in np.lexsort((-shared.max(axis=1), -found.score[rows])):
            best = int(shared[i].argmax())
            if shared[i, best] >= overlap:
                right[rows[i]] = True
                shared[:, best] = 0.0  # taken
    return right


def average_precision(found: Boxes, truth: Boxes, overlap: float = OVERLAP) -> tuple[Statistic, Rows]:
    """Average precision at an overlap: the area under precision against recall, interpolated at all points.

    The interpolated precision at a recall is the largest at that recall or any higher one (PASCAL VOC from 2010 on);
    the area is exact, where COCO samples 101 recalls. Boxes of one score enter together, so that no order of rows
    decides.

    Returns:
        A statistic of weights (b, f + t), and the (f + t,) row numbers of the images of these weights.
    """
    ranked, boxes = _ranked(found, truth, overlap), len(found.image)

    def statistic(weights: Floats) -> Floats:
        if not boxes:
            return ratio(np.zeros(len(weights)), weights.sum(axis=1))
        true, false = metrics.tallies(ranked, weights[:, :boxes])
        precision = ratio(true, true + false, otherwise=0.0)
        reached = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        gained = np.diff(true, axis=1, prepend=0.0)
        return ratio((gained * reached).sum(axis=1), weights[:, boxes:].sum(axis=1))

    return statistic, np.concatenate([found.image, truth.image])


def free_response(
    found: Boxes, truth: Boxes, images: Rows, false_boxes: Sequence[float] | Floats = FALSE_BOXES
) -> tuple[Statistic, Rows]:
    """Free-response ROC: the share of true boxes found, at each number of false boxes per image.

    Args:
        found, truth: boxes in images of `images`.
        images: (n,) row numbers of all images that were looked at, with and without the finding.
        false_boxes: (g,) numbers of false boxes per image; the lowest score whose boxes stay within it is taken.

    Returns:
        A statistic of weights (b, f + t + n) that gives (b, g), and the row numbers of the images of these weights.
    """
    ranked, boxes, lesions = _ranked(found, truth, OVERLAP), len(found.image), len(truth.image)
    allowed = np.asarray(false_boxes, float) + 1e-12  # shares such as 3/10 and 0.3 differ in the last bit

    def statistic(weights: Floats) -> Floats:
        sick = weights[:, boxes : boxes + lesions].sum(axis=1, keepdims=True)
        looked = weights[:, boxes + lesions :].sum(axis=1, keepdims=True)
        if not boxes:
            return np.repeat(ratio(np.zeros_like(sick), sick), len(allowed), axis=1)
        true, false = metrics.tallies(ranked, weights[:, :boxes])
        sensitivity = np.pad(ratio(true, sick), ((0, 0), (1, 0)))
        rate = np.pad(ratio(false, looked), ((0, 0), (1, 0)))
        return np.stack([s[np.searchsorted(r, allowed, "right") - 1] for s, r in zip(sensitivity, rate, strict=True)])

    return statistic, np.concatenate([found.image, truth.image, images])


def hits(points: Floats, truth: Boxes, tolerance: float = 0.0) -> NDArray[np.bool_]:
    """The pointing game (Zhang et al., IJCV 2018): whether the point of each image lies in any true box of it.

    Args:
        points: (n, 2) x and y for each image; NaN, a model that points nowhere, is no hit.
        truth: the true boxes.
        tolerance: distance from a box, in pixels, that still counts as inside; borders belong to the box. Zhang et al.
            allow 15.

    Returns:
        (n,) hits; False for images without a true box.
    """
    at = points[truth.image]
    away = np.maximum(truth.corners[:, :2] - at, at - _ends(truth.corners)).clip(0)
    inside = np.hypot(*away.T) <= tolerance  # NaN compares as false
    return np.bincount(truth.image, inside, len(points)) > 0


def share_hit_by_chance(places: Places, tolerance: float = 0.0) -> Floats:
    """(n,) probability that the centre of a pixel drawn at random is a hit: exact, by looking at every pixel."""
    share = np.zeros(len(places.name))
    for image in np.unique(places.truth.image):
        height, width = places.size[image]
        covered = np.zeros((height, width), bool)
        for x, y, w, h in places.truth.corners[places.truth.image == image]:
            across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
            aside = np.maximum(x - across, across - x - w).clip(0)
            above = np.maximum(y - down, down - y - h).clip(0)
            covered |= np.hypot(above[:, None], aside[None]) <= tolerance
        share[image] = covered.mean()
    return share


def peak_of(heat: NDArray[np.floating], size: tuple[int, int]) -> tuple[float, float, float] | None:
    """Where a map is highest, as a row of `osteon.tables.POINTS`.

    Args:
        heat: (h, w) finite map over the whole image, of any resolution.
        size: height and width of the prepared image, in pixels.

    Returns:
        x and y of the centre of the highest cell, in pixels of the prepared image, and its value. Of several equally
        high cells it is the one nearest to their centre of mass, then the first from the top and the left. None for a
        flat map, which points nowhere.

    Raises:
        ValueError: for a map that is empty or not finite.
    """
    if heat.ndim != 2 or not heat.size or not np.isfinite(heat).all():
        raise ValueError(f"a map has two dimensions and finite values, not {heat.shape}")
    if heat.min() == heat.max():
        return None
    cells = np.argwhere(heat == heat.max())
    row, column = cells[((cells - cells.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    y, x = (row + 0.5) / heat.shape[0] * size[0], (column + 0.5) / heat.shape[1] * size[1]
    return float(x), float(y), float(heat.max())


def centres(places: Places) -> Floats:
    """(n, 2) x and y of the centre of each image."""
    return places.size[:, ::-1] / 2.0


def where_boxes_lie(places: Places) -> Floats:
    """(n, 2) the place that most images of the other folds have inside a box, relative to their size.

    The same relative place for all images of a fold, learnt without it; NaN where no other fold has boxes.
    """
    points = np.full((len(places.name), 2), np.nan)
    for fold in np.unique(places.fold):
        cover = _coverage(places.lessons, places.lessons.fold != fold)
        peak = None if cover is None else peak_of(cover, (1, 1))
        if peak is not None:
            points[places.fold == fold] = peak[:2]
    return points * places.size[:, ::-1]


def mean_boxes(places: Places) -> Boxes:
    """In every image the mean true box of the other folds, relative to its size, with one score for all.

    Images whose fold has no other to learn from get none.
    """
    corners = np.full((len(places.name), 4), np.nan)
    for fold in np.unique(places.fold):
        taught = places.lessons.corners[places.lessons.fold != fold]
        if len(taught):
            corners[places.fold == fold] = taught.mean(axis=0)
    known = np.flatnonzero(~np.isnan(corners[:, 0]))
    return Boxes(known, corners[known] * places.size[known][:, [1, 0, 1, 0]], np.zeros(len(known)))


def only(boxes: Boxes, images: NDArray[np.bool_]) -> Boxes:
    """The boxes that lie in some of the (n,) images; images keep their numbers."""
    kept = images[boxes.image]
    return Boxes(boxes.image[kept], boxes.corners[kept], boxes.score[kept])


def _coverage(lessons: Lessons, taught: NDArray[np.bool_]) -> Floats | None:
    """(GRID, GRID) share of the images that have each cell's centre in a box."""
    if not taught.any():
        return None
    at = (np.arange(GRID) + 0.5) / GRID
    low, high = lessons.corners[taught, :2], _ends(lessons.corners[taught])
    across, down = ((low[:, i, None] <= at) & (at <= high[:, i, None]) for i in (0, 1))
    _, image = np.unique(lessons.image[taught], return_inverse=True)
    cover = np.zeros((image.max() + 1, GRID, GRID), bool)
    np.logical_or.at(cover, image, down[:, :, None] & across[:, None, :])
    return np.asarray(cover.mean(axis=0))


def _ranked(found: Boxes, truth: Boxes, overlap: float) -> metrics.Ranked:
    right = matched(found, truth, overlap)
    if not len(right):  # no run of equal scores ends anywhere
        none = np.empty(0)
        return metrics.Ranked(none.astype(int), none.astype(int), none, none)
    return metrics.rank(found.score, right)


def _ends(corners: Floats) -> Floats:
    """(b, 2) x of the right and y of the lower edge."""
    return np.asarray(corners[:, :2] + corners[:, 2:])
