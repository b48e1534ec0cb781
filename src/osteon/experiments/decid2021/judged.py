"""What the trainings are worth: the study's way, the honest way beside it, hardware, and hairlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from osteon.evaluate import judge, metrics
from osteon.evaluate.intervals import bootstrap, difference, draw, estimate, point
from osteon.evaluate.metrics import Floats
from osteon.experiments.decid2021.hairlines import INTACT, widths
from osteon.experiments.decid2021.levels import BY_ONE, INSTANCE, Mask, Part, Sampled
from osteon.types import Estimate


def as_study(score: Floats, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Accuracies as the study has them, from a probability of one half on: in training, and on its validation set.

    Args:
        score: (n,) of all images.
        parts: `train` and `validation`.
    """
    told: dict[str, Any] = {}
    for name in ("train", "validation"):
        told[name] = {level: cases.accuracy()[0] for level, cases in parts[name].levels(score).items()}
    told["confusion"] = parts["validation"].level(score, BY_ONE).confusion()
    return told


def honest(score: Floats, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Figures of the sealed test set, where nothing was chosen.

    Args:
        score: (n,) of all images.
        parts: `validation` the study's balanced set, `inner` the whole validation part, and `test`.

    Returns:
        `auroc` and `balanced_accuracy` for each level; `chosen`, sensitivity, specificity and balanced accuracy of
        studies at the cut-off of the inner part; `flattered`, by how much the study's accuracy is above the balanced
        accuracy here, at its own cut-off.
    """
    test = parts["test"].levels(score)
    even = {name: cases.balanced_accuracy() for name, cases in test.items()}
    theirs = parts["validation"].level(score, BY_ONE).accuracy()
    cut = parts["inner"].level(score, BY_ONE).youden()
    return {
        "auroc": {name: cases.auroc()[0] for name, cases in test.items()},
        "balanced_accuracy": {name: figure for name, (figure, _) in even.items()},
        "chosen": {
            "cut": cut,
            **test[BY_ONE].rates(cut),
            "balanced_accuracy": test[BY_ONE].balanced_accuracy(cut)[0],
        },
        "flattered": less(theirs, even[BY_ONE]),
    }


def less(first: Sampled, second: Sampled) -> Estimate:
    """The first figure less the second; samples of other patients are independent, of the same patients paired."""
    return difference(first[0], second[0], first[1] - second[1])


def without_hardware(score: Floats, test: Part, clean: Mask) -> dict[str, Any]:
    """Figures of the test set, of its images without hardware, and the paired difference.

    Args:
        score: (n,) of all images.
        test: the test set.
        clean: (n,) which images are known to show no hardware.
    """
    fewer = test.only(clean[test.rows])
    told: dict[str, Any] = {}
    for name in (INSTANCE, BY_ONE):
        both = [part.level(score, name) for part in (test, fewer)]
        lines = {"auroc": [x.auroc() for x in both], "balanced_accuracy": [x.balanced_accuracy() for x in both]}
        told[name] = {
            figure: {"all": everyone[0], "without": kept[0], "lost": less(everyone, kept)}
            for figure, (everyone, kept) in lines.items()
        }
    return told


def beside_floors(score: Floats, floors: Mapping[str, Floats], test: Part) -> dict[str, Any]:
    """AUROC of the test images beside the floors, on the same bootstrap samples as all else.

    Args:
        score: (n,) of all images.
        floors: name → (n,) scores.
        test: the test set.

    Returns:
        `auroc`; `floors` with `model`, `title`, `auroc` and the paired `gain`, the strongest first; `best_floor`, and
        the `gain` over it.
    """
    ours = test.level(score, INSTANCE).auroc()
    lines: list[dict[str, Any]] = []
    for name, theirs in floors.items():
        level = test.level(theirs, INSTANCE).auroc()
        lines.append({"model": name, "title": judge.title_of(name), "auroc": level[0], "gain": less(ours, level)})
    # The strongest floor is the one to beat; of equals, the first by name.
    lines.sort(key=lambda line: (-line["auroc"].value, line["model"]))
    missing = Estimate(float("nan"), n=len(test.rows), note="floor not available")
    best = lines[0] if lines else None
    return {"auroc": ours[0], "floors": lines, "best_floor": best, "gain": best["gain"] if best else missing}


def seen_hairlines(score: Floats, probe: pd.DataFrame, *, seed: int, resamples: int) -> dict[str, Any]:
    """How well the intact wrists of the probe are told from the same wrists with a gap, for each width.

    Args:
        score: (m,) of the images of the probe.
        probe: its table.
        seed: of the bootstrap, which draws whole patients. resamples: samples.

    Returns:
        `rows` with `gap_mm` and `auroc`; `mean`, the mean AUROC of all widths, as a figure with its samples.
    """
    gap, group = probe["gap_mm"].to_numpy(float), np.asarray(pd.factorize(probe["patient"])[0], np.intp)
    rng = np.random.default_rng(seed)
    sample = draw(group, np.zeros(len(gap), np.intp), gap > INTACT, rng, resamples=resamples)
    patients = int(group.max()) + 1
    rows, areas, values = [], [], []
    for width in widths(probe):
        mine = np.flatnonzero((gap == INTACT) | (gap == width))
        area = partial(metrics.auroc_of, metrics.rank(score[mine], gap[mine] > INTACT))
        value, samples = float(point(area, len(mine))), bootstrap(area, sample.of(mine))
        rows.append({"gap_mm": width, "auroc": estimate(value, samples, patients, trials=patients // 2)})
        areas.append(samples)
        values.append(value)
    mean = np.mean(areas, axis=0)
    return {"rows": rows, "mean": (estimate(float(np.mean(values)), mean, patients), mean)}


def smallest_seen(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The narrowest gap from which on every wider one is told from none: the interval lies above one half."""
    seen = None
    for row in reversed(rows):
        if not row["auroc"].low > 0.5:
            break
        seen = row["gap_mm"]
    return seen


def label_noise(truth: pd.DataFrame, names: Sequence[str], target: Floats) -> dict[str, Any]:
    """What inheriting the label of the study does to images: the share that is labelled fractured and shows nothing.

    Args:
        truth: `image` and `visible` of a phantom cohort.
        names: images, none of them sealed. target: (n,) their labels.
    """
    visible = truth.set_index(truth["image"].astype(str))["visible"].loc[list(names)].to_numpy(bool)
    wrong = (np.asarray(target) == 1) & ~visible
    return {
        "images": len(visible),
        "wrong": int(wrong.sum()),
        "of_fractured": float(wrong.sum() / max(1, int((np.asarray(target) == 1).sum()))),
        "of_all": float(wrong.mean()),
    }
