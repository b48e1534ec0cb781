"""Whether the fracture stays in the region of interest: `python -m benchmarks.region [--json FILE]`.

Phantom arms with a fractured distal radius and all dirt, of seeds that the rule was not fitted on: the step alone on
limbs that lie within some degrees of upright, and whole recipes on plates with limbs turned by any angle.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks import common
from benchmarks.wrist import fractured_plate
from numpy.typing import NDArray

from osteon.dataset import frame, steps
from osteon.dataset.steps import RECIPES, RegionOfInterest
from osteon.phantom.plates import Plate
from osteon.types import Radiograph, Recipe

SEEDS = {"wrist": (171, 130), "hand": (172, 70), "forearm": (173, 40)}


def holds(radiograph: Radiograph, box: tuple[float, float, float, float]) -> bool:
    """Whether a box (x, y, width, height) of the source lies within what a radiograph shows, its middle not covered."""
    x, y, width, height = box
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    placed = frame.frame_of(radiograph)
    inside = (corners - placed.matrix[:, 2]) @ np.linalg.inv(placed.matrix[:, :2]).T
    rows, columns = placed.size
    # The truth is the box about all of the gap, in subpixels; half a pixel is no part of the bone.
    within = bool((inside >= -1).all() and (inside <= (columns, rows)).all())
    middle = (float(x + width / 2), float(y + height / 2))
    return within and not any(
        cv2.pointPolygonTest(np.asarray(c.points, np.float32), middle, measureDist=False) >= 0 for c in placed.covers
    )


def cut_before(plate: Plate) -> bool:
    """Whether the plate itself shows less than all of the fracture."""
    box = plate.parts[0].fracture
    return box is None or not holds(plate.radiograph(), box)


def of_recipe(recipe: Recipe, *, turned: bool) -> dict[str, dict[str, Any]]:
    """Share of plates whose fracture is shown, and of the plate that is kept, by kind."""
    found: dict[str, dict[str, Any]] = {}
    for kind, (seed, count) in SEEDS.items():
        shown: list[bool] = []
        kept: list[float] = []
        misses: list[int] = []
        for number in range(count):
            plate = fractured_plate(kind, seed, number, turned=turned)
            box = plate.parts[0].fracture
            if box is None or cut_before(plate):
                continue
            given = plate.radiograph()
            if not turned and plate.inverted:  # the step alone is given white bone
                given = Radiograph(np.asarray(plate.white - plate.values, np.uint16), given.white, given.header)
            parts = steps.apply(recipe, given)
            shown.append(any(holds(part, box) for part in parts))
            kept.append(min(_source_share(part, plate.values) for part in parts))
            if not shown[-1]:
                misses.append(number)
        found[kind] = {
            "n": len(shown),
            "shown": float(np.mean(shown)),
            "kept_median": float(np.median(kept)),
            "kept_p90": float(np.percentile(kept, 90)),
            "misses": misses,
        }
    return found


def _source_share(radiograph: Radiograph, values: NDArray[np.uint16]) -> float:
    placed = frame.frame_of(radiograph)
    return float(abs(np.linalg.det(placed.matrix[:, :2])) * placed.size[0] * placed.size[1] / values.size)


def milliseconds(images: int = 40) -> float:
    """Processor time of the step, with a proxy at hand."""
    arms = [frame.proxy_of(fractured_plate("wrist", 165, k).radiograph()) for k in range(images)]
    start = time.process_time()
    for arm in arms:
        RegionOfInterest()(arm)
    return 1000 * (time.process_time() - start) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    whole = tuple(step for step in RECIPES["WRIST"] if type(step).__name__ not in ("BodyPartFilter", "FitSquare"))
    figures: dict[str, Any] = {
        "milliseconds": milliseconds(),
        "RegionOfInterest alone": of_recipe((RegionOfInterest(),), turned=False),
        "WRIST": of_recipe(whole, turned=True),
    }
    print(f"{figures['milliseconds']:.1f} ms of processor time an image")
    for name, kinds in figures.items():
        if isinstance(kinds, dict):
            for kind, row in kinds.items():
                print(f"{name:36}{kind:10}{row['n']:5}{row['shown']:8.1%}{row['kept_median']:8.1%}", row["misses"])
    common.write(arguments.json, "region", figures)


if __name__ == "__main__":
    main()
