"""Fit the weights of the cues of `osteon.dataset.steps.polarity`, whose constant WEIGHTS comes from an earlier run.

    python benchmarks/polarity_fit.py [--plates 1320] [--every 9]

Logistic regression without intercept, so that an image and its negative get opposite odds, with weights of at least 0,
so that each cue speaks for what it is named after, and a small ridge. Fitted on phantom plates of all kinds but joined
ones, whose fields are judged one by one (seeds that `benchmarks/polarity.py` does not use), and on FracAtlas images of
other groups than those of `fracatlas_300.txt`: as they are, in a white frame, turned by 8° on white, and their middle
60 %. Both sources have the same weight.
"""

from __future__ import annotations

import argparse
import csv

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from polarity import FRACATLAS, FRACATLAS_300, grey, variants
from scipy.optimize import minimize

from osteon.dataset.frame import proxy_pixels
from osteon.dataset.steps.polarity import Cues, cues
from osteon.phantom.plates import KINDS, draw_plate

STREAM = 77
RIDGE = 1e-3
USED = ("as it is", "white frame", "turned 8° on white", "middle 60 %")


def phantom_cues(count: int) -> NDArray[np.float64]:
    """(n, 5) cues of plates, as if all of them showed white bone."""
    rows = []
    for seed in range(count):
        if (kind := KINDS[seed % len(KINDS)]) == "joined":
            continue
        plate = draw_plate(default_rng((STREAM, seed)), kind=kind)
        found = cues(proxy_pixels(plate.radiograph()))
        if found:
            rows.append(-np.array(found) if plate.inverted else np.array(found))
    return np.array(rows)


def fracatlas_cues(every: int) -> NDArray[np.float64]:
    """(n, 5) cues of every so many of the images of other groups than those of the fixed list, in four variants."""
    with (FRACATLAS / "labels.csv").open() as file:
        group = {row["image"]: row["group"] for row in csv.DictReader(file)}
    kept = {group[name] for name in FRACATLAS_300}
    names = sorted(name for name in group if group[name] not in kept)[::every]
    shown = [variants(grey(FRACATLAS / "images" / name), seed)[use] for seed, name in enumerate(names) for use in USED]
    return np.array([found for found in map(cues, shown) if found])


def fitted(sources: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The weights."""
    rows = np.concatenate(sources)
    share = np.concatenate([np.full(len(source), 1 / len(source) / len(sources)) for source in sources])
    scale = np.sqrt((rows**2).mean(axis=0))
    scaled = rows / scale

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = scaled @ weights
        wrong = 1 / (1 + np.exp(np.clip(odds, -50, 50)))
        value = float(share @ np.logaddexp(0, -odds)) + RIDGE * float(weights @ weights) / 2
        return value, RIDGE * weights - scaled.T @ (share * wrong)

    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", bounds=[(0, None)] * rows.shape[1])
    return np.asarray(found.x / scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plates", type=int, default=1320)
    parser.add_argument("--every", type=int, default=9)
    options = parser.parse_args()
    sources = [phantom_cues(options.plates), fracatlas_cues(options.every)]
    weights = fitted(sources)
    print(f"fitted on {len(sources[0])} plates and {len(sources[1])} FracAtlas pictures")
    print("WEIGHTS = Cues(" + ", ".join(f"{n}={w:.2f}" for n, w in zip(Cues._fields, weights, strict=True)) + ")")
    for name, rows in zip(("plates", "FracAtlas"), sources, strict=True):
        print(f"{name}: {100 * np.mean(rows @ weights > 0):.2f} % right where they were fitted")


if __name__ == "__main__":
    main()
