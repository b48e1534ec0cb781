"""Bootstrap by weights against a loop over scikit-learn, and how often the intervals hold the truth.

    python benchmarks/intervals.py [--json FILE] [--coverage STUDIES]

The loop takes the same draws and calls `roc_auc_score` on the rows drawn. Coverage is measured on simulated studies
whose true AUROC is known: 1.2 standard deviations between the classes, 60 % of the variance shared within a patient.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import write
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from osteon.evaluate import intervals, metrics

DISTANCE, SHARED = 1.2, 0.6
TRUE_AUROC = float(norm.cdf(DISTANCE / np.sqrt(2)))

Study = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp], NDArray[np.intp]]


def a_study(patients: int, images: int, folds: int, rng: np.random.Generator) -> Study:
    """Score, target, patient and fold of each image; one patient in three is positive, folds are stratified."""
    group = np.repeat(np.arange(patients), images)
    target = group % 3 == 0
    noise = rng.normal(size=patients)[group] * np.sqrt(SHARED) + rng.normal(size=len(group)) * np.sqrt(1 - SHARED)
    return DISTANCE * target + noise, target, group, (group // 3) % folds


def speed(resamples: int = 2000, loops: int = 100) -> dict[str, float]:
    """Seconds for one interval of the pooled AUROC of 3000 images of 1200 patients, by either way."""
    rng = np.random.default_rng(0)
    score, target, group, fold = a_study(1200, 3, 5, rng)
    score = np.round(score, 2)  # with ties, as real scores have
    start = time.perf_counter()
    drawn = intervals.draw(group, fold, target, rng, resamples=resamples)
    ranked = metrics.rank(score, target)
    ours = intervals.bootstrap(lambda w: metrics.auroc_of(ranked, w), drawn)
    by_weights = time.perf_counter() - start

    start = time.perf_counter()
    theirs = []
    for counts in drawn.counts[:loops]:
        rows = np.repeat(np.arange(len(group)), counts[group])
        theirs.append(roc_auc_score(target[rows], score[rows]))
    loop = (time.perf_counter() - start) * resamples / loops
    largest = float(np.abs(ours[:loops] - theirs).max())
    return {"by_weights_s": by_weights, "loop_s": loop, "ratio": loop / by_weights, "largest_difference": largest}


def coverage(studies: int, patients: int, images: int, folds: int, resamples: int = 1000) -> dict[str, float]:
    """Share of intervals that hold the true AUROC: drawn by patient, and drawn by image as if each were a patient."""
    rng = np.random.default_rng(patients * 100 + images * 10 + folds)
    held = {"by_patient": 0, "by_image": 0}
    for _ in range(studies):
        score, target, group, fold = a_study(patients, images, folds, rng)
        statistic = metrics.mean_over_folds(score, target, fold)
        for name, unit in (("by_patient", group), ("by_image", np.arange(len(group)))):
            drawn = intervals.draw(unit, fold, target, rng, resamples=resamples)
            samples = intervals.bootstrap(statistic, drawn)[:, 0]
            found = intervals.estimate(float(intervals.point(statistic, len(score))[0]), samples, len(score))
            held[name] += found.low <= TRUE_AUROC <= found.high
    return {name: count / studies for name, count in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--coverage", type=int, default=0, metavar="STUDIES", help="simulated studies per row")
    arguments = parser.parse_args()
    fast = speed()
    print(f"2000 resamples, 3000 images, 1200 patients: weights {fast['by_weights_s']:.2f} s, ", end="")
    print(f"loop over scikit-learn {fast['loop_s']:.2f} s, ratio {fast['ratio']:.0f}")
    figures: dict[str, object] = {"speed": fast}
    if arguments.coverage:
        print(f"{'patients':>8} {'images':>6} {'folds':>5}   by patient   by image   ({arguments.coverage} studies)")
        rows = []
        for patients, images, folds in ((30, 2, 1), (60, 3, 2), (150, 1, 5), (150, 3, 5), (600, 3, 5)):
            found = coverage(arguments.coverage, patients, images, folds)
            rows.append({"patients": patients, "images": images, "folds": folds, **found})
            print(f"{patients:8} {images:6} {folds:5} {found['by_patient']:12.3f} {found['by_image']:10.3f}")
        figures["coverage"] = {"studies": arguments.coverage, "rows": rows}
    write(arguments.json, "intervals", figures)


if __name__ == "__main__":
    main()
