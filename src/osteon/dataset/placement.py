"""Where a recipe has placed an image: what the prepared data set keeps of a frame, as one text in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from osteon.errors import BadTable
from osteon.types import Frame

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placement:
    """A prepared image and the file that it was made from.

    Attributes:
        size: (height, width) of the prepared image, in pixels.
        matrix: (2, 3) float64. Takes a pixel centre (x, y, 1) of the prepared image to the file's pixels (x, y), the
            centre of the first pixel of either being (0, 0).
    """

    size: tuple[int, int]
    matrix: Floats

    @classmethod
    def of(cls, frame: Frame) -> Placement:
        """What a frame says of places."""
        return cls(frame.size, frame.matrix)

    @classmethod
    def read(cls, text: str) -> Placement:
        """The placement that `str` wrote.

        Raises:
            BadTable: for any other text.
        """
        try:
            values = [float(number) for number in text.split()]
            rows, columns = (int(side) for side in values[:2])
            matrix = np.array(values[2:]).reshape(2, 3)
        except ValueError as error:
            raise BadTable(f"{text!r} is no placement of an image", remedy="prepare the images again") from error
        if min(rows, columns) < 1 or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-12:
            raise BadTable(f"{text!r} places an image nowhere", remedy="prepare the images again")
        return cls((rows, columns), matrix)

    def __str__(self) -> str:
        """Eight numbers: height, width, and the matrix row by row, each in as few digits as give it back exactly."""
        return " ".join(map(repr, [*map(int, self.size), *self.matrix.ravel().tolist()]))

    def to_source(self, boxes: Floats) -> Floats:
        """Boxes (n, 4) of the prepared image, in pixels of the file; see `carried`."""
        return carried(boxes, self.matrix)

    def to_prepared(self, boxes: Floats) -> Floats:
        """Boxes (n, 4) of the file, in pixels of the prepared image, which they may leave; see `carried`."""
        return carried(boxes, self._back)

    @cached_property
    def _back(self) -> Floats:
        back = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack([back, -back @ self.matrix[:, 2]])


def carried(boxes: Floats, matrix: Floats) -> Floats:
    """The least upright boxes about boxes that an affine has moved; one that is turned grows by that.

    Args:
        boxes: (n, 4) x, y, width, height in pixels, x and y being 0 at the outer corner of the first pixel.
        matrix: (2, 3), from pixel centres to pixel centres, as those of frames.
    """
    left, top, width, height = np.asarray(boxes, float).reshape(-1, 4).T
    across = np.stack([left, left + width, left, left + width]) - 0.5  # the centre of the first pixel is (0, 0) there
    down = np.stack([top, top, top + height, top + height]) - 0.5
    moved = np.einsum("ij,jkn->ikn", matrix[:, :2], np.stack([across, down])) + matrix[:, 2, None, None] + 0.5
    low, high = moved.min(axis=1), moved.max(axis=1)
    return np.concatenate([low, high - low]).T
