"""What lies or is written on a plate beside the limb: lead letters, dots, burnt-in text; each with its place.

A mark never lies on bone, so that taking it away can be judged: no bone pixel may change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from osteon.phantom.space import Floats, Image

Mask = NDArray[np.bool_]

TRIES = 60
"""Places that are tried for a mark before it is left out."""

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


@dataclass(frozen=True, eq=False)
class Mark:
    """A mark that is to be found.

    Attributes:
        kind: "letter" (lead, in the beam), "dot" (a disc that points out an abnormal image) or "text" (burnt in).
        text: what it says, lines apart; "" for a dot.
        polygon: (4, 2) corners (x, y) in pixels, in order; pixel centres at whole numbers.
    """

    kind: str
    text: str
    polygon: Floats

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the pixels that it may touch."""
        low, high = np.floor(self.polygon.min(axis=0)).astype(int), np.ceil(self.polygon.max(axis=0)).astype(int)
        return int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)

    def shifted(self, dx: float, dy: float) -> Mark:
        """The mark on a plate of which its own is a part."""
        return replace(self, polygon=self.polygon + np.array([dx, dy]))


def letter_stamp(text: str, height_px: float, turn_deg: float, rng: Generator) -> Image:
    """How much of each pixel a lead letter covers, 0..1, in the smallest image that holds it.

    A sixth lie with their back to the tube and are seen mirrored; a fifth are framed.
    """
    scale = 4.0
    font, thick = _FONTS[int(rng.integers(2))], max(1, round(scale * height_px * rng.uniform(0.10, 0.17)))
    size = cv2.getFontScaleFromHeight(font, max(1, round(scale * height_px)), thick)
    (wide, tall), _ = cv2.getTextSize(text, font, size, thick)
    pad = 2 * thick + 2
    drawn = np.zeros((tall + 2 * pad, wide + 2 * pad), np.uint8)
    cv2.putText(drawn, text, (pad, tall + pad), font, size, 255, thick, cv2.LINE_AA)
    mirrored, framed = rng.random(2) < (1 / 6, 1 / 5)
    if framed:
        cv2.rectangle(drawn, (thick, thick), (drawn.shape[1] - thick, drawn.shape[0] - thick), 255, thick // 2 + 1)
    if mirrored:
        drawn = np.ascontiguousarray(drawn[:, ::-1])
    h, w = drawn.shape
    matrix = np.asarray(cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), turn_deg, 1 / scale), np.float64)
    reach = np.abs(matrix[:, :2]) @ (w, h)
    columns, rows = (int(np.ceil(v)) + 2 for v in reach)
    matrix[:, 2] += np.array([columns - w, rows - h]) / 2
    smooth = cv2.GaussianBlur(drawn, (0, 0), scale / 3)
    stamp = cv2.warpAffine(smooth, matrix, (columns, rows), flags=cv2.INTER_LINEAR)
    return _trimmed(stamp.astype(np.float32) / np.float32(255))


def dot_stamp(radius_px: float, rng: Generator) -> tuple[Image, float]:
    """A disc or ring, 0..1, and the share of white that it is shown at.

    Red on a screen becomes 0.3 of white where colour is turned into grey (ITU-R BT.601); others are painted white.
    """
    reach = int(np.ceil(radius_px)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    far = np.hypot(x, y)
    disc = np.clip(radius_px + 0.5 - far, 0, 1)
    ring, red = rng.random(2) < (0.25, 0.5)
    if ring:
        disc = disc * np.clip(far - 0.65 * radius_px + 0.5, 0, 1)
    return _trimmed(disc.astype(np.float32)), 0.3 if red and not ring else 1.0


def text_stamp(lines: list[str], height_px: float, rng: Generator) -> Image:
    """Lines of text, 0..1, left aligned."""
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    size = cv2.getFontScaleFromHeight(font, max(5, round(height_px)), 1)
    thick = 1 + int(height_px > 14)
    widths = [cv2.getTextSize(line, font, size, thick)[0][0] for line in lines]
    step = round(1.7 * height_px)
    drawn = np.zeros((step * (len(lines) + 1) + 8, max(widths) + 8), np.uint8)
    for k, line in enumerate(lines):
        cv2.putText(drawn, line, (4, (k + 1) * step + 4), font, size, 255, thick, cv2.LINE_AA)
    return _trimmed(drawn.astype(np.float32) / np.float32(255))


def place(stamp: Image, taken: Mask, rng: Generator, *, margin_px: float, corners: bool) -> tuple[int, int] | None:
    """Row and column at which a stamp touches nothing that is taken; None if no place was found.

    Args:
        stamp: (h, w). taken: (rows, columns), where it must not lie.
        margin_px: how far from the edge it may come.
        corners: whether it lies near a corner, or anywhere along the edges.
    """
    rows, columns = (n - m for n, m in zip(taken.shape, stamp.shape, strict=True))
    if rows < 1 or columns < 1:
        return None
    total = np.asarray(cv2.integral(taken.astype(np.uint8)), np.int64)
    for attempt in range(TRIES):
        inward = np.abs(rng.normal(0, margin_px, 2)) + 0.3 * margin_px
        side = rng.random(2) < 0.5
        row, column = (int(n - v) if far else int(v) for n, v, far in zip((rows, columns), inward, side, strict=True))
        along = rng.random(3)
        if attempt > TRIES // 2:  # where the edges are crowded, anywhere will do
            row, column = int(along[1] * rows), int(along[2] * columns)
        elif not corners:
            row, column = (int(along[1] * rows), column) if along[0] < 0.5 else (row, int(along[2] * columns))
        if 0 <= row < rows and 0 <= column < columns and _empty(total, row, column, stamp.shape):
            return row, column
    return None


def mark_at(kind: str, text: str, stamp: Image, at: tuple[int, int]) -> Mark:
    """The mark that a stamp makes at a row and column."""
    (row, column), (h, w) = at, stamp.shape
    left, top, right, bottom = column - 0.5, row - 0.5, column + w - 0.5, row + h - 0.5
    return Mark(kind, text, np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float))


def draw_lines(rng: Generator) -> list[str]:
    """What a machine or a secretary burns into an image: invented names, numbers, dates, views, exposure data."""
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(rng.integers(1990, 2026))
    date = (f"{day:02d}.{month:02d}.{year}", f"{day:02d}/{month:02d}/{year % 100:02d}", f"{year}-{month:02d}-{day:02d}")
    name = "".join(str(rng.choice(_SYLLABLES)) for _ in range(int(rng.integers(2, 4))))
    first = "".join(str(rng.choice(_SYLLABLES)) for _ in range(2)).capitalize()
    pool = (
        f"{name.upper()}, {first}",
        f"{name.capitalize()}^{first}",
        f"ID {int(rng.integers(10_000, 10_000_000))}",
        date[int(rng.integers(3))],
        f"{int(rng.integers(7, 22)):02d}:{int(rng.integers(60)):02d}",
        str(rng.choice(("PA", "AP", "LAT", "OBL", "ap", "seitl.", "PROFIL", "FACE"))),
        f"{int(rng.integers(45, 66))} kV {rng.uniform(1, 9):.1f} mAs",
        f"S {int(rng.integers(80, 900))} L {rng.uniform(1, 3):.1f}",
        f"{int(rng.integers(100_000, 999_999))}",
        f"W {int(rng.integers(300, 4096))} C {int(rng.integers(300, 4096))}",
    )
    count = int(rng.integers(1, 5))
    return [pool[k] for k in rng.choice(len(pool), count, replace=False)]


_SYLLABLES = ("ba", "den", "fel", "go", "ka", "lin", "mar", "nes", "or", "pe", "ri", "sol", "ta", "ul", "vi", "zan")


def _trimmed(stamp: Image) -> Image:
    rows, columns = (np.flatnonzero((stamp > 0.02).any(axis=k)) for k in (1, 0))
    return np.asarray(stamp[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _empty(total: NDArray[np.int64], row: int, column: int, shape: tuple[int, ...]) -> bool:
    low, right = row + shape[0], column + shape[1]
    return bool(total[low, right] - total[row, right] - total[low, column] + total[row, column] == 0)
