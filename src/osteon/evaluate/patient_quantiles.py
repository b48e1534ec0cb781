"""Quantiles that a new patient exceeds with a stated chance, where a patient may have several images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from osteon.evaluate.metrics import Floats

_ROUNDING = 1e-9  # sums of shares such as three thirds miss a whole number by the last bits


def fewest(error_rate: float) -> int:
    """The smallest number of patients of whom all may be within a limit that holds at this error rate.

    The limit takes in ⌈(n + 1)(1 - error rate)⌉ of n patients: more than there are, unless n ≥ 1 / error rate - 1.
    """
    return math.ceil(1 / error_rate - 1 - _ROUNDING)


def highest(value: ArrayLike, group: ArrayLike, error_rate: float) -> float:
    """The limit that an image of a new patient exceeds with a chance of at most `error_rate`; inf for too few patients.

    With one image per patient this is the ⌈(n + 1)(1 - error rate)⌉-th smallest value, the quantile of split conformal
    prediction (Papadopoulos et al. 2002; Lei et al. 2018, theorem 2). A patient of m images has m values of weight
    1 / m (Lee, Barber & Willett 2023, hierarchical conformal prediction): patients are exchangeable, while images of
    one patient are not independent. The promise is then for one image, drawn at random from those of a new patient.

    Args:
        value: (n,) values.
        group: (n,) patient of each.
        error_rate: in 0..1 exclusive.
    """
    values = np.asarray(value, float)
    number, images = np.unique(np.asarray(group), return_inverse=True, return_counts=True)[1:]
    wanted = (len(images) + 1) * (1 - error_rate)
    if not len(images) or wanted > len(images) + _ROUNDING:
        return math.inf
    order = np.argsort(values, kind="stable")
    taken_in = np.cumsum(1 / images[number[order]])
    place = np.searchsorted(taken_in, wanted - _ROUNDING * len(values))
    return float(values[order[min(int(place), len(values) - 1)]])


def tightest(value: ArrayLike, group: ArrayLike, error_rate: float) -> float:
    """As `highest`, with the slack measured instead of bounded; never above it, and inf where it is.

    The theorem behind `highest` gives a whole patient's weight to the unseen one. Where patients have many images that
    are not all alike, this is too much: at 19 patients and a rate of 0.1 it keeps 0.93 instead of 0.90. Here each
    patient is judged by the limit of the others, at every share of them that a limit may take in; the smallest share
    that leaves out at most the error rate is then applied to all. With one image per patient that is the quantile of
    split conformal prediction again. Nothing is proven of it; `docs/reference/doubt.md` has what simulations say.

    Args:
        value: (n,) values.
        group: (n,) patient of each.
        error_rate: in 0..1 exclusive.
    """
    careful = highest(value, group, error_rate)
    values = np.asarray(value, float)
    number, images = np.unique(np.asarray(group), return_inverse=True, return_counts=True)[1:]
    k = len(images)
    if not math.isfinite(careful) or k < 2:
        return careful
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))
    each = np.zeros((len(values), k))
    each[np.arange(len(values)), number[order]] = 1 / images[number[order]]
    below = np.cumsum(each, axis=0)[ends]  # (m, k): of the images of each patient, the share at or below each value
    together = below.sum(axis=1)
    low, high = 0, len(ends) - 1
    while low < high:  # what is kept rises with the share taken in
        middle = (low + high) // 2
        if _kept(below, together, together[middle] / k)[0] >= 1 - error_rate - _ROUNDING:
            high = middle
        else:
            low = middle + 1
    kept, share = _kept(below, together, together[low] / k)
    if kept < 1 - error_rate - _ROUNDING:
        return careful
    place = min(int(np.searchsorted(together, share * k - _ROUNDING * len(values))), len(ends) - 1)
    return min(careful, float(values[order][ends][place]))


def _kept(below: Floats, together: Floats, share: float) -> tuple[float, float]:
    """Mean share of a patient's images within the limit that the others set at a share, and the share it took in."""
    k = below.shape[1]
    patients: NDArray[np.intp] = np.arange(k)
    others = together[:, None] - below
    wanted = share * (k - 1) - _ROUNDING * k
    at = [min(int(np.searchsorted(others[:, p], wanted)), len(below) - 1) for p in patients]
    return float(below[at, patients].mean()), float(others[at, patients].mean() / (k - 1))
