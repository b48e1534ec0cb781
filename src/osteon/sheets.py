"""Tables as people make them: CSV from any spreadsheet program, read as text.

A spreadsheet program writes a byte order mark, semicolons or tabs where the decimal sign is a comma, Windows line ends,
empty rows at the end, and headers with capitals and stray blanks. None of that changes what a table says, so all of it
is read. What could change it is refused: another encoding than UTF-8, two columns of one name, a row longer than its
header.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from osteon import files
from osteon.errors import BadTable

SEPARATORS = (",", ";", "\t")
"""What may stand between values; the header tells which."""

SAVE_AS = "save it in the spreadsheet program as “CSV UTF-8”"


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file.

    Returns:
        All columns as text without blanks around it, "" where nothing is said; column names as `plain` spells them.
        The index is the number of the row in a spreadsheet, where the header is row 1. Empty rows, and columns without
        a name, are left out.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is empty, not UTF-8, or a row or a quotation mark is out of place.
    """
    text = _text(path)
    separator = max(SEPARATORS, key=lambda one: len(_first(text, one)))
    header = plain(_first(text, separator), path.name)
    rows: dict[int, list[str]] = {}
    number = 0
    try:
        for number, values in enumerate(_records(text, separator), start=1):
            row = [value.strip() for value in values]
            if number > 1 and any(row):
                rows[number] = _fitted(row, len(header), f"row {number} of {path.name}")
    except csv.Error as error:
        raise BadTable(
            f"{path.name} is not a readable table: its row {number + 1} does not end as it should ({error})",
            remedy="put both quotation marks, or none, round each value of that row",
        ) from error
    if not any(header):
        raise BadTable(f"{path.name} is not a readable table: its first row is empty", remedy="begin with column names")
    frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=range(len(header)), dtype="string")
    named = [place for place, name in enumerate(header) if name]
    return frame[named].set_axis([header[place] for place in named], axis="columns")


def plain(names: Iterable[object], where: str) -> list[str]:
    """Names of columns in lower case, without blanks around them.

    Raises:
        BadTable: if two are the same then.
    """
    spelt = [str(name).strip().lower() for name in names]
    twice = [name for name, times in Counter(spelt).items() if name and times > 1]
    if twice:
        raise BadTable(f"{where} has more than one column named {twice[0]!r}", remedy="rename all but one of them")
    return spelt


def _text(path: Path) -> str:
    try:
        return files.must_exist(path).read_bytes().decode("utf-8-sig")
    except IsADirectoryError as error:
        raise BadTable(f"{path} is a folder, not a table", remedy="give the file") from error
    except UnicodeDecodeError as error:
        raise BadTable(f"{path.name} is not a readable table: it is not UTF-8 text", remedy=SAVE_AS) from error


def _records(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _first(text: str, separator: str) -> list[str]:
    """The first row, if it can be read with this separator."""
    try:
        return next(_records(text, separator), [])
    except csv.Error:
        return []


def _fitted(row: list[str], width: int, where: str) -> list[str]:
    """The row, made as long as the header: what is missing at its end is empty."""
    if any(row[width:]):
        raise BadTable(
            f"{where} has {len(row)} values, the header has {width}",
            remedy="put values that hold the separator in quotation marks",
        )
    return [*row, *[""] * (width - len(row))][:width]
