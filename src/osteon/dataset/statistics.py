"""Mean and standard deviation of all prepared pixels, in one pass: what a network's input is normalised by."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.errors import BadTable

STATISTICS = "statistics.json"
"""Name of the file, in the folder of the prepared images."""

_WHITE = 255


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of 8-bit grey values: the moments of any number of images together.

    The usual one-pass rules (Welford 1962; Chan, Golub and LeVeque 1979) keep mean and squared deviations in floating
    point, where sums of large squares would cancel. Whole numbers do not cancel, so the sums themselves are kept:
    merging is exact, and neither the order of images nor the number of workers changes a bit.

    Attributes:
        n: pixels.
        total: sum of their values, 0..255 each.
        squares: sum of their squares.
    """

    n: int = 0
    total: int = 0
    squares: int = 0

    def __post_init__(self) -> None:
        # Whole numbers x of 0..255 have x ≤ x² ≤ 255 x, and by Cauchy and Schwarz (Σx)² ≤ n Σx².
        within = 0 <= self.total <= _WHITE * self.n and self.total <= self.squares <= _WHITE * self.total
        if not within or self.total**2 > self.n * self.squares:
            raise ValueError(f"no {self.n} grey values have the sum {self.total} and the squares {self.squares}")

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean as a share of white, 0..1; NaN without pixels."""
        return self.total / (_WHITE * self.n) if self.n else math.nan

    @property
    def m2(self) -> float:
        """Sum of squared deviations from the mean, as shares of white; NaN without pixels."""
        return (self.n * self.squares - self.total**2) / (self.n * _WHITE**2) if self.n else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation (of the whole population, divisor n) as a share of white; NaN without pixels."""
        return math.sqrt(self.m2 / self.n) if self.n else math.nan


def moments_of(image: NDArray[np.uint8]) -> Moments:
    """The moments of a (height, width) uint8 image."""
    # OpenCV sums whole numbers, handed over as doubles: exact up to 2**53, and the largest image has 2**43. Its norms
    # are quicker, but not exact.
    squares = cv2.multiply(image, image, dtype=cv2.CV_16U)
    return Moments(image.size, int(cv2.sumElems(image)[0]), int(cv2.sumElems(squares)[0]))


def write(folder: Path, moments: Moments, images: int) -> None:
    """Write `statistics.json`: mean and sd as shares of white, and the whole numbers that they come from."""
    figures: dict[str, Any] = {"images": images, "mean": None, "sd": None}
    if moments.n:
        figures |= {"mean": moments.mean, "sd": moments.sd}
    files.write_json(folder / STATISTICS, figures | {"moments": asdict(moments)})


def read(folder: Path) -> Moments:
    """The moments of a folder of prepared images; folders can be added up.

    Raises:
        NotFound: if there is no `statistics.json`.
        BadTable: if it holds anything else.
    """
    path = folder / STATISTICS
    try:
        stored = files.read_json(path)["moments"]
        return Moments(stored["n"], stored["total"], stored["squares"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadTable(f"{path} holds no moments", remedy="run `osteon prepare` again") from error
