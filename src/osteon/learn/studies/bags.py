"""Which images make which study, and what is known of it: the only labels that a model of whole studies learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.study_rules import studies_of

MOST = 20
"""Images beyond which a study is taken for a mistake, as `osteon ingest --max-instances` has it."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Bags:
    """Studies as bags of images; they stand in the order of their first images.

    Attributes:
        table: k rows, one per study: `image` and `study` (both the id of the study), `patient`, `group`, `fold` and
            `target` (1 if any image of the study is labelled positive, 0 if all are negative, missing where one is
            unlabelled or sealed). It is split as the images are, so `osteon.learn.nested` takes it as a manifest.
        rows: for each study the row numbers of its images in the manifest, one at least.
    """

    table: pd.DataFrame
    rows: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """(k,) number of images of each study."""
        return np.array([len(rows) for rows in self.rows], np.intp)


def bags_of(manifest: pd.DataFrame, *, studies: Sequence[str] | None = None, most: int = MOST) -> Bags:
    """The studies of a split manifest.

    Args:
        manifest: with the columns image, study, patient, group, fold and target, as `osteon split` wrote it.
        studies: ids of the studies that there should be, such as those of a label table; None takes those there are.
        most: images that a study may have.

    Raises:
        BadTable: if images name no study; if a study's images belong to several patients; for a study of more than
            `most` images.
        TooFewCases: for one of `studies` of which there is no image.
        Leak: for a study whose images lie in several folds.
    """
    study = manifest["study"].astype("string").fillna("").to_numpy(str)
    if nameless := int((study == "").sum()):
        raise BadTable(
            f"{nameless} of {len(study)} images name no study",
            remedy="give the label table a column of study ids, or leave these images out",
        )
    if missing := sorted(set(studies or ()) - set(study)):
        raise TooFewCases(
            f"{len(missing)} {'study has' if len(missing) == 1 else 'studies have'} no image ({_named(missing)})",
            remedy="leave them out: nothing can be said of a study without images",
        )
    target = manifest["target"].astype("Float64").to_numpy(float, na_value=np.nan)
    found = studies_of(
        Outcomes(
            name=manifest["image"].to_numpy(str),
            study=study,
            group=pd.factorize(manifest["group"])[0],
            fold=manifest["fold"].to_numpy(int),
            target=target == 1,
            scores={},
            probabilities={},
        )
    )
    if (large := found.images > most).any():
        each = [f"{name}: {n}" for name, n in zip(found.names[large], found.images[large], strict=True)]
        raise BadTable(
            f"{len(each)} {'study has' if len(each) == 1 else 'studies have'} more than {most} images ({_named(each)})",
            remedy="they are seldom one study: leave them out with osteon ingest --max-instances, or raise `most`",
        )
    unknown = np.bincount(found.number, np.isnan(target[found.rows]), len(found.names)) > 0
    first = manifest.iloc[found.first]
    table = pd.DataFrame(
        {
            "image": found.names,
            "study": found.names,
            "patient": first["patient"].to_numpy(str),
            "group": first["group"].to_numpy(str),
            "fold": first["fold"].to_numpy(int),
            "target": pd.Series(found.target, dtype="Int8").mask(unknown),
        }
    )
    order = np.argsort(found.number, kind="stable")
    return Bags(table, tuple(np.split(found.rows[order], np.cumsum(found.images)[:-1])))


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
