"""Where the models look: the highest point of their Grad-CAM maps on the sealed images, held against the true boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from osteon.dataset.boxes import shown
from osteon.dataset.placement import Placement
from osteon.dataset.splits import SEALED
from osteon.errors import TooFewCases
from osteon.evaluate.judge_places import judge_places
from osteon.evaluate.places import PlaceTables
from osteon.experiments.around import InForm
from osteon.experiments.decid2021.cohort import VALIDATION, Cohort
from osteon.experiments.decid2021.stages import Trained

TRUTH = ("box_x", "box_y", "box_width", "box_height")
SIDES = ("x", "y", "width", "height")
"""Columns of the truth, and of `tables.BOXES`."""


def true_boxes(truth: pd.DataFrame, names: Sequence[str], form: InForm) -> pd.DataFrame:
    """The boxes of the fractures that can be seen, in pixels of a form: rows of `tables.BOXES`.

    Args:
        truth: of a phantom cohort, by `image`.
        names: images that are asked about.
        form: as they were prepared.
    """
    rows = truth.set_index(truth["image"].astype(str)).loc[list(names)]
    tables = []
    for name, row in rows[rows["visible"].to_numpy(bool)].iterrows():
        placement = Placement.read(form.placements[str(name)])
        x, y, width, height = (float(row[column]) for column in TRUTH)
        # In the truth the centre of the first pixel is (0, 0); of boxes it is the corner.
        moved = shown(placement.to_prepared(np.array([[x + 0.5, y + 0.5, width, height]])), placement.size)
        tables.append(pd.DataFrame(moved, columns=list(SIDES)).assign(image=str(name)))
    nothing = pd.DataFrame({"image": pd.Series(dtype="string"), **{side: pd.Series(dtype=float) for side in SIDES}})
    return pd.concat(tables, ignore_index=True) if tables else nothing


def pointing(
    each: Trained,
    cohort: Cohort,
    answers: pd.DataFrame,
    truth: pd.DataFrame,
    form: InForm,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """The pointing game of a model on the sealed images, beside its floors; `reason` why there is none, or "".

    Args:
        each: the model.
        cohort: all images. answers: of the sealed ones.
        truth: of the phantoms. form: in which the model sees them.
        seed: of the bootstrap. resamples: samples.
    """
    answered = answers.set_index(answers["image"].astype(str))["target"]
    target = cohort.table["target"].astype("Int8").copy()
    sealed = cohort.part == SEALED
    target[sealed] = answered.reindex(np.array(cohort.names)[sealed]).to_numpy()
    asked = (sealed | (cohort.part == VALIDATION)) & target.notna().to_numpy(bool)
    names = [name for name, wanted in zip(cohort.names, asked, strict=True) if wanted]
    size = Placement.read(form.placements[names[0]]).size
    images = pd.DataFrame(
        {
            "image": names,
            "group": cohort.table["group"].to_numpy()[asked],
            "fold": cohort.part[asked],
            "target": target.to_numpy()[asked],
            "height": size[0],
            "width": size[1],
        }
    )
    peaks = each.kept.arrays["peaks"]
    points = pd.DataFrame(peaks, columns=["x", "y", "score"]).assign(image=cohort.names)[asked & ~np.isnan(peaks[:, 0])]
    boxes = true_boxes(truth, [name for name, sick in zip(names, images["target"], strict=True) if sick == 1], form)
    try:
        given = PlaceTables(images, boxes, points=points)
        found = judge_places(given, "test", rng=np.random.default_rng(seed), resamples=resamples)
    except TooFewCases as error:
        return {"reason": error.message}
    return {"reason": "", **found}
