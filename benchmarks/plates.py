"""Core seconds per phantom plate and per file of a hospital's export; and, with --figure, a contact sheet of plates.

Plates are drawn at 900 × 700 pixels with the default dirt. The sheet shows them as they are: numbers under each picture
would be in its way; from left to right the seeds grow, one kind of plate a row.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import common
import cv2
import numpy as np
import pandas as pd
from numpy.random import default_rng

from osteon.phantom.dirt import CLEAN
from osteon.phantom.hospital import HospitalPlan, make_export
from osteon.phantom.plates import KINDS, Plate, draw_plate

SHOWN = ("wrist", "wrist", "hand", "two", "joined", "leg")
"""Kinds of the rows of the contact sheet."""

TILE = (210, 164)
"""Rows and columns of one picture of it."""


def seconds(kind: str, plates: int) -> list[float]:
    """Core seconds of each of some plates."""
    found = []
    for seed in range(plates):
        start = time.process_time()
        draw_plate(default_rng(seed), kind=kind)
        found.append(time.process_time() - start)
    return found


def of_export(studies: int) -> dict[str, float]:
    """Core seconds per file of an export of the default plan without its giant study."""
    with TemporaryDirectory() as folder:
        start = time.process_time()
        make_export(HospitalPlan(studies=studies, giant=0), Path(folder) / "export", seed=0)
        spent = time.process_time() - start
        images = len(pd.read_parquet(Path(folder) / "export" / "truth.parquet"))
    return {"files": images, "core seconds per file": spent / images}


def tile(plate: Plate) -> np.ndarray:
    """A plate as a grey picture, whole, on grey."""
    rows, columns = plate.values.shape
    scale = min(TILE[0] / rows, TILE[1] / columns)
    size = (round(columns * scale), round(rows * scale))
    small = cv2.resize(plate.values / np.float32(plate.white) * 255, size, interpolation=cv2.INTER_AREA)
    framed = np.full((TILE[0] + 4, TILE[1] + 4), 128, np.uint8)
    top, left = (TILE[0] - size[1]) // 2 + 2, (TILE[1] - size[0]) // 2 + 2
    framed[top : top + size[1], left : left + size[0]] = np.rint(small)
    return framed


def contact_sheet(columns: int = 8) -> np.ndarray:
    """Rows of SHOWN; the first is clean, then the default dirt."""
    rows = []
    for number, kind in enumerate(SHOWN):
        drawn = []
        for k in range(columns):
            rng = default_rng((number, k))
            drawn.append(tile(draw_plate(rng, kind=kind, dirt=CLEAN if number == 0 else None)))
        rows.append(np.hstack(drawn))
    others = [k for k in KINDS if k not in SHOWN]
    rows.append(
        np.hstack([tile(draw_plate(default_rng((9, k)), kind=others[k % len(others)])) for k in range(columns)])
    )
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    parser.add_argument("--figure", type=Path, default=None, help="write the contact sheet here, and measure nothing")
    parser.add_argument("--plates", type=int, default=12, help="plates per kind")
    given = parser.parse_args()
    if given.figure:
        given.figure.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(given.figure), contact_sheet(), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        return
    figures: dict[str, object] = {}
    print(f"{'core seconds per plate':24}{'median':>10}{'largest':>10}")
    for kind in KINDS:
        spent = seconds(kind, given.plates)
        figures[kind] = {"median": float(np.median(spent)), "largest": max(spent)}
        print(f"{kind:24}{np.median(spent):10.3f}{max(spent):10.3f}")
    export = of_export(40)
    figures["export"] = export
    print(f"\nexport: {export['core seconds per file']:.3f} core seconds per file ({export['files']:.0f} files)")
    common.write(given.json, "plates", figures)


if __name__ == "__main__":
    main()
