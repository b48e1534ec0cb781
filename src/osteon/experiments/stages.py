"""Finished stages on the disk: what was cut off goes on behind the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import files
from osteon.experiments.around import Tell
from osteon.experiments.writing import write_csv

STAGE, ARRAYS = "stage.json", "scores.npz"


@dataclass(frozen=True, eq=False)
class Kept:
    """What a stage leaves.

    Attributes:
        told: what JSON can hold.
        arrays: name → array; all in `scores.npz`.
        tables: name → table; each in `<name>.csv`.
    """

    told: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def keep(folder: Path, done: Kept) -> None:
    """Write what a stage left; the folder counts as finished once `stage.json` is there."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder / ARRAYS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **dict(done.arrays))  # type: ignore[arg-type]  # names of arrays, not options
    for name, table in done.tables.items():
        write_csv(folder / f"{name}.csv", table)
    files.write_json(folder / STAGE, dict(done.told))


def kept(folder: Path, *tables: str) -> Kept | None:
    """What was kept in a folder, to the last bit; None if the stage is not finished.

    Args:
        folder: of the stage.
        tables: names of its tables.

    Raises:
        NotFound: if a part of it was deleted.
    """
    if not (folder / STAGE).exists():
        return None
    told = files.read_json(folder / STAGE)
    with np.load(files.must_exist(folder / ARRAYS), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    paths = {name: files.must_exist(folder / f"{name}.csv") for name in tables}
    return Kept(told, arrays, {name: _read(path) for name, path in paths.items()})


def once(
    folder: Path, make: Callable[[], Kept], said: Callable[[Kept], str], tell: Tell, *, tables: tuple[str, ...] = ()
) -> Kept:
    """What is kept in a folder; it is made first if there is nothing.

    Args:
        folder: of the stage; its name is the stage's.
        make: makes it.
        said: tells it in one line.
        tell: is given that line, with the seconds that it took.
        tables: names of its tables.
    """
    found = kept(folder, *tables)
    if found is not None:
        tell(f"{folder.name:<22} kept: {said(found)}")
        return found
    started = time.perf_counter()
    made = make()
    keep(folder, made)
    tell(f"{folder.name:<22} {said(made)}, {time.perf_counter() - started:.0f} s")
    return made


def _read(path: Path) -> pd.DataFrame:
    read, text = pd.read_csv(path), pd.read_csv(path, dtype=str, keep_default_na=False)
    # pandas does not promise to read back the very number that it wrote; Python does.
    exact = {name: [float(value or "nan") for value in text[name]] for name in read.select_dtypes("float")}
    return read.assign(**exact)
