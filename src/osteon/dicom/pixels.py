"""Stored words → presentation values, as one table.

The standard's chain — stored value, modality LUT, VOI LUT or window, presentation LUT — is evaluated once for each
value that the stored bits can hold (at most 65536), and the image is looked up in the result. So the arithmetic is
exact floating point, and its cost does not depend on the size of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.errors import UnreadableImage
from osteon.types import Pixels

MAX_PIXELS = 100_000_000
"""Images of more pixels are refused before memory is taken; a full spine at 0.1 mm has 40 million."""

MIN_SIDE = 32
"""Images with a shorter side are refused: icons and test strips."""

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Encoding:
    """How stored values lie in the words of the pixel data (PS3.5 section 8.1.1, PS3.3 C.7.6.3).

    Attributes:
        rows, columns: size of the image.
        allocated: bits of a word, 8 or 16.
        stored: bits of the stored value.
        high: number of the value's highest bit in the word.
        signed: whether the stored value is two's complement.
        photometric: MONOCHROME1 (lowest value white) or MONOCHROME2 (lowest value black).
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str

    def values(self) -> NDArray[np.int32]:
        """The stored value of each word, (2**allocated,). Bits outside the value (overlays, dirt) do not count."""
        words = np.arange(2**self.allocated, dtype=np.int32)
        values: NDArray[np.int32] = words >> (self.high + 1 - self.stored) & (2**self.stored - 1)
        if self.signed:
            values -= values >> (self.stored - 1) << self.stored
        return values

    @property
    def lowest(self) -> int:
        """The lowest value that can be stored."""
        return -(1 << (self.stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The highest value that can be stored."""
        return self.lowest + (1 << self.stored) - 1


def check_size(rows: int, columns: int) -> None:
    """Refuse an image that is no radiograph by its size.

    Raises:
        UnreadableImage: `too_small` or `too_large`.
    """
    if min(rows, columns) < MIN_SIDE:
        raise UnreadableImage(
            "too_small", f"the image has {rows} × {columns} pixels", remedy=f"osteon reads from {MIN_SIDE} a side"
        )
    if rows * columns > MAX_PIXELS:
        raise UnreadableImage(
            "too_large",
            f"the image has {rows} × {columns} pixels",
            remedy=f"osteon reads up to {MAX_PIXELS // 1_000_000} million; reduce it first",
        )


@dataclass(frozen=True)
class Rescale:
    """Modality LUT as a line: slope · value + intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: _Values) -> _Values:
        return self.slope * values + self.intercept


@dataclass(frozen=True, eq=False)
class Lut:
    """A table of a modality or VOI LUT sequence (PS3.3 C.11.1.1.1 and C.11.2.1.1).

    Attributes:
        first: the value that the first entry belongs to; smaller values get the first entry, larger ones the last.
        entries: (n,) uint16.
        bits: bits of an entry; the output range is 0..2**bits - 1.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def __call__(self, values: _Values) -> _Values:
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[index], np.float64)

    def share(self, values: _Values) -> _Values:
        """Entries as shares of the output range, 0..1."""
        return np.asarray(self(values) / (2**self.bits - 1))


@dataclass(frozen=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2 and C.11.2.1.3): values → shares 0..1 of the output range."""

    centre: float
    width: float
    function: str = "LINEAR"  # or LINEAR_EXACT, SIGMOID

    def __post_init__(self) -> None:
        if self.width <= 0 or (self.function == "LINEAR" and self.width < 1):
            raise ValueError(f"a {self.function} window of width {self.width:g} has no meaning")

    def share(self, values: _Values) -> _Values:
        """Shares of the output range, 0..1."""
        with np.errstate(over="ignore"):  # exp and quotients may become inf; the share is then the right 0 or 1
            if self.function == "SIGMOID":
                return 1 / (1 + np.exp(-4 * (values - self.centre) / self.width))
            # LINEAR counts the window in whole values, both ends included: half a value and one width less.
            less = 1 if self.function == "LINEAR" else 0
            centre, width = self.centre - less / 2, self.width - less
            if width == 0:
                return (values > centre).astype(np.float64)
            return np.clip((values - centre) / width + 0.5, 0, 1)


@dataclass(frozen=True)
class Chain:
    """What is done to stored values, in the order of the standard.

    Attributes:
        modality: stored values → modality values.
        voi: modality values → shares of the output range; None spreads the range of the image.
        inverted: whether black and white change places at the end.
        padding: (low, high) stored values that are no image and are shown black (PS3.3 C.7.5.1.1.2).
    """

    modality: Rescale | Lut
    voi: Lut | Window | None
    inverted: bool
    padding: tuple[int, int] | None = None

    def bits(self, stored: int) -> int:
        """Bits of the presentation values: those stored, or those of a table's output if they are more."""
        return max(stored, *(step.bits for step in (self.modality, self.voi) if isinstance(step, Lut)), 0)

    def table(self, values: NDArray[np.int32], occurs: NDArray[np.bool_], white: int) -> Pixels:
        """Presentation value 0..white of each stored value.

        Args:
            values: (n,) stored values.
            occurs: (n,) whether a value occurs in the image; decides only where there is no VOI LUT or window.
            white: largest presentation value.

        Returns:
            (n,) uint8 if white ≤ 255, else uint16. Rounded to the nearest, halves to even.
        """
        modality = self.modality(values.astype(np.float64))
        padding = np.zeros(len(values), bool)
        if self.padding is not None:
            padding = (values >= self.padding[0]) & (values <= self.padding[1])
        voi = self.voi or _range_of(modality[occurs & ~padding])
        output = np.rint(voi.share(modality) * white)
        output = white - output if self.inverted else output
        output[padding] = 0
        return output.astype(np.uint8) if white <= 255 else output.astype(np.uint16)


def _range_of(values: _Values) -> Window:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return Window((low + high) / 2, max(high - low, 1e-9), "LINEAR_EXACT")


def present(words: NDArray[Any], encoding: Encoding, chain: Chain) -> tuple[Pixels, int]:
    """Presentation values of an image.

    Args:
        words: (rows, columns) uint8 or uint16, the words of the pixel data in native byte order.
        encoding: how values lie in them.
        chain: what is done to the values.

    Returns:
        (rows, columns) uint8 or uint16, and the value shown white, 2**bits - 1.
    """
    white = 2 ** chain.bits(encoding.stored) - 1
    index = encoding.values() - encoding.lowest
    occurs = np.zeros(2**encoding.stored, bool)
    if chain.voi is None:
        has = np.zeros(2**encoding.allocated, bool)
        has[words] = True
        occurs[index[has]] = True
    stored = np.arange(encoding.lowest, encoding.highest + 1, dtype=np.int32)
    table = chain.table(stored, occurs, white)[index]
    # OpenCV looks 16 bits up five times as fast as NumPy; it keeps the table's dtype, which its hints do not say.
    return cast(Pixels, cv2.LUT(words, table)), white
