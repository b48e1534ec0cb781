"""Where a model looks, judged: pointing game, average precision of boxes and free-response curve, with floors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import localisation
from osteon.evaluate.curves import band, not_available
from osteon.evaluate.intervals import RESAMPLES, Resamples, bootstrap, difference, draw, estimate, point
from osteon.evaluate.localisation import FALSE_BOXES, OVERLAP
from osteon.evaluate.metrics import Floats, Statistic, ratio
from osteon.evaluate.places import Boxes, Places, PlaceTables, Rows, collect
from osteon.types import Estimate

FLOORS: dict[str, str] = {
    "centre": "centre of the image",
    "random": "a pixel drawn at random",
    "where_boxes_lie": "where most boxes lie",
    "mean_box": "the mean box, always the same",
}
"""Floor → how a reader is told of it. The last two are learnt from the other folds, and none of them sees the image."""

NO_OTHER_FOLD = "no other fold has boxes to learn from"
CURVE = np.linspace(0, 4, 41)
"""False boxes per image at which the free-response curve is drawn."""


def judge_places(
    given: PlaceTables,
    part: str = "validation",
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    tolerance: float = 0.0,
) -> dict[str, Any]:
    """Every figure on places in one part of the images, with floors and clustered intervals.

    Images with the finding but without a true box can be neither hit nor missed: they are counted, and left out.

    Args:
        given: prepared images, true boxes, and the model's boxes or points or both.
        part: `validation` (folds from 0 on) or `test` (fold -1).
        rng: of the bootstrap, which resamples whole patients within their folds.
        resamples: number of samples.
        tolerance: pixels round a true box that still count in the pointing game.

    Returns:
        `cases`, `pointing` and `boxes`; the last two are None where the model gave no points, or no boxes.

    Raises:
        BadTable, Leak, TooFewCases: as `osteon.evaluate.places.collect`.
    """
    places = collect(given, part)
    sample = draw(places.group, places.fold, places.target, rng, resamples=resamples)
    unmarked = places.target & ~places.boxed
    return {
        "cases": {
            "images": len(places.name),
            "groups": len(np.unique(places.group)),
            "positives": int(places.target.sum()),
            "with_boxes": int(places.boxed.sum()),
            "without_box": int(unmarked.sum()),
            "true_boxes": len(places.truth.image),
        },
        "pointing": None if places.points is None else _pointing(places, places.points, sample, tolerance),
        "boxes": None if places.found is None else _boxes(places, places.found, ~unmarked, sample),
    }


def _pointing(places: Places, points: Floats, sample: Resamples, tolerance: float) -> dict[str, Any]:
    """The share of images with a true box whose highest point lies in one."""
    shown = np.flatnonzero(places.boxed)
    most = localisation.where_boxes_lie(places)
    guesses = {
        "centre": localisation.hits(localisation.centres(places), places.truth, tolerance).astype(float),
        "random": localisation.share_hit_by_chance(places, tolerance),
        "where_boxes_lie": np.where(
            np.isnan(most[:, 0]), np.nan, localisation.hits(most, places.truth, tolerance).astype(float)
        ),
    }
    trials = len(np.unique(places.group[shown]))

    def figure(hit: Floats) -> tuple[Estimate, Floats]:
        mean = _mean(hit[shown])
        samples = bootstrap(mean, sample.of(shown))
        note = NO_OTHER_FOLD if np.isnan(hit[shown]).any() else ""
        return estimate(float(point(mean, len(shown))), samples, len(shown), trials=trials, note=note), samples

    ours = figure(localisation.hits(points, places.truth, tolerance).astype(float))
    return {
        "rate": ours[0],
        "tolerance": tolerance,
        "without_point": int(np.isnan(points[shown, 0]).sum()),
        **_beside(ours, {name: figure(hit) for name, hit in guesses.items()}, "rate"),
    }


def _boxes(places: Places, found: Boxes, judged: NDArray[np.bool_], sample: Resamples) -> dict[str, Any]:
    """Average precision and free-response sensitivity of the boxes found in the images that can be judged."""
    truth, rows = places.truth, np.flatnonzero(judged)
    found, mean = localisation.only(found, judged), localisation.only(localisation.mean_boxes(places), judged)
    trials = len(np.unique(places.group[truth.image]))

    def figure(boxes: Boxes, note: str = "") -> tuple[Estimate, Floats]:
        statistic, images = localisation.average_precision(boxes, truth)
        samples = bootstrap(statistic, sample.of(images))
        value = float(point(statistic, len(images)))
        return estimate(value, samples, len(truth.image), trials=trials, note=note), samples

    ours = figure(found, "" if len(found.image) else "no box was found")
    learnt = len(mean.image) == len(rows)
    nothing = not_available(len(truth.image), NO_OTHER_FOLD), np.full(len(sample.counts), np.nan)
    at, curve = _free_response(found, truth, rows, sample)
    theirs = _free_response(mean, truth, rows, sample)[0] if learnt else [None] * len(FALSE_BOXES)
    return {
        "average_precision": ours[0],
        "overlap": OVERLAP,
        "found": len(found.image),
        "images": len(rows),
        **_beside(ours, {"mean_box": figure(mean) if learnt else nothing}, "average_precision"),
        "sensitivity_at": [
            {"false_boxes": rate, "sensitivity": mine, "floor": floor}
            for rate, mine, floor in zip(FALSE_BOXES, at, theirs, strict=True)
        ],
        "free_response": curve,
    }


def _free_response(
    found: Boxes, truth: Boxes, images: Rows, sample: Resamples
) -> tuple[list[Estimate], dict[str, Floats]]:
    """The sensitivity at each of FALSE_BOXES, and the curve at CURVE with its band."""
    statistic, rows = localisation.free_response(found, truth, images, np.concatenate([FALSE_BOXES, CURVE]))
    values, samples = point(statistic, len(rows)), bootstrap(statistic, sample.of(rows))
    trials, read = len(np.unique(sample.group[truth.image])), len(FALSE_BOXES)
    at = [estimate(float(values[i]), samples[:, i], len(truth.image), trials=trials) for i in range(read)]
    low, high = band(samples[:, read:])
    return at, {"false_boxes": CURVE, "sensitivity": values[read:], "low": low, "high": high}


def _beside(ours: tuple[Estimate, Floats], floors: Mapping[str, tuple[Estimate, Floats]], name: str) -> dict[str, Any]:
    """The floors, the best of them first, each with the paired gain over it."""
    lines: list[dict[str, Any]] = []
    for floor, (figure, samples) in floors.items():
        known = not np.isnan(figure.value)
        gain = difference(ours[0], figure, ours[1] - samples) if known else figure
        lines.append({"name": floor, "title": FLOORS[floor], name: figure, "gain": gain})
    # The strongest floor is the one to beat; of equals, the first by name.
    lines.sort(key=lambda line: (np.isnan(line[name].value), -line[name].value, line["name"]))
    best = None if np.isnan(lines[0][name].value) else lines[0]
    missing = not_available(ours[0].n, "floor not available")
    return {"floors": lines, "best_floor": best, "gain": best["gain"] if best else missing}


def _mean(values: Floats) -> Statistic:
    def statistic(weights: Floats) -> Floats:
        return ratio(weights @ values, weights.sum(axis=1))

    return statistic
