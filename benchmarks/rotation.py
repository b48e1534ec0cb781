"""How well limbs are set upright, beside the rule of de Cid 2021: `python -m benchmarks.rotation [--json FILE]`.

Phantom plates with all dirt, turned by any angle, of seeds that no rule was fitted on; and the half "reported" of
`lists/fracatlas_hands.csv`, as it is and turned by known angles. Before that a tenth is cut from each side, where white
bands lie along the plate, which cannot lie aslant in it; corners are filled with the level of the ground.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from benchmarks import common
from benchmarks.upright import FRACATLAS, LISTS, is_up, turned_plate
from numpy.typing import NDArray

from osteon.dataset.steps.levels import levels_of
from osteon.dataset.steps.limb import shrunk
from osteon.dataset.steps.rotation import axis_turn, printed_turn, turn_of

SEEDS = {"wrist": (101, 300), "hand": (102, 80), "forearm": (103, 60)}
ANGLES = 3  # turns of each real image

Grey = NDArray[np.uint8]
Rule = Callable[[Grey], float]

RULES: dict[str, Rule] = {"osteon": turn_of, "osteon, axis alone": axis_turn, "as printed": printed_turn}


def apart(one: float, other: float, period: float = 180) -> float:
    """Distance of two turns in degrees, of which those a period apart are the same."""
    return abs((one - other + period / 2) % period - period / 2)


def summary(off: list[float], up: list[bool]) -> dict[str, float]:
    """Median and 90th percentile of errors of the axis, and share of distal ends up."""
    return {
        "n": len(off),
        "median_deg": float(np.median(off)),
        "p90_deg": float(np.percentile(off, 90)),
        "within_5_deg": float(np.mean(np.array(off) <= 5)),
        "upright": float(np.mean(up)),
    }


def phantoms() -> dict[str, dict[str, dict[str, float]]]:
    """All rules on phantom plates, by rule, and by kind of plate and view."""
    found: dict[str, dict[str, tuple[list[float], list[bool]]]] = {rule: {} for rule in RULES}
    for kind, (seed, count) in SEEDS.items():
        for number in range(count):
            image, truth, view = turned_plate(kind, seed, number)
            image = shrunk(image, 512)
            for rule, function in RULES.items():
                turn = function(image)
                for name in (kind, f"{kind} {view}"):
                    off, up = found[rule].setdefault(name, ([], []))
                    off.append(apart(turn, truth))
                    up.append(is_up(turn, truth))
    return {rule: {name: summary(*both) for name, both in sorted(kinds.items())} for rule, kinds in found.items()}


def turned(image: Grey, degrees: float) -> Grey:
    """The image turned counter-clockwise on a canvas that holds its corners, on ground of its own level."""
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    width, height = math.ceil(columns * cosine + rows * sine), math.ceil(columns * sine + rows * cosine)
    matrix[:, 2] += (width - columns) / 2, (height - rows) / 2
    ground = round(levels_of(image.ravel()).ground)
    shown = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=ground)
    return shrunk(np.asarray(shown, np.uint8), 512)


def reals(rule: Rule) -> dict[str, Any]:
    """A rule on real limbs as they are and turned: error of the difference, and distal ends up."""
    known = pd.read_csv(LISTS / "fracatlas_hands.csv")
    rng = np.random.default_rng(104)
    off, up, as_is, misses = [], [], [], []
    for row in known[known["half"] == "reported"].itertuples():
        image = np.asarray(cv2.imread(str(FRACATLAS / str(row.image)), cv2.IMREAD_GRAYSCALE), np.uint8)
        as_is.append(is_up(rule(image), float(row.fingers_deg)))
        image = np.ascontiguousarray(image[tuple(slice(side // 10, side - side // 10) for side in image.shape)])
        first = rule(image)
        for angle in rng.uniform(-180, 180, ANGLES):
            turn = rule(turned(image, float(angle)))
            off.append(apart(turn - first, float(angle)))
            up.append(is_up(turn, float(row.fingers_deg) + float(angle)))
            if off[-1] > 10 or not up[-1]:
                misses.append({"image": row.image, "turned_deg": round(float(angle), 1), "off_deg": round(off[-1], 1)})
    return {**summary(off, up), "upright_as_it_is": float(np.mean(as_is)), "images": len(as_is), "misses": misses}


def milliseconds(images: int = 60) -> float:
    """Processor time of `turn_of` on a 512 px image."""
    plates = [shrunk(turned_plate("wrist", 105, k)[0], 512) for k in range(images)]
    start = time.process_time()
    for plate in plates:
        turn_of(plate)
    return 1000 * (time.process_time() - start) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    drawn = phantoms()
    figures: dict[str, Any] = {"milliseconds": milliseconds()}
    for name, rule in RULES.items():
        figures[name] = {"phantom": drawn[name], "FracAtlas": reals(rule)}
        if rule is not turn_of:
            del figures[name]["FracAtlas"]["misses"]  # most of the images
        rows = {**figures[name]["phantom"], "FracAtlas, turned": figures[name]["FracAtlas"]}
        print(f"\n{name}\n{'':22}{'n':>6}{'median °':>10}{'90 % °':>8}{'upright':>9}")
        for label, row in rows.items():
            print(f"{label:22}{row['n']:6}{row['median_deg']:10.2f}{row['p90_deg']:8.1f}{row['upright']:9.1%}")
        print(f"FracAtlas as it is: upright {figures[name]['FracAtlas']['upright_as_it_is']:.1%}")
    print(f"\n{figures['milliseconds']:.1f} ms of processor time an image")
    common.write(arguments.json, "rotation", figures)


if __name__ == "__main__":
    main()
