"""From parts to the depth of attenuation along every ray: ∫ μ dl, in closed form outside the zone of a fracture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from osteon.phantom.anatomy import Layer, Part
from osteon.phantom.solids import Interval, chord, span, without_hollows
from osteon.phantom.space import Floats, Image, View

GRAIN_MM = 0.4
GRAIN_CELLS = 96


@dataclass(frozen=True, eq=False)
class Grain:
    """The pattern of trabeculae: a periodic random field of mean 0 and deviation 1, (x, y, z) cells of GRAIN_MM."""

    field: Image

    def along(self, view: View) -> Pattern:
        """The field summed along the rays of a view."""
        n = GRAIN_CELLS
        steps = np.arange(n) - n / 2
        u, t = np.meshgrid(steps, steps, indexing="ij")
        x, y = (u * view.across[k] + t * view.along[k] for k in (0, 1))
        if abs(view.across[0]) in (0.0, 1.0):
            turned = self.field[x.astype(int) % n, y.astype(int) % n]
        else:
            turned = _turned(self.field, x % n, y % n)
        summed = np.zeros((n, n + 1, n), np.float32)
        np.cumsum(turned * np.float32(GRAIN_MM), axis=1, out=summed[:, 1:])
        return Pattern(summed)


def _turned(field: Image, x: Floats, y: Floats) -> Image:
    """A periodic field, bilinear at (x, y) of each of its levels."""
    n = len(field)
    x0, y0 = x.astype(int), y.astype(int)
    fx, fy = ((v - v0).astype(np.float32)[..., None] for v, v0 in ((x, x0), (y, y0)))
    x0, y0 = x0 % n, y0 % n
    x1, y1 = (x0 + 1) % n, (y0 + 1) % n
    near = field[x0, y0] * (1 - fy) + field[x0, y1] * fy
    far = field[x1, y0] * (1 - fy) + field[x1, y1] * fy
    return np.asarray(near * (1 - fx) + far * fx)


@dataclass(frozen=True, eq=False)
class Pattern:
    """The grain summed along rays: (across, along, z) in mm from the start of the ray."""

    summed: Image

    def between(self, u: Floats, z: Floats, low: Image, high: Image) -> Image:
        """Grain, in mm, between two places of n rays; (n,) each, in mm from the anchor of a part."""
        across, up = u / GRAIN_MM + GRAIN_CELLS / 2, z / GRAIN_MM
        sums = []
        for t in (low, high):
            place = np.clip(t / GRAIN_MM + GRAIN_CELLS / 2, 0, GRAIN_CELLS)
            sums.append(ndimage.map_coordinates(self.summed, (across, place, up), order=1, mode="grid-wrap"))
        return np.asarray(sums[1] - sums[0])


NO_PATTERN = Pattern(np.zeros((1, 2, 1), np.float32))
"""For parts that have no spongy bone."""


def draw_grain(rng: Generator) -> Grain:
    """A random pattern with structures of about 1 to 6 mm, longer along the limb than across it."""
    n = GRAIN_CELLS
    noise = rng.standard_normal((n, n, n), dtype=np.float32)
    flat, tall = np.fft.fftfreq(n, GRAIN_MM), np.fft.rfftfreq(n, GRAIN_MM)
    k = np.sqrt(flat[:, None, None] ** 2 + flat[:, None] ** 2 + (2.2 * tall) ** 2)
    k[0, 0, 0] = np.inf
    band = (k**-0.6 * np.exp(-((k / 1.15) ** 6)) * (k > 0.16)).astype(np.float32)
    field = np.fft.irfftn(np.fft.rfftn(noise) * band, (n, n, n), axes=(0, 1, 2)).astype(np.float32)
    return Grain(field / field.std())


@dataclass(frozen=True, eq=False)
class Canvas:
    """Where rays pass: heights z (rows,), falling, and positions across u (columns,), rising; square pixels, in mm."""

    z: Floats
    u: Floats

    @classmethod
    def around(cls, centre: tuple[float, float], size: tuple[int, int], spacing_mm: float) -> Self:
        """A canvas of (rows, columns) whose middle lies at (u, z)."""
        rows, columns = size
        down, right = (np.linspace(-(n - 1) / 2, (n - 1) / 2, n) * spacing_mm for n in (rows, columns))
        return cls(z=np.asarray(centre[1] - down, float), u=np.asarray(centre[0] + right, float))


def depth(parts: Sequence[Part], view: View, canvas: Canvas, grain: Grain) -> Image:
    """Depth of attenuation, ∫ μ dl, along every ray; (rows, columns), no unit."""
    total = np.zeros((len(canvas.z), len(canvas.u)), np.float32)
    grained = any(layer.grain.any() for part in parts for layer in part.layers)
    pattern = grain.along(view) if grained else NO_PATTERN
    for part in parts:
        rows, columns = _box(part, view, canvas)
        if rows.start < rows.stop and columns.start < columns.stop:
            total[rows, columns] += _depth_of(part, view, canvas.z[rows], canvas.u[columns], pattern)
    return total


def _depth_of(part: Part, view: View, z: Floats, u: Floats, pattern: Pattern) -> Image:
    total = np.zeros((len(z), len(u)), np.float32)
    rays = _rays_of(part, view, z, u)
    for layer, stretch in zip(part.layers, rays, strict=True):
        weight = np.interp(z, layer.heights, layer.weights).astype(np.float32)[:, None]
        total += weight * stretch.length
        if layer.grain.any():
            total += _grained(layer, stretch, part.anchor, pattern)
    return total


def _rays_of(part: Part, view: View, z: Floats, u: Floats) -> list[_Stretch]:
    """Where rays run in each layer of a part."""
    if part.fragment is None and not any(x.solid.planes or x.solid.hollows or x.grain.any() for x in part.layers):
        nowhere = np.zeros((0, 0), np.float32)  # nobody asks where a plain layer begins
        return [_Stretch(view, z, u, (nowhere, nowhere), chord(x.solid.shape, view, z, u)) for x in part.layers]
    spans = [span(x.solid, view, z, u) for x in part.layers]
    hollows = [without_hollows(x.solid, s, view, z, u) for x, s in zip(part.layers, spans, strict=True)]
    everything = spans + [h for inside in hollows for h in inside]
    if part.fragment is None:
        lengths = [leave - enter for enter, leave in everything]
    else:
        lengths = part.fragment.lengths(view, z, u, everything)
    taken = iter(lengths[len(spans) :])
    for length, inside in zip(lengths, hollows, strict=False):  # the first lengths are those of the spans
        for _ in inside:
            length -= next(taken)
    return [_Stretch(view, z, u, s, length) for s, length in zip(spans, lengths, strict=False)]


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Rays at heights z (rows,) and positions u (columns,), where they enter and leave, and mm of matter between."""

    view: View
    z: Floats
    u: Floats
    ends: Interval
    length: Image


def _grained(layer: Layer, rays: _Stretch, anchor: Floats, pattern: Pattern) -> Image:
    """What the trabecular pattern of a layer adds to the depth; (rows, columns)."""
    found = np.zeros_like(rays.length)
    rows, columns = np.nonzero(rays.length > 0)
    if len(rows):
        low, high = (end[rows, columns] for end in rays.ends)
        along, across = float(anchor[:2] @ rays.view.along), float(anchor[:2] @ rays.view.across)
        sums = pattern.between(rays.u[columns] - across, rays.z[rows] - anchor[2], low - along, high - along)
        # Where a fracture or a hollow takes away a share of the ray, it takes that share of the pattern.
        share = rays.length[rows, columns] / np.maximum(high - low, 1e-3)
        found[rows, columns] = np.interp(rays.z, layer.heights, layer.grain).astype(np.float32)[rows] * sums * share
    return found


def _box(part: Part, view: View, canvas: Canvas) -> tuple[slice, slice]:
    """Rows and columns of the canvas that a part may reach."""
    bounds = np.array([layer.solid.bounds(view) for layer in part.layers])
    low, high, left, right = bounds[:, 0].min(), bounds[:, 1].max(), bounds[:, 2].min(), bounds[:, 3].max()
    rows = np.searchsorted(-canvas.z, (-high, -low))
    columns = np.searchsorted(canvas.u, (left, right))
    return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


@dataclass(frozen=True, eq=False)
class Shot:
    """Where the detector lies: what `depth` projects, turned in the plane, as (rows, columns) pixels.

    Attributes:
        view: the rays.
        centre: (u, z) in mm, seen at the middle of the image.
        turn_deg: how far the limb is turned in the image, counter-clockwise.
        size: (rows, columns). spacing_mm: of the square pixels.
    """

    view: View
    centre: tuple[float, float]
    turn_deg: float
    size: tuple[int, int]
    spacing_mm: float

    def canvas(self) -> Canvas:
        """The upright canvas that holds all of the turned image."""
        turn = abs(self._turn())
        rows, columns = np.ceil(turn @ np.array(self.size) - 1e-6).astype(int)
        # The same parity as the image, so that an image that is not turned is its canvas.
        rows, columns = rows + (rows - self.size[0]) % 2, columns + (columns - self.size[1]) % 2
        return Canvas.around(self.centre, (int(rows), int(columns)), self.spacing_mm)

    def depth(self, parts: Sequence[Part], grain: Grain) -> Image:
        """Depth of attenuation, (rows, columns)."""
        upright = depth(parts, self.view, self.canvas(), grain)
        if self.turn_deg == 0:
            return upright
        turn = self._turn()
        middle, centre = (np.array(self.size) - 1) / 2, (np.array(upright.shape) - 1) / 2
        offset = centre - turn @ middle
        turned = ndimage.affine_transform(
            upright, turn, offset, output_shape=self.size, order=1, mode="nearest", output=np.float32
        )
        return np.asarray(turned)

    def pixels_of(self, points: Floats) -> Floats:
        """Where (n, 3) points in mm are seen: (n, 2) as x (column) and y (row), pixel centres at whole numbers."""
        down = (self.centre[1] - points[:, 2]) / self.spacing_mm
        right = (points[:, :2] @ self.view.across - self.centre[0]) / self.spacing_mm
        offset = np.column_stack([down, right]) @ self._turn()  # the inverse of a rotation is its transpose
        return (offset + (np.array(self.size) - 1) / 2)[:, ::-1]

    def _turn(self) -> Floats:
        """(2, 2): takes (down, right) from the image to the upright canvas."""
        angle = np.deg2rad(self.turn_deg)
        return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
