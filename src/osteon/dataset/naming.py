"""What a grade table calls its columns, views and cortices. A name that may mean two things is never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from osteon.dataset.labels import FILE_KEYS, SPELLINGS
from osteon.errors import BadTable, unknown_name
from osteon.tasks.rust import CORTICES, HIGHEST, LABELS

PLAIN = ("study", "patient", "accession", "instance", "month", "view", "rater", "total", *FILE_KEYS)
"""Columns besides grades and one-hot labels that a grade table may hold under our names."""

MEANINGS = (*PLAIN, *CORTICES, *LABELS)
"""What a column of a grade table may mean."""

_SHORT = {"anterior": ("ant",), "posterior": ("post", "pos"), "medial": ("med",), "lateral": ("lat",)}
_ONE_HOT_VIEWS = {
    **dict.fromkeys(("ap", "viewap", "apview", "antpr", "anteroposterior", "viewantpr"), "AP"),
    **dict.fromkeys(("viewlat", "latview", "viewlateral", "lateralview", "medlat", "mediallateral"), "LAT"),
    "lat": "LAT",  # of the cortex, a one-hot column carries its grade
}
_COLUMNS = {
    **{name: name for name in (*PLAIN, *CORTICES)},
    **SPELLINGS,
    **dict.fromkeys(("months", "monthssinceinjury", "monthsafterinjury", "followupmonth", "followupmonths"), "month"),
    **dict.fromkeys(("viewposition", "projection"), "view"),
    **dict.fromkeys(("reader", "observer", "raterid", "readerid"), "rater"),
    **dict.fromkeys(("rust", "mrust", "rusttotal", "mrusttotal", "totalscore"), "total"),
    **dict.fromkeys(("visit", "visitid"), "study"),
}
_VIEWS = {
    **dict.fromkeys(("ap", "antpr", "anteroposterior", "anterioposterior", "antpost"), "AP"),
    **dict.fromkeys(("pa", "posteroanterior"), "PA"),
    **dict.fromkeys(("lat", "lateral", "medlat", "mediallateral", "mediolateral", "ll", "ml"), "LAT"),
    **dict.fromkeys(("obl", "oblique"), "OBL"),
    "": "",
}


@dataclass(frozen=True)
class Naming:
    """How a table's words are to be understood.

    Attributes:
        columns: name of a column in the table → one of MEANINGS, for columns whose names do not tell.
        cortices: what the table calls a cortex → which one it is.
        views: what the table calls a view, as osteon spells it → which one it is.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    cortices: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for meaning in self.columns.values():
            if meaning not in MEANINGS:
                raise unknown_name("meaning of a column", meaning, MEANINGS)
        for one in (*self.cortices, *self.cortices.values()):
            if one not in CORTICES:
                raise unknown_name("cortex", one, CORTICES)
        if len(set(self.cortices.values())) < len(self.cortices):
            raise BadTable("two cortices are mapped onto one", remedy="map each onto its own")


AS_WRITTEN = Naming()
"""Every word means what it says."""

VIEWS_SWAPPED = Naming(views={"AP": "LAT", "PA": "LAT", "LAT": "AP"})
"""The table calls the lateral view AP, or names a view by the cortices that it shows."""

CORTICES_SWAPPED = Naming(
    cortices={"anterior": "medial", "posterior": "lateral", "medial": "anterior", "lateral": "posterior"}
)
"""The table's anterior and posterior cortex are the medial and lateral one, and the reverse."""

NAMINGS: dict[str, Naming] = {
    "as-written": AS_WRITTEN,
    "views-swapped": VIEWS_SWAPPED,
    "cortices-swapped": CORTICES_SWAPPED,
}
"""Name on the command line → naming. Which of the two swaps a table needs, only its makers can say."""


def columns_of(names: Iterable[str], naming: Naming, where: str) -> dict[str, str]:
    """Column of the table → what it means, for the columns that mean something to the score.

    Raises:
        BadTable: if two columns mean the same, or the naming speaks of a column that is not there.
    """
    names = list(names)
    absent = [column for column in naming.columns if column.strip().lower() not in names]
    if absent:
        raise BadTable(f"{where} has no column {absent[0]!r}", remedy=f"it has {', '.join(names)}")
    told = {column.strip().lower(): meaning for column, meaning in naming.columns.items()}
    one_hot = any(_one_hot(name) for name in names)
    exact = {*told.values(), *(name for name in names if name in PLAIN and name not in told)}
    found: dict[str, str] = {}
    for name in names:
        meaning = told.get(name) or _meaning(name, one_hot)
        if meaning in exact and name not in told and name != meaning:
            continue  # `visit` beside `study`: the one that is called so is meant
        if meaning and meaning in found.values():
            other = next(column for column, means in found.items() if means == meaning)
            raise BadTable(
                f"the columns {other!r} and {name!r} of {where} both mean {meaning}",
                remedy="rename one of them, or say with --column which is which",
            )
        if meaning:
            found[name] = meaning
    return {name: _renamed(meaning, naming) for name, meaning in found.items()}


def view_of(text: str, naming: Naming) -> str | None:
    """The view that a cell names: AP, PA, LAT, OBL or ""; None for a word that is not known."""
    view = _VIEWS.get(_plain(text))
    return None if view is None else naming.views.get(view, view)


def _meaning(name: str, one_hot: bool) -> str:
    if label := _one_hot(name):
        return label
    plain = _plain(name)
    if one_hot and plain in _ONE_HOT_VIEWS:
        return _ONE_HOT_VIEWS[plain]
    return name if name in PLAIN else _COLUMNS.get(plain, "")


def _one_hot(name: str) -> str:
    """The label of a column such as `anterior_1`, `ant1` or `Anterior grade 1`."""
    place = re.fullmatch(rf"([a-z]+?)(?:cortex)?(?:grade|rust)?([1-{HIGHEST}])", _plain(name))
    if not place:
        return ""
    for cortex in CORTICES:
        if place[1] in (cortex, *_SHORT[cortex]):
            return f"{cortex}_{place[2]}"
    return ""


def _renamed(meaning: str, naming: Naming) -> str:
    """The meaning with the cortex, or the one-hot view, that the naming puts in its place."""
    cortex, _, grade = meaning.partition("_")
    if cortex in CORTICES:
        cortex = naming.cortices.get(cortex, cortex)
        return f"{cortex}_{grade}" if grade else cortex
    return naming.views.get(meaning, meaning) if meaning in ("AP", "LAT") else meaning


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
