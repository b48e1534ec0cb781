"""How well the crop meets the exposed field, and whether it ever costs bone.

    python benchmarks/collimation.py [--plates 440] [--json FILE] [--sheet FILE.png]

Truth: phantom plates of all kinds, of seeds that nothing was chosen on; the field is what the collimator leaves. A
frame that lies over some of it counts against the crop, and so does a black shutter beside black air, whose edge is not
to be seen. On FracAtlas there is no truth: of every third image, crops by more than a tenth of the area are drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import milliseconds, write
from markers import contact_sheet
from numpy.random import default_rng
from numpy.typing import NDArray
from polarity import FRACATLAS, STREAM, grey, some_proxies

from osteon.dataset import frame
from osteon.dataset.steps.collimation import CollimationCrop
from osteon.phantom.plates import KINDS, Plate, draw_plate
from osteon.types import Radiograph


def kept_by(radiograph: Radiograph) -> NDArray[np.bool_]:
    """(h, w) bool, which pixels of the source the crop keeps."""
    (done,) = CollimationCrop()(radiograph)
    placed = frame.frame_of(done)
    height, width = placed.size
    edges = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
    corners = edges @ placed.matrix[:, :2].T + placed.matrix[:, 2]
    drawn = np.zeros(radiograph.pixels.shape, np.uint8)
    cv2.fillPoly(drawn, [np.round(corners * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return drawn > 0


def judged(plate: Plate) -> dict[str, Any]:
    """Overlap with the field, and bone lost, of the crop and of no crop."""
    field = np.zeros(plate.values.shape, np.uint8)
    for corners in plate.fields:
        cv2.fillPoly(field, [np.round(corners * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    truth = field > 0 if plate.collimation else np.ones(field.shape, bool)
    kept = kept_by(plate.radiograph())
    lost = plate.bone & ~kept
    return {
        "kind": plate.kind,
        "collimated": plate.collimation is not None,
        "border": plate.border,
        "iou": float((truth & kept).sum() / (truth | kept).sum()),
        "whole": float(truth.mean()),
        "removed": float((~truth & ~kept).sum() / max(1, (~truth).sum())),
        "bone_lost": int(lost.sum()),
        "bone": int(plate.bone.sum()),
    }


def on_plates(count: int) -> dict[str, Any]:
    plates = (draw_plate(default_rng((STREAM, seed)), kind=KINDS[seed % len(KINDS)]) for seed in range(count))
    rows = [judged(plate) for plate in plates]
    groups = {
        "collimated, one field": [r for r in rows if r["collimated"] and r["kind"] != "joined"],
        "collimated, one field, no border": [
            r for r in rows if r["collimated"] and r["kind"] != "joined" and not r["border"]
        ],
        "not collimated, no border": [
            r for r in rows if not r["collimated"] and r["kind"] != "joined" and not r["border"]
        ],
        "joined plates": [r for r in rows if r["kind"] == "joined"],
    }
    return {
        "plates": count,
        "groups": {
            name: {
                "n": len(g),
                "iou_mean": round(float(np.mean([r["iou"] for r in g])), 3),
                "iou_median": round(float(np.median([r["iou"] for r in g])), 3),
                "iou_tenth": round(float(np.quantile([r["iou"] for r in g], 0.1)), 3),
                "iou_without_crop": round(float(np.mean([r["whole"] for r in g])), 3),
                "surroundings_removed": round(float(np.mean([r["removed"] for r in g])), 3),
            }
            for name, g in groups.items()
        },
        "plates_that_lose_bone": sum(r["bone_lost"] > 0 for r in rows),
        "plates_that_lose_more_than_one_per_cent": sum(r["bone_lost"] > 0.01 * r["bone"] for r in rows),
        "of_these_joined": sum(r["bone_lost"] > 0.01 * r["bone"] and r["kind"] == "joined" for r in rows),
    }


def on_fracatlas(sheet: Path | None) -> dict[str, Any]:
    paths = sorted((FRACATLAS / "images").iterdir())[1::3]
    crops, shown = 0, []
    for path in paths:
        image = grey(path)
        kept = kept_by(Radiograph(image, 255))
        crops += not kept.all()
        if kept.mean() < 0.9:
            picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            picture[~kept] = picture[~kept] // 2 + np.array([0, 0, 120], np.uint8)
            shown.append(picture)
    if sheet:
        cv2.imwrite(str(sheet), contact_sheet(shown), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return {"images": len(paths), "cropped": crops, "cropped_by_more_than_a_tenth": len(shown)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plates", type=int, default=440)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG of the FracAtlas images that lose more than a tenth")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    speed = milliseconds(CollimationCrop(), some_proxies())
    figures: dict[str, Any] = {"phantom": on_plates(options.plates), "milliseconds": speed}
    if FRACATLAS.exists():
        figures["fracatlas"] = on_fracatlas(options.sheet)
    for name, row in figures["phantom"]["groups"].items():
        print(f"{name:36s}", row)
    print({k: v for k, v in figures["phantom"].items() if k != "groups"}, figures.get("fracatlas"))
    print("milliseconds of one core a plate:", figures["milliseconds"])
    write(options.json, "collimation", figures)


if __name__ == "__main__":
    main()
