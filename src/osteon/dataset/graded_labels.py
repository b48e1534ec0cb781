"""A table of RUST grades as a label table: the grades are carried along, and their yes or no is the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from osteon.dataset import grades, labels
from osteon.dataset.labels import Columns, Labels
from osteon.dataset.naming import NAMINGS
from osteon.errors import unknown_name
from osteon.tasks import Task, rust
from osteon.tasks.rust import NOT_VISIBLE, Score


def read(path: Path, task: Task, score: Score, columns: Columns) -> Labels:
    """Read a table of grades, in any form that `osteon.dataset.grades` knows, of one rater.

    The answer to a row is whether all its graded cortices are bridged (grade 3 or more); with none that could be graded
    they are not; with none given there is no answer. It deals patients to folds evenly; what is learnt are the grades.

    Raises:
        NotFound, BadTable: as `osteon.dataset.grades.read` and `osteon.dataset.labels.parse`.
        UnknownName: for a naming that is not in NAMINGS.
    """
    if columns.naming not in NAMINGS:
        raise unknown_name("naming", columns.naming, NAMINGS)
    table = grades.read(path, score, NAMINGS[columns.naming], sheet=columns.sheet)
    given, _ = grades.arrays(table.rows, score)
    bridged = np.nan_to_num(rust.bridged(given)) == 1
    answer = np.where(bridged, task.yes[0], np.where((given > NOT_VISIBLE).any(axis=1), task.no[0], ""))
    frame = pd.DataFrame({name: _text(table.rows[name]) for name in table.rows}, index=table.rows.index)
    frame[task.label_columns[0]] = pd.array(answer, dtype="string")
    return labels.parse(frame, table.notes, path.name, task, columns)


def _text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype):
        values = values.map("{:g}".format, na_action="ignore")
    return values.astype("string").fillna("")
