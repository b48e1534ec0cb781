"""What divides a plate: lines and bars from side to side, and the dark valley between two limbs that touch."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Lines = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""First and last row of what divides an image across, and first and last column of what divides it along."""

_COPY = 96  # longer side in pixels of the copy in which valleys are sought


def lines_across(image: Grey) -> Lines:
    """Dividers of a (h, w) uint8 image in the middle three fifths of each side.

    A divider is a bundle of rows (or columns) that is white for 93 % of its length, or a thin line that is brighter, or
    darker, than what lies 3 px to both sides for 85 % of its length; of a dark line, ground as dark is not counted.
    """
    across, along = (_divider(np.ascontiguousarray(turned)) for turned in (image, image.T))
    return across, along


def full_lines(image: Grey, within: Mask) -> Lines:
    """White dividers, as of `lines_across`, in the box about a mask; rows and columns of the whole image."""
    rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
    inner = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    across, along = (_white_bundle(np.ascontiguousarray(turned)) for turned in (inner, inner.T))
    return _moved(across, int(rows[0])), _moved(along, int(columns[0]))


def valley(grey: Grey, mask: Mask, ground: float) -> Mask | None:
    """The left one of two limbs in one mask, if a dark valley parts them from top to bottom; else None.

    The valley is the darkest path with at most one column's step a row, by dynamic programming, in the middle of the
    mask. It parts two limbs if soft tissue on it is clearly darker than both limbs beside it at each height, the more
    so the less of it runs over ground, and if both limbs are longer than wide.

    Args:
        grey: (h, w) uint8, bone white. mask: (h, w), the body. ground: grey level of the ground.
    """
    height, width = grey.shape
    shrink = min(1.0, _COPY / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    above = np.maximum(grey - np.float32(ground), 0).astype(np.float32)
    small = np.asarray(cv2.resize(above, size, interpolation=cv2.INTER_AREA), np.float32)
    body = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    # Of a body twice as wide as high at least one half is wider than high, wherever the valley runs.
    if len(columns) < 8 or columns[-1] - columns[0] + 1 > 2 * (rows[-1] - rows[0] + 1):
        return None
    margin = int(0.22 * (columns[-1] - columns[0]))
    path = _darkest_path(small, int(columns[0]) + margin, int(columns[-1]) - margin)
    left = np.arange(size[0]) < path[:, None]
    if not _parts(small, body, path, left):
        return None
    rows = (np.arange(height) + 0.5) * size[1] / height - 0.5
    edge = np.interp(rows, np.arange(size[1]), path) * width / size[0]
    return np.asarray(mask & (np.arange(width) < edge[:, None]))


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
    worst = float(np.percentile(depth[inside], 5)) if inside.any() else 1.0
    return bool(worst + 0.6 * ground > 0.8)


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


def _divider(image: Grey) -> tuple[int, int] | None:
    """First and last row of a divider, or None."""
    bundle = _white_bundle(image)
    if bundle is not None:
        return bundle
    low, high = _middle(image.shape[0])
    if low < 3:
        return None
    middle, above, below = (image[low + d : high + d] for d in (0, -3, 3))
    brighter, darker = cv2.max(above, below), cv2.min(above, below)
    lit, width = np.asarray(darker > 24), image.shape[1]
    # OpenCV subtracts down to zero and not below it: what is darker by any amount is not brighter by 8.
    white = np.count_nonzero(cv2.subtract(middle, brighter) > 8, axis=1) / width
    seen = np.count_nonzero(lit, axis=1)
    black = np.count_nonzero((cv2.subtract(darker, middle) > 8) & lit, axis=1) / np.maximum(seen, 1)
    # A limb that is short across the line shows little of a dark one, which must then be whole.
    black[(seen / width < 0.05) | ((seen / width < 0.15) & (black < 0.97))] = 0
    score = np.maximum(white, black)
    best = int(np.argmax(score))
    return (low + best, low + best) if score[best] > 0.85 else None


def _white_bundle(image: Grey) -> tuple[int, int] | None:
    """First and last row that is white for 93 % of its length, with other rows to both sides, or None."""
    low, high = _middle(image.shape[0])
    white = _percentile(image[::3, ::3], 99.5)
    if white < 100 or high - low < 8:
        return None
    rows = np.flatnonzero(np.count_nonzero(image[low:high] >= 0.9 * white, axis=1) / image.shape[1] > 0.93)
    if not rows.size or rows[0] < (high - low) // 8 or rows[-1] >= high - low - (high - low) // 8:
        return None
    return low + int(rows[0]), low + int(rows[-1])


def _percentile(image: Grey, share: float) -> float:
    """A percentile as of NumPy, interpolated linearly; by counting grey values, in half its time."""
    upto = np.cumsum(np.bincount(image.ravel(), minlength=256))
    at = (image.size - 1) * share / 100
    below, above = np.searchsorted(upto, (np.floor(at), np.ceil(at)), side="right")
    return float(below + (above - below) * (at % 1))


def _middle(length: int) -> tuple[int, int]:
    return int(0.2 * length), int(0.8 * length)


def _moved(line: tuple[int, int] | None, by: int) -> tuple[int, int] | None:
    return None if line is None else (line[0] + by, line[1] + by)
