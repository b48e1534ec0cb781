"""A contact sheet of healing tibiae: rows are the four grades, columns some patients in both views.

One patient has the same body, fracture, pose and noise in all four rows: only the healing differs. The last two
columns show a visit whose cortices have four different grades, what makes a cortex not scoreable, and metal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from osteon.phantom.healing import CORTICES, SHOWN
from osteon.phantom.healing_patient import Patient, Visit, draw_patient, draw_scene, exposed, streams
from osteon.phantom.healing_plan import HealingPlan, always
from osteon.phantom.picture import stored_picture
from osteon.phantom.write import Device

PLAIN = HealingPlan(rows=640, columns=512, nail=always(0), plate=always(0), cast=always(0), marker=always(0))
TALL, WIDE, GAP = 198, 124, 4
CROP_MM = 78.0
"""Height of what is shown about the fracture."""

MIXED = np.array([1, 3, 2, 4], np.int8)


def tile(plan: HealingPlan, seed: int, patient: Patient, grades: np.ndarray, view: str, spoilt: str = "") -> np.ndarray:
    """(TALL, WIDE) uint8, the fracture in its middle; `spoilt` is a reason that spoils both cortices, or a cortex."""
    visit = Visit(0, {v: spoilt if v == view and spoilt in CORTICES else "" for v in SHOWN})
    chance = streams(seed, patient.number, 1)[5]
    scene = draw_scene(plan, patient, visit, grades, chance)
    shot = scene.shots[view]
    bare = np.zeros(shot.size, np.float32)
    logged = exposed(plan, scene, shot, spoilt if spoilt not in CORTICES else "", bare, chance)
    values, (centre, width) = stored_picture(logged, Device("sheet", "DX", 14, "MONOCHROME2"))
    grey = np.clip((values.astype(np.float32) - centre) / width + 0.5, 0, 1)
    x, y = shot.pixels_of(patient.shank.fracture.centre[None])[0]
    fine = 3  # drawn larger and averaged, as a small picture of a large one is
    step = CROP_MM / TALL / fine / shot.spacing_mm
    matrix = np.array([[step, 0, x - step * fine * WIDE / 2], [0, step, y - step * fine * TALL / 2]])
    crop = cv2.warpAffine(grey, matrix, (fine * WIDE, fine * TALL), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(crop, (WIDE, TALL), interpolation=cv2.INTER_AREA) * 255, np.uint8)


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """The tile with a line of text under it."""
    strip = np.zeros((16, image.shape[1]), np.uint8)
    cv2.putText(strip, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, 255, 1, cv2.LINE_AA)
    return np.pad(np.vstack([image, strip]), GAP // 2)


def sheet(seed: int) -> np.ndarray:
    """The whole picture."""
    patients = [draw_patient(PLAIN, seed, n, [0]) for n in (1, 2, 3)]
    extra = [
        [(MIXED, view, "") for view in SHOWN],
        [(np.full(4, 3, np.int8), "AP", spoil) for spoil in ("faint", "moved")],
        [(np.full(4, 3, np.int8), "AP", "lateral"), (np.full(4, 3, np.int8), "LAT", "posterior")],
    ]
    rows = []
    for grade in (1, 2, 3, 4):
        tiles = [
            labelled(tile(PLAIN, seed, p, np.full(4, grade, np.int8), view), f"grade {grade}, {view}")
            for p in patients
            for view in SHOWN
        ]
        if grade <= len(extra):
            for grades, view, spoilt in extra[grade - 1]:
                named = ", ".join(f"{CORTICES[c][:3]} {grades[c]}" for c in SHOWN[view])
                text = f"{spoilt}: none" if spoilt else named
                tiles.append(labelled(tile(PLAIN, seed, patients[0], grades, view, spoilt), text))
        else:
            for kind in ("nail", "plate"):
                plan = HealingPlan(rows=640, columns=512, **{n: always(n == kind) for n in ("nail", "plate", "cast")})
                image = tile(plan, seed, patients[0], np.full(4, grade, np.int8), "AP")
                tiles.append(labelled(image, f"{kind}, grade {grade}"))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", type=Path, help="PNG or JPEG to write")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    cv2.imwrite(str(given.figure), sheet(given.seed), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
