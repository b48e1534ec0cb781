"""An image of any shape as one of a fixed size: padded with black to the proportions wanted, then scaled."""

from __future__ import annotations

from dataclasses import dataclass

from osteon.dataset import frame
from osteon.types import Radiograph


@dataclass(frozen=True)
class PadToAspect:
    """Pad with black to the proportions `height` : `width`, evenly on both sides, and scale to that size.

    An odd pixel of padding goes right or below; smaller images are enlarged. Sizes in pixels.
    """

    height: int = 512
    width: int = 341

    def __post_init__(self) -> None:
        _check("height", self.height)
        _check("width", self.width)

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        return [_placed(radiograph, self.height, self.width)]

    def __str__(self) -> str:
        return f"pad and scale to {self.width} × {self.height} px"


@dataclass(frozen=True)
class Stretch:
    """Scale to `height` × `width` pixels whatever the proportions: nothing is padded, and limbs may grow stout or thin.

    What de Cid 2021 (section 6.2.2.1) calls resizing, and compares with padding.
    """

    height: int = 512
    width: int = 341

    def __post_init__(self) -> None:
        _check("height", self.height)
        _check("width", self.width)

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        rows, columns = frame.frame_of(radiograph).size
        if (rows, columns) == (self.height, self.width):
            return [radiograph]
        placed = frame.scaled(radiograph, height=self.height, width=self.width)
        return [frame.noted(placed, f"stretched from {columns} × {rows} to {self.width} × {self.height} px")]

    def __str__(self) -> str:
        return f"stretch to {self.width} × {self.height} px"


@dataclass(frozen=True)
class FitSquare:
    """Pad with black to a square, evenly on both sides, and scale to `size` × `size` pixels."""

    size: int = 448

    def __post_init__(self) -> None:
        _check("size", self.size)

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        return [_placed(radiograph, self.size, self.size)]

    def __str__(self) -> str:
        return f"pad and scale to {self.size} × {self.size} px"


def _check(name: str, value: object) -> None:
    if not isinstance(value, int) or value < 32:
        raise ValueError(f"{name} is a whole number of pixels from 32 on, not {value!r}")


def _placed(radiograph: Radiograph, height: int, width: int) -> Radiograph:
    """The radiograph in the middle of black ground of these proportions, at this size."""
    rows, columns = frame.frame_of(radiograph).size
    padded_rows = max(rows, round(columns * height / width))
    padded_columns = max(columns, round(rows * width / height))
    placed, notes = radiograph, []
    if (padded_rows, padded_columns) != (rows, columns):
        top, left = (padded_rows - rows) // 2, (padded_columns - columns) // 2
        placed = frame.window(placed, top=-top, left=-left, height=padded_rows, width=padded_columns)
        notes.append(f"padded from {columns} × {rows} to {padded_columns} × {padded_rows} px")
    if (padded_rows, padded_columns) != (height, width):
        placed = frame.scaled(placed, height=height, width=width)
        notes.append(f"scaled by {height / padded_rows:.4g} to {width} × {height} px")
    return frame.noted(placed, "; ".join(notes)) if notes else placed
