"""The images that the experiment is run on: from a split manifest to labels, groups and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset import grades as tables_of_grades
from osteon.dataset.splits import SEALED
from osteon.errors import BadTable, TooFewCases
from osteon.experiments.manifests import named_by_image, views_of
from osteon.learn.fold_tables import BY_PATIENT, deal
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, NOT_SCOREABLE, NOT_VISIBLE, SHOWN, Grades


@dataclass(frozen=True, eq=False)
class Cohort:
    """n images whose view is known, of which some are sealed.

    Attributes:
        table: the manifest's rows with `view` settled, the four grades as Int8 (missing in the sealed part) and `fold`
            -1 sealed, else 0. Patients and groups are called after the first of their images, so that other pseudonyms
            make no other folds.
        grades: (n, 4) the same grades, NOT_VISIBLE for hidden cortices and in the sealed part.
        images: image → prepared PNG.
        left_out: images whose view is not known.
        contradicting: grades of cortices that the view does not show, which count as not given.
    """

    table: pd.DataFrame
    grades: Grades
    images: Mapping[str, Path]
    left_out: int = 0
    contradicting: int = 0

    @property
    def views(self) -> NDArray[np.str_]:
        """(n,) AP, PA or LAT."""
        return np.asarray(self.table["view"].to_numpy(str))

    @property
    def labels(self) -> NDArray[np.float32]:
        """(n, 18) labels of 0 and 1; in the sealed part the views alone are given."""
        return rust.one_hot(self.grades, list(self.views))

    @property
    def sealed(self) -> NDArray[np.bool_]:
        """(n,) which images are sealed."""
        return np.asarray(self.table["fold"].to_numpy(int) == SEALED)

    @property
    def group(self) -> NDArray[np.intp]:
        """(n,) 0-based number of each image's group."""
        return np.asarray(pd.factorize(self.table["group"], sort=True)[0], np.intp)

    @property
    def strata(self) -> pd.Series:
        """What folds should share evenly: the view, with the mean grade of the cortices in it."""
        graded = np.where(self.grades > NOT_SCOREABLE, self.grades, 0).astype(float)
        count = (graded > 0).sum(axis=1)
        mean = np.where(count > 0, graded.sum(axis=1) / np.maximum(count, 1), 0)
        rounded = pd.Series(np.floor(mean + 0.5).astype(int).astype(str), index=self.table.index)
        return self.table["view"].astype(str) + rounded

    def dealt(self, folds: int, *, seed: int, protocol: str = BY_PATIENT) -> pd.DataFrame:
        """The table with so many folds; the sealed part stays sealed."""
        return deal(self.table, folds, seed=seed, protocol=protocol, strata=self.strata)

    def opened(self, answers: pd.DataFrame) -> Cohort:
        """The cohort with the grades of the sealed part.

        Args:
            answers: `image` and the four grades, of every sealed image.

        Raises:
            BadTable: if a sealed image has no answer.
        """
        sealed = np.flatnonzero(self.sealed)
        names = self.table["image"].astype(str).to_numpy()[sealed]
        known = answers.set_index(answers["image"].astype(str))
        if missing := set(names) - set(known.index):
            raise BadTable(
                f"{len(missing)} of {len(names)} sealed images have no answer",
                remedy="keep the sealed.parquet of the same split beside its manifest",
            )
        given, _ = tables_of_grades.arrays(known.loc[names].reset_index(drop=True))
        whole = self.grades.copy()
        whole[sealed] = rust.masked(given, list(self.views[sealed]))
        return replace(self, grades=whole, table=tables_of_grades.with_grades(self.table, whole))


def cohort_of(manifest: pd.DataFrame, images: Mapping[str, Path]) -> Cohort:
    """The images of a split manifest that can be used.

    Args:
        manifest: image, patient, group, study, fold, the view and the four grades.
        images: image → prepared PNG.

    Raises:
        BadTable: if the manifest has no grades, or is not split.
        TooFewCases: if no image has a view that shows a cortex.
    """
    if missing := [name for name in ("group", "fold", *CORTICES) if name not in manifest]:
        raise BadTable(
            f"the manifest has no column {', '.join(missing)}",
            remedy="ingest with --task modified-rust and a table of grades, then prepare and split",
        )
    view = views_of(manifest, SHOWN)
    kept = np.flatnonzero(view.isin(list(SHOWN)))
    if not len(kept):
        raise TooFewCases("no image has a view that shows a cortex", remedy="give the view, AP or LAT, of each image")
    rows, views = manifest.iloc[kept].reset_index(drop=True), view.iloc[kept].reset_index(drop=True)
    given, _ = tables_of_grades.arrays(rows)
    sealed = rows["fold"].to_numpy(int) == SEALED
    wrong = rust.contradicting(given, list(views)) & ~sealed[:, None]
    seen = rust.masked(given, list(views))
    seen[sealed] = NOT_VISIBLE
    table = tables_of_grades.with_grades(rows, seen).assign(
        patient=named_by_image(rows, "patient"),
        group=named_by_image(rows, "group"),
        view=views,
        fold=pd.array(np.where(sealed, SEALED, 0), dtype="Int16"),
    )
    return Cohort(
        table,
        seen,
        {name: images[name] for name in table["image"]},
        left_out=len(manifest) - len(kept),
        contradicting=int(wrong.sum()),
    )
