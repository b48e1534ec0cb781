"""From tables of boxes and points to arrays that belong together; whatever breaks their contract is an error here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.errors import BadTable, Leak, TooFewCases
from osteon.evaluate.metrics import Floats

Rows = NDArray[np.intp]

FILES: Mapping[str, tuple[str, Mapping[str, tables.Column]]] = {
    "prepared": ("prepared.parquet", tables.PREPARED),
    "truth": ("true_boxes.parquet", tables.BOXES),
    "boxes": ("found_boxes.parquet", tables.FOUND_BOXES),
    "points": ("points.parquet", tables.POINTS),
}
"""Table of `PlaceTables` → its file in a folder, and its columns."""


@dataclass(frozen=True, eq=False)
class PlaceTables:
    """What is needed to judge where a model looks.

    Attributes:
        prepared: columns as `osteon.tables.PREPARED`.
        truth: as BOXES.
        boxes: as FOUND_BOXES; None for a model that finds none.
        points: as POINTS; None for a model that points nowhere.
    """

    prepared: pd.DataFrame
    truth: pd.DataFrame
    boxes: pd.DataFrame | None = None
    points: pd.DataFrame | None = None


def write(given: PlaceTables, folder: Path) -> None:
    """Write the tables that there are into a folder, under the names of FILES; earlier ones that are not are removed.

    Raises:
        BadTable: if a table breaks its contract.
        CannotWrite: if the folder cannot be written.
    """
    for name, (file, columns) in FILES.items():
        table = getattr(given, name)
        if table is None:
            (folder / file).unlink(missing_ok=True)
        else:
            tables.write(folder / file, table, columns)


def read(folder: Path) -> PlaceTables:
    """The tables that `write` left in a folder, or that somebody laid there; a model may lack boxes, or points.

    Raises:
        NotFound: if the prepared images or the true boxes are not there.
        BadTable: if a table is not readable, or breaks its contract.
    """
    optional = {"boxes", "points"}
    return PlaceTables(
        **{
            name: None if name in optional and not (folder / file).exists() else tables.read(folder / file, columns)
            for name, (file, columns) in FILES.items()
        }
    )


@dataclass(frozen=True, eq=False)
class Boxes:
    """Rectangles, each in an image.

    Attributes:
        image: (b,) row number of the image, ascending.
        corners: (b, 4) x, y, width, height in pixels of the prepared image.
        score: (b,) larger = more likely; 0 for true boxes.
    """

    image: Rows
    corners: Floats
    score: Floats


@dataclass(frozen=True, eq=False)
class Lessons:
    """The true boxes of all folds that are not sealed, relative to their images: what a floor may learn from.

    Attributes:
        image: (r,) number of the image of each.
        fold: (r,) fold of that image.
        corners: (r, 4) x, y, width, height, each as a share of the width or the height of the image.
    """

    image: Rows
    fold: Rows
    corners: Floats


@dataclass(frozen=True, eq=False)
class Places:
    """Where the finding lies in the images of one part, and where a model says it does; images sorted by name.

    Attributes:
        name: (n,) image ids.
        group: (n,) 0-based number of the split unit (patient).
        fold: (n,) fold; -1 in the test part.
        target: (n,) True where the finding is present.
        size: (n, 2) height and width in pixels.
        truth: the true boxes.
        found: the model's boxes; None if it gives none.
        points: (n, 2) x and y of the highest point of each image, NaN where the model points nowhere; None if it gives
            no points at all. Of several equally high ones it is the first by y, then x.
        lessons: the boxes of the open folds.
    """

    name: NDArray[np.str_]
    group: Rows
    fold: Rows
    target: NDArray[np.bool_]
    size: NDArray[np.intp]
    truth: Boxes
    found: Boxes | None
    points: Floats | None
    lessons: Lessons

    @property
    def boxed(self) -> NDArray[np.bool_]:
        """(n,) True for images with a true box."""
        boxed: NDArray[np.bool_] = np.bincount(self.truth.image, minlength=len(self.name)) > 0
        return boxed


def collect(given: PlaceTables, part: str) -> Places:
    """The arrays of one part: fold -1 for `test`, the other folds for `validation`.

    Raises:
        BadTable: for missing columns or values, an image that is there twice, a box or point of an unknown image or
            outside its image, a box without a size, or a true box where the target is 0.
        Leak: for a group in several folds.
        TooFewCases: if no image of the part has a true box.
    """
    images = _prepared(given.prepared)
    truth = _located(given.truth, tables.BOXES, images, "the true boxes")
    wrong = images["target"].reindex(truth["image"]).eq(0).fillna(False).to_numpy(bool)
    _refuse(wrong, "the true boxes", "the image is one without the finding", "mend its target, or leave the box out")
    here = (images["fold"] == -1) == (part == "test")
    mine = images[here]
    _refuse(mine["target"].isna(), "the prepared images", f"the target is missing in the {part} part", "leave them out")
    boxes = _boxes(truth, mine.index)
    if not boxes.image.size:
        raise TooFewCases(f"no image of the {part} part has a true box", remedy="check the column image of the boxes")
    found, points = None, None
    if given.boxes is not None:
        found = _boxes(_located(given.boxes, tables.FOUND_BOXES, images, "the found boxes"), mine.index)
    if given.points is not None:
        points = _highest(_located(given.points, tables.POINTS, images, "the points"), mine.index)
    return Places(
        name=mine.index.to_numpy(str),
        # Numbered in the order of the images, so that other names make no other resamples.
        group=pd.factorize(mine["group"])[0],
        fold=mine["fold"].to_numpy(int),
        target=mine["target"].to_numpy(int) == 1,
        size=mine[["height", "width"]].to_numpy(int),
        truth=boxes,
        found=found,
        points=points,
        lessons=_lessons(truth, images[images["fold"] >= 0]),
    )


def must_agree(given: PlaceTables, predictions: pd.DataFrame) -> None:
    """Nothing, if the prepared images lie in the folds, and bear the targets, that the predictions say.

    Raises:
        BadTable, Leak: if an image has two folds or two targets, or the prepared images break their contract.
    """
    said = predictions.assign(image=predictions["image"].astype(str)).drop_duplicates("image").set_index("image")
    mine = _prepared(given.prepared)
    both = mine.index.intersection(said.index)
    for column in ("fold", "target"):
        first, second = (frame.loc[both, column].to_numpy(float, na_value=np.nan) for frame in (mine, said))
        differ = int(((first != second) & ~(np.isnan(first) | np.isnan(second))).sum())
        if differ:
            raise BadTable(
                f"the prepared images and the predictions disagree about the {column} of {differ} images",
                remedy="judge places and predictions on the same split and the same labels",
            )


def _prepared(frame: pd.DataFrame) -> pd.DataFrame:
    where = "the prepared images"
    images = tables.check(frame, tables.PREPARED, where)
    for column in ("image", "group", "fold", "height", "width"):
        _refuse(images[column].isna(), where, f"the column {column} is empty", "fill it for every row")
    _refuse(images.duplicated("image"), where, "an image is there for a second time", "keep one row per image")
    _refuse(
        images["target"].notna() & ~images["target"].isin([0, 1]), where, "the target is neither 0 nor 1", "use 0 and 1"
    )
    _refuse(images[["height", "width"]].min(axis=1) < 1, where, "the image has no size", "give it in pixels")
    pairs = images[["group", "fold"]].drop_duplicates()
    torn = sorted(pairs.loc[pairs["group"].duplicated(), "group"].astype(str).unique())
    if torn:
        raise Leak(
            f"{len(torn)} group{'s are' if len(torn) > 1 else ' is'} in several folds ({', '.join(torn[:5])})",
            remedy="split by patient: osteon split",
        )
    return images.assign(image=images["image"].astype(str)).set_index("image").sort_index()


def _located(
    frame: pd.DataFrame, columns: Mapping[str, tables.Column], images: pd.DataFrame, where: str
) -> pd.DataFrame:
    """A checked table of boxes or points, in an order that does not depend on that of its rows."""
    rows = tables.check(frame, columns, where)
    rows = rows.assign(image=rows["image"].astype(str))
    _refuse(~rows["image"].isin(images.index), where, "the image is not among the prepared ones", "use the same ids")
    numbers = [name for name in columns if name != "image"]
    given = np.isfinite(rows[numbers].to_numpy(float, na_value=np.nan)).all(axis=1)
    _refuse(~given, where, "a number is missing", "fill it for every row")
    size = images.loc[rows["image"], ["width", "height"]].to_numpy(float)
    low = rows[["x", "y"]].to_numpy(float)
    extent = rows[["width", "height"]].to_numpy(float) if "width" in rows else np.zeros_like(low)
    if "width" in rows:
        _refuse((extent <= 0).any(axis=1), where, "the box has no size", "give width and height in pixels")
    _refuse(
        ((low + extent < 0) | (low > size)).any(axis=1),
        where,
        "the place lies outside its image",
        "give it in pixels of the prepared image, not of the source",
    )
    return rows.sort_values(["image", *numbers], kind="stable").reset_index(drop=True)


def _boxes(rows: pd.DataFrame, names: pd.Index) -> Boxes:
    rows = rows[rows["image"].isin(names)]
    return Boxes(
        image=names.get_indexer(rows["image"]),
        corners=rows[["x", "y", "width", "height"]].to_numpy(float),
        score=rows["score"].to_numpy(float) if "score" in rows else np.zeros(len(rows)),
    )


def _highest(rows: pd.DataFrame, names: pd.Index) -> Floats:
    order = rows.sort_values(["score", "y", "x"], ascending=[False, True, True], kind="stable")
    highest = order.drop_duplicates("image").set_index("image")[["x", "y"]].reindex(names)
    return np.asarray(highest.to_numpy(float, na_value=np.nan))


def _lessons(truth: pd.DataFrame, images: pd.DataFrame) -> Lessons:
    rows = truth[truth["image"].isin(images.index)]
    size = images.loc[rows["image"], ["width", "height", "width", "height"]].to_numpy(float)
    return Lessons(
        image=images.index.get_indexer(rows["image"]),
        fold=images.loc[rows["image"], "fold"].to_numpy(int),
        corners=rows[["x", "y", "width", "height"]].to_numpy(float) / size,
    )


def _refuse(wrong: pd.Series | NDArray[np.bool_], where: str, what: str, remedy: str) -> None:
    count = int(np.asarray(wrong, bool).sum())
    if count:
        raise BadTable(f"in {count} row{'s' * (count > 1)} of {where} {what}", remedy=remedy)
