"""Whether bone is shown white: the step that turns the grey values of a negative round, and its rules.

Three rules stand here: that of de Cid 2021 (`corner_rule`), a rule that first finds the exposed field and then weighs
named cues inside it (`whiteness`), and `ColourInversion`, which believes the tags of DICOM files unless told not to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.dividing import percentiles
from osteon.dataset.steps.field import exposed_field
from osteon.types import Radiograph

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 160
"""Longer side in pixels of the copy on which an image is judged."""

_EXTREME = 0.15  # of the range of grey values: within it of either end, a pixel is as white or as black as any
_ALONG = 0.97  # of a line of pixels: share that must be so for the line to part two exposures
_CONTRAST = 0.4  # of the range of the whole: a side that shows less is ground, or lead
_LEAST = 2.0  # grey levels: what has a smaller range is even
_NARROW = 32  # pixels: a narrower image is not parted
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))


class Cues(NamedTuple):
    """What speaks for white bone (> 0) or dark bone (< 0) in the exposed field; the negative has the same with the
    other sign. Grey values g are stretched so that the 1st and 99th percentile of the field are 0 and 1.

    Attributes:
        quiet: ½ - mean g of the quietest fifth of the field. Unattenuated background is smooth, and dark.
        edge: ½ - mean g along the rim of the field. Limbs lie in the middle; what surrounds them is dark.
        mode: ½ - the most frequent g. Background, or else soft tissue, fills more of the field than bone.
        ridges: what openings of g with a disc remove, less what closings add, over their sum. Bones are bright, narrow
            things in a broad, darker body.
        ends: share of the field below 0.06, less that above 0.94. Background is clipped to black, bone seldom to white.
    """

    quiet: float
    edge: float
    mode: float
    ridges: float
    ends: float


WEIGHTS = Cues(quiet=3.06, edge=8.66, mode=2.41, ridges=4.37, ends=2.70)
"""Log odds per unit of each cue, fitted by `benchmarks/polarity_fit.py` on 880 phantom plates and 892 FracAtlas
pictures, none of which is among those that results are reported on. The field was then sought in a finer copy,
and not past the glow beside a collimator; a refit to the smaller copy gained nothing (see `docs/results/steps.md`)."""


@dataclass(frozen=True)
class ColourInversion:
    """Invert the grey values of an image that shows dark bone on a light ground.

    A DICOM file states how it is to be shown, and is believed; PNG and JPEG state nothing, and their pixels are judged
    by `whiteness`. Judged is the whole source as its file shows it, whatever the frame by now, so that a second
    application decides the same.

    Attributes:
        believe_tags: whether DICOM files are believed.
    """

    believe_tags: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        if self.believe_tags and radiograph.header.photometric:
            return [radiograph]
        radiograph = frame.proxy_of(radiograph)
        grey = frame.frame_of(radiograph).grey
        if shows_dark_bone(frame.proxy_pixels(radiograph)) == bool(grey[0] > grey[-1]):
            return [radiograph]
        return [frame.noted(frame.inverted(radiograph), "inverted, because bone was shown dark on a light ground")]

    def __str__(self) -> str:
        return "show bone white" if self.believe_tags else "show bone white, whatever the tags say"


def corner_rule(image: NDArray[np.uint8]) -> bool:
    """Whether the rule of de Cid 2021, section 4.2, inverts a (h, w) uint8 image: the mean of its four corner patches,
    of a tenth of each side, is 100 or more."""
    height, width = (max(1, side // 10) for side in image.shape)
    corners = (image[:height, :width], image[:height, -width:], image[-height:, :width], image[-height:, -width:])
    return float(np.mean([corner.mean() for corner in corners])) >= 100


def shows_dark_bone(image: NDArray[np.uint8]) -> bool:
    """Whether a (h, w) uint8 image shows dark bone on a light ground, by `whiteness`."""
    return whiteness(image) < 0


def whiteness(image: NDArray[np.uint8]) -> float:
    """Log odds that a (h, w) uint8 image shows bone white; 0 if nothing tells.

    The sum of the cues inside the exposed field, each times its weight. Two exposures on one plate have a field each:
    where an even line parts the image, and something is seen on both sides, their odds are summed instead.
    """
    small = _small(image)
    low, high = percentiles(small, 1, 99)
    sides = [_cues(side, _CONTRAST * (high - low)) for side in _sides(small, low, high)]
    seen = sides if sides and None not in sides else [_cues(small)]
    return sum(float(np.dot(found, WEIGHTS)) for found in seen if found)


def cues(image: NDArray[np.uint8]) -> Cues | None:
    """The cues of a (h, w) uint8 image in its exposed field; None if that is of one value."""
    return _cues(_small(image))


def _small(image: Grey) -> Grey:
    shrink = min(1.0, SIDE / max(image.shape))
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _sides(small: Grey, low: float, high: float) -> tuple[Grey, ...]:
    """What lies to both sides of the line, nearest to the middle, that is all white or all black; () without one.

    Black is what is near `low`, white what is near `high`. The line may be a line or a gap between two exposures, or
    their shutters. Of lines across and along, those win that fill the greater share of the middle half of the image.
    """
    if min(small.shape) < _NARROW:
        return ()
    near = _EXTREME * (high - low)
    extremes = np.asarray(small >= high - near, np.uint8), np.asarray(small <= low + near, np.uint8)
    found: list[tuple[float, int, int]] = []
    for axis in (0, 1):
        length, across = small.shape[axis], small.shape[1 - axis]
        counts = [cv2.reduce(extreme, 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for extreme in extremes]
        even = np.flatnonzero(np.maximum(*counts) >= _ALONG * across)
        even = even[(even >= length // 4) & (even < length * 3 // 4)]
        if even.size:
            found.append((even.size / length, axis, int(even[np.abs(even - length / 2).argmin()])))
    if not found:
        return ()
    _, axis, at = max(found)
    return (small[:at], small[at:]) if axis == 0 else (small[:, :at], small[:, at:])


def _cues(small: Grey, least: float = _LEAST) -> Cues | None:
    """The cues of an image of SIDE pixels; None if the range of grey values in its field is less than `least`."""
    field = exposed_field(small, past_glow=True)
    inside = field.mask()
    # The blur of its edge is no part of the field.
    core = _shrunk(inside, 3) if field.edges else inside
    core = core if np.count_nonzero(core) > 0.1 * core.size else inside
    values = small[core]
    low, high = percentiles(values, 1, 99)
    if high - low < max(least, _LEAST):
        return None
    grey = np.clip((small.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)
    return _weighed(_continued(grey, core) if field.edges else grey, core)


def _weighed(grey: Plane, core: Mask) -> Cues:
    values = grey[core]
    roughness = np.asarray(cv2.blur(cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 2.0)), (9, 9)))[core]
    quiet = roughness <= np.partition(roughness, roughness.size // 5)[roughness.size // 5]
    rim = core & ~_shrunk(core, 9)
    bins = np.bincount(np.minimum((24 * values).astype(np.intp), 23), minlength=24)
    counts = np.convolve(bins, (1, 1, 1), "same")
    # In whole numbers morphology is many times as fast.
    fine = cv2.GaussianBlur(np.rint(255 * grey).astype(np.uint8), (0, 0), 1.0)
    bright, dark = (
        cv2.mean(cv2.morphologyEx(fine, removed, _DISC), core.view(np.uint8))[0]
        for removed in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
    )
    return Cues(
        quiet=0.5 - float(values[quiet].mean()),
        edge=0.5 - float(grey[rim].mean()),
        mode=0.5 - (int(counts.argmax()) + 0.5) / 24,
        ridges=(bright - dark) / (bright + dark + 0.25),
        ends=float(np.mean(values < 0.06)) - float(np.mean(values > 0.94)),
    )


def _shrunk(mask: Mask, pixels: int) -> Mask:
    """The mask without what lies within so many pixels of its edge or of that of the image."""
    side = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.erode(mask.view(np.uint8), side, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def _continued(grey: Plane, core: Mask) -> Plane:
    """The grey values of the field, and around it a blur of them, so that no filter sees its edge."""
    share = core.astype(np.float32)
    blur = _spread(grey * share) / np.maximum(_spread(share), 1e-3)
    return np.where(core, grey, blur).astype(np.float32)


def _spread(image: Plane) -> Plane:
    return np.asarray(cv2.blur(cv2.blur(image, (21, 21)), (21, 21)), np.float32)
