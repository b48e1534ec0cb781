"""How many letters, dots and texts are found and covered, what else is, and whether bone is ever touched.

    python benchmarks/markers.py [--plates 440] [--json FILE] [--sheet FILE.png]

Truth: phantom plates of all kinds, of seeds that nothing was chosen on. A mark counts as found if half of its box is
covered: what of a text lies white on white is not there to be found. On FracAtlas (fixed list of 300, and all images
with hardware) what is covered is drawn on a sheet, to be judged by eye.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import milliseconds, write
from numpy.random import default_rng
from numpy.typing import NDArray
from polarity import FRACATLAS, FRACATLAS_300, STREAM, grey, some_proxies

from osteon.dataset import frame
from osteon.dataset.steps.markers import KINDS as MARKS
from osteon.dataset.steps.markers import MarkerRemoval
from osteon.phantom.plates import KINDS, Plate, draw_plate
from osteon.types import Radiograph


def covered_by(radiograph: Radiograph) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    """(h, w) uint8, 1 where the step has covered the source, and the polygons; in source pixels."""
    (done,) = MarkerRemoval()(radiograph)
    polygons = [cover.points for cover in frame.frame_of(done).covers]
    drawn = np.zeros(radiograph.pixels.shape, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(drawn, [np.round(polygon * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return drawn, polygons


def judged(plate: Plate) -> dict[str, Any]:
    """What was found on a plate, and what was hurt."""
    drawn, polygons = covered_by(plate.radiograph())
    near = np.zeros_like(drawn)
    found = []
    for mark in plate.markers:
        x, y, width, height = mark.box
        box = np.s_[max(0, y) : y + height, max(0, x) : x + width]
        near[max(0, y - 12) : y + height + 12, max(0, x - 12) : x + width + 12] = 1
        found.append((mark.kind, bool(drawn[box].mean() >= 0.5)))
    middles = np.array([polygon.mean(axis=0) for polygon in polygons]).reshape(-1, 2).astype(int)
    middles = np.clip(middles, 0, [drawn.shape[1] - 1, drawn.shape[0] - 1])
    return {
        "found": found,
        "bone_pixels": int(np.count_nonzero(plate.bone & (drawn > 0))),
        "false": int(sum(near[y, x] == 0 for x, y in middles)),
        "hardware": plate.subject.hardware,
        "noisy": plate.noisy,
    }


def on_plates(count: int) -> dict[str, Any]:
    """Recall by kind, bone touched, false alarms."""
    plates = (draw_plate(default_rng((STREAM, seed)), kind=KINDS[seed % len(KINDS)]) for seed in range(count))
    rows = [judged(plate) for plate in plates]
    kinds: dict[str, list[bool]] = {kind: [] for kind in MARKS}
    for row in rows:
        for kind, found in row["found"]:
            kinds[kind].append(found)
    quiet = [found for row in rows if not row["noisy"] for _, found in row["found"]]
    everything = [found for row in rows for _, found in row["found"]]
    metal = [row for row in rows if row["hardware"]]
    return {
        "plates": count,
        "recall": {kind: {"n": len(f), "found": round(float(np.mean(f)), 3)} for kind, f in kinds.items()}
        | {
            "all": {"n": len(everything), "found": round(float(np.mean(everything)), 3)},
            "all, plates without coarse noise": {"n": len(quiet), "found": round(float(np.mean(quiet)), 3)},
        },
        "plates_with_bone_touched": sum(row["bone_pixels"] > 0 for row in rows),
        "false_alarms": sum(row["false"] for row in rows),
        "plates_with_hardware": len(metal),
        "of_these_with_false_alarms_or_bone_touched": sum(bool(row["false"] or row["bone_pixels"]) for row in metal),
    }


def on_fracatlas(sheet: Path | None) -> dict[str, Any]:
    """How many images of the fixed list, and of those with hardware, have something covered."""
    with (FRACATLAS / "labels.csv").open() as file:
        metal = sorted(row["image"] for row in csv.DictReader(file) if row["hardware"] == "1")
    drawn = {}
    for name in (*FRACATLAS_300, *metal):
        image = grey(FRACATLAS / "images" / name)
        _, polygons = covered_by(Radiograph(image, 255))
        if polygons:
            drawn[name] = cv2.polylines(
                cv2.cvtColor(image, cv2.COLOR_GRAY2BGR),
                [np.round(polygon).astype(np.int32) for polygon in polygons],
                True,
                (0, 200, 255),
                2,
            )
    if sheet:
        cv2.imwrite(str(sheet), contact_sheet(list(drawn.values())), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return {
        "fixed_300_with_something_covered": sum(name in drawn for name in FRACATLAS_300),
        "hardware_images": len(metal),
        "hardware_images_with_something_covered": sum(name in drawn for name in metal),
        "names": list(drawn),
    }


def contact_sheet(images: list[NDArray[Any]], columns: int = 10, cell: int = 150) -> NDArray[np.uint8]:
    """Pictures side by side, (h, w, 3), each within `cell` × `cell` pixels."""
    sheet = np.full((-(-max(1, len(images)) // columns) * cell, columns * cell, 3), 32, np.uint8)
    for number, image in enumerate(images):
        scale = (cell - 4) / max(image.shape[:2])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        down, across = (place * cell + 2 for place in divmod(number, columns))
        colour = small if small.ndim == 3 else cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
        sheet[down : down + size[1], across : across + size[0]] = colour
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plates", type=int, default=440)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG of the FracAtlas images on which something is covered")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    speed = milliseconds(MarkerRemoval(), some_proxies())
    figures: dict[str, Any] = {"phantom": on_plates(options.plates), "milliseconds": speed}
    if FRACATLAS.exists():
        figures["fracatlas"] = on_fracatlas(options.sheet)
    for kind, row in figures["phantom"]["recall"].items():
        print(f"{kind:36s} {row['n']:5d} {100 * row['found']:6.1f} % found")
    print({k: v for k, v in figures["phantom"].items() if k != "recall"})
    print({k: v for k, v in figures.get("fracatlas", {}).items() if k != "names"})
    print("milliseconds of one core a plate:", figures["milliseconds"])
    write(options.json, "markers", figures)


if __name__ == "__main__":
    main()
