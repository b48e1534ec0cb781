"""The log of a training run: a line for every step, in a CSV file beside the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import SupportsFloat

import pandas as pd

from osteon import files
from osteon.errors import BadTable

LOG = "steps.csv"
"""The file's name."""

COLUMNS = ("epoch", "step", "learning_rate", "loss", "gradient_norm")
"""Epoch and step, from 1; the step's learning rate; the batch's loss; the gradient's length before it is shortened."""

Step = tuple[int, int, float, float, SupportsFloat]
"""A value for each of COLUMNS; the last may be a tensor that a GPU has yet to fill."""


class StepLog:
    """The log of a run that goes on after so many steps; lines of later steps, from before a kill, are dropped.

    If somebody has removed the log, it begins where the run goes on: every line says of which step it is.
    """

    def __init__(self, path: Path, done: int) -> None:
        """`done` steps are in the checkpoint, and their lines stay as they are."""
        self._path = path
        self._lines = [",".join(COLUMNS), *_of_steps(path)[:done]]

    def add(self, steps: Iterable[Step]) -> None:
        """Write the steps of an epoch, numbers to nine digits: a float32 comes back as it was.

        Raises:
            CannotWrite: if the disk is full; the log is then as it was.
        """
        self._lines += [
            f"{epoch},{step},{rate:.9g},{loss:.9g},{float(norm):.9g}" for epoch, step, rate, loss, norm in steps
        ]
        with files.replacing(self._path) as temporary:
            temporary.write_text("\n".join(self._lines) + "\n", encoding="utf-8")


def read_log(path: Path) -> pd.DataFrame:
    """The log as a table with the columns COLUMNS.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is not the log of a training run.
    """
    files.must_exist(path)
    try:
        log = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadTable(f"{path} is no log of a training run ({error})", remedy="give a file named steps.csv") from error
    if tuple(log.columns) != COLUMNS:
        raise BadTable(f"{path} has not the columns {', '.join(COLUMNS)}", remedy="give a file named steps.csv")
    return log


def _of_steps(path: Path) -> list[str]:
    """Its lines but the header; none if there is no file."""
    return path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
