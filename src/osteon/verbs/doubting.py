"""The learnt third answer in `train`: what is fitted where people called images inconclusive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osteon.errors import BadTable, Diverged, TooFewCases

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from osteon.learn.crossval import CrossValidation

THREE_ANSWERS = "three_answers.parquet"
"""What the folds said, where `train` could learn a third answer (`osteon.tables.THREE_ANSWERS`)."""


def three_answers(
    features: NDArray[np.floating], manifest: pd.DataFrame, binary: CrossValidation, model: str
) -> tuple[pd.DataFrame | None, str]:
    """Three answers out of fold, with the probability of the model of two beside; or None, and why.

    The reason is "" too where no image is called inconclusive: then nothing was asked for.

    Args:
        features: (n, flips, d), row by row those of the manifest.
        manifest: as `split` wrote it.
        binary: what the folds of the same manifest said with two answers. model: its name there.
    """
    import pandas as pd

    from osteon.learn.three_way import cross_validate_three, says_any

    if not says_any(manifest):
        return None, ""
    try:
        told = cross_validate_three(features, manifest).predictions
    except (BadTable, TooFewCases, Diverged) as error:
        return None, error.message
    rows = binary.predictions[binary.predictions["model"] == model]
    beside = pd.concat([rows[["image", "probability"]], binary.unlabelled[["image", "probability"]]])
    known = dict(zip(beside["image"].astype(str), beside["probability"].astype(float), strict=True))
    return told.assign(probability=told["image"].astype(str).map(known)), ""
