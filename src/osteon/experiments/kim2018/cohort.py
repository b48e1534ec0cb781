"""The radiographs that the experiment is run on: the lateral ones of a split manifest, dealt into tenths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED
from osteon.errors import BadTable, TooFewCases
from osteon.experiments.manifests import named_by_image, views_of
from osteon.learn.fold_tables import deal

LATERAL = "LAT"

TENTHS = 10
VALIDATION, TEST = 8, 9
"""80:10:10: eight tenths to learn from, one for the validation curve, one to test."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """n lateral radiographs, of which some are the sealed final set.

    Attributes:
        table: the manifest's rows, with `target` missing in the final set and `fold` -1 there, else 0. Patients and
            groups are called after the first of their images, so that other pseudonyms make no other split.
        images: image → prepared PNG.
        other_views: images that are not known to be lateral, and left out.
        unlabelled: lateral images without a label, and left out.
    """

    table: pd.DataFrame
    images: Mapping[str, Path]
    other_views: int = 0
    unlabelled: int = 0

    @property
    def sealed(self) -> NDArray[np.bool_]:
        """(n,) which radiographs are the final set."""
        return np.asarray(self.table["fold"].to_numpy(int) == SEALED)

    @property
    def target(self) -> NDArray[np.intp]:
        """(n,) 1 with a fracture, 0 without, and 0 in the final set, whose targets nobody sees."""
        return np.asarray(self.table["target"].fillna(0).to_numpy(int), np.intp)

    @property
    def digest(self) -> str:
        """SHA-256 of who is in it, with which label, and in which part."""
        shown = self.table[["image", "target", "fold"]].astype(str).to_csv(index=False).encode()
        return hashlib.sha256(shown).hexdigest()

    def dealt(self, *, seed: int) -> pd.DataFrame:
        """The table with patients dealt into tenths, both classes spread evenly; the final set stays sealed."""
        return deal(self.table, TENTHS, seed=seed, strata=self.table["target"].astype("string"))


def cohort_of(manifest: pd.DataFrame, images: Mapping[str, Path]) -> Cohort:
    """The lateral radiographs of a split manifest.

    Args:
        manifest: image, patient, group, study, fold, target and the view.
        images: image → prepared PNG.

    Raises:
        BadTable: if no image is known to be lateral.
        TooFewCases: if none of them is sealed, or none has a label.
    """
    lateral = (views_of(manifest, (LATERAL,)) == LATERAL).to_numpy(bool)
    if not lateral.any():
        raise BadTable(
            "no image is known to be lateral, and the study read lateral radiographs",
            remedy="give the view, LAT, in a column `view` of the label table, or in the files",
        )
    sealed = manifest["fold"].to_numpy(int) == SEALED
    known = sealed | manifest["target"].notna().to_numpy(bool)
    rows = manifest[lateral & known].reset_index(drop=True)
    fold = rows["fold"].to_numpy(int)
    if not (fold == SEALED).any():
        raise TooFewCases(
            "no lateral image is sealed, and the study's figures are those of a final set",
            remedy="set one aside: osteon split --test 0.07",
        )
    if not (fold != SEALED).any():
        raise TooFewCases("no lateral image outside the final set has a label", remedy="label some")
    table = rows.assign(
        patient=named_by_image(rows, "patient"),
        group=named_by_image(rows, "group"),
        view=LATERAL,
        fold=pd.array(np.where(fold == SEALED, SEALED, 0), dtype="Int16"),
    )
    return Cohort(
        table,
        {name: images[name] for name in table["image"]},
        other_views=int((~lateral).sum()),
        unlabelled=int((lateral & ~known).sum()),
    )
