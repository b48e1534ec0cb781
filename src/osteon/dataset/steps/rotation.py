"""How far a limb is turned in its image: the step that sets it upright, its rule, and the published rule beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.limb import limbs, shrunk
from osteon.dataset.steps.upright import distal_up
from osteon.types import Radiograph

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

DEAD_BAND_DEG = 1.0
"""A limb less far from upright than this stays as it lies."""

_BONE = 70  # percentile of the limb's grey values from which on it counts as bone
_NEAR = 12  # degrees around the axis of the bone within which the edges may correct it


@dataclass(frozen=True)
class RotationAlignment:
    """Turn the limb's long axis upright and, if asked, its distal end (fingers, toes) up.

    The axis is that of `axis_turn`, the end that of `distal_up`. Under one degree nothing is turned. Judged is only an
    image whose frame is not turned yet: a turned frame has been judged before, so that a second application changes
    nothing, whatever is on the image. Corners that come into view are black.

    Attributes:
        fingers_up: whether the distal end is turned up; if not, the axis is set upright by the smaller turn.
    """

    fingers_up: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        radiograph = frame.proxy_of(radiograph)
        if _is_turned(radiograph):
            return [radiograph]
        image = frame.seen(radiograph)
        turn = turn_of(image) if self.fingers_up else axis_turn(image)
        if abs(turn) < DEAD_BAND_DEG:
            return [radiograph]
        # A half turn that is near enough is an exact one, and resamples nothing.
        degrees = 180.0 if abs(turn) > 180 - DEAD_BAND_DEG else -round(turn, 1)
        told = f"turned by {abs(degrees):g}° {'counter-clockwise' if degrees > 0 else 'clockwise'}"
        return [frame.noted(frame.turned(radiograph, degrees), f"{told}, to set the limb upright")]

    def __str__(self) -> str:
        return "turn the limb upright, its distal end up" if self.fingers_up else "turn the long axis upright"


def turn_of(image: Grey) -> float:
    """How far the distal end of the limb in a (h, w) uint8 image is turned from "up", counter-clockwise, in degrees.

    Returns:
        In (-180, 180]; 0 if there is no limb, or none that is longer than wide.
    """
    found = limb_upright(image)
    if found is None:
        return 0.0
    turn, grey, mask = found
    return turn if distal_up(grey, mask) else turn + 180 if turn <= 0 else turn - 180


def limb_upright(image: Grey) -> tuple[float, Grey, Mask] | None:
    """The `axis_turn` of a (h, w) uint8 image, and its foremost limb set upright with its mask, cut to the mask.

    None if there is no limb, or none that is longer than wide.
    """
    small, mask = _foremost(image)
    turn = _axis(small, mask)
    return None if turn is None else (turn, *_set_upright(small, mask, turn))


def axis_turn(image: Grey) -> float:
    """How far the long axis of the limb in a (h, w) uint8 image is turned from upright, counter-clockwise, in degrees.

    The axis is the first principal component of the brightest three tenths of the foremost limb, its bone; the
    direction of most edges in the limb corrects it if it lies within 12°.

    Returns:
        In [-90, 90); 0 if there is no limb, or none that is longer than wide.
    """
    small, mask = _foremost(image)
    return _axis(small, mask) or 0.0


def printed_turn(image: Grey) -> float:
    """The rule as printed in de Cid 2021, section 4.2: Otsu, close, open, θ = arccos(PC₁) · 180 / π.

    PC₁ is read as the first component of the first principal axis, whose sign is arbitrary; the sign of a turn is lost
    in the arc cosine. The image is to be turned by 90° - θ to stand upright.

    Returns:
        By how many degrees the rule takes the limb to be turned from upright, counter-clockwise.
    """
    _, bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    kernel = np.ones((5, 5), np.uint8)
    cleaned = cv2.morphologyEx(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    found = principal_axis(cleaned > 0)
    if found is None:
        return 0.0
    return math.degrees(math.acos(min(1.0, max(-1.0, float(found[0][0]))))) - 90


def principal_axis(mask: Mask) -> tuple[NDArray[np.float64], float] | None:
    """Unit vector (x, y), y up, of the first principal axis of a mask's pixels, and the ratio of the variances.

    None for a mask of fewer than three pixels, or of one that has no extent.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 3:
        return None
    values, vectors = np.linalg.eigh(np.cov(np.vstack([columns, -rows])))
    if values[1] <= 0:
        return None
    return np.asarray(vectors[:, 1]), float(values[1] / max(values[0], 1e-9))


def _is_turned(radiograph: Radiograph) -> bool:
    matrix = frame.frame_of(radiograph).matrix
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return abs(angle) > DEAD_BAND_DEG / 2


def _foremost(image: Grey) -> tuple[Grey, Mask]:
    """The small copy on which limbs are found, and the largest limb (all of it if there is none)."""
    small, found = shrunk(image), limbs(image)
    if not found:
        return small, np.ones(small.shape, bool)
    return small, max(found, key=lambda mask: int(mask.sum()))


def _axis(small: Grey, mask: Mask) -> float | None:
    """`axis_turn` of a limb; None if it is not longer than wide."""
    found = principal_axis(mask & (small >= np.percentile(small[mask], _BONE)))
    if found is None or found[1] < 1.1:
        return None
    (x, y), _ = found
    turn = _wrapped(math.degrees(math.atan2(y, x)) - 90)
    edges = _edge_directions(small, mask)
    nearest = round(turn)
    offsets = np.arange(-_NEAR, _NEAR + 1)
    best = int(offsets[np.argmax(edges[(nearest + offsets) % 180])])
    if abs(best) == _NEAR:
        return turn
    around = np.arange(-8, 9)
    weights = np.maximum(edges[(nearest + best + around) % 180] - np.percentile(edges, 30), 0)
    shift = float((weights * around).sum() / weights.sum()) if weights.sum() > 0 else 0.0
    return _wrapped(nearest + best + 0.5 * shift)


def _edge_directions(small: Grey, mask: Mask) -> NDArray[np.float64]:
    """(180,) how much edge in the limb runs at k degrees from upright, counter-clockwise; smoothed by 5°."""
    calm = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1.5)
    across, down = cv2.Sobel(calm, cv2.CV_32F, 1, 0)[mask], cv2.Sobel(calm, cv2.CV_32F, 0, 1)[mask]
    strength = np.hypot(across, down)
    # The gradient of an upright edge points sideways: its direction is the edge's turn from upright.
    degrees = np.degrees(np.arctan2(-down, across)) % 180
    strength = np.minimum(strength, np.percentile(strength, 95))
    counts = np.bincount(np.round(degrees).astype(int) % 180, weights=strength, minlength=180)
    bell = np.exp(-0.5 * (np.arange(-20, 21) / 5) ** 2)
    return np.convolve(np.r_[counts[-20:], counts, counts[:20]], bell, "valid")


def _set_upright(small: Grey, mask: Mask, turn: float) -> tuple[Grey, Mask]:
    """The image and the mask turned back, on a canvas that holds their corners, cut to the limb."""
    rows, columns = small.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), -turn, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    width, height = math.ceil(columns * cosine + rows * sine), math.ceil(columns * sine + rows * cosine)
    matrix[:, 2] += (width - columns) / 2, (height - rows) / 2
    turned = cv2.warpAffine(small, matrix, (width, height))
    limb = cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST) > 0
    y, x = np.flatnonzero(limb.any(axis=1)), np.flatnonzero(limb.any(axis=0))
    inside = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    return np.asarray(turned[inside], np.uint8), limb[inside]


def _wrapped(degrees: float) -> float:
    return (degrees + 90) % 180 - 90
