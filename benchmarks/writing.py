"""How much burnt-in writing `find_writing` finds, and what else it covers: phantom plates, and real radiographs.

    python benchmarks/writing.py [--plates 200] [--fracatlas ../shared/data/fracatlas] [--json FILE]

On phantom plates the truth is exact: the same plate is drawn with and without its writing. FracAtlas has no truth; the
fixed list of its reduced images (448 pixels, where words are too small to be read) shows what is covered without need.
Plates and list are others than those that the finder was built on (seeds 9000 to 9023 and 12000 to 12059; images that
`numpy.random.default_rng(1).choice` draws from labels.csv).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import common
import cv2
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset.writing import Box, find_writing
from osteon.phantom.plates import Dirt, Plate, draw_plate

FIRST_SEED = 50_000
KINDS = ("wrist", "hand", "forearm", "two")
NEAR = 0.15  # of white: what differs less from the ink is ink, or could not be read on its ground


def covered(boxes: list[Box], shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


def ink_of(plate: Plate, bare: Plate) -> NDArray[np.bool_]:
    """Where a plate has ink that can be read, by the same plate without it."""
    ink = np.zeros(plate.values.shape, bool)
    shown, before = plate.values / plate.white, bare.values / bare.white
    for mark in (mark for mark in plate.markers if mark.kind == "text"):
        x, y, width, height = mark.box
        here = np.s_[y : y + height, x : x + width]
        changed = np.abs(shown[here] - before[here]) > NEAR
        white, black = (shown[here] > 1 - NEAR) & changed, (shown[here] < NEAR) & changed
        # In a box of its own the ink is the rarer of the two.
        ink[here] = white if 0 < white.sum() < black.sum() or not black.any() else black
    return ink


def on_plates(count: int) -> dict[str, float]:
    """Figures on phantom plates that all have writing."""
    seen: Counter[str] = Counter()
    for number in range(count):
        kind, dirt, seed = KINDS[number % len(KINDS)], replace(Dirt(), text=1.0), FIRST_SEED + number
        plate = draw_plate(default_rng(seed), kind=kind, dirt=dirt)
        bare = draw_plate(default_rng(seed), kind=kind, dirt=replace(dirt, text=0.0))
        began = time.perf_counter()
        mask = covered(find_writing(plate.values, plate.white), plate.values.shape)
        seen["seconds"] += time.perf_counter() - began  # type: ignore[assignment]
        noisy = "noisy_" if plate.noisy else ""
        ink = ink_of(plate, bare)
        if ink.any():
            seen[f"{noisy}written"] += 1
            seen[f"{noisy}hidden"] += bool(mask[ink].mean() >= 0.98)
        near = cv2.dilate(ink.astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
        seen["on_bone_without_need"] += bool((mask & plate.bone & ~near).any())
        for mark in (mark for mark in plate.markers if mark.kind == "letter"):
            x, y, width, height = mark.box
            seen["letters"] += 1
            here = mask[max(y, 0) : y + height, max(x, 0) : x + width]
            seen["letters_lost"] += bool(here.size and here.mean() > 0.2)
    quiet, noisy = seen["hidden"] / seen["written"], seen["noisy_hidden"] / max(seen["noisy_written"], 1)
    return {
        "plates": count,
        "written, not noisy": seen["written"],
        "all ink hidden, not noisy": round(quiet, 4),
        "written, noisy": seen["noisy_written"],
        "all ink hidden, noisy": round(noisy, 4),
        "bone covered without need": round(seen["on_bone_without_need"] / count, 4),
        "side letters": seen["letters"],
        "side letters lost": round(seen["letters_lost"] / max(seen["letters"], 1), 4),
        "seconds a plate of 900 × 700": round(seen["seconds"] / count, 3),
    }


def on_fracatlas(folder: Path) -> dict[str, float]:
    """How many images of the fixed list, and of those at full size, have something covered."""
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        names = [row["image"] for row in csv.DictReader(stream)]
    used = set(default_rng(1).choice(len(names), 300, replace=False).tolist())
    rest = [name for number, name in enumerate(names) if number not in used]
    chosen = [rest[i] for i in default_rng(2).choice(len(rest), 600, replace=False)]
    touched = [name for name in chosen if _boxes(folder / "images" / name)]
    full = sorted((folder / "full_size").iterdir())
    began = time.perf_counter()
    written = [path.name for path in full if _boxes(path)]
    return {
        "reduced images": len(chosen),
        "reduced images with a patch": len(touched),
        "full size images": len(full),
        "full size images with a patch": len(written),
        "seconds an image at full size": round((time.perf_counter() - began) / len(full), 2),
    }


def _boxes(path: Path) -> list[Box]:
    return find_writing(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8), 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=200)
    parser.add_argument("--fracatlas", type=Path, default=Path("../shared/data/fracatlas"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    figures = {"phantom plates": on_plates(given.plates)}
    if given.fracatlas.is_dir():
        figures["FracAtlas"] = on_fracatlas(given.fracatlas)
    for name, values in figures.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:32} {value:g}")
    common.write(given.json, "writing", figures)


if __name__ == "__main__":
    main()
