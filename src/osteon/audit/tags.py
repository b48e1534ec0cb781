"""What a tag or a figure says of each image, in bins that do not depend on which sample an image is of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.audit.two_samples import shares_of
from osteon.tasks import ANSWERS

NOT_TAGS = (
    *("image", "path", "patient", "study", "series", "instance", "accession"),  # they name a case
    *("prepared", "steps", "placement", "part"),  # what the recipe made of the pixels
    *("group", "fold", *sorted(ANSWERS)),  # the split, and the answer
)
"""Columns of a manifest that are no tags."""

LEVELS = 12
"""A category keeps so many levels, the commonest of both samples; the others are one."""

QUANTILES = 10
"""Bins of a quantity, of equal numbers of images of both samples together."""

NAMES = 0.2
"""A text column with more distinct values than this share of its images names cases, and is not compared."""

NOT_STATED = "not stated"


@dataclass(frozen=True, eq=False)
class Coded:
    """A column in bins.

    Attributes:
        code: (n,) 0-based bin of each image, the reference first.
        labels: of the bins.
        middle: of a quantity, its median in the reference and in the new sample, a patient counting once; else None.
    """

    code: NDArray[np.intp]
    labels: tuple[str, ...]
    middle: tuple[float, float] | None = None

    def bins(self, group: NDArray[np.intp], new: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """Of each bin its label and its share in the reference and in the new sample, a patient counting once.

        Args:
            group: (n,) 0-based patient of each image.
            new: (patients,) whether each patient is of the new sample.
        """
        shares = shares_of(self.code, group, len(self.labels))
        before, after = shares[~new].mean(axis=0), shares[new].mean(axis=0)
        told = zip(self.labels, before.tolist(), after.tolist(), strict=True)
        return [{"label": label, "reference": p, "new": q} for label, p, q in told]


def tags_of(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a manifest, or of any table, that are tags."""
    return table[[name for name in table if str(name).lower() not in NOT_TAGS]]


def coded(reference: pd.Series, new: pd.Series, group: NDArray[np.intp]) -> Coded | str:
    """A column of both samples in bins, or why it is not compared.

    A number, or text that spells numbers alone, of more than LEVELS values is a quantity and gets quantiles; all else
    is a category. What is missing is a bin of its own.

    Args:
        reference, new: the column.
        group: (n,) 0-based patient of each image, the reference first.
    """
    text = np.concatenate([_text(reference), _text(new)])
    stated = text != ""
    if not stated.any():
        return "no image states it"
    levels, place = np.unique(text[stated], return_inverse=True)
    if len(levels) + (not stated.all()) == 1:
        return "one value everywhere"
    if len(levels) > LEVELS:
        numbers = np.full(len(text), np.nan)
        numbers[stated] = pd.to_numeric(pd.Series(levels), errors="coerce").to_numpy(float)[place]
        if np.isfinite(numbers[stated]).all():
            return _quantity(numbers, len(reference), group)
    if len(levels) > max(LEVELS, NAMES * stated.sum()):
        return "it names single cases"
    return _category(np.where(stated, text, NOT_STATED))


def _text(column: pd.Series) -> NDArray[np.str_]:
    """(n,) as text, "" where nothing is stated; of numbers with seven digits, so that 0.1 of float32 is 0.1."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        return np.array([f"{value:.7g}" if np.isfinite(value) else "" for value in numbers], dtype=str)
    return np.array([str(value).strip() for value in column.astype("string").fillna("")], dtype=str)


def _category(text: NDArray[np.str_]) -> Coded:
    levels, place, counts = np.unique(text, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.argsort(order)[place]
    if len(levels) <= LEVELS:
        return Coded(rank.astype(np.intp), tuple(map(str, levels[order])))
    kept = LEVELS - 1
    labels = (*map(str, levels[order[:kept]]), f"{len(levels) - kept} others")
    return Coded(np.minimum(rank, kept).astype(np.intp), labels)


def _quantity(numbers: NDArray[np.float64], first: int, group: NDArray[np.intp]) -> Coded:
    stated = np.isfinite(numbers)
    inner = np.quantile(numbers[stated], np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf")
    # Ties may make cut-offs equal, or the highest value a cut-off, over which nothing lies.
    below = numbers[stated & (numbers < numbers[stated].max())]
    cuts = np.unique(np.minimum(inner, below.max()))
    code = np.where(stated, np.searchsorted(cuts, np.where(stated, numbers, 0), side="left"), len(cuts) + 1)
    edges = [f"{cut:.3g}" for cut in cuts]
    labels = [f"up to {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges)), f"over {edges[-1]}"]
    labels += [NOT_STATED] * (not stated.all())
    side = np.arange(len(numbers)) < first
    weight = 1 / np.bincount(group)[group]
    middle = [_median(numbers[part & stated], weight[part & stated]) for part in (side, ~side)]
    return Coded(code.astype(np.intp), tuple(labels), (middle[0], middle[1]))


def _median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The weighted median; NaN of nothing."""
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
