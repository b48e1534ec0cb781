"""Made-up studies for tests: features in which the finding shows in some views alone, and bars whole or broken."""

from __future__ import annotations

import numpy as np
import pandas as pd

from osteon.learn.studies.bags import Bags, bags_of
from osteon.learn.studies.views import Features, Pictures
from tests.make import some_cases


def some_studies(
    studies: int = 60, *, shown: float = 1.0, width: int = 6, strength: float = 3.0, folds: int = 3, seed: int = 0
) -> tuple[pd.DataFrame, Features]:
    """A split manifest of studies of one to four images, and features of which the first tells a broken view.

    Of a positive study one view at least shows the finding, every other with the chance `shown`.
    """
    rng = np.random.default_rng(seed)
    each = 1 + rng.integers(4, size=studies)
    whole = some_cases(studies, images_each=4, fractured=0.5, seed=seed)
    place = whole.groupby("study").cumcount().to_numpy()
    number = whole["study"].str[1:].astype(int).to_numpy()
    kept = place < each[number]
    cases = whole[kept].assign(group=whole["patient"][kept], fold=0).reset_index(drop=True)
    target = cases["target"].to_numpy(int)
    shows = (target == 1) & ((place[kept] == 0) | (rng.random(len(cases)) < shown))
    features = rng.normal(size=(len(cases), 2, width)).astype(np.float32)
    features[:, :, 0] += strength * shows[:, None]
    within = pd.Series(number[kept]).groupby(target).rank(method="dense").astype(int) % folds
    return cases.assign(fold=within.astype("Int16")), Features(features)


def some_bars(studies: int = 12, *, side: int = 46, seed: int = 0) -> tuple[Bags, Pictures]:
    """Studies of one to three pictures of a bar, bright on dark; in those of positive studies it is half as long."""
    manifest, _ = some_studies(studies, seed=seed)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 30, (len(manifest), side, side)).astype(np.uint8)
    for image, target in zip(pixels, manifest["target"], strict=True):
        left = int(rng.integers(4, side - 16))
        image[4 : side // 2 if target else side - 4, left : left + 12] += 180
    return bags_of(manifest), Pictures(pixels)
