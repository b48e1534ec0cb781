"""Heads of a nested cross-validation: osteon's joint solver against scikit-learn, one fit at a time, in the same run.

    python benchmarks/heads.py [--images 1000] [--features 2560] [--bank FILE.npy] [--json FILE]

Both solve the same problems: five folds, their ten pairs and the whole, for each penalty to choose from, on two flips
per image, standardised inside each training part. The times are processor times of one thread, so that other work on
the machine does not count. The deviation is the largest difference of a score from a reference that scikit-learn
computed to a tolerance of 1e-9, at the five outer folds, in standard deviations of the score. Features are random with
a decaying spectrum, as those of a network, unless --bank names an array (images, 2, features) and a column of labels
is planted in it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import write
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from osteon.learn.nested import REGULARISATIONS, Layout, linear_scores

FOLDS = 5
CHECKED = (1e-4, 1e-3, 1e-2)


def some_features(images: int, features: int, seed: int = 0) -> NDArray[np.float32]:
    """(images, 2, features): a thousand directions of falling weight; the flips differ a little."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(1000, features)) / np.sqrt(np.arange(1, 1001))[:, None]
    image = rng.normal(size=(images, 1000)) @ directions
    return (image[:, None] + 0.3 * rng.normal(size=(images, 2, features))).astype(np.float32)


def some_layout(design: NDArray[np.float32], seed: int = 0) -> Layout:
    """Five folds, and one case in five positive, as far as thirty directions of the features and noise tell."""
    rng = np.random.default_rng(seed)
    mean = design.mean(axis=1, dtype=float)
    signal = (mean - mean.mean(axis=0)) @ np.linalg.svd(mean[:500], full_matrices=False)[2][:30].T
    score = (signal / signal.std(axis=0)) @ rng.normal(size=30) + 4 * rng.normal(size=len(design))
    target = (score > np.quantile(score, 0.8)).astype(float)
    fold = rng.integers(0, FOLDS, len(design))
    left_out = (*((j, k) for j in range(FOLDS) for k in range(j + 1, FOLDS)), *((k,) for k in range(FOLDS)), ())
    return Layout(fold, target, left_out, np.array([~np.isin(fold, out) for out in left_out]))


def one_by_one(
    design: NDArray[np.float32], layout: Layout, strength: float, model: int, tol: float
) -> NDArray[np.float64]:
    """Scores (n,) of one training part at one penalty, as one would first write it."""
    rows = layout.training[model]
    flat = design[rows].reshape(-1, design.shape[-1]).astype(float)
    scaler = StandardScaler().fit(flat)
    head = LogisticRegression(C=strength, tol=tol, max_iter=10_000)
    head.fit(scaler.transform(flat), np.repeat(layout.target[rows], 2), sample_weight=np.full(len(flat), 0.5))
    return np.asarray(head.decision_function(scaler.transform(design.mean(axis=1, dtype=float))))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--features", type=int, default=2560)
    options.add_argument("--bank", type=Path)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    design = np.load(given.bank, allow_pickle=False) if given.bank else some_features(given.images, given.features)
    layout = some_layout(design)
    with threadpool_limits(1):
        start = time.process_time()
        joint = linear_scores(design, layout, REGULARISATIONS)[0]
        ours = time.process_time() - start
        theirs, apart = 0.0, {"osteon": 0.0, "scikit-learn": 0.0}
        for c, strength in enumerate(REGULARISATIONS):
            for model, out in enumerate(layout.left_out):
                start = time.process_time()
                default = one_by_one(design, layout, strength, model, 1e-4)
                theirs += time.process_time() - start
                if len(out) == 1 and strength in CHECKED:
                    exact = one_by_one(design, layout, strength, model, 1e-9)
                    for name, score in (("osteon", joint[c, model]), ("scikit-learn", default)):
                        apart[name] = max(apart[name], float(np.abs(score - exact).max() / exact.std()))
    fits = len(REGULARISATIONS) * len(layout.left_out)
    images, features = len(design), design.shape[-1]
    print(f"{fits} fits on {images} images × 2 flips × {features} features, one thread")
    print(f"{'solver':<28}{'seconds':>10}{'largest deviation':>20}")
    print(f"{'osteon, all at once':<28}{ours:>10.1f}{apart['osteon']:>20.1e}")
    print(f"{'scikit-learn, one by one':<28}{theirs:>10.1f}{apart['scikit-learn']:>20.1e}")
    print(f"ratio {theirs / ours:.1f}×")
    figures = {"fits": fits, "images": images, "features": features, "osteon_s": ours, "sklearn_s": theirs}
    figures |= {
        "ratio": theirs / ours,
        "osteon_deviation_sd": apart["osteon"],
        "sklearn_deviation_sd": apart["scikit-learn"],
    }
    write(given.json, "heads", figures)


if __name__ == "__main__":
    main()
