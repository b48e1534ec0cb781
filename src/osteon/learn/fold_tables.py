"""Folds as a column of a table: dealt by patient, or by image as the studies did, under a name that says what it is.

A row of fold -1 is sealed: whoever learns or searches is never handed it. So a nested protocol is a table with one more
fold hidden.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from osteon.dataset.splits import SEALED, folds_of
from osteon.errors import BadTable, TooFewCases, unknown_name
from osteon.types import Fold

BY_PATIENT, BY_IMAGE = "by-patient", "leaky-by-image"

PROTOCOLS = {
    BY_PATIENT: "patients (and groups) whole, the strata spread evenly",
    BY_IMAGE: "image by image, as Hong 2023 did: one patient's images are on both sides, for comparison only",
}
"""How folds may be dealt."""


def deal(
    table: pd.DataFrame, folds: int, *, seed: int, protocol: str = BY_PATIENT, strata: pd.Series | None = None
) -> pd.DataFrame:
    """The table with its column `fold` dealt anew, 0 to folds - 1; rows that were sealed (-1) stay so.

    Args:
        table: columns `image` (unique) and `patient`; `group`, if it is there, is what may not be torn apart;
            `fold`, if it is there, says which rows are sealed.
        folds: 2 or more.
        seed: of the deal; the order of the rows is of no account.
        protocol: one of PROTOCOLS.
        strata: of each row, to be spread evenly over the folds, such as view and grades; strata with fewer rows than
            folds are thrown together.

    Raises:
        UnknownName: for another protocol.
        BadTable: if a column is missing, or an image is there twice.
        TooFewCases: if there are fewer groups (or images) than folds.
    """
    _known(protocol)
    if missing := [column for column in ("image", "patient") if column not in table]:
        raise BadTable(f"the table has no column {' and '.join(missing)}", remedy="pass a manifest")
    if not table["image"].is_unique:
        raise BadTable("an image is in the table twice", remedy="leave copies out")
    group = (table["group"] if "group" in table and protocol == BY_PATIENT else table["patient"]).astype("string")
    open_rows = np.flatnonzero(table["fold"].to_numpy(int) != SEALED) if "fold" in table else np.arange(len(table))
    order = open_rows[np.argsort(table["image"].astype(str).to_numpy()[open_rows], kind="stable")]
    units = group.iloc[order].nunique() if protocol == BY_PATIENT else len(order)
    if not 2 <= folds <= units:
        what = "patients (or groups)" if protocol == BY_PATIENT else "images"
        raise TooFewCases(f"{units} {what} cannot fill {folds} folds", remedy="ask for fewer folds, at least 2")
    dealt = np.full(len(table), SEALED)
    if protocol == BY_IMAGE:
        dealt[np.random.default_rng(seed).permutation(order)] = np.arange(len(order)) % folds
    else:
        dealt[order] = _by_group(group.iloc[order], _coarse(strata, order, folds), folds, seed)
    columns = {"group": group} if protocol == BY_PATIENT else {}
    return table.assign(**columns, fold=pd.array(dealt, dtype="Int16"))


def hide(table: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The table with one fold sealed, so that a search inside the others never sees it.

    Raises:
        BadTable: if it has no such fold.
    """
    mine = table["fold"].to_numpy(int) == fold
    if fold == SEALED or not mine.any():
        raise BadTable(f"the table has no fold {fold}", remedy=f"it has {sorted(set(table['fold']) - {SEALED})}")
    return table.assign(fold=table["fold"].mask(mine, SEALED))


def visible(table: pd.DataFrame, protocol: str = BY_PATIENT) -> tuple[NDArray[np.intp], list[Fold]]:
    """What a search may see of a table.

    Returns:
        The rows (m,) that are not sealed, in their order, and the folds, which count those rows alone.

    Raises:
        UnknownName: for another protocol.
        Leak: by patient, if a patient or group is in two folds, or in one and in the sealed part.
        TooFewCases: for fewer than two folds.
    """
    _known(protocol)
    # By image, each image is its own patient: then nothing is torn, and everything else is checked as ever.
    checked = table if protocol == BY_PATIENT else table.assign(patient=table["image"], group=table["image"])
    folds = folds_of(checked)
    rows = np.flatnonzero(table["fold"].to_numpy(int) != SEALED)
    place = np.full(len(table), -1, np.intp)
    place[rows] = np.arange(len(rows))
    return rows, [Fold(fold.index, place[fold.train], place[fold.validation]) for fold in folds]


def _known(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)


def _coarse(strata: pd.Series | None, order: NDArray[np.intp], folds: int) -> NDArray[np.str_]:
    if strata is None:
        return np.full(len(order), "all")
    names = strata.iloc[order].astype("string").fillna("").to_numpy(str)
    kinds, counts = np.unique(names, return_counts=True)
    rare = np.isin(names, kinds[counts < folds])
    # What is rare together is still too rare to be spread: it joins the most frequent stratum.
    return np.where(rare, "rare" if rare.sum() >= folds else kinds[counts.argmax()], names)


def _by_group(group: pd.Series, strata: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.intp]:
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    dealt = np.empty(len(group), np.intp)
    for fold, (_, own) in enumerate(splitter.split(strata, strata, group.to_numpy(str))):
        dealt[own] = fold
    if len(np.unique(dealt)) < folds:
        raise TooFewCases(f"{group.nunique()} groups leave one of {folds} folds empty", remedy="ask for fewer folds")
    return dealt
