"""How far a limb is turned in its image: the step that sets it upright, its rule, and the published rule beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.dividing import percentile
from osteon.dataset.steps.limb import LOOKED_AT, carried, foremost
from osteon.dataset.steps.upright import distal_up
from osteon.types import Radiograph

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

DEAD_BAND_DEG = 1.0
"""A limb less far from upright than this stays as it lies."""

_BONE = 70  # percentile of the limb's grey values from which on it counts as bone
_REACH = 7  # pixels that the blur and the slope of an edge see beyond it
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
        radiograph, mask = carried(radiograph)
        small = frame.seen(radiograph, LOOKED_AT)
        turn = _turn(small, mask) if self.fingers_up else _axis(small, mask) or 0.0
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
    return _turn(*foremost(image))


def limb_upright(image: Grey) -> tuple[float, Grey, Mask] | None:
    """The `axis_turn` of a (h, w) uint8 image, and its foremost limb set upright with its mask, cut to the mask.

    None if there is no limb, or none that is longer than wide.
    """
    return _upright(*foremost(image))


def axis_turn(image: Grey) -> float:
    """How far the long axis of the limb in a (h, w) uint8 image is turned from upright, counter-clockwise, in degrees.

    The axis is the first principal component of the brightest three tenths of the foremost limb, its bone; the
    direction of most edges in the limb corrects it if it lies within 12°.

    Returns:
        In [-90, 90); 0 if there is no limb, or none that is longer than wide.
    """
    return _axis(*foremost(image)) or 0.0


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
    if np.count_nonzero(mask) < 3:
        return None
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    # Image rows count downwards.
    mixed = -moments["mu11"]
    covariance = np.array([[moments["mu20"], mixed], [mixed, moments["mu02"]]]) / moments["m00"]
    values, vectors = np.linalg.eigh(covariance)
    if values[1] <= 0:
        return None
    return np.asarray(vectors[:, 1]), float(values[1] / max(values[0], 1e-9))


def _is_turned(radiograph: Radiograph) -> bool:
    matrix = frame.frame_of(radiograph).matrix
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return abs(angle) > DEAD_BAND_DEG / 2


def _turn(small: Grey, mask: Mask | None) -> float:
    """`turn_of` the limb under a mask; of all of the image if it shows none."""
    found = _upright(small, mask)
    if found is None:
        return 0.0
    turn, grey, upright = found
    return turn if distal_up(grey, upright) else turn + 180 if turn <= 0 else turn - 180


def _upright(small: Grey, mask: Mask | None) -> tuple[float, Grey, Mask] | None:
    mask = np.ones(small.shape, bool) if mask is None else mask
    turn = _axis(small, mask)
    return None if turn is None else (turn, *_set_upright(small, mask, turn))


def _axis(small: Grey, mask: Mask | None) -> float | None:
    """`axis_turn` of the limb under a mask; None if it is not longer than wide."""
    mask = np.ones(small.shape, bool) if mask is None else mask
    small, mask = _cut_to(small, mask)
    found = principal_axis(mask & (small >= math.ceil(percentile(small[mask], _BONE))))
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
    across, down = (cv2.Sobel(calm, cv2.CV_32F, *way)[mask] for way in ((1, 0), (0, 1)))
    # The gradient of an upright edge points sideways: its direction is the edge's turn from upright.
    strength, degrees = (part.ravel() for part in cv2.cartToPolar(across, -down, angleInDegrees=True))
    most = float(np.partition(strength, int(0.95 * len(strength)))[int(0.95 * len(strength))])
    turns = np.rint(degrees).astype(np.intp) % 180
    counts = np.bincount(turns, weights=np.minimum(strength, most), minlength=180)
    bell = np.exp(-0.5 * (np.arange(-20, 21) / 5) ** 2)
    return np.convolve(np.r_[counts[-20:], counts, counts[:20]], bell, "valid")


def _cut_to(small: Grey, mask: Mask) -> tuple[Grey, Mask]:
    """An image and a mask, cut to the box about the mask and as much more as the filters reach."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    here = np.s_[max(0, y - _REACH) : y + height + _REACH, max(0, x - _REACH) : x + width + _REACH]
    return small[here], mask[here]


def _set_upright(small: Grey, mask: Mask, turn: float) -> tuple[Grey, Mask]:
    """The image and the mask turned back, on a canvas that holds their corners, cut to the limb."""
    small, mask = _cut_to(small, mask)
    rows, columns = small.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), -turn, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    width, height = math.ceil(columns * cosine + rows * sine), math.ceil(columns * sine + rows * cosine)
    matrix[:, 2] += (width - columns) / 2, (height - rows) / 2
    turned = cv2.warpAffine(small, matrix, (width, height))
    limb = cv2.warpAffine(mask.view(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    x, y, width, height = cv2.boundingRect(limb)
    inside = np.s_[y : y + height, x : x + width]
    return np.asarray(turned[inside], np.uint8), np.asarray(limb[inside]).view(bool)


def _wrapped(degrees: float) -> float:
    return (degrees + 90) % 180 - 90
