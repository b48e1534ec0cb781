"""What experiments read from a manifest alike: the view, and names that do not depend on pseudonyms."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

WORDS_OF_VIEW = ("view", "resolved_view", "label_view")
"""Columns that tell the view, in the order in which they are believed."""


def views_of(manifest: pd.DataFrame, known: Collection[str]) -> pd.Series:
    """The view of each image by the first column that tells one of those that are known."""
    view = pd.Series("", index=manifest.index, dtype="string")
    for column in WORDS_OF_VIEW:
        if column in manifest:
            told = manifest[column].astype("string").fillna("")
            view = view.where(view.isin(list(known)), told)
    return view


def named_by_image(rows: pd.DataFrame, column: str) -> pd.Series:
    """Patients (or groups) called after the first of their images: other pseudonyms then make no other folds."""
    return rows["image"].astype("string").groupby(rows[column].to_numpy(str)).transform("min").astype("string")
