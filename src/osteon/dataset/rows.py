"""Cases as the columns of one table: a million of them fit into a fraction of the memory that their objects take."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from osteon import tables
from osteon.types import Case

_TEXT = (
    *("image", "path", "pixels"),
    *("patient", "study", "series", "instance", "accession"),
    *("modality", "body_part", "study_description", "series_description", "protocol_name"),
    *("view", "laterality", "sex", "device", "photometric", "transfer_syntax", "spacing_source"),
)
_NUMBERS = {
    "rows": pa.int32(),
    "columns": pa.int32(),
    "bits": pa.int16(),
    "age_years": pa.float32(),
    "spacing_mm": pa.float32(),  # last: of the pair, it is the first
}
SCHEMA = pa.schema([*((name, pa.large_string()) for name in _TEXT), *_NUMBERS.items()])
"""What ingest knows of an image before it knows its label: `Case`, its `Header`, and the spacing between rows."""

_OWN = ("image", "path", "pixels", "rows", "columns")
_values = attrgetter(*(name if name in _OWN else f"header.{name}" for name in SCHEMA.names))
_AT_ONCE = 20_000  # cases kept as objects before they become columns


class Rows:
    """Grows by one case at a time, and ends as a table."""

    def __init__(self) -> None:
        self._cases: list[tuple[Any, ...]] = []
        self._parts = [SCHEMA.empty_table()]

    def add(self, case: Case) -> None:
        """Take a case in; they may come in any order."""
        *values, spacing = _values(case)
        self._cases.append((*values, spacing[0] if spacing else None))
        if len(self._cases) >= _AT_ONCE:
            self._pack()

    def frame(self) -> pd.DataFrame:
        """One row per case, columns as in SCHEMA, in the order of their paths. Call it once: it gives the rows away."""
        self._pack()
        table = pa.concat_tables(self._parts)
        self._parts = []
        order = pc.sort_indices(table["path"])  # by code points, as Python sorts text
        columns = dict[str, pd.Series]()
        for name in SCHEMA.names:  # one by one, so that the unordered ones can go
            columns[name] = table[name].take(order).combine_chunks().to_pandas(types_mapper=tables.arrow_types)
            table = table.drop_columns(name)
        return pd.DataFrame(columns, copy=False)

    def _pack(self) -> None:
        if self._cases:
            columns = dict(zip(SCHEMA.names, zip(*self._cases, strict=True), strict=True))
            self._parts.append(pa.table(columns, schema=SCHEMA))
            self._cases = []
