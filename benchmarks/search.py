"""The two searches of Hong 2023 at their full size: 132 trials, 6 folds, 20 epochs, exact batch sizes.

    python benchmarks/search.py [--precision float32] [--json FILE]
    python benchmarks/search.py --whole FOLDER [--workers 2] [--json FILE]
    python benchmarks/search.py --compare FOLDER [--trials 10] [--json FILE]

The first form measures one fold of a few trials that span the batch sizes, in processor time of one thread, and adds up
all trials from seconds an epoch = a + b · steps. It is for a machine that does other work as well. The second form runs
both searches and takes the time by the clock; after an interruption it goes on, and the time before it counts. The
third reruns trials of Regime I in float32 and in bfloat16 and compares their scores; it goes on as well. Trials of
small batches stay in float32: many steps magnify every rounding, and their scores in bfloat16 lie too far off.

Beside it stands what one would first write, the frozen InceptionV3 in the training loop, measured over a few batches in
the same run and added up over all epochs of all trials; and the features that spare it, once for four flips of each
image, with the same network. Features of the searches are synthetic: 2,490 images of 1,038 patients, 2,048 features a
flip, drawn so that the 18 labels can be told about as well as in the study.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import write
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from osteon import files
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.features import FOUR_FLIPS, features_of
from osteon.learn.fold_tables import deal, visible
from osteon.learn.fuse import fused
from osteon.learn.search import journal
from osteon.learn.search.flat_heads import Examples, HeadOptions, fit_head, fit_heads
from osteon.learn.search.flat_net import Precision
from osteon.learn.search.regimes import Regime, Searched, regime_one, regime_two, search
from osteon.learn.search.workers import best_epoch
from osteon.tasks import rust
from osteon.types import Fold

IMAGES, PATIENTS, WIDTH, FOLDS, SIDE = 2490, 1038, 2048, 6, 299
SEED = 2023
VIEW, CORTEX = 2.0, 0.2
"""How plainly features show the view and the two cortices: the AUROC of the 18 labels is then near the study's 0.8."""
CORES = 2
LARGE = 256
"""The smallest batch that may be computed in bfloat16."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def some_images(seed: int = SEED) -> tuple[Examples, list[Fold]]:
    """Synthetic features (2490, 4, 2048) with 18 labels, and six folds by patient."""
    rng = np.random.default_rng(seed)
    patient = np.sort(rng.integers(0, PATIENTS, IMAGES))
    view = rng.choice(["AP", "LAT"], IMAGES)
    healed = rng.normal(size=PATIENTS)[patient] + 0.6 * rng.normal(size=IMAGES)
    cortices = healed[:, None] + 0.6 * rng.normal(size=(IMAGES, 4))
    grades = 1 + np.searchsorted([-1.3, 0.1, 1.2], cortices / 1.3)
    labels = rust.one_hot(rust.masked(grades, view), view)
    # What a network says of an image: its view, the two cortices that it shows, and a thousand other things.
    shown = np.where(rust.shown(view), cortices, 0)
    signal = np.column_stack([VIEW * (view == "AP"), CORTEX * shown])
    other = rng.normal(size=(IMAGES, 400)) / np.sqrt(np.arange(1, 401))
    image = np.hstack([signal, 3 * other]) @ rng.normal(size=(405, WIDTH)) / 8
    flips = image[:, None] + 0.35 * rng.normal(size=(IMAGES, FOUR_FLIPS, WIDTH))
    features = np.log1p(np.exp(flips)).astype(np.float32)  # the maximum of a rectified map is no less than zero
    table = pd.DataFrame({"image": [f"{k:05d}" for k in range(IMAGES)], "patient": patient.astype(str)})
    _, folds = visible(deal(table, FOLDS, seed=seed))
    return Examples.of(features, labels), folds


def regimes(precision: Precision) -> tuple[Regime, Regime]:
    """Both at their full size; Regime II at the batch size and dropout that the study chose."""
    one, two = regime_one(seed=SEED), regime_two(batch=1600, dropout=0.2)
    return _in(precision, one), _in(precision, two)


def _in(precision: Precision, regime: Regime) -> Regime:
    """The regime with that precision from batches of LARGE on."""
    trials = [replace(o, precision=precision if o.batch >= LARGE else "float32") for o in regime.trials]
    return replace(regime, trials=tuple(trials))


def sampled(examples: Examples, folds: list[Fold], precision: Precision) -> dict[str, float]:
    """Processor seconds of both regimes, added up from one fold of a few trials."""
    one, two = regimes(precision)
    by_batch = sorted(one.trials, key=lambda options: options.batch)
    chosen = [by_batch[round(share * (len(by_batch) - 1))] for share in (0, 0.02, 0.06, 0.2, 0.5, 0.9)]
    rows = []
    fit_head(examples, folds[0], chosen[-1], seed=(0,))  # the first costs torch's own start as well
    for options in (*chosen, two.trials[0]):
        start = time.process_time()
        fit_head(examples, folds[0], options, seed=(0,))
        seconds = (time.process_time() - start) / options.epochs
        rows.append((_steps(options, folds[0]), seconds))
        print(f"  batch {options.batch:>4}: {rows[-1][0]:>3} steps, {1e3 * seconds:>6.0f} ms an epoch", flush=True)
    steps, seconds = np.array(rows).T
    # Relative errors count, or the one trial of the smallest batch would settle the line.
    design = np.column_stack([np.ones_like(steps), steps]) / seconds[:, None]
    (start, step), *_ = np.linalg.lstsq(design, np.ones(len(steps)), rcond=None)
    found = {
        name: sum(o.epochs * (start + step * _steps(o, fold)) for o in regime.trials for fold in folds)
        for name, regime in (("regime_one_s", one), ("regime_two_s", two))
    }
    residual = float(np.abs(design @ [start, step] - 1).max())
    return found | {"epoch_s": float(start), "step_s": float(step), "largest_residual": residual}


def _steps(options: HeadOptions, fold: Fold) -> int:
    return -(-len(fold.train) // options.batch)


def backbone() -> tuple[Trunk, NDArray[np.uint8]]:
    """InceptionV3 of timm with random weights, which cost what any others do, and images of its size."""
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE), dtype=np.uint8)
    return open_backbone("inception_v3", "random"), pixels


def naive(trunk: Trunk, pixels: NDArray[np.uint8], batches: int = 2) -> float:
    """Processor seconds of one image in the loop: the frozen network's forward pass, as one would first write it."""
    grey = torch.from_numpy(pixels)[:, None].float() / 255
    with torch.inference_mode():
        trunk(grey)
        start = time.process_time()
        for _ in range(batches):
            trunk(grey.flip(-1)).amax(dim=(2, 3))
    return (time.process_time() - start) / (batches * len(pixels))


def extraction(trunk: Trunk, pixels: NDArray[np.uint8]) -> float:
    """Processor seconds for the four flips of one image, as `features.extract` computes them."""
    ready = fused(trunk)
    features_of(ready, pixels[:1], FOUR_FLIPS)
    start = time.process_time()
    for one in pixels[:4]:
        features_of(ready, one[None], FOUR_FLIPS)
    return (time.process_time() - start) / 4


def beside(heads_s: float, folds: list[Fold]) -> dict[str, float]:
    """What the naive loop and the features cost, in processor seconds, given those of the heads alone."""
    trunk, pixels = backbone()
    image, four = naive(trunk, pixels), extraction(trunk, pixels)
    epochs = sum(options.epochs for regime in regimes("float32") for options in regime.trials)
    loop = image * epochs * sum(len(fold.train) + len(fold.validation) for fold in folds) + heads_s
    return {
        "heads_s": heads_s,
        "naive_image_s": image,
        "naive_s": loop,
        "ratio": loop / heads_s,
        "features_s": four * IMAGES,
        "ratio_with_features": loop / (heads_s + four * IMAGES),
    }


def whole(folder: Path, precision: Precision, workers: int) -> dict[str, float]:
    """Both searches; the seconds that their trials took together, and by the clock."""
    examples, folds = some_images()
    found = {}
    for name, regime in zip(("regime_one_s", "regime_two_s"), regimes(precision), strict=True):
        done, found[name] = run(folder / f"{name[:-2]}-{precision}", regime, examples, folds, workers)
        print(f"{regime.name}\n{done.top().round(4).to_string(index=False)}")
    heads_s = sum(found.values())
    return found | {"workers": workers, "clock_s": heads_s / workers} | beside(heads_s, folds)


def compare(folder: Path, trials: int) -> dict[str, Any]:
    """The scores of the first trials of large batches in both precisions; each is kept as soon as it is there."""
    examples, folds = some_images()
    rows = []
    large = [k for k, options in enumerate(regimes("float32")[0].trials) if options.batch >= LARGE]
    for index in large[:trials]:
        for precision in PRECISIONS:
            path = folder / f"{index:02d}-{precision}.json"
            if not path.exists():
                options = regimes(precision)[0].trials[index]
                start = time.process_time()
                heads = fit_heads(examples, folds, options, seed=(SEED, index))
                score = best_epoch(np.stack([head.curves for head in heads]))[1]
                found = {"batch": options.batch, "dropout": options.dropout, "auroc": score}
                files.write_json(path, found | {"seconds": time.process_time() - start})
            rows.append({"trial": index, "precision": precision, **files.read_json(path)})
    table = pd.DataFrame(rows).pivot(index=["trial", "batch", "dropout"], columns="precision").reset_index()
    table.columns = ["_".join(filter(None, name)) for name in table.columns]
    table["apart"] = (table["auroc_bfloat16"] - table["auroc_float32"]).abs()
    print(table.round(4).to_string(index=False))
    return {"trials": trials, "largest_difference": float(table["apart"].max()), "table": table.to_dict("list")}


def run(folder: Path, regime: Regime, examples: Examples, folds: list[Fold], workers: int) -> tuple[Searched, float]:
    """A search that goes on where it was, and the seconds from start to end of all its trials together."""
    done = search(folder, regime, examples, folds, seed=SEED, workers=workers, progress=tell)
    storage = JournalStorage(JournalFileBackend(str(folder / journal.JOURNAL)))
    (study,) = storage.get_all_studies()
    took = [trial.duration for trial in storage.get_all_trials(study._study_id) if trial.state == TrialState.COMPLETE]
    return done, sum(one.total_seconds() for one in took if one)


def tell(done: int, total: int) -> None:
    print(f"  {done} of {total} trials", end="\n" if done == total else "\r", flush=True)


def memory_gb(helpers: int) -> float:
    """The most that this process held, and what so many helpers, each as large as the largest of them, did."""
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + helpers * child) * 1024 / 1e9


def show(found: dict[str, Any], precision: Precision) -> None:
    print(f"\n{IMAGES} × {FOUR_FLIPS} rows of {WIDTH} features, {FOLDS} folds, 20 epochs, {precision}, one thread each")
    rows: dict[str, float] = {
        "Regime I, 100 trials": found["regime_one_s"],
        "Regime II, 32 trials": found["regime_two_s"],
        "both": found["heads_s"],
        "features of four flips, once": found["features_s"],
        "frozen InceptionV3 in the loop": found["naive_s"],
    }
    print(f"{'':<34}{'core seconds':>14}{f'minutes on {CORES} cores':>20}")
    for name, seconds in rows.items():
        print(f"{name:<34}{seconds:>14,.0f}{seconds / 60 / CORES:>20,.1f}")
    print(
        f"the loop costs {found['ratio']:,.0f} times the heads, {found['ratio_with_features']:,.0f} times with features"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16", help=f"of batches from {LARGE} on")
    parser.add_argument("--whole", type=Path, metavar="FOLDER")
    parser.add_argument("--compare", type=Path, metavar="FOLDER")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--workers", type=int, default=CORES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.compare:
        found = compare(given.compare, given.trials)
        print(f"largest difference {found['largest_difference']:.4f}; allowed 0.005")
    elif given.whole:
        found = whole(given.whole, given.precision, given.workers)
        found["memory_gb"] = memory_gb(given.workers - 1)
        show(found, given.precision)
        print(f"{found['clock_s'] / 60:.1f} minutes with {given.workers} workers, {found['memory_gb']:.1f} GB")
    else:
        examples, folds = some_images()
        found = sampled(examples, folds, given.precision)
        found |= beside(found["regime_one_s"] + found["regime_two_s"], folds)
        found["memory_gb"] = memory_gb(0)
        show(found, given.precision)
        print(f"{found['memory_gb']:.1f} GB in one process")
    form = "compare" if given.compare else "whole" if given.whole else "sampled"
    write(given.json, "search", {"form": form, "precision": given.precision, **found})


if __name__ == "__main__":
    main()
