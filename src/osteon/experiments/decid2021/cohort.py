"""The images that the experiment is run on: three parts of whole patients, and the study's balanced validation set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED
from osteon.errors import BadTable, Leak, TooFewCases
from osteon.experiments.manifests import named_by_image

LEARNT, VALIDATION = 0, 1
"""Part of an image; SEALED is the third."""

HARDWARE = "hardware"
"""Column of the label table that tells of osteosynthesis hardware."""

YES, NO = ("1", "1.0", "yes", "true"), ("0", "0.0", "no", "false")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cohort:
    """n radiographs of studies, of which some are the sealed test set.

    Attributes:
        table: the manifest's rows, with `target` missing in the sealed part and `fold` LEARNT, VALIDATION or SEALED.
            Patients and groups are called after the first of their images.
        images: image → prepared PNG.
        dealt: (n,) fold of each in the manifest.
        unlabelled: images without a label, and left out.
    """

    table: pd.DataFrame
    images: Mapping[str, Path]
    dealt: NDArray[np.intp]
    unlabelled: int = 0

    @property
    def names(self) -> list[str]:
        """(n,) image ids."""
        return [str(name) for name in self.table["image"]]

    @property
    def part(self) -> NDArray[np.intp]:
        """(n,) LEARNT, VALIDATION or SEALED."""
        return np.asarray(self.table["fold"].to_numpy(int), np.intp)

    @property
    def target(self) -> NDArray[np.intp]:
        """(n,) 1 in a study with a fracture, else 0, and 0 in the sealed part, whose targets nobody sees."""
        return np.asarray(self.table["target"].fillna(0).to_numpy(int), np.intp)

    @property
    def hardware(self) -> tuple[Mask, Mask] | None:
        """(n,) which images are known to show hardware, and which are known to show none; None if nobody knows."""
        if HARDWARE not in self.table:
            return None
        told = self.table[HARDWARE].astype("string").fillna("").str.strip().str.lower()
        return told.isin(YES).to_numpy(bool), told.isin(NO).to_numpy(bool)

    @property
    def digest(self) -> str:
        """SHA-256 of who is in it, with which label, and in which part."""
        shown = self.table[["image", "study", "target", "fold"]].assign(study=named_by_image(self.table, "study"))
        return hashlib.sha256(shown.astype(str).to_csv(index=False).encode()).hexdigest()

    def balanced(self, *, seed: int) -> Mask:
        """(n,) the study's validation set: of the validation part, as many studies of either class.

        All studies of the rarer class, and of the other as many as are drawn.

        Args:
            seed: of the draw.
        """
        rows = self.table[self.part == VALIDATION]
        studies = rows.groupby(named_by_image(rows, "study").to_numpy(str))["target"].max().astype(int)
        each = int(min((studies == 1).sum(), (studies == 0).sum()))
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([rng.permutation(np.sort(studies.index[studies == kind]))[:each] for kind in (0, 1)])
        mine = named_by_image(self.table, "study").isin(chosen).to_numpy(bool)
        return np.asarray(mine & (self.part == VALIDATION))


def cohort_of(manifest: pd.DataFrame, images: Mapping[str, Path]) -> Cohort:
    """The labelled radiographs of a split manifest: its last fold is the validation part, the others are learnt from.

    Args:
        manifest: image, patient, group, study, fold and target.
        images: image → prepared PNG.

    Raises:
        BadTable: for an image that names no study.
        Leak: for a patient in two parts.
        TooFewCases: if none of them is sealed, or a part lacks a class.
    """
    fold = manifest["fold"].to_numpy(int)
    sealed = fold == SEALED
    known = sealed | manifest["target"].notna().to_numpy(bool)
    rows, fold = manifest[known].reset_index(drop=True), fold[known]
    if unnamed := int((rows["study"].astype("string").fillna("") == "").sum()):
        raise BadTable(
            f"{unnamed} images name no study, and the experiment judges studies",
            remedy="give each image its study in the label table, or in the file",
        )
    if not (fold == SEALED).any():
        raise TooFewCases(
            "no image is sealed, and the honest figures are those of a sealed test set",
            remedy="set one aside: osteon split --test 0.2",
        )
    part = np.where(fold == SEALED, SEALED, np.where(fold == fold.max(), VALIDATION, LEARNT))
    table = rows.assign(
        patient=named_by_image(rows, "patient"),
        group=named_by_image(rows, "group"),
        fold=pd.array(part, dtype="Int16"),
    )
    if torn := int((table.groupby("group")["fold"].nunique() > 1).sum()):
        raise Leak(f"{torn} patients are in two parts of the split", remedy="split by patient: osteon split")
    for number, name in ((LEARNT, "images to learn from"), (VALIDATION, "validation images")):
        if table.loc[part == number, "target"].nunique() < 2:
            raise TooFewCases(f"the {name} are not of both classes", remedy="label more studies, or use fewer folds")
    return Cohort(table, {name: images[name] for name in table["image"]}, fold, unlabelled=int((~known).sum()))
