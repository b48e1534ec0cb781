"""What may tell the classes apart without the bone: metal, plaster, letters, border, tags, the size of the file.

An attribute sorts images into a few levels. It comes from a column of the manifest, or is measured on the prepared
image. What cannot be audited says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import BadTable
from osteon.learn.floors import NOT_TAGS

LEAST = 10
"""Images that a level holds at least; smaller ones are pooled."""

MOST = 12
"""Levels of an attribute; beyond them the smallest are pooled."""

QUARTILES = 8
"""Different numbers from which on a column is a quantity, and its levels are quarters of the images."""

EXPECTED: Mapping[str, tuple[str, ...]] = {
    "Hardware": ("hardware", "metal", "osteosynthesis", "osteosynthesis_material"),
    "Cast": ("cast", "plaster"),
    "Marker": ("marker", "markers", "side_marker"),
}
"""Shortcuts that every audit asks for: title → columns, in lower case, of which one should hold it."""

OUTCOMES = ("inconclusive", "mislabelled", "visible")
"""Columns that follow from the answer, besides those of `osteon.learn.floors.NOT_TAGS`."""

NOT_STATED, OTHER = "not stated", "other"


@dataclass(frozen=True, eq=False)
class Attribute:
    """One way to sort the images.

    Attributes:
        name: the column, or what was measured.
        title: as readers see it.
        source: where it comes from, in words.
        levels: of which it has two or more.
        level: (n,) number of the level of each image.
    """

    name: str
    title: str
    source: str
    levels: tuple[str, ...]
    level: NDArray[np.intp]


@dataclass(frozen=True)
class Unavailable:
    """What could not be audited, and why."""

    name: str
    title: str
    reason: str


def attributes_of(
    manifest: pd.DataFrame | None, measured: pd.DataFrame | str, images: Sequence[str]
) -> tuple[list[Attribute], list[Unavailable]]:
    """Every attribute that tells some of the images apart, and every one that does not, with the reason.

    Args:
        manifest: columns as `osteon.tables.MANIFEST`, and any further ones; None if there is none.
        measured: what was measured on the prepared images, with the column `image`; or the reason why nothing was.
        images: (n,) ids of the images audited.

    Returns:
        Attributes in the order of the columns, and what is not available.

    Raises:
        BadTable: if the manifest lacks some of the images.
    """
    found: list[Attribute | Unavailable] = []
    if manifest is None:
        found += [Unavailable(title.lower(), title, "no manifest was given") for title in EXPECTED]
        found.append(Unavailable("tags", "Tags and size", "no manifest was given"))
    else:
        rows = _rows(manifest, images)
        named = {str(c): str(c) for c in rows if str(c).lower() not in (*NOT_TAGS, *OUTCOMES)}
        found += [attribute(name, _title(name), "column of the manifest", rows[name]) for name in named]
        there = {name.lower() for name in named}
        found += [
            Unavailable(title.lower(), title, f"the manifest has no column {' or '.join(columns[:2])}")
            for title, columns in EXPECTED.items()
            if not there & set(columns)
        ]
    if isinstance(measured, str):
        found.append(Unavailable("measured", "Marks and border, measured on the pixels", measured))
    else:
        rows = measured.set_index("image").loc[list(images)]
        found += [attribute(str(c), _title(str(c)), "measured on the prepared image", rows[c]) for c in rows]
    return [a for a in found if isinstance(a, Attribute)], [a for a in found if isinstance(a, Unavailable)]


def _rows(manifest: pd.DataFrame, images: Sequence[str]) -> pd.DataFrame:
    table = manifest.assign(image=manifest["image"].astype(str)).drop_duplicates("image").set_index("image")
    absent = int((~pd.Index(images).isin(table.index)).sum())
    if absent:
        raise BadTable(
            f"{absent} of {len(images)} predicted images are not in the manifest",
            remedy="pass the manifest that the predictions were made from, or none",
        )
    return table.loc[list(images)]


def attribute(name: str, title: str, source: str, values: pd.Series) -> Attribute | Unavailable:
    """One attribute of (n,) values, or why they make none."""
    text = _text(values)
    if (text == NOT_STATED).all():
        return Unavailable(name, title, "empty for all images")
    numbers = pd.to_numeric(values.astype(object).where(values.notna()), errors="coerce")
    if not pd.api.types.is_bool_dtype(values.dtype) and numbers.nunique() >= QUARTILES and _numeric(numbers, text):
        text = _quarters(numbers)
    sizes = text.value_counts().rename_axis("value").reset_index(name="n").sort_values(["n", "value"])
    if len(sizes) == 1:
        return Unavailable(name, title, f"the same for all images ({sizes['value'].iloc[0]})")
    pooled = _pooled(sizes)
    text = text.where(~text.isin(pooled), OTHER)
    levels = tuple(sorted(text.unique(), key=lambda v: (v in (NOT_STATED, OTHER), _natural(v))))
    smallest = int(text.value_counts().min())
    if len(levels) == 1:
        return Unavailable(name, title, f"no two of its {len(sizes)} values are found in {LEAST} images each")
    if smallest < LEAST:
        return Unavailable(name, title, f"only {smallest} images differ from the others, and it takes {LEAST}")
    return Attribute(name, title, source, levels, pd.Categorical(text, levels).codes.astype(np.intp))


def _pooled(sizes: pd.DataFrame) -> list[str]:
    """The levels to throw together: those that are too small, and then as many as it takes to fill one."""
    small = int((sizes["n"] < LEAST).sum())
    pooled = max(small, len(sizes) - MOST + 1 if len(sizes) > MOST else 0)
    # One small level alone would be no pool; in the company of the next it is, if two others are left.
    while 0 < pooled < len(sizes) - 2 and sizes["n"].head(pooled).sum() < LEAST:
        pooled += 1
    return list(sizes["value"].head(pooled)) if pooled > 1 else []


def _numeric(numbers: pd.Series, text: pd.Series) -> bool:
    return bool(numbers.notna().eq(text != NOT_STATED).all())


def _quarters(numbers: pd.Series) -> pd.Series:
    edges = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75]))
    names = [f"up to {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    place = np.searchsorted(edges, numbers.to_numpy(float), side="left")
    named = pd.Series([*names, f"over {edges[-1]:g}"]).reindex(place).to_numpy(object)
    return pd.Series(named, index=numbers.index).where(numbers.notna(), NOT_STATED)


def _text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return values.map(lambda v: f"{v:g}", na_action="ignore").astype(object).fillna(NOT_STATED)
    return values.astype(object).where(values.notna(), NOT_STATED).astype(str).str.strip().replace("", NOT_STATED)


def _title(column: str) -> str:
    return column.replace("_", " ").capitalize()


def _natural(value: str) -> tuple[int, float, str]:
    words = value.split(" ")
    number = words[-1] if words[0] in ("up", "over") else words[0]
    order = {"up": 0, "over": 2}.get(words[0], 1)
    try:
        return order, float(number), value
    except ValueError:
        return order, float("inf"), value
