"""Where an image was exposed: the part that straight edges with nothing beyond them enclose.

A collimator, a painted shutter, the border of a scanner and the frame of an exported picture have this in common: a
long, straight, sharp edge, outside of which nothing is drawn. The edges are found by a Hough transform whose votes know
the direction of their gradient (Ballard 1981, Pattern Recognition 13:111, section 3), and each is then asked what
lies beyond it. Light and dark are treated alike: an image and its negative have the same field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORK = 224
"""Longer side in pixels of the copy on which edges are sought."""

_EDGES = 16  # edges that are examined, strongest first
_SHORTEST = 0.3  # of the shorter side: an edge with fewer votes is not examined
_SPAN = 0.45  # of its chord of the image: an edge that spans less is no border
_DENSITY = 0.72  # of its span: share of pixels in which the edge is seen
_LIVELY = 0.10  # share of slopes beyond an edge, up to which nothing is drawn there (a letter, a line of text)
_PARALLEL = 0.5  # the same along any one line beside the edge: a bone beside its skin has more
_STEEP = 0.25, 0.5  # of the slope of an edge: what is as steep counts; the second where the edge itself is a cliff
_STEEP_WITHIN = 2.0, 16.0  # grey levels a pixel
_CLIFF = 28.0  # grey levels a pixel: steeper than bone or skin
_BLUR = 3.5  # work pixels: reach of the blur of an edge
_BAND = 0.15  # of the field so far: what is between a frame and a collimator is no more
_GLOW = 14.0  # work pixels: reach of scattered radiation beyond an edge
_ALIGNED = 0.9  # cosine of the angle between the slope of that and the slope of the edge
_MOST = 0.4  # of the field so far: an edge beyond which more lies is no border but a dividing line
_RISE = (
    0.25,
    0.6,
)  # of the step: a grey value that rises on as much behind an edge is that of a limb; second: of a cliff
_AIR = 0.03  # of the field: as much of it having the grey value that lies beyond an edge, that is air
_SAME = 3.0  # grey levels
_ASKEW_DEG = 2.5  # up to which two edges count as parallel or at right angles
_UPRIGHT_DEG = 9.0  # up to which a single edge may slant
_OUTWARD = 1.5  # work pixels: the field is drawn this much too large, lest it lose a line of pixels

_MANY = 4096  # values: a median of more is sought near that of a sample

_ANGLES = np.radians(np.arange(360.0))
_COSINES, _SINES = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)


class Edge(NamedTuple):
    """A straight edge: what lies at x · across + y · down > far, from the centre of the image, is outside."""

    across: float
    down: float
    far: float


@dataclass(frozen=True, eq=False)
class Field:
    """The exposed part of an image.

    Attributes:
        corners: (n, 2) float64, corners (x, y) in pixels, in order; those of the image if it has no edges.
        edges: those that were found, outermost first, in the same pixels.
        size: (height, width) of the image.
    """

    corners: Floats
    edges: tuple[Edge, ...]
    size: tuple[int, int]

    def mask(self, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """(h, w) bool, whether the centre of a pixel lies in the field; for a copy of the image at this size."""
        height, width = size or self.size
        scale_y, scale_x = height / self.size[0], width / self.size[1]
        inside = np.ones((height, width), bool)
        x, y = _centred(width), _centred(height)[:, None]
        for across, down, far in self.edges:
            inside &= across / scale_x * x + down / scale_y * y <= far
        return inside


def exposed_field(image: NDArray[np.uint8], *, past_glow: bool = False) -> Field:
    """The exposed field of a (h, w) uint8 image, possibly turned; the whole image if it shows no edge of one.

    With `past_glow`, the glow of scattered radiation beyond a collimator, and the blur of a frame around it, do not
    count as something drawn. More fields are found, and of a few more some is lost: to judge an image by, not to crop.
    """
    size = (int(image.shape[0]), int(image.shape[1]))
    shrink = min(1.0, WORK / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    edges = tuple(Edge(e.across, e.down, (e.far + _OUTWARD) / shrink) for e in _edges(small, past_glow))
    return Field(_clipped(size, edges), edges, size)


def _edges(small: Plane, past_glow: bool) -> list[Edge]:
    """Edges of the field in an image of WORK pixels."""
    dx, dy, slope = _slopes(small, 0.8)
    least = max(1.5, 3 * median(slope.ravel()))  # grey levels a pixel: over noise, if the image is noisy
    fixed = [(d * 64).astype(np.int16) for d in (dx, dy)]  # no slope is more than half of 255
    thin = cv2.Canny(fixed[0], fixed[1], least * 64, least * 64, L2gradient=True)
    rows, columns = np.nonzero(thin > 0)  # five times as quick as of numbers
    if not rows.size:
        return []
    height, width = small.shape
    votes = _Votes(
        x=(columns - (width - 1) / 2).astype(np.float32),
        y=(rows - (height - 1) / 2).astype(np.float32),
        across=dx[rows, columns] / slope[rows, columns],
        down=dy[rows, columns] / slope[rows, columns],
        slope=slope[rows, columns],
    )
    found: list[tuple[Edge, float]] = []
    calm_x, calm_y, calm = _slopes(small, 1.5)
    inside, clear = np.ones(small.shape, bool), np.ones(small.shape, bool)  # clear of the blur of edges found so far
    x, y = _centred(width), _centred(height)[:, None]
    # Outermost first: a frame goes before the shutters that it frames.
    for edge, steep in sorted(_straight(votes, small.shape), key=lambda pair: -pair[0].far):
        distance = (edge.across * x + edge.down * y - edge.far).astype(np.float32)
        lost = np.count_nonzero(inside & (distance > 1)) / np.count_nonzero(inside)
        if not 0.003 <= lost <= _MOST:
            continue
        share = _STEEP[steep > _CLIFF]
        lively = calm > np.clip(share * steep, *_STEEP_WITHIN)
        if past_glow and steep > _CLIFF:
            lively &= ~_glow(edge.across * calm_x + edge.down * calm_y, calm, distance)
        # A frame has more than one side; without one, what lies between two edges may be a limb.
        framed = any(edge.across * other.across + edge.down * other.down < 0.5 for other, _ in found)
        shown = clear if past_glow and framed and lost <= _BAND else inside
        if _is_empty(lively, shown & (distance > _BLUR), distance) and not _is_skin(small, inside, distance, steep):
            found.append((edge, steep))
            inside &= distance <= _OUTWARD
            clear &= distance < -_BLUR
    return _agreeing(found)


def _glow(outward: Plane, slope: Plane, distance: Plane) -> Mask:
    """Where, beside an edge, the grey value goes on the way that it goes at the edge, as scattered radiation fades.

    `outward` is the slope in the direction in which `distance` from the edge grows, `slope` that in its own.
    """
    way = math.copysign(1.0, float(outward[np.abs(distance) < 1].mean()))
    return (distance > 0) & (distance < _GLOW) & (way * outward > _ALIGNED * slope)


def _is_empty(lively: NDArray[np.bool_], beyond: NDArray[np.bool_], distance: Plane) -> bool:
    """Whether nothing is drawn beyond an edge: neither much, nor anything that runs along with it."""
    seen = lively[beyond]
    if not seen.size:
        return True
    if float(seen.mean()) > _LIVELY:
        return False
    lines = (distance[beyond] / 2).astype(int)
    lengths = np.bincount(lines)
    shares = np.bincount(lines, weights=seen) / np.maximum(lengths, 1)
    return not bool((shares[lengths > 20] > _PARALLEL).any())


def _agreeing(found: list[tuple[Edge, float]]) -> list[Edge]:
    """The largest set of edges that are parallel or at right angles: upright ones, or three sides of a slanting one.

    A single edge has no witness, and must be a cliff.
    """
    if not found:
        return []
    angles = np.array([math.degrees(math.atan2(edge.down, edge.across)) for edge, _ in found])
    agree = np.abs((angles[:, None] - angles + 45) % 90 - 45) <= _ASKEW_DEG
    best = int(agree.sum(axis=1).argmax())
    kept = [pair for pair, agrees in zip(found, agree[best], strict=True) if agrees]
    slant = abs((angles[best] + 45) % 90 - 45)
    if (slant > _UPRIGHT_DEG and len(kept) < 3) or (len(kept) == 1 and kept[0][1] <= _CLIFF):
        return []
    return [edge for edge, _ in kept]


class _Votes(NamedTuple):
    """Thin edges: place from the centre, unit direction in which the grey value rises, and slope."""

    x: Plane
    y: Plane
    across: Plane
    down: Plane
    slope: Plane


def _straight(votes: _Votes, shape: tuple[int, ...]) -> list[tuple[Edge, float]]:
    """The longest straight edges, with their slope."""
    reach = int(math.hypot(*shape) / 2) + 3
    width = 2 * reach + 1
    nearest = np.rint(np.degrees(np.arctan2(votes.down, votes.across))).astype(np.int32)
    angles = (nearest + np.arange(-3, 4, dtype=np.int32)[:, None]) % np.int32(360)
    fars = np.rint(votes.x * _COSINES.take(angles) + votes.y * _SINES.take(angles)).astype(np.int32)
    bins = angles * np.int32(width) + fars + np.int32(reach)
    # A vote counts for its bin and for the bins beside it. Small integers keep the table short, and the search quick.
    single = np.bincount(bins.ravel(), minlength=360 * width).astype(np.int16)
    counts = single.copy()
    counts[1:] += single[:-1]
    counts[:-1] += single[1:]
    found = []
    for _ in range(_EDGES):
        best = int(counts.argmax())
        if counts[best] < _SHORTEST * min(shape):
            break
        degrees, column = divmod(best, width)
        used, fitted = _fitted(votes, float(_COSINES[degrees]), float(_SINES[degrees]), column - reach, shape)
        # What has voted for this edge votes for no other, or the strongest would be found many times over.
        spent = bins[:, used].ravel()
        for beside in (-1, 0, 1):
            np.subtract.at(counts, spent + beside, np.int16(1))
        counts[best] = 0
        if fitted:
            found.append(fitted)
    return found


def _fitted(
    votes: _Votes, across: float, down: float, far: float, shape: tuple[int, ...]
) -> tuple[Mask, tuple[Edge, float] | None]:
    """Which votes lie near this line; and the edge through them, by total least squares, with its slope, if it is seen
    along enough of its length."""
    near = (np.abs(votes.x * across + votes.y * down - far) <= 2) & (votes.across * across + votes.down * down > 0.97)
    if np.count_nonzero(near) < 8:
        return near, None
    x, y = votes.x[near], votes.y[near]
    middle_x, middle_y = x.mean(), y.mean()
    off_x, off_y = x - middle_x, y - middle_y
    along = 0.5 * math.atan2(2 * float(off_x @ off_y), float(off_x @ off_x - off_y @ off_y))
    new_across, new_down = -math.sin(along), math.cos(along)
    new_far = new_across * float(middle_x) + new_down * float(middle_y)
    if new_far < 0:
        new_across, new_down, new_far = -new_across, -new_down, -new_far
    on_it = np.abs(votes.x * new_across + votes.y * new_down - new_far) <= 1.25
    on_it &= np.abs(votes.across * new_across + votes.down * new_down) > 0.95
    if np.count_nonzero(on_it) < 8:
        return near, None
    places = np.sort(votes.y[on_it] * new_across - votes.x[on_it] * new_down)
    few = places.size // 50  # strays at either end
    span = float(places[-1 - few] - places[few])
    # An edge of slope 1 crosses fewer pixels than it is long.
    seen = (places.size - 2 * few) / max(abs(new_across), abs(new_down))
    edge = Edge(new_across, new_down, new_far)
    if span < _SPAN * _chord(edge, shape) or seen < _DENSITY * span:
        return near, None
    return near, (edge, float(np.mean(votes.slope[on_it])))


def _is_skin(small: Plane, inside: Mask, distance: Plane, steep: float) -> bool:
    """Whether what lies beyond an edge is air beside a limb.

    The grey value rises on behind skin, since limbs are round; and air lies beside a limb on more than one side. An
    edge that is a cliff is no skin.
    """
    outer, inner, deep = (median(small[inside & (np.abs(distance - at) < 0.8)]) for at in (3, -3, -10))
    step = inner - outer
    if step != 0 and (deep - inner) / step > _RISE[steep > _CLIFF]:
        return True
    if steep > _CLIFF or math.isnan(outer):
        return False
    # In the middle of the image: around it may lie the other sides of a frame.
    height, width = (side // 5 for side in small.shape)
    middle = np.s_[height:-height, width:-width]
    kept = small[middle][(inside & (distance < -3))[middle]]
    return bool(kept.size and np.mean(np.abs(kept - outer) <= _SAME) > _AIR)


def median(values: Plane) -> float:
    """Median of (n,) values, NaN of none; NumPy's own spends most of its time on other things."""
    if not values.size:
        return math.nan
    odd, half = values.size % 2, values.size // 2
    if values.size > _MANY:
        # A sample tells about where the median lies, so that of all values only those near it are put in order.
        sample = np.sort(values[::31])
        low, high = sample[[int(0.45 * sample.size), int(0.55 * sample.size)]]
        below, near = int(np.count_nonzero(values < low)), values[(values >= low) & (values <= high)]
        if below < half < below + near.size:
            values, half = near, half - below
    upper = np.partition(values, half)
    return float(upper[half]) if odd else (float(upper[half]) + float(upper[:half].max())) / 2


def _slopes(image: Plane, blur: float) -> tuple[Plane, Plane, Plane]:
    """Slope across, down, and along its direction, in grey levels a pixel, after a blur by so many pixels."""
    smooth = cv2.GaussianBlur(image, (0, 0), blur)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.asarray(dx, np.float32), np.asarray(dy, np.float32), np.asarray(cv2.magnitude(dx, dy), np.float32)


def _chord(edge: Edge, shape: tuple[int, ...]) -> float:
    """Length of a line inside the image."""
    low, high = -math.inf, math.inf
    for start, way, half in (
        (edge.across * edge.far, -edge.down, (shape[1] - 1) / 2),
        (edge.down * edge.far, edge.across, (shape[0] - 1) / 2),
    ):
        if abs(way) > 1e-9:
            ends = sorted(((-half - start) / way, (half - start) / way))
            low, high = max(low, ends[0]), min(high, ends[1])
    return max(1.0, high - low)


def _clipped(size: tuple[int, int], edges: tuple[Edge, ...]) -> Floats:
    """Corners of the image without what lies beyond the edges."""
    height, width = size
    left, top = -width / 2, -height / 2  # edge of the first pixel, from the centre
    corners = [np.array(c) for c in ((left, top), (-left, top), (-left, -top), (left, -top))]
    for across, down, far in edges:
        normal, kept = np.array([across, down]), []
        for here, there in zip(corners, corners[1:] + corners[:1], strict=True):
            a, b = float(normal @ here - far), float(normal @ there - far)
            if a <= 0:
                kept.append(here)
            if a * b < 0:
                kept.append(here + (there - here) * (a / (a - b)))
        corners = kept or corners
    moved: Floats = np.array(corners) + np.array([(width - 1) / 2, (height - 1) / 2])
    return moved


def _centred(count: int) -> Plane:
    return np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
