"""Average precision of boxes with its interval against a plain loop, and how often such intervals hold the truth.

    python benchmarks/places.py [--json FILE] [--coverage STUDIES]

The loop takes the same draws and works the average precision out anew from the rows drawn; the matching, which no draw
changes, is given to it. Coverage is measured on simulated detectors: one patient in two fractured, two images each, one
or two true boxes, of which easier patients have more found, and 0.8 false boxes per image. Their true figures come from
160,000 simulated patients.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import write
from numpy.typing import NDArray

from osteon.evaluate import intervals, localisation
from osteon.evaluate.metrics import Statistic
from osteon.evaluate.places import Boxes

FIGURES = ("average_precision", "sensitivity")
PATIENTS = ((60, 1), (60, 5), (300, 5))  # and folds
TRUTH = (40, 4000)  # simulations, patients

Study = tuple[NDArray[np.intp], NDArray[np.bool_], Boxes, Boxes]


def a_study(patients: int, rng: np.random.Generator) -> Study:
    """Patient and target of each image, found boxes and true boxes."""
    group = np.repeat(np.arange(patients), 2)
    target = group % 2 == 1
    ease = rng.normal(0, 0.7, patients)[group]
    truth, found = [], []
    for image, sick in enumerate(target):
        for place in range((1 + int(rng.random() < 0.3)) * sick):
            x = 100.0 * place
            truth.append((image, x, 0.0, 20.0, 20.0, 0.0))
            if rng.random() < 1 / (1 + np.exp(-1 - ease[image])):
                found.append(
                    (image, x + rng.normal(0, 3), rng.normal(0, 3), 20.0, 20.0, rng.normal(1 + ease[image], 1))
                )
        found += [(image, 500.0, 500.0, 20.0, 20.0, rng.normal()) for _ in range(rng.poisson(0.8))]
    return group, target, _boxes(found), _boxes(truth)


def _boxes(rows: list[tuple[float, ...]]) -> Boxes:
    values = np.array(rows).reshape(-1, 6)
    return Boxes(values[:, 0].astype(int), values[:, 1:5], values[:, 5])


def statistics_of(study: Study) -> list[tuple[Statistic, NDArray[np.intp]]]:
    """Average precision, and sensitivity at one false box per image."""
    group, _, found, truth = study
    return [
        localisation.average_precision(found, truth),
        localisation.free_response(found, truth, np.arange(len(group)), [1.0]),
    ]


def values_of(study: Study) -> list[float]:
    """The figures themselves."""
    return [float(np.ravel(intervals.point(statistic, len(rows)))[0]) for statistic, rows in statistics_of(study)]


def speed(resamples: int = 2000, loops: int = 100) -> dict[str, float]:
    """Seconds for one interval of the average precision on 2400 images of 1200 patients, by either way."""
    rng = np.random.default_rng(0)
    group, target, found, truth = a_study(1200, rng)
    start = time.perf_counter()
    drawn = intervals.draw(group, group // 2 % 5, target, rng, resamples=resamples)
    statistic, rows = localisation.average_precision(found, truth)
    ours = intervals.bootstrap(statistic, drawn.of(rows))
    by_weights = time.perf_counter() - start
    right = localisation.matched(found, truth)
    start = time.perf_counter()
    theirs = [plain(counts[group], found, right, truth) for counts in drawn.counts[:loops]]
    loop = (time.perf_counter() - start) * resamples / loops
    largest = float(np.abs(ours[:loops] - theirs).max())
    return {"by_weights_s": by_weights, "loop_s": loop, "ratio": loop / by_weights, "largest_difference": largest}


def plain(times: NDArray[np.integer], found: Boxes, right: NDArray[np.bool_], truth: Boxes) -> float:
    """Average precision of the images, each taken so many times, rank by rank."""
    rows = np.repeat(np.arange(len(found.image)), times[found.image])
    score, hit = found.score[rows], right[rows]
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # copies of one box enter together
    true, precision = np.cumsum(hit[order])[last], (np.cumsum(hit[order]) / np.arange(1, len(rows) + 1))[last]
    reached = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(true, prepend=0) * reached).sum() / times[truth.image].sum())


def coverage(studies: int, patients: int, folds: int, true: list[float], resamples: int = 500) -> dict[str, float]:
    """Share of intervals that hold the true figure: drawn by patient, and drawn by image as if each were a patient."""
    rng = np.random.default_rng(patients * 10 + folds)
    held = {f"{name}_{unit}": 0 for name in FIGURES for unit in ("by_patient", "by_image")}
    for _ in range(studies):
        study = a_study(patients, rng)
        group, target, fold = study[0], study[1], study[0] // 2 % folds
        for unit, number in (("by_patient", group), ("by_image", np.arange(len(group)))):
            drawn = intervals.draw(number, fold, target, rng, resamples=resamples)
            for name, right, (statistic, rows) in zip(FIGURES, true, statistics_of(study), strict=True):
                samples = intervals.bootstrap(statistic, drawn.of(rows)).ravel()
                low, high = np.quantile(samples, [intervals.TAIL, 1 - intervals.TAIL])
                held[f"{name}_{unit}"] += low <= right <= high
    return {name: count / studies for name, count in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--coverage", type=int, default=0, metavar="STUDIES", help="simulated studies per row")
    arguments = parser.parse_args()
    fast = speed()
    print(f"2000 resamples, 2400 images, 1200 patients: weights {fast['by_weights_s']:.2f} s, ", end="")
    print(
        f"plain loop {fast['loop_s']:.2f} s, ratio {fast['ratio']:.1f}, differing by {fast['largest_difference']:.0e}"
    )
    figures: dict[str, object] = {"speed": fast}
    if arguments.coverage:
        rng = np.random.default_rng(0)
        simulated = np.array([values_of(a_study(TRUTH[1], rng)) for _ in range(TRUTH[0])])
        true = simulated.mean(axis=0).tolist()
        error = (simulated.std(axis=0) / np.sqrt(TRUTH[0])).tolist()
        print(f"true average precision {true[0]:.4f} ± {error[0]:.4f}, sensitivity {true[1]:.4f} ± {error[1]:.4f}")
        rows = []
        for patients, folds in PATIENTS:
            found = coverage(arguments.coverage, patients, folds, true)
            rows.append({"patients": patients, "folds": folds, **found})
            print(f"{patients} patients, {folds} folds:", ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
        figures["coverage"] = {"studies": arguments.coverage, "true": true, "error": error, "rows": rows}
    write(arguments.json, "places", figures)


if __name__ == "__main__":
    main()
