"""Cases as the columns of one table: a million of them fit into a fraction of the memory that their objects take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

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
    "spacing_mm": pa.float32(),
}
SCHEMA = pa.schema([*((name, pa.string()) for name in _TEXT), *_NUMBERS.items()])
"""What ingest knows of an image before it knows its label: `Case`, its `Header`, and the spacing between rows."""

_AT_ONCE = 20_000  # cases kept as objects before they become columns


class Rows:
    """Grows by one case at a time, and ends as a table."""

    def __init__(self) -> None:
        self._cases: list[Case] = []
        self._parts: list[pa.Table] = []

    def add(self, case: Case) -> None:
        """Take a case in; they may come in any order."""
        self._cases.append(case)
        if len(self._cases) >= _AT_ONCE:
            self._pack()

    def frame(self) -> pd.DataFrame:
        """One row per case, columns as in SCHEMA, in the order of their paths. Call it once: it gives the rows away."""
        self._pack()
        table = pa.concat_tables([SCHEMA.empty_table(), *self._parts])
        self._parts = []
        order = np.argsort(np.asarray(table["path"].to_pylist(), object), kind="stable")
        frame: pd.DataFrame = table.take(order).to_pandas(types_mapper=tables.arrow_types)
        return frame

    def _pack(self) -> None:
        columns = {name: [_value(case, name) for case in self._cases] for name in SCHEMA.names}
        self._parts.append(pa.table(columns, schema=SCHEMA))
        self._cases = []


def _value(case: Case, name: str) -> Any:
    if name == "spacing_mm":
        return case.header.spacing_mm[0] if case.header.spacing_mm else None
    return getattr(case, name) if name in _OWN else getattr(case.header, name)


_OWN = ("image", "path", "pixels", "rows", "columns")
