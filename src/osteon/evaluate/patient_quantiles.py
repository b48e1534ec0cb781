"""Quantiles that a new patient exceeds with a stated chance, where a patient may have several images."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    patients = _patients(np.asarray(value, float), np.asarray(group))
    k = len(patients.images)
    if not math.isfinite(careful) or k < 2:
        return careful
    low, high = 0, len(patients.together) - 1
    while low < high:  # what is kept rises with the share taken in
        middle = (low + high) // 2
        if patients.kept(patients.together[middle] / k)[0] >= 1 - error_rate - _ROUNDING:
            high = middle
        else:
            low = middle + 1
    kept, share = patients.kept(patients.together[low] / k)
    if kept < 1 - error_rate - _ROUNDING:
        return careful
    place = min(int(np.searchsorted(patients.together, share * k - _ROUNDING * k)), len(patients.together) - 1)
    return min(careful, float(patients.values[place]))


@dataclass(frozen=True, eq=False)
class _Patients:
    """Images of k patients, by value.

    Attributes:
        values: (m,) the distinct values, rising.
        together: (m,) sum over patients of the share of their images at or below each.
        images: (k,) of each patient.
        first: (k,) where the images of each patient begin in `keys`.
        keys: (n,) patient · m + place of the value of each image, rising.
    """

    values: Floats
    together: Floats
    images: NDArray[np.intp]
    first: NDArray[np.intp]
    keys: NDArray[np.intp]

    def kept(self, share: float) -> tuple[float, float]:
        """Judge each patient by the limit that the others set when they take in a share of theirs.

        Returns:
            The mean share of a patient's images within that limit, and the share of the others that it took in.
        """
        k, m = len(self.images), len(self.values)
        wanted = share * (k - 1) - _ROUNDING * k
        own, below = np.zeros(k), np.full(k, -1.0)
        place = np.zeros(k, np.intp)
        # The first place with enough of the others: enough of all, without the patient's own images up to that place.
        while (own != below).any():
            below = own
            place = np.minimum(np.searchsorted(self.together, wanted + below), m - 1)
            own = (np.searchsorted(self.keys, np.arange(k) * m + place, "right") - self.first) / self.images
        return float(own.mean()), float((self.together[place] - own).mean() / (k - 1))


def _patients(values: Floats, group: NDArray[np.generic]) -> _Patients:
    number, images = np.unique(group, return_inverse=True, return_counts=True)[1:]
    distinct, place = np.unique(values, return_inverse=True)
    together = np.cumsum(np.bincount(place, 1 / images[number], len(distinct))).astype(float)
    keys = np.sort(number * len(distinct) + place)
    return _Patients(distinct, together, images, np.cumsum(images) - images, keys)
