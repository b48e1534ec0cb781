"""What experiments leave on the disk: a page with its figures, and tables as CSV, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from osteon import files
from osteon.evaluate.report import HTML, JSON


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table as CSV, whole or not at all."""
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_figures(out: Path, drawn: Mapping[str, str]) -> None:
    """Figures, name → SVG text, as `figures/<name>.svg`."""
    for name, svg in drawn.items():
        with files.replacing(out / "figures" / f"{name}.svg") as temporary:
            temporary.write_text(svg + "\n", encoding="utf-8")


def write_page(out: Path, text: str, content: Mapping[str, Any]) -> None:
    """`report.html` and `report.json`, both or neither.

    Raises:
        CannotWrite: if the folder cannot be written; an earlier page is then as it was.
    """
    with files.replacing(out / HTML) as temporary:
        temporary.write_text(text, encoding="utf-8")
        files.write_json(out / JSON, content)


def ends(name: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    """A figure and its interval as three columns."""
    return {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}


def flat(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """A table of rows with a title and some figures each."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {"figure": row["title"]}
        for name in names:
            line |= ends(name, row[name])
        lines.append(line)
    return pd.DataFrame(lines)
