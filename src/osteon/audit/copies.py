"""Near-duplicates: the same picture under several names, and what that does to labels and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Copies:
    """Images that show the same.

    Attributes:
        rows: one per image that has a copy: set (from 1), image, label, fold; sets with a conflict first.
        sets, images: how many.
        other_patient: sets that hold images of several patients.
        other_label: sets that hold both labels: one of them is wrong.
        other_fold: sets that lie in several folds: the model was judged on an image that it had seen. None if there are
            no folds.
    """

    rows: pd.DataFrame
    sets: int
    images: int
    other_patient: int
    other_label: int
    other_fold: int | None


def copies(manifest: pd.DataFrame, duplicates: NDArray[np.intp]) -> Copies:
    """The sets of images that show the same, and their conflicts.

    Args:
        manifest: columns image, patient and target are used, and fold if it is there.
        duplicates: (n,) from `osteon.dataset.duplicates.find_duplicates`, equal for images that show the same.
    """
    frame = pd.DataFrame(
        {
            "same": duplicates,
            "image": manifest["image"].astype(str).to_numpy(),
            "label": manifest["target"].astype("Int8").to_numpy(),
            "patient": manifest["patient"].astype(str).to_numpy(),
            "fold": manifest["fold"].astype("Int16").to_numpy()
            if "fold" in manifest
            else pd.array([pd.NA] * len(manifest)),
        }
    )
    frame = frame[frame.groupby("same")["image"].transform("size") > 1]
    of_set = frame.groupby("same")[["patient", "label", "fold"]].nunique()
    conflict = ((of_set["label"] > 1) * 4 + (of_set["fold"] > 1) * 2 + (of_set["patient"] > 1)).rename("conflict")
    order = conflict.reset_index().sort_values(["conflict", "same"], ascending=[False, True])["same"]
    number = {int(same): k for k, same in enumerate(order, start=1)}
    told = frame.assign(set=[number[int(same)] for same in frame["same"]]).sort_values(["set", "image"])
    return Copies(
        rows=told[["set", "image", "label", "fold"]].reset_index(drop=True),
        sets=len(of_set),
        images=len(frame),
        other_patient=int((of_set["patient"] > 1).sum()),
        other_label=int((of_set["label"] > 1).sum()),
        other_fold=int((of_set["fold"] > 1).sum()) if "fold" in manifest else None,
    )
