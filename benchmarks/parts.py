"""Whether plates are split into the right number of parts: `python -m benchmarks.parts [--json FILE] [--sheet PNG]`.

Phantom plates with all dirt, of a seed that nothing was chosen on, and all of FracAtlas against its flag `multiscan`,
the half of the groups that was looked at while building and the other; beside the rule of de Cid 2021.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from benchmarks import common
from benchmarks.upright import FRACATLAS, display
from numpy.typing import NDArray

from osteon.dataset.steps.limb import limbs, shrunk
from osteon.dataset.steps.parts import otsu_parts
from osteon.phantom.plates import Dirt, draw_plate

KINDS = ("wrist", "two", "joined", "hand", "forearm", "leg")
SEED, PLATES = 201, 360

Grey = NDArray[np.uint8]
Rule = Callable[[Grey], int]

RULES: dict[str, Rule] = {
    "osteon": lambda image: max(1, len(limbs(image))),
    "Otsu, components ≥ 2 %": lambda image: max(1, len(otsu_parts(image))),
    "Otsu, components ≥ 5 %": lambda image: max(1, len(otsu_parts(image, 0.05))),
}


def phantoms() -> dict[str, dict[str, float]]:
    """Share of plates with the right number of parts, by rule and kind of plate."""
    right: dict[str, dict[str, list[bool]]] = {name: {} for name in RULES}
    for number in range(PLATES):
        kind = KINDS[number % len(KINDS)]
        rng = np.random.default_rng([SEED, number])
        plate = draw_plate(rng, kind=kind, rows=600, columns=466, dirt=Dirt())
        image = shrunk(display(plate.values, plate.white, inverted=plate.inverted), 512)
        for name, rule in RULES.items():
            for label in ("all", kind):
                right[name].setdefault(label, []).append(rule(image) == len(plate.parts))
    return {name: {label: float(np.mean(v)) for label, v in kinds.items()} for name, kinds in right.items()}


def fracatlas() -> dict[str, Any]:
    """Agreement with the flag `multiscan`: precision and recall of "more than one part", and the disagreements."""
    labels = pd.read_csv(FRACATLAS.parent / "labels.csv").sort_values("image")
    groups = {group: k % 2 for k, group in enumerate(sorted(labels["group"].unique()))}
    half = labels["group"].map(groups).to_numpy()
    several = labels["multiscan"].to_numpy() == 1
    images = [np.asarray(cv2.imread(str(FRACATLAS / name), cv2.IMREAD_GRAYSCALE), np.uint8) for name in labels["image"]]
    found: dict[str, Any] = {}
    for name, rule in RULES.items():
        counts = np.array([rule(image) for image in images])
        found[name] = {"all": agreement(counts > 1, several)}
        for k, label in enumerate(("half A", "half B")):
            found[name][label] = agreement(counts[half == k] > 1, several[half == k])
        found[name]["parts"] = {str(k): v for k, v in sorted(Counter(counts.tolist()).items())}
        if name == "osteon":
            found["split, not flagged"] = labels["image"][(counts > 1) & ~several].tolist()
            found["flagged, not split"] = labels["image"][(counts == 1) & several].tolist()
    return found


def agreement(said: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> dict[str, float]:
    """Precision and recall of what a rule said against a flag."""
    both = int((said & flagged).sum())
    return {
        "n": len(said),
        "flagged": int(flagged.sum()),
        "split": int(said.sum()),
        "precision": both / max(1, int(said.sum())),
        "recall": both / max(1, int(flagged.sum())),
    }


def milliseconds(images: int = 60) -> float:
    """Processor time of `limbs` on a 512 px image."""
    plates = [draw_plate(np.random.default_rng([205, k]), kind=KINDS[k % len(KINDS)]) for k in range(images)]
    shown = [shrunk(display(plate.values, plate.white, inverted=plate.inverted), 512) for plate in plates]
    start = time.process_time()
    for image in shown:
        limbs(image)
    return 1000 * (time.process_time() - start) / images


def sheet(names: list[str], columns: int = 16, cell: int = 120) -> Grey:
    """Pictures of these FracAtlas images with the outlines of the limbs that were found."""
    rows = -(-len(names) // columns)
    page = np.full((rows * cell, columns * cell), 40, np.uint8)
    for k, name in enumerate(names):
        image = np.asarray(cv2.imread(str(FRACATLAS / name), cv2.IMREAD_GRAYSCALE), np.uint8)
        small = shrunk(image).copy()
        for limb in limbs(image):
            outlines, _ = cv2.findContours(limb.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(small, outlines, -1, 255, 2)
        small = shrunk(small, cell)
        y, x = (k // columns) * cell, (k % columns) * cell
        page[y : y + small.shape[0], x : x + small.shape[1]] = small
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="draw the disagreements with FracAtlas here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {"milliseconds": milliseconds(), "FracAtlas": fracatlas(), "phantom": phantoms()}
    for name in RULES:
        print(f"\n{name}")
        print("  phantom: " + ", ".join(f"{kind} {share:.1%}" for kind, share in figures["phantom"][name].items()))
        for label in ("all", "half A", "half B"):
            row = figures["FracAtlas"][name][label]
            print(f"  FracAtlas {label}: precision {row['precision']:.1%}, recall {row['recall']:.1%}, n {row['n']}")
    print(f"\n{figures['milliseconds']:.1f} ms of processor time an image")
    if arguments.sheet:
        several = figures["FracAtlas"]["split, not flagged"] + figures["FracAtlas"]["flagged, not split"]
        cv2.imwrite(str(arguments.sheet), sheet(several))
    common.write(arguments.json, "parts", figures)


if __name__ == "__main__":
    main()
