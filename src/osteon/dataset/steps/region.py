"""The distal forearm and the wrist, cut out of an upright arm: the step and its rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.limb import LOOKED_AT, carried, foremost
from osteon.dataset.steps.upright import MEASURES, end_profile
from osteon.types import Radiograph

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]

PER_WIDTH = 8
"""Stretches to one width of the limb, in which the wrist is sought."""

KEPT_WHOLE = 0.8
"""A region that would keep this share of the height keeps all: the dead band."""

_TOLD = "cut to the wrist"

_TAIL, _TEMPER = 0.01, 0.8  # chance that is left beyond either end of the region; how far the odds are trusted
_REACH = 30  # stretches beyond the limb's ends for which the end itself stands


@dataclass(frozen=True)
class RegionOfInterest:
    """Cut an upright arm, fingers up, to the distal forearm and the wrist.

    The rule of `wrist_span` says where the distal radius lies, and how sure it is; the region spans what is likely,
    with margins, and the limb's width there. One look decides: a radiograph whose notes tell that it was cut stays as
    it is, since its limb is too short to be judged again. So does one without a limb, and one that would keep four
    fifths of its height.

    Attributes:
        proximal_mm, distal_mm: margins towards the elbow and the fingers, where the spacing of pixels is known.
        proximal, distal: the same in widths of the limb, where it is not.
    """

    proximal_mm: float = 40.0
    distal_mm: float = 30.0
    proximal: float = 0.8
    distal: float = 0.6

    def __post_init__(self) -> None:
        for name in ("proximal_mm", "distal_mm", "proximal", "distal"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is a margin of 0 or more, not {getattr(self, name)!r}")

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        if any(note.startswith(_TOLD) for note in radiograph.notes):
            return [radiograph]
        radiograph = frame.proxy_of(radiograph)
        region = self._cut(radiograph)
        if region is None:
            return [radiograph]
        (rows, columns), (height, width) = (frame.frame_of(r).size for r in (radiograph, region))
        share = height * width / (rows * columns)
        return [frame.noted(region, f"{_TOLD}: {width} × {height} px, {share:.0%} of the image")]

    def __str__(self) -> str:
        return "cut to the distal forearm and wrist"

    def _cut(self, radiograph: Radiograph) -> Radiograph | None:
        """The region; None if there is no limb, or if it would keep nearly all."""
        radiograph, mask = carried(radiograph)
        if mask is None:
            return None
        image = frame.seen(radiograph, LOOKED_AT)
        span = _span(image, mask, 1.0)
        height, width = frame.frame_of(radiograph).size
        shrink = image.shape[0] / height
        proximal, distal = self.proximal * span.limb_width, self.distal * span.limb_width
        millimetres = _millimetres(radiograph)
        if millimetres is not None:
            proximal, distal = (v / millimetres * shrink for v in (self.proximal_mm, self.distal_mm))
        top = max(0, int((span.top - distal) / shrink))
        bottom = min(height, round((span.bottom + proximal) / shrink))
        if bottom - top > KEPT_WHOLE * height or bottom - top < 32:
            return None
        left, right = _sides(span, top * shrink, bottom * shrink, shrink, width)
        return frame.window(radiograph, top=top, left=left, height=bottom - top, width=right - left)


class Span(NamedTuple):
    """Where the distal radius is likely to lie, in pixels of the image, and the limb around it."""

    top: float
    bottom: float
    limb_width: float
    heights: Floats  # (rows,), where the ends of the limb are known
    edges: Floats  # (rows, 2): its left and right end there; NaN where there is none


def wrist_span(image: Grey) -> Span | None:
    """Where the distal radius lies in a (h, w) uint8 image of an upright arm, fingers up, bone white.

    The limb is cut into stretches of an eighth of its width. Each gets a score from the measures of `end_profile` at
    it, near it, and over all of the limb above and below it; odds are the softmax of the scores. The weights were
    fitted by `benchmarks/wrist.py` on phantoms with a fractured distal radius. The span holds 98 % of the chance.

    Returns:
        None if no limb is found.
    """
    small, mask = foremost(image)
    return None if mask is None else _span(small, mask, image.shape[0] / small.shape[0])


def _span(small: Grey, mask: NDArray[np.bool_], scale: float) -> Span:
    """`wrist_span` of the limb under a mask, for an image that is larger by a scale."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    inside = np.s_[y : y + height, x : x + width]
    limb_width, count = stretches_of(mask[inside])
    odds = np.cumsum(chances(end_profile(small[inside], mask[inside], count)))
    first, last = np.searchsorted(odds, _TAIL), np.searchsorted(odds, 1 - _TAIL)
    step = height / count
    return Span(
        top=float(y + first * step) * scale,
        bottom=float(y + (min(int(last), count - 1) + 1) * step) * scale,
        limb_width=limb_width * scale,
        heights=np.asarray((np.arange(len(mask)) + 0.5) * scale, float),
        edges=_edges(mask) * scale,
    )


def stretches_of(limb: NDArray[np.bool_]) -> tuple[float, int]:
    """Median width in pixels of a mask cut to the limb, and the number of stretches for `end_profile`."""
    widths = limb.sum(axis=1)
    width = float(np.median(widths[widths > 0]))
    return width, int(np.clip(round(PER_WIDTH * limb.shape[0] / max(width, 1)), PER_WIDTH, 12 * PER_WIDTH))


def surroundings(profile: Floats) -> Floats:
    """What the score of each stretch is made of, (features, stretches), from a (MEASURES, stretches) profile."""
    count = profile.shape[1]
    padded = np.pad(profile, ((0, 0), (_REACH, _REACH)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    place = np.arange(count)

    def mean(first: int, last: int) -> Floats:
        here = place + _REACH
        return np.asarray((sums[:, here + last + 1] - sums[:, here + first]) / (last - first + 1))

    running = np.cumsum(profile, axis=1)
    above, below = running / (place + 1), (running[:, -1:] - running + profile) / (count - place)
    near = [mean(-1, 1), mean(-8, -2), mean(2, 8), mean(-4, -1) - mean(1, 4), mean(-24, -9), mean(9, 24)]
    along = (place / count)[None]
    return np.vstack([*near, above, below, above - below, along, along**2])


def chances(profile: Floats) -> Floats:
    """(stretches,) chance that the distal radius lies in each stretch of a (MEASURES, stretches) profile."""
    mean, scale, weights = _fitted()
    scores = ((surroundings(profile) - mean[:, None]) / scale[:, None]).T @ weights / _TEMPER
    odds = np.exp(scores - scores.max())
    return np.asarray(odds / odds.sum())


@cache
def _fitted() -> tuple[Floats, Floats, Floats]:
    content = json.loads((resources.files(__package__) / "region.json").read_text(encoding="utf-8"))
    mean, scale, weights = (np.asarray(content[name], float) for name in ("mean", "scale", "weights"))
    if len(weights) != 9 * len(MEASURES) + 2:
        raise ValueError("region.json was fitted on other measures; run benchmarks/wrist.py")
    return mean, scale, weights


def _edges(mask: NDArray[np.bool_]) -> Floats:
    """(rows, 2): first and one past the last column of the limb in each row, NaN where there is none."""
    some = mask.any(axis=1)
    ends = np.column_stack([mask.argmax(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1)]).astype(float)
    ends[~some] = np.nan
    return ends


def _sides(span: Span, top: float, bottom: float, shrink: float, width: int) -> tuple[int, int]:
    """Left and right end of the region in the output: the limb between two heights of the image, a quarter wider."""
    inside = span.edges[(span.heights >= top) & (span.heights < bottom)]
    inside = inside[~np.isnan(inside[:, 0])]
    if not len(inside):
        return 0, width
    left, right = float(inside[:, 0].min()), float(inside[:, 1].max())
    margin = (right - left) / 4
    first, last = int((left - margin) / shrink), round((right + margin) / shrink)
    first = max(0, min(first, width - 32))
    return first, max(min(width, last), min(width, first + 32))


def _millimetres(radiograph: Radiograph) -> float | None:
    """Millimetres to a pixel of the output, if the file gives a spacing."""
    if radiograph.header.spacing_mm is None:
        return None
    matrix = frame.frame_of(radiograph).matrix
    across, down = radiograph.header.spacing_mm[1], radiograph.header.spacing_mm[0]
    return float(np.hypot(matrix[0, 1] * across, matrix[1, 1] * down))
