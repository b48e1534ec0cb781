"""Tables as people make them: CSV and Excel workbooks from any spreadsheet program, read as text.

A spreadsheet program writes a byte order mark, semicolons or tabs where the decimal sign is a comma, Windows line ends,
empty rows at the end, and headers with capitals and stray blanks. None of that changes what a table says, so all of it
is read. What could change it is refused: another encoding than UTF-8, two columns of one name, a row longer than its
header. So is, in a workbook, what its cells do not hold: a formula without a result, an error, a number that
lost digits.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from osteon import files
from osteon.errors import BadTable, unknown_name

if TYPE_CHECKING:
    from openpyxl.cell import Cell

SEPARATORS = (",", ";", "\t")
"""What may stand between values; the header tells which."""

SAVE_AS = "save it in the spreadsheet program as “CSV UTF-8”"

WORKBOOKS = (".xlsx", ".xlsm")
"""Endings of workbooks that can be read."""

OTHER_WORKBOOKS = (".xls", ".xlsb", ".ods", ".numbers")
"""Endings of workbooks that cannot; the spreadsheet program saves them as .xlsx."""

_DIGITS = 15
"""Digits of a number that spreadsheet programs keep; further ones become 0."""


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
    return _framed(header, rows, path.name)


def read_workbook(path: Path, sheet: str = "") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read one sheet of an Excel workbook (.xlsx).

    Numbers are spelt as the sheet shows them: whole ones without a decimal point, and with the leading zeros that a
    number format such as 00000000 gives them. Dates are spelt as in ISO 8601, truth values as true and false. Of a
    formula counts the result that the spreadsheet program stored with it.

    Args:
        path: the workbook.
        sheet: name of the sheet; "" takes the first.

    Returns:
        The table, as `read` returns it, and the names of the sheets that were not read.

    Raises:
        NotFound: if there is no such file.
        UnknownName: if no sheet has that name.
        BadTable: if it is no workbook, or a cell holds an error or a number with more digits than it can keep.
    """
    from openpyxl import load_workbook  # a tenth of a second, for those who bring a workbook

    content = _bytes(path)  # openpyxl leaves files open
    try:
        with warnings.catch_warnings():  # of styles and validations, which say nothing about values
            warnings.simplefilter("ignore")
            books = [
                load_workbook(io.BytesIO(content), read_only=True, data_only=worked_out) for worked_out in (True, False)
            ]
            names = books[0].sheetnames
            if (name := sheet or names[0]) not in names:
                raise unknown_name(f"sheet of {path.name}", sheet, names)
            for book in books:
                book[name].reset_dimensions()  # programs that export tables often state them wrongly
            results, sources = (book[name].iter_rows() for book in books)
            frame = _sheet(results, sources, f"sheet {name!r} of {path.name}")
            return frame, tuple(other for other in names if other != name)
    except (zipfile.BadZipFile, OSError, LookupError, ValueError, TypeError, SyntaxError, AttributeError) as error:
        raise BadTable(
            f"{path.name} is not a readable workbook ({error})",
            remedy="remove its password if it has one, save it as .xlsx again, or as “CSV UTF-8”",
        ) from error


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


def _framed(header: Sequence[str], rows: dict[int, list[str]], where: str) -> pd.DataFrame:
    if not any(header):
        raise BadTable(f"{where} is not a readable table: its first row is empty", remedy="begin with column names")
    frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=range(len(header)), dtype="string")
    named = [place for place, name in enumerate(header) if name]
    return frame[named].set_axis([header[place] for place in named], axis="columns")


def _sheet(values: Iterable[Sequence[Cell]], formulas: Iterable[Sequence[Cell]], where: str) -> pd.DataFrame:
    header: list[str] = []
    rows: dict[int, list[str]] = {}
    without, with_result = "", 0
    for number, (results, sources) in enumerate(zip(values, formulas, strict=True), start=1):
        row = [_spelt(cell, f"row {number} of {where}") for cell in results]
        for cell, source in zip(row, sources, strict=True):
            if source.data_type == "f":
                with_result += bool(cell)
                without = without or ("" if cell else f"{source.coordinate} of {where}")
        if number == 1:
            header = plain(row, where)
        elif any(row):
            rows[number] = (row + [""] * len(header))[: len(header)]  # what stands to the right has no name
    # A formula may well give nothing; if none gives anything, the program that wrote the file never worked them out.
    if without and not with_result:
        raise BadTable(f"no formula has a result, such as {without}", remedy="open it and save it as .xlsx again")
    return _framed(header, rows, where)


def _spelt(cell: Cell, where: str) -> str:
    """What a cell shows, as text."""
    value: Any = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise BadTable(f"{where} holds the error {value}", remedy="mend the formula, or empty the cell")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return (value.date() if value.time() == time() else value).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return _number(value, str(cell.number_format), where)
    return str(value).strip()


def _number(value: float, shown_as: str, where: str) -> str:
    if value != int(value):
        return f"{value:.{_DIGITS}g}"
    if abs(value) >= 10**_DIGITS:
        raise BadTable(
            f"{where} holds the number {value:.0f}, of which a spreadsheet keeps {_DIGITS} digits",
            remedy="format the column as text, and enter the numbers again from their source",
        )
    return f"{value:.0f}".zfill(len(shown_as) if re.fullmatch("0+", shown_as) else 0)


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(f"{path.name} is not a readable table: it is not UTF-8 text", remedy=SAVE_AS) from error


def _bytes(path: Path) -> bytes:
    try:
        return files.must_exist(path).read_bytes()
    except IsADirectoryError as error:
        raise BadTable(f"{path} is a folder, not a table", remedy="give the file") from error


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
