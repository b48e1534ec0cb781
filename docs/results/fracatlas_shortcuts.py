"""What the tags of FracAtlas tell without a pixel: the tags-only floor, with and without what the size of a file tells.

    python docs/results/fracatlas_shortcuts.py OUT

OUT is the folder that docs/results/fracatlas.sh wrote. Folds are those of the report.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.learn.floors import floors

WITHOUT: dict[str, dict[str, object]] = {
    "all tags": {},
    "without image size": {"rows": 1, "columns": 1},
    "without image size and hardware": {"rows": 1, "columns": 1, "hardware": "0"},
}
"""What is left → columns made constant, which tells nothing."""


def auroc(predictions: pd.DataFrame) -> float:
    """Mean over the folds."""
    folds = predictions.groupby("fold")
    return float(np.mean([roc_auc_score(f["target"].astype(int), f["score"].astype(float)) for _, f in folds]))


def main() -> None:
    manifest = tables.read(Path(sys.argv[1]) / "split" / "manifest.parquet", tables.MANIFEST)
    for name, constant in WITHOUT.items():
        found = floors(manifest.assign(**constant)).predictions
        print(f"{name:34s} {auroc(found[found['model'] == 'floor:tags']):.3f}")


if __name__ == "__main__":
    main()
