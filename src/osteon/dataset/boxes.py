"""Boxes that people drew about findings: read, checked against the files, and carried into the prepared images.

A box is x, y, width and height in pixels, x and y being 0 at the outer corner of the first pixel, as annotation tools
have it. A table of boxes has one row per box; an image without a row has no box, which says nothing about its finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.labels import FILE_KEYS, IMAGE_SUFFIXES
from osteon.dataset.placement import Floats, Placement
from osteon.dataset.text_table import text_table
from osteon.errors import BadTable, Mismatch

SIDES = ("x", "y", "width", "height")
"""The columns of a box."""

COLUMNS = ("image", *SIDES)
"""The columns of a table of boxes."""

OVERHANG = 1.0
"""Pixels by which a box may leave its image; people's tools round. What hangs over is cut off."""

LEAST_SHOWN = 0.5
"""Share of a box that a prepared image must show, or the box is not taken to be in it."""

_NAMED = 3  # images that a message names


def read(path: Path, manifest: pd.DataFrame) -> pd.DataFrame:
    """Read a table of boxes.

    Args:
        path: CSV, Excel workbook or Parquet with the columns x, y, width and height, and one that names the file, under
            a name that label tables use too (`osteon.dataset.labels.FILE_KEYS`): by its path in the folder that was
            ingested, by its name alone, or by its id in the manifest. Further columns are not read.
        manifest: as `osteon ingest` wrote it: with `path`, and with the size of each file in `rows` and `columns`.

    Returns:
        Boxes (COLUMNS), `image` being the id in the manifest, in the order of the table.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it lacks a column; if a value is no finite number, a size is not positive, or a box lies outside
            its image; if it names a file that the manifest does not, or that two files are called; or if an image has
            boxes whose label says that there is no finding.
    """
    rows = text_table(path)[0]
    key = next((name for name in FILE_KEYS if name in rows), "")
    missing = [name for name in SIDES if name not in rows] or ([] if key else ["image"])
    if missing:
        raise BadTable(
            f"{path.name} has no column {', '.join(missing)}", remedy=f"it has {', '.join(map(str, rows.columns))}"
        )
    sides = rows[list(SIDES)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    known = _rows_named(rows[key], manifest, path.name)
    size = manifest[["columns", "rows"]].iloc[known].to_numpy(float)
    low, high = sides[:, :2], sides[:, :2] + sides[:, 2:]
    numbers, sized = np.isfinite(sides).all(axis=1), (sides[:, 2:] > 0).all(axis=1)
    inside = (low >= -OVERHANG).all(axis=1) & (high <= size + OVERHANG).all(axis=1)
    inside &= (low < size).all(axis=1) & (high > 0).all(axis=1)
    for fine, what in (
        (numbers, "is not four numbers; decimals are written with a point"),
        (sized, "has no positive width and height"),
        (inside, "lies outside its image; boxes are x, y, width, height in pixels of the file"),
    ):
        if not fine.all():
            raise _wrong(rows, np.flatnonzero(~fine), key, what, path.name)
    denied = manifest["target"].iloc[known].eq(0).fillna(False).to_numpy(bool)
    if denied.any():
        raise _wrong(
            rows, np.flatnonzero(denied), key, "is on an image that is labelled as without a finding", path.name
        )
    low, high = np.maximum(low, 0), np.minimum(high, size)
    return _table(manifest["image"].to_numpy()[known], np.hstack([low, high - low]))


def on_prepared(boxes: pd.DataFrame, prepared: pd.DataFrame) -> pd.DataFrame:
    """Boxes on files as boxes on the images that a recipe made of them.

    A box that was turned becomes the least upright box about it. What a prepared image does not show is cut off, and
    a box of which it shows less than LEAST_SHOWN is left out.

    Args:
        boxes: as `read` gave them.
        prepared: the manifest of the prepared images, with `placement`.

    Returns:
        Boxes (COLUMNS), `image` being that of the prepared manifest, image by image in its order.

    Raises:
        Mismatch: if the manifest does not say where its images lie in their files.
    """
    of_file = dict(list(boxes.groupby("image", sort=False)))
    placed = placements(prepared)
    images, found = list[str](), [np.empty((0, 4))]
    for image, placement in zip(prepared["image"], placed, strict=True):
        here = of_file.get(image[:32])  # the id of the file, whose parts have a number behind it
        if here is not None:
            visible = shown(placement.to_prepared(here[list(SIDES)].to_numpy(float)), placement.size)
            images += [image] * len(visible)
            found.append(visible)
    return _table(np.array(images, object), np.concatenate(found))


def on_source(boxes: pd.DataFrame, prepared: pd.DataFrame) -> pd.DataFrame:
    """Boxes on prepared images, such as a model found, as boxes on their files; `image` and all else stays as it is.

    Args:
        boxes: with COLUMNS.
        prepared: the manifest of the prepared images, with `placement`.

    Raises:
        Mismatch: as `on_prepared`, or for boxes on an image that the manifest does not hold.
    """
    placed = dict(zip(prepared["image"], placements(prepared), strict=True))
    unknown = sorted(set(boxes["image"]) - set(placed))
    if unknown:
        raise Mismatch(
            f"there are boxes on {len(unknown)} images that the manifest does not hold, e.g. {unknown[0]}",
            remedy="pass the manifest of the prepared images that the boxes were found on",
        )
    sides = boxes[list(SIDES)].to_numpy(float)
    moved = [placed[image].to_source(box[None])[0] for image, box in zip(boxes["image"], sides, strict=True)]
    return boxes.assign(**dict(zip(SIDES, np.array(moved).reshape(-1, 4).T, strict=True)))


def placements(prepared: pd.DataFrame) -> list[Placement]:
    """Where each image of a prepared manifest lies in its file.

    Raises:
        Mismatch: if the manifest does not say it.
    """
    if "placement" not in prepared or prepared["placement"].isna().any():
        raise Mismatch(
            "the manifest does not say where the prepared images lie in their files",
            remedy="run `osteon prepare` into the same folder again, and then what follows it",
        )
    return [Placement.read(str(text)) for text in prepared["placement"]]


def by_image(boxes: pd.DataFrame, images: Sequence[str]) -> list[Floats]:
    """The boxes (k, 4) of each image, in the order of the images; (0, 4) where there are none."""
    groups = {image: rows[list(SIDES)].to_numpy(float) for image, rows in boxes.groupby("image", sort=False)}
    return [groups.get(image, np.empty((0, 4))) for image in images]


def shown(boxes: Floats, size: tuple[int, int]) -> Floats:
    """What an image of this size (height, width) shows of boxes (n, 4), of those of which it shows enough."""
    low = np.clip(boxes[:, :2], 0, size[::-1])
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, size[::-1])
    kept = (high - low).prod(axis=1) >= LEAST_SHOWN * boxes[:, 2:].prod(axis=1)
    return np.asarray(np.hstack([low, high - low])[kept])


def _rows_named(keys: pd.Series[str], manifest: pd.DataFrame, where: str) -> NDArray[np.intp]:
    """(n,) the row of the manifest that each key names."""
    places = _places(manifest)
    names = keys.astype(str).str.replace("\\", "/", regex=False).tolist()
    unknown = list(dict.fromkeys(name for name in names if name not in places))
    if unknown:
        raise BadTable(
            f"{where} has boxes on {len(unknown)} files that the manifest does not hold, e.g. "
            f"{', '.join(unknown[:_NAMED])}",
            remedy="check that the table belongs to the folder that was ingested; a refused file can have no boxes",
        )
    for name in names:
        if len(places[name]) > 1:
            first, second = manifest["path"].iloc[places[name][:2]]
            raise BadTable(
                f"{where} names {name}, and there are {first} and {second}",
                remedy="name files by their path relative to the folder that was ingested",
            )
    return np.array([places[name][0] for name in names], np.intp)


def _places(manifest: pd.DataFrame) -> dict[str, list[int]]:
    """What a file may be called → the rows of the files that are. The most exact counts: a path before a name."""
    paths = [str(path) for path in manifest["path"]]
    names = [path.rpartition("/")[2] for path in paths]
    stems = [name.rpartition(".")[0] if name.lower().endswith(IMAGE_SUFFIXES) else name for name in names]
    places: dict[str, list[int]] = {}
    for texts in (paths, manifest["image"].astype(str).tolist(), names, stems):
        called: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            called.setdefault(text, []).append(row)
        places = called | places
    return places


def _wrong(rows: pd.DataFrame, which: NDArray[np.intp], key: str, what: str, where: str) -> BadTable:
    lines = [f"row {rows.index[row]} ({rows[key].iloc[row]})" for row in which[:_NAMED]]
    return BadTable(
        f"{len(which)} of {len(rows)} boxes in {where} are wrong: each {what}; e.g. {', '.join(lines)}",
        remedy="correct these rows, or leave them out",
    )


def _table(images: NDArray[np.object_], sides: Floats) -> pd.DataFrame:
    columns = dict(zip(SIDES, sides.T, strict=True))
    return pd.DataFrame({"image": pd.Series(images, dtype="string"), **columns})
