"""From depth of attenuation to stored pixel values: Beer–Lambert, scatter, quanta, blur, logarithm, bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from osteon.phantom.space import Image

SCATTER_MM = 12.0
"""Reach of scattered radiation: standard deviation of its spread on the detector."""

BLUR_MM = 0.09
"""Blur of the detector: standard deviation of the spread of one quantum's light."""

DEPTHS = 5.5
"""Range of the logarithm that the stored values hold: e^5.5 to 1."""


@dataclass(frozen=True)
class Exposure:
    """How much radiation, and how much of it scattered.

    Attributes:
        quanta_per_mm2: detected where nothing lies in the way.
        scatter: scattered radiation relative to the direct one.
    """

    quanta_per_mm2: float
    scatter: float


def transmission(depth: Image, exposure: Exposure, spacing_mm: float) -> Image:
    """Share of radiation that arrives, scatter included, relative to an empty beam; (rows, columns)."""
    direct = np.exp(-depth)  # Beer–Lambert
    return np.asarray((direct + exposure.scatter * _spread(direct, SCATTER_MM / spacing_mm)) / (1 + exposure.scatter))


def expose(depth: Image, cover: Image, exposure: Exposure, spacing_mm: float, rng: Generator) -> Image:
    """The negative logarithm of the detected signal relative to an empty beam; (rows, columns), 0 where empty.

    `cover` is the depth of what lies on the detector, which scattered radiation does not get round: (rows, columns).

    Quanta are counted first and blurred after, so that the noise is correlated as in a scintillator.
    """
    full = exposure.quanta_per_mm2 * spacing_mm**2
    counted = rng.poisson(full * transmission(depth, exposure, spacing_mm) * np.exp(-cover)).astype(np.float32)
    signal = ndimage.gaussian_filter(counted, BLUR_MM / spacing_mm, truncate=3) / np.float32(full)
    return np.asarray(-np.log(np.maximum(signal, np.float32(np.exp(-DEPTHS)))))


def stored_values(logged: Image, bits: int) -> NDArray[np.uint16]:
    """Integers of `bits` bits that grow with attenuation; a tenth of the range is left below the empty beam."""
    white = 2**bits - 1
    share = 0.05 + 0.95 * logged / np.float32(DEPTHS)
    return np.asarray(np.clip(np.rint(share * white), 0, white), np.uint16)


def window_of(values: NDArray[np.uint16]) -> tuple[int, int]:
    """VOI window (centre, width): from thin soft tissue to the densest hundredth.

    The width of a window spans the values shown between black and white (PS3.3 C.11.2.1.2).
    """
    sample = values[::4, ::4]
    empty, high = np.quantile(sample, (0.02, 0.995))
    width = max(16, round(0.9 * float(high - empty)))
    return round(1.02 * float(high) - width / 2), width


def _spread(image: Image, sigma: float) -> Image:
    """A wide Gaussian, computed on every k-th pixel: it has no detail to lose."""
    k = max(1, int(sigma / 6))
    if k == 1:
        return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"))
    rows, columns = image.shape
    padded = np.pad(image, ((0, -rows % k), (0, -columns % k)), mode="edge")
    small = padded.reshape(padded.shape[0] // k, k, padded.shape[1] // k, k).mean(axis=(1, 3))
    wide = ndimage.gaussian_filter(small, sigma / k, mode="nearest")
    at = [np.clip((np.arange(n) + 0.5) / k - 0.5, 0, s - 1) for n, s in zip(image.shape, wide.shape, strict=True)]
    low = [np.minimum(a.astype(int), max(s - 2, 0)) for a, s in zip(at, wide.shape, strict=True)]
    share = [(a - i).astype(np.float32) for a, i in zip(at, low, strict=True)]
    high = [np.minimum(i + 1, s - 1) for i, s in zip(low, wide.shape, strict=True)]
    across = wide[low[0]] * (1 - share[0])[:, None] + wide[high[0]] * share[0][:, None]
    return np.asarray(across[:, low[1]] * (1 - share[1]) + across[:, high[1]] * share[1])
