"""A small search; `python -m tests.learn.searching FOLDER` runs it as soon as there is a file FOLDER/go."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from osteon.learn.search.flat_heads import Examples, HeadOptions
from osteon.learn.search.regimes import Regime, Searched, regime_one, search
from osteon.types import Fold

SMALL = HeadOptions(batch=32, epochs=3, dropout=0.2, hidden=(12, 10, 8))


def some_examples(count: int, *, strength: float = 1.0, seed: int = 0) -> Examples:
    """Features (count, 4, 30) and 18 labels, each of which raises one feature by so many standard deviations."""
    rng = np.random.default_rng(seed)
    targets = rng.random((count, 18)) < 0.3
    features = rng.normal(size=(count, 4, 30))
    features[:, :, :18] += strength * targets[:, None]
    return Examples.of(features, targets)


def three_folds(count: int) -> list[Fold]:
    """Row i is validated in fold i mod 3."""
    fold = np.arange(count) % 3
    return [Fold(k, np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]


def some_regime(trials: int = 8) -> Regime:
    """Regime I with small heads, each trial a fifth of a second."""
    return regime_one(seed=7, trials=trials, base=HeadOptions(epochs=12, hidden=(64, 32, 16)))


def search_here(folder: Path, *, workers: int = 1, trials: int = 8) -> Searched:
    """Search in a folder, the same wherever it is called."""
    return search(folder, some_regime(trials), some_examples(240), three_folds(240), seed=7, workers=workers)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / f"ready-{os.getpid()}").touch()
    while not (place / "go").exists():
        time.sleep(0.01)
    search_here(place)
