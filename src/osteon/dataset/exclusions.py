"""Rules that leave images out on purpose: `--exclude cast`, `--exclude quality=inconclusive`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.flow import Dropped
from osteon.errors import BadTable
from osteon.tasks import Task

OF_PEOPLE = ("patient", "study", "series", "instance", "accession", "path", "image")
"""Columns whose values name people or files: rules on them are counted without the value."""

MARKS = ("x", "ja", "si", "sí", "oui", "sim")
"""What else than the yes of a task ticks a column of a spreadsheet."""


@dataclass(frozen=True)
class Rule:
    """Leaves out every image whose `column` says `value`, or yes if `value` is None."""

    column: str
    value: str | None = None

    def __str__(self) -> str:
        if self.value is None or self.column in OF_PEOPLE:
            return self.column
        return f"{self.column} = {self.value or 'empty'}"


def parse(text: str) -> Rule:
    """`COLUMN` or `COLUMN=VALUE` as a rule; capitals and blanks around both do not count.

    Raises:
        BadTable: if it names no column.
    """
    column, has_value, value = text.partition("=")
    if not column.strip():
        raise BadTable(f"--exclude {text!r} names no column", remedy="write --exclude COLUMN, or COLUMN=VALUE")
    return Rule(column.strip().lower(), value.strip().lower() if has_value else None)


def column_of(rule: Rule, frame: pd.DataFrame, also: Mapping[str, str]) -> str:
    """The column of a table that a rule looks at.

    Args:
        rule: the rule.
        frame: one row per image.
        also: further name of a column → its name in `frame`.

    Raises:
        BadTable: if there is no such column.
    """
    column = rule.column if rule.column in frame else also.get(rule.column, "")
    if column not in frame:
        known = sorted({*also, *(name for name in frame if not str(name).startswith("_"))})
        raise BadTable(f"there is no column {rule.column!r} to exclude by", remedy=f"there are {', '.join(known)}")
    return column


def dropped(rule: Rule, column: str, task: Task, frame: pd.DataFrame) -> Dropped:
    """What a rule leaves out, by a column (`column_of`) of a table with one row per image; `task` spells yes and no.

    Raises:
        BadTable: if a rule without a value meets something else than yes, no or nothing.
    """
    remedy = "nothing to do, or ingest without the rule"
    return Dropped(_applies(rule, column, task, frame), "excluded", str(rule), f"--exclude {rule}", remedy)


def _applies(rule: Rule, column: str, task: Task, frame: pd.DataFrame) -> NDArray[np.bool_]:
    said = frame[column].astype("string").fillna("").str.strip().str.lower()
    if rule.value is not None:
        return np.array([text == rule.value for text in said], bool)
    meaning = {text: 1 if text in MARKS else task.encode(text) for text in said.unique()}
    unclear = sum(text != "" and meaning[text] is None for text in said)
    if unclear:  # what they say may be anything, names included: it stays out of messages
        raise BadTable(
            f"column {rule.column} says neither yes nor no for {unclear} images",
            remedy=f"name the value to exclude: --exclude {rule.column}=VALUE",
        )
    return np.array([meaning[text] == 1 for text in said], bool)
