"""The table of files that were left out: `refusals.parquet` beside a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from osteon import tables
from osteon.tables import Column
from osteon.types import Refusal

REFUSALS: Mapping[str, Column] = {
    "path": Column("string", "file, relative to the ingested folder"),
    "code": Column("string", "one of osteon.types.REFUSAL_CODES"),
    "reason": Column("string", "what is wrong with this file"),
    "remedy": Column("string", "what would mend it"),
}
"""Columns of `refusals.parquet`: one row per file that was given and left out."""


def write(path: Path, refusals: Iterable[Refusal]) -> None:
    """Write refusals as Parquet, sorted by path, whole or not at all."""
    ordered = sorted(refusals, key=lambda refusal: refusal.path)
    frame = pd.DataFrame({name: [getattr(r, name) for r in ordered] for name in REFUSALS}, dtype="string")
    tables.write(path, frame, REFUSALS)


def read(path: Path) -> list[Refusal]:
    """The refusals that `write` wrote.

    Raises:
        NotFound, BadTable: as `osteon.tables.read`.
    """
    frame = tables.read(path, REFUSALS)
    return [Refusal(*row) for row in frame[list(REFUSALS)].fillna("").itertuples(index=False, name=None)]
