"""What divides a plate: lines and bars from side to side, and the dark valley between two limbs that touch."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Lines = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""First and last row of what divides an image across, and first and last column of what divides it along."""

_COPY = 96  # longer side in pixels of the copy in which valleys are sought
_DEEP, _GROUND, _SHALLOW = 0.8, 0.6, 5  # a valley is so deep, less so much for ground, at all but so many % of its rows


def lines_across(image: Grey) -> Lines:
    """Dividers of a (h, w) uint8 image in the middle three fifths of each side.

    A divider is a bundle of rows (or columns) that is white for 93 % of its length, or a thin line that is brighter, or
    darker, than what lies 3 px to both sides for 85 % of its length; of a dark line, ground as dark is not counted.
    """
    bundles = _white_bundles(image)
    across, along = (bundle or _thin_line(image, axis) for axis, bundle in enumerate(bundles))
    return across, along


def full_lines(image: Grey, within: Mask) -> Lines:
    """White dividers, as of `lines_across`, in the box about a mask; rows and columns of the whole image."""
    x, y, width, height = cv2.boundingRect(within.view(np.uint8))
    across, along = _white_bundles(image[y : y + height, x : x + width])
    return _moved(across, y), _moved(along, x)


def half_parted(grey: Grey, mask: Mask, ground: float) -> Mask | None:
    """One of two limbs in one mask, the left or the upper, if a dark valley parts them from end to end; else None.

    The valley is the darkest path with at most one column's step a row, by dynamic programming, in the middle of the
    mask; or, of limbs above each other, the same with rows. It parts two limbs if soft tissue on it is clearly darker
    than both limbs beside it at each height, the more so the less of it runs over ground, and if both limbs are longer
    than wide.

    Args:
        grey: (h, w) uint8, bone white. mask: (h, w), the body. ground: grey level of the ground.
    """
    height, width = grey.shape
    shrink = min(1.0, _COPY / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    above = cv2.subtract(grey, np.full_like(grey, round(ground))).astype(np.float32)
    small = np.asarray(cv2.resize(above, size, interpolation=cv2.INTER_AREA), np.float32)
    body = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    beside = _left_of_valley(small, body, (height, width))
    if beside is None:
        beside = _left_of_valley(np.ascontiguousarray(small.T), np.ascontiguousarray(body.T), (width, height))
        beside = None if beside is None else beside.T
    return None if beside is None else np.asarray(mask & beside)


def _left_of_valley(small: NDArray[np.float32], body: Mask, size: tuple[int, int]) -> Mask | None:
    """Where, in an image of a size (h, w), lies left of the valley from top to bottom of its copy; None without one."""
    columns = np.flatnonzero(body.any(axis=0))
    rows = np.flatnonzero(body.any(axis=1))
    # Of a body twice as wide as high at least one half is wider than high, wherever the valley runs.
    if len(columns) < 8 or columns[-1] - columns[0] + 1 > 2 * (rows[-1] - rows[0] + 1):
        return None
    margin = int(0.22 * (columns[-1] - columns[0]))
    first, last = int(columns[0]) + margin, int(columns[-1]) - margin
    if not _may_part(small, body, np.s_[:, first : last + 1]):
        return None
    path = _darkest_path(small, first, last)
    left = np.arange(small.shape[1]) < path[:, None]
    if not _parts(small, body, path, left):
        return None
    (height, width), (small_height, small_width) = size, small.shape
    at = (np.arange(height) + 0.5) * small_height / height - 0.5
    edge = np.interp(at, np.arange(small_height), path) * width / small_width
    return np.asarray(np.arange(width) < edge[:, None])


def _may_part(small: NDArray[np.float32], body: Mask, middle: tuple[slice, slice]) -> bool:
    """Whether any path in the middle could pass `_parts`: what the darkest pixels of all rows say, without a path."""
    surely_inside = body[middle].all(axis=1)
    count = int(np.count_nonzero(body.any(axis=1)))
    most_ground = 1 - int(np.count_nonzero(surely_inside)) / max(1, count)
    deepest = 1 - small[middle].min(axis=1) / np.maximum(np.where(body, small, 0).max(axis=1), 1)
    shallow = int(np.count_nonzero(surely_inside & (deepest <= _DEEP - _GROUND * most_ground)))
    return shallow < int(_SHALLOW / 100 * max(count - 1, 0)) + 2


def _parts(small: NDArray[np.float32], body: Mask, path: NDArray[np.intp], left: Mask) -> bool:
    halves = body & left, body & ~left
    least = min(int(half.sum()) for half in halves)
    if least < 0.2 * body.sum() or min(_slenderness(half) for half in halves) < 1:
        return False
    rows = np.arange(len(path))
    lower_peak = np.minimum(*(np.where(half, small, 0).max(axis=1) for half in halves))
    depth = 1 - small[rows, path] / np.maximum(lower_peak, 1)
    inside = body[rows, path]
    ground = 1 - inside.sum() / max(1, body.any(axis=1).sum())
    worst = float(np.percentile(depth[inside], _SHALLOW)) if inside.any() else 1.0
    return bool(worst + _GROUND * ground > _DEEP)


def _slenderness(mask: Mask) -> float:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float((rows[-1] - rows[0] + 1) / (columns[-1] - columns[0] + 1))


def _darkest_path(small: NDArray[np.float32], first: int, last: int) -> NDArray[np.intp]:
    """(h,) column of the path of least sum of grey values from the first row to the last, within columns."""
    total = np.full((small.shape[0], last - first + 3), np.inf, np.float32)
    total[:, 1:-1] = small[:, first : last + 1] + np.float32(1)
    for row in range(1, len(total)):
        above = total[row - 1]
        total[row, 1:-1] += np.minimum(np.minimum(above[:-2], above[2:]), above[1:-1])
    path, sums = [int(np.argmin(total[-1]))], total.tolist()  # single numbers: lists are quicker than arrays
    for values in reversed(sums[:-1]):
        below = path[-1]
        path.append(min((below - 1, below, below + 1), key=values.__getitem__))
    return np.array(path[::-1], np.intp) + (first - 1)


def _thin_line(image: Grey, axis: int) -> tuple[int, int] | None:
    """A thin line across (axis 0) or along (axis 1) an image, as first and last row or column, or None."""
    low, high = _middle(image.shape[axis])
    if low < 3:
        return None
    lines = [np.s_[low + d : high + d] for d in (0, -3, 3)]
    middle, above, below = (image[line] if axis == 0 else image[:, line] for line in lines)
    brighter, darker = cv2.max(above, below), cv2.min(above, below)
    lit, length = np.asarray(darker > 24), image.shape[1 - axis]
    # OpenCV subtracts down to zero and not below it: what is darker by any amount is not brighter by 8.
    white = _counts(cv2.subtract(middle, brighter) > 8, axis) / length
    seen = _counts(lit, axis)
    black = _counts((cv2.subtract(darker, middle) > 8) & lit, axis) / np.maximum(seen, 1)
    # A limb that is short across the line shows little of a dark one, which must then be whole.
    black[(seen / length < 0.05) | ((seen / length < 0.15) & (black < 0.97))] = 0
    score = np.maximum(white, black)
    best = int(np.argmax(score))
    return (low + best, low + best) if score[best] > 0.85 else None


def _white_bundles(image: Grey) -> Lines:
    """First and last of the rows, and of the columns, that are white for 93 % of their length, with others to both
    sides; None where there are none."""
    white = percentile(np.ascontiguousarray(image[::3, ::3]), 99.5)
    if white < 100:
        return None, None
    is_white = np.asarray(image >= math.ceil(0.9 * white))
    across, along = (_bundle(_counts(is_white, axis) > 0.93 * image.shape[1 - axis]) for axis in (0, 1))
    return across, along


def _bundle(white: Mask) -> tuple[int, int] | None:
    """First and last of the white lines in the middle, if an eighth of it to both sides is not white."""
    low, high = _middle(len(white))
    lines, beside = np.flatnonzero(white[low:high]), (high - low) // 8
    if high - low < 8 or not lines.size or lines[0] < beside or lines[-1] >= high - low - beside:
        return None
    return low + int(lines[0]), low + int(lines[-1])


def _counts(mask: Mask, axis: int) -> NDArray[np.int32]:
    """How many pixels of each row (axis 0) or column (axis 1) a mask holds; OpenCV counts many times as fast."""
    counts = cv2.reduce(mask.view(np.uint8), 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(counts, np.int32).ravel()


def percentile(values: Grey, share: float) -> float:
    """A percentile of (n,) or (h, w) uint8, as of `percentiles`."""
    (found,) = percentiles(values, share)
    return found


def percentiles(values: Grey, *shares: float) -> list[float]:
    """Percentiles of (n,) or (h, w) uint8 as of NumPy, interpolated linearly; by counting, in half its time."""
    upto = np.cumsum(cv2.calcHist([values], [0], None, [256], [0, 256]).ravel(), dtype=np.float64)
    places = [(values.size - 1) * share / 100 for share in shares]
    ranks = [(math.floor(at), math.ceil(at)) for at in places]
    pairs = np.searchsorted(upto, ranks, side="right")
    return [float(below + (above - below) * (at % 1)) for (below, above), at in zip(pairs, places, strict=True)]


def _middle(length: int) -> tuple[int, int]:
    return int(0.2 * length), int(0.8 * length)


def _moved(line: tuple[int, int] | None, by: int) -> tuple[int, int] | None:
    return None if line is None else (line[0] + by, line[1] + by)
