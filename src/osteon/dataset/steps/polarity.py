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
from osteon.dataset.steps.field import Field, exposed_field
from osteon.types import Radiograph

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 160
"""Longer side in pixels of the copy on which the cues are measured."""

_SLANT = 0.03  # sine of the angle, 2°, from which an edge is not upright
_DOUBT = 3.0  # log odds up to which an image is looked at in halves, too


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
"""Log odds per unit of each cue, as `benchmarks/polarity_fit.py` fits them on 880 phantom plates and 892 FracAtlas
pictures, none of which is among those that results are reported on."""


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

    The sum of the cues inside the exposed field, each times its weight. In doubt, the halves of the image are asked,
    too, left and right, upper and lower, each with its own field: two exposures on one plate have none in common.
    """
    field = exposed_field(image)
    odds = _odds(image, field)
    height, width = image.shape
    # The halves of a slanting frame are framed by triangles, which nothing finds.
    slanting = any(min(abs(edge.across), abs(edge.down)) > _SLANT for edge in field.edges)
    if abs(odds) >= _DOUBT or slanting or min(height, width) < 64:
        return odds
    halves = image[:, : width // 2], image[:, width // 2 :], image[: height // 2], image[height // 2 :]
    return odds + sum(_odds(half, exposed_field(half)) for half in halves) / 2


def _odds(image: NDArray[np.uint8], field: Field) -> float:
    found = cues(image, field)
    return float(np.dot(found, WEIGHTS)) if found else 0.0


def cues(image: NDArray[np.uint8], field: Field | None = None) -> Cues | None:
    """The cues of a (h, w) uint8 image in its exposed field, found here if not given; None if that is of one value."""
    field = field or exposed_field(image)
    shrink = min(1.0, SIDE / max(image.shape))
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    inside = field.mask((height, width))
    # The blur of its edge is no part of the field.
    core = _shrunk(inside, 3) if field.edges else inside
    core = core if np.count_nonzero(core) > 0.1 * core.size else inside
    low, high = np.percentile(small[core], (1, 99))
    if high - low < 2:
        return None
    grey = np.clip((small.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)
    if field.edges:
        grey = _continued(grey, core)
    return _weighed(grey, core)


def _weighed(grey: Plane, core: Mask) -> Cues:
    fine = _blurred(grey, 1.0)
    values = grey[core]
    roughness = _blurred(np.abs(grey - _blurred(grey, 2.0)), 3.0)[core]
    quiet = roughness <= np.partition(roughness, roughness.size // 5)[roughness.size // 5]
    rim = core & ~_shrunk(core, 9)
    counts = np.convolve(np.histogram(values, 24, (0, 1))[0], (1, 1, 1), "same")
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    bright = float(np.mean((fine - cv2.morphologyEx(fine, cv2.MORPH_OPEN, disc))[core]))
    dark = float(np.mean((cv2.morphologyEx(fine, cv2.MORPH_CLOSE, disc) - fine)[core]))
    return Cues(
        quiet=0.5 - float(values[quiet].mean()),
        edge=0.5 - float(grey[rim].mean()),
        mode=0.5 - (int(counts.argmax()) + 0.5) / 24,
        ridges=(bright - dark) / (bright + dark + 1e-3),
        ends=float(np.mean(values < 0.06)) - float(np.mean(values > 0.94)),
    )


def _blurred(image: Plane, blur: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)


def _shrunk(mask: Mask, pixels: int) -> Mask:
    """The mask without what lies within so many pixels of its edge or of that of the image."""
    side = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.erode(mask.astype(np.uint8), side, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def _continued(grey: Plane, core: Mask) -> Plane:
    """The grey values of the field, and around it a blur of them, so that no filter sees its edge."""
    share = core.astype(np.float32)
    blur = _blurred(grey * share, 10.0) / np.maximum(_blurred(share, 10.0), 1e-3)
    return np.where(core, grey, blur).astype(np.float32)
