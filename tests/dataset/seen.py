"""Images as ingest has seen them, without files: cases in the words of a test, as the table that they become."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from osteon.dataset import labels
from osteon.dataset.labels import BY_NAME, Columns, Labels
from osteon.dataset.rows import Rows
from osteon.tasks import FRACTURE
from osteon.types import Case, Header


def a_case(path: str, *, image: str = "", pixels: str = "", size: tuple[int, int] = (60, 40), **header: Any) -> Case:
    """A case whose bytes and pixels are its own unless it is told otherwise; `header` as in `osteon.types.Header`."""
    return Case(image or f"bytes of {path}", path, *size, Header(**header), pixels)


def seen(cases: Iterable[Case]) -> pd.DataFrame:
    """The table of these cases."""
    rows = Rows()
    for case in cases:
        rows.add(case)
    return rows.frame()


def a_label_table(folder: Path, text: str, columns: Columns = BY_NAME) -> Labels:
    """The label table with these lines."""
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return labels.read(path, FRACTURE, columns)
