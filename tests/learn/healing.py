"""Planted maps of healing bones: each cortex is a column whose channels say its grade, at some height of the image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.tasks import rust
from tests.make import some_visits

COLUMN = {"anterior": 1, "posterior": 4, "medial": 4, "lateral": 1}
"""Which column of the maps shows a cortex; only the place tells the two of a view apart."""


def some_healing_cases(patients: int = 48, *, sealed: int = 0, folds: int = 3, seed: int = 0) -> pd.DataFrame:
    """`some_visits` as a split manifest; every fifth image has a cortex that cannot be graded."""
    cases = some_visits(patients, seed=seed)
    number = cases["patient"].str[1:].astype(int)
    fold = (number % folds).where(number < patients - sealed, -1)
    for row in range(0, len(cases), 5):
        cortex = rust.SHOWN[cases["view"].iloc[row]][row % 2]
        cases.loc[row, cortex] = 0
    return cases.assign(
        series="1",
        instance="1",
        target=1,
        laterality="L",
        sex="F",
        device="Phantom",
        age_years=40.0,
        rows=64,
        columns=64,
        bits=8,
        group=cases["patient"],
        fold=fold,
    )


def some_maps(cases: pd.DataFrame, *, noise: float = 0.3, seed: int = 0) -> NDArray[np.float16]:
    """(n, 6, 8, 6): channel k says grade k at the cortex's place, the last that it cannot be graded."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, noise, (len(cases), 6, 8, 6))
    for row, case in enumerate(cases.to_dict("records")):
        height = rng.integers(0, 5)
        for cortex in rust.SHOWN[case["view"]]:
            if pd.isna(case[cortex]):
                continue
            if case[cortex] == 0:
                maps[row, 5, :, COLUMN[cortex]] += 8
            else:
                maps[row, int(case[cortex]) - 1, height : height + 4, COLUMN[cortex]] += 4
    return maps.astype(np.float16)
