"""What no tag tells, measured on the prepared images: whether there are marks, and how bright the border is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from osteon.audit.changes import BORDER, edge_of
from osteon.dataset.prepared import pixels_of
from osteon.dataset.steps.markers import find_marks
from osteon.types import Progress, silent


def measure(images: Sequence[str], files: Mapping[str, Path], *, progress: Progress = silent) -> pd.DataFrame:
    """One row per image, in their order.

    Columns: `image`; `marks_found`, yes or no, by `osteon.dataset.steps.markers.find_marks`; `border_grey`, mean grey
    value of the outermost 8 % on each side, 0..255.

    Args:
        images: their ids.
        files: image id → prepared PNG.
        progress: told of images done.

    Raises:
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    rows = []
    for done, image in enumerate(images, start=1):
        pixels = pixels_of(files[image])
        edge = pixels[edge_of(pixels.shape, BORDER)]
        rows.append((image, "yes" if find_marks(pixels) else "no", round(float(edge.mean()), 1)))
        progress(done, len(images))
    return pd.DataFrame(rows, columns=["image", "marks_found", "border_grey"])
