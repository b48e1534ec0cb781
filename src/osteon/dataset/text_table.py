"""A label table as people hand it over, whatever program it comes from: CSV, Excel workbook or Parquet, as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon import files, sheets
from osteon.errors import BadTable


def text_table(path: Path, sheet: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Read a table that people made, as text.

    Args:
        path: CSV, Excel workbook or Parquet.
        sheet: of a workbook; "" takes the first.

    Returns:
        All columns as text, "" where nothing is said, the number of the row in a spreadsheet as index; and what had to
        be decided, one sentence each.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is no table, or has no rows.
        UnknownName: if the workbook has no such sheet.
    """
    suffix, notes = files.must_exist(path).suffix.lower(), list[str]()
    if sheet and suffix not in sheets.WORKBOOKS:
        raise BadTable(f"{path.name} has no sheets", remedy="leave --sheet out")
    if suffix in sheets.WORKBOOKS:
        frame, others = sheets.read_workbook(path, sheet)
        if others:
            notes.append(f"of {path.name} its other sheets are not read: {', '.join(others)}")
    elif suffix == ".csv":
        frame = sheets.read(path)
    elif suffix == ".parquet":
        frame = _parquet_as_text(path)
    elif suffix in sheets.OTHER_WORKBOOKS:
        raise BadTable(f"{path.name} is a workbook of another kind", remedy="save it as .xlsx, or as “CSV UTF-8”")
    else:
        raise BadTable(f"{path} is neither .csv, nor .xlsx, nor .parquet", remedy=sheets.SAVE_AS)
    if frame.empty:
        raise BadTable(f"{path.name} has no rows below its header", remedy="give one row per image or study")
    return frame, notes


def _parquet_as_text(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
        texts = [column.cast(pa.string()).fill_null("").to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError) as error:
        raise BadTable(f"{path.name} is not a readable table ({error})", remedy=sheets.SAVE_AS) from error
    names = sheets.plain(table.column_names, path.name)
    return pd.DataFrame(
        {name: [text.strip() for text in column] for name, column in zip(names, texts, strict=True)},
        index=range(2, len(table) + 2),
        dtype="string",
    )
