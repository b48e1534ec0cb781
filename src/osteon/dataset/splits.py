"""Folds by patient: stratified, duplicates joined first, a sealed share set aside, and a leak is an error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon.errors import BadTable, Leak, TooFewCases
from osteon.tasks import ANSWERS
from osteon.types import Fold

SEALED = -1
"""The fold number of the test share that stays sealed until `evaluate --unseal`."""


def split(
    manifest: pd.DataFrame,
    *,
    folds: int = 5,
    test: float = 0.0,
    seed: int,
    group_by: str = "patient",
    duplicates: NDArray[np.intp] | None = None,
) -> pd.DataFrame:
    """The manifest with its columns `group` and `fold`.

    A group is what may not be torn apart: the images of one patient, joined with those of every patient of whom a
    duplicate image exists. Groups are dealt out largest first (those with both classes before the others), each to the
    fold where the shares of positive, negative and unlabelled images come closest to even; equal groups are shuffled.
    Every fold, and the sealed share, gets both classes. Same seed, same folds, in whatever order the rows stand and
    whatever the patients are called.

    Args:
        manifest: columns `image`, `target` and `group_by` are used.
        folds: number of cross-validation folds, ≥ 2.
        test: share of the images to seal as fold -1, 0 ≤ test < 1; 0 seals none.
        seed: of the shuffle.
        group_by: column of the patient, or of any larger unit such as the hospital.
        duplicates: (rows,) a number for each row; rows with equal numbers show the same image (see `duplicates`).

    Raises:
        BadTable: if the column is missing or empty somewhere.
        TooFewCases: for one class only, or fewer groups with a class than folds (and sealed share).
    """
    if folds < 2 or not 0 <= test < 1:
        raise BadTable(f"{folds} folds and a sealed share of {test} make no split", remedy="folds ≥ 2, 0 ≤ test < 1")
    names = _filled(manifest, group_by)
    member = _joined(names, duplicates)
    # Names and counts do not depend on the order of rows: a group is called by its first patient in the alphabet.
    label = names.groupby(member).transform("min")
    # The deal goes by images, which are called after their content: other pseudonyms make no other folds.
    dealt = manifest["image"].astype("string").groupby(label).min().sort_values().index
    counts = _class_counts(label, manifest["target"]).loc[dealt]
    shares = [(1 - test) / folds] * folds + ([test] if test > 0 else [])
    fold_of = _deal(counts, np.array(shares), seed)
    fold = label.map(dict(zip(counts.index, fold_of, strict=True)))
    # The sealed share is dealt as the last bin, and is called -1.
    fold = fold.where(fold < folds, SEALED)
    return manifest.assign(group=label.astype("string"), fold=fold.astype("Int16"))


def folds_of(manifest: pd.DataFrame) -> list[Fold]:
    """The folds that `split` dealt; the sealed share is in none of them.

    Raises:
        BadTable: if a row has no group or fold.
        Leak: if a group or a patient is in two folds, or both in a fold and in the sealed share; names up to three.
        TooFewCases: if there are not at least two folds.
    """
    fold = pd.to_numeric(_filled(manifest, "fold")).to_numpy(int)
    for column in ("patient", "group"):
        _no_leak(_filled(manifest, column), fold)
    numbers = np.unique(fold[fold != SEALED])
    if numbers.size < 2:
        raise TooFewCases("the manifest has fewer than two folds", remedy="split it again: osteon split --folds 5")
    open_rows = fold != SEALED
    return [
        Fold(int(k), train=np.flatnonzero(open_rows & (fold != k)), validation=np.flatnonzero(fold == k))
        for k in numbers
    ]


def seal(manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take the answers of the sealed share out of the manifest.

    Returns:
        The manifest with `target`, and the grades that it may carry, missing in fold -1; and the sealed table: the
        column `image` and those.
    """
    sealed = _filled(manifest, "fold").astype(int) == SEALED
    hidden = ["target", *(column for column in manifest if column in ANSWERS and column != "target")]
    answers = manifest.loc[sealed, ["image", *hidden]].reset_index(drop=True)
    return manifest.assign(**{column: manifest[column].mask(sealed) for column in hidden}), answers


def describe(manifest: pd.DataFrame) -> str:
    """A split manifest in one sentence for people."""
    fold = manifest["fold"].astype(int)
    groups, open_rows = manifest["group"].nunique(), fold != SEALED
    sentence = (
        f"{len(manifest)} images of {groups} groups: {fold[open_rows].nunique()} folds of {int(open_rows.sum())} images"
    )
    return f"{sentence}, {int((~open_rows).sum())} sealed." if (~open_rows).any() else f"{sentence}, none sealed."


def _filled(manifest: pd.DataFrame, column: str) -> pd.Series:
    if column not in manifest:
        raise BadTable(
            f"the manifest has no column {column!r}",
            remedy=f"it has {', '.join(map(str, manifest.columns))}",
        )
    values = manifest[column].astype("string")
    empty = int((values.fillna("") == "").sum())
    if empty:
        raise BadTable(
            f"column {column} is empty in {empty} of {len(values)} rows", remedy="fill it, or leave those rows out"
        )
    return values


def _joined(names: pd.Series, duplicates: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """(rows,) component number: rows are joined by an equal name or an equal duplicate number."""
    patient: NDArray[np.intp] = names.factorize()[0].astype(np.intp)
    if duplicates is None:
        return patient
    if len(duplicates) != len(names):
        raise ValueError(f"{len(duplicates)} duplicate numbers for {len(names)} rows")
    copy = pd.factorize(duplicates)[0] + patient.max(initial=-1) + 1
    nodes = int(copy.max(initial=-1)) + 1
    links = coo_array((np.ones(len(names), bool), (patient, copy)), shape=(nodes, nodes))
    component: NDArray[np.intp] = connected_components(links, directed=False)[1][patient].astype(np.intp)
    return component


def _class_counts(label: pd.Series, target: pd.Series) -> pd.DataFrame:
    """Images per group: index group name (sorted), columns positive, negative, unlabelled."""
    known = target.astype("Int8")
    columns = {"positive": known.eq(1), "negative": known.eq(0), "unlabelled": known.isna()}
    counts = pd.DataFrame({name: values.fillna(False).astype(int) for name, values in columns.items()})
    per_group: pd.DataFrame = counts.groupby(label.to_numpy(str)).sum()
    return per_group


def _deal(counts: pd.DataFrame, shares: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """(groups,) number of the bin of each group; bin b is to hold the share shares[b] of each class."""
    table = counts.to_numpy(float)
    has = table[:, :2] > 0
    _enough(has, len(shares), len(table))
    share = table / np.maximum(table.sum(axis=0), 1)
    shuffled = np.random.default_rng(seed).permutation(len(table))
    order = shuffled[np.lexsort((-share[shuffled].sum(axis=1), ~has[shuffled].all(axis=1)))]
    held = np.zeros((len(shares), table.shape[1]))
    lacks = np.ones((len(shares), 2), bool)  # bins that still lack positives, negatives
    suppliers = has.sum(axis=0)  # groups yet to come that could help
    bins = np.zeros(len(table), np.intp)
    for group in order:
        gap = held - shares[:, None]
        growth = ((gap + share[group]) ** 2 - gap**2).sum(axis=1) / shares
        for kind in np.flatnonzero(has[group]):
            # The last groups of a class go where it is missing, or a fold would stay without it.
            if lacks[:, kind].sum() >= suppliers[kind]:
                growth[~lacks[:, kind]] = math.inf
        chosen = int(np.argmin(growth))
        bins[group] = chosen
        held[chosen] += share[group]
        lacks[chosen] &= ~has[group]
        suppliers -= has[group]
    return bins


def _enough(has: NDArray[np.bool_], bins: int, groups: int) -> None:
    """Each class needs a group for every bin; that is also sufficient (groups with both classes are dealt first)."""
    if groups < bins:
        fewer = f"ask for at most {groups} folds, the sealed share included, or " if groups > 2 else ""
        raise TooFewCases(
            f"{groups} patients (or groups) cannot fill {bins} folds, the sealed share included",
            remedy=f"{fewer}add patients",
        )
    for name, count in zip(("with", "without"), has.sum(axis=0), strict=True):
        if count == 0:
            raise TooFewCases(f"no image is labelled {name} the finding", remedy="both classes are needed to learn")
        if count < bins:
            raise TooFewCases(
                f"only {count} patients (or groups) {name} the finding for {bins} folds, the sealed share included",
                remedy="ask for fewer folds, seal nothing, or add patients: every fold needs both classes",
            )


def _no_leak(names: pd.Series, fold: NDArray[np.int_]) -> None:
    places = pd.Series(fold).groupby(names.to_numpy(str)).agg(["min", "max"])
    torn = places[places["min"] != places["max"]]
    if torn.empty:
        return
    sealed = torn[torn["min"] == SEALED]
    found, sides = (
        (sealed, "both the sealed test set and training") if len(sealed) else (torn, "both train and validation")
    )
    raise Leak(
        f"{_count(len(found), str(names.name))} in {sides} ({_some(list(found.index))})",
        remedy="split by patient: osteon split --group patient",
    )


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"


def _some(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
