"""The healing phantom, measured: seconds an image, agreement of its raters, and whether its pixels tell the grades.

Two cohorts are made in a folder, or taken from it: one of the size of Hong 2023, and one of 200 patients with four
visits each. On the first, a reader who knows where every cortex lies is judged against the truth. He has five figures
of a cortex: how far the wall darkens at the gap, at its darkest and on the whole, and how much brighter what lies
beside the wall is near the gap than far from it, at three distances. A forest turns them into grades, fitted on the
patients with odd numbers and judged on the others. If he fails, contrast is too low. If the floors succeed, it is too
high: on both cohorts, a logistic regression on thumbnails of 32 x 32 pixels and the frequency of grades in each month
are fitted to rater A and judged out of fold, by patient.

With `--figure` the contact sheet is drawn and nothing measured: rows are the four grades, columns three patients in
both views; each has the same body, fracture, pose and noise in all rows. The last two columns show four cortices with
four grades, what makes a cortex not scoreable, and metal.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common
import cv2
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from osteon.dicom.read import read
from osteon.evaluate.agreement import icc
from osteon.phantom.healing import CORTICES, SHOWN, noise_for
from osteon.phantom.healing_cohort import HealingPlan, always, make_healing_cohort, plan_visits
from osteon.phantom.healing_patient import Patient, Visit, draw_patient, draw_scene, exposed, make_patient, streams
from osteon.phantom.picture import stored_picture
from osteon.phantom.projection import Shot
from osteon.phantom.tibia import TOWARDS, Shank
from osteon.phantom.write import Device

SEED = 1
"""Contrast and noise were chosen on seeds 11 and 12."""

COHORTS = {"full": HealingPlan(), "visits": HealingPlan(patients=200, visits=(0, 0, 0, 1))}

BANDS_MM = ((-2.75, -1.5), (0.75, 1.5), (1.75, 2.75), (3.0, 4.5))
"""In the wall of the shaft, and beside it: mm out of its surface."""

TALL, WIDE, GAP, CROP_MM = 198, 124, 4, 78.0
"""Pixels of a tile of the sheet, between tiles, and mm that are shown about the fracture."""


def seconds(patients: int) -> dict[str, float]:
    """Core seconds an image, of all that is done for a patient, by patient."""
    plan, spent = COHORTS["full"], []
    noise_for(plan.icc)  # solved once for a cohort
    with TemporaryDirectory() as folder:
        for number, visits in enumerate(plan_visits(plan, SEED)[:patients], start=1):
            start = time.process_time()
            rows, _ = make_patient(plan, SEED, number, visits, Path(folder))
            spent.append((time.process_time() - start) / len(rows))
    return {"median": float(np.median(spent)), "largest": max(spent), "patients": patients}


def agreement(folder: Path) -> dict[str, Any]:
    """ICC(2,1) of the totals of two raters, and of one with the truth; correlations of the grades of rater A."""
    ratings = pd.read_csv(folder / "ratings.csv")
    totals = ratings.pivot(index="study", columns="rater", values="total").dropna()
    truth = pd.read_parquet(folder / "truth.parquet").drop_duplicates("study").set_index("study")["total"]
    first = ratings[ratings["rater"] == "A"].dropna(subset="total")[list(CORTICES)]
    between = np.corrcoef(first.to_numpy(float).T)[np.triu_indices(4, 1)]
    found: dict[str, Any] = {"visits": len(totals), "correlations": [float(between.min()), float(between.max())]}
    for name, other in (("A and B", totals["B"]), ("A and the truth", truth.loc[totals.index])):
        estimate = icc(np.column_stack([totals["A"], other]))
        found[name] = [estimate.value, estimate.low, estimate.high]
    return found


def figures_of(pixels: np.ndarray, shank: Shank, shot: Shot, cortex: int) -> list[float]:
    """The five figures of one cortex in one image."""
    height = float(shank.fracture.centre[2])
    z = height + np.arange(-30.0, 30.1, 0.25)
    section = shank.surface.sections(z)
    reach, off = np.sqrt(section.spread[:, [0, 2]]), np.abs(z - height)
    bands = []
    for (first, last), far in zip(BANDS_MM, (14, 22, 22, 22), strict=True):
        lines = []
        for out in np.arange(first, last + 0.01, 0.25):
            points = np.column_stack([section.centre + TOWARDS[cortex] * (reach + out), z])
            x, y = shot.pixels_of(points).T.astype(np.float32)
            lines.append(cv2.remap(pixels, x[None], y[None], cv2.INTER_LINEAR)[0])
        band = np.mean(lines, axis=0)
        bands.append(band - np.polyval(np.polyfit(z[off > far], band[off > far], 1), z))
    wall = cv2.blur(bands[0][None], (7, 1))[0]
    near = (off > 4) & (off < 9)
    return [float(wall[off < 9].min()), float(np.median(wall[off < 6])), *(float(b[near].mean()) for b in bands[1:])]


def read_all(plan: HealingPlan, folder: Path) -> pd.DataFrame:
    """One row per image and shown cortex that can be scored: figures, true grade, metal."""
    rows: list[dict[str, Any]] = []
    for number, visits in enumerate(plan_visits(plan, SEED), start=1):
        patient = draw_patient(plan, SEED, number, [v.month for v in visits])
        chances = streams(SEED, number, len(visits))[5:]
        for visit, grades, chance in zip(visits, patient.healing.grades(), chances, strict=True):
            scene = draw_scene(plan, patient, visit, grades, chance)
            for k, (view, shot) in enumerate(scene.shots.items(), start=1):
                image = read(folder / "dicom" / patient.id / f"{visit.month:02d}" / f"{k}.dcm")
                pixels = image.pixels.astype(np.float32) / np.float32(image.white)
                for cortex in SHOWN[view]:
                    if visit.spoilt[view] in ("both", CORTICES[cortex]):
                        continue
                    named = {"cortex": CORTICES[cortex], "grade": int(grades[cortex]), "implant": scene.implant}
                    figures = figures_of(pixels, patient.shank, shot, cortex)
                    rows.append({"number": number, **named, **{f"f{i}": f for i, f in enumerate(figures)}})
    return pd.DataFrame(rows)


def reader(table: pd.DataFrame) -> dict[str, Any]:
    """Quadratic kappa of the reader with the truth in each cortex; how often he is right, with and without metal."""
    names, found = [f"f{i}" for i in range(5)], {}
    for cortex, rows in table.groupby("cortex", sort=False):
        fit, judged = rows[rows["number"] % 2 == 1], rows[rows["number"] % 2 == 0]
        forest = RandomForestClassifier(300, min_samples_leaf=4, random_state=0).fit(fit[names], fit["grade"])
        said = pd.Series(forest.predict(judged[names]), judged.index)
        right = said == judged["grade"]
        found[str(cortex)] = {
            "kappa": float(cohen_kappa_score(judged["grade"], said, weights="quadratic")),
            "cases": len(judged),
            "right": {str(k) or "no metal": float(v) for k, v in right.groupby(judged["implant"]).mean().items()},
            "confusion": pd.crosstab(judged["grade"], said).to_numpy().tolist(),
        }
    return found


def floors(folder: Path) -> dict[str, Any]:
    """AUROC of grades 1 to 4 of each cortex within its view, and their mean, of each floor."""
    labels = pd.read_csv(folder / "labels.csv")
    thumbs = np.array([_thumbnail(folder / path) for path in labels["image"]])
    found: dict[str, Any] = {"thumbnail": {}, "month": {}}
    for view, shown in SHOWN.items():
        for cortex in (CORTICES[c] for c in shown):
            graded = ((labels["view"] == view) & (labels[cortex] > 0)).to_numpy()
            rows, pixels = labels[graded], thumbs[graded]
            grade = rows[cortex].to_numpy(int)
            said = {name: np.zeros((len(rows), 4)) for name in found}
            for fit, judged in GroupKFold(5, shuffle=True, random_state=0).split(pixels, groups=rows["patient"]):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=500))
                said["thumbnail"][judged] = model.fit(pixels[fit], grade[fit]).predict_proba(pixels[judged])
                shares = pd.crosstab(rows["month"].iloc[fit], grade[fit], normalize="index")
                said["month"][judged] = shares.loc[rows["month"].iloc[judged]]
            for name, p in said.items():
                found[name][cortex] = [float(roc_auc_score(grade == g, p[:, g - 1])) for g in (1, 2, 3, 4)]
    return {name: {**areas, "mean": float(np.mean(list(areas.values())))} for name, areas in found.items()}


def _thumbnail(path: Path) -> np.ndarray:
    image = read(path)
    small = cv2.resize(image.pixels.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel() / image.white)


def measure(folder: Path) -> dict[str, Any]:
    """All figures; the cohorts are made where they are not in the folder."""
    found: dict[str, Any] = {"seed": SEED, "seconds an image": seconds(40)}
    for name, plan in COHORTS.items():
        if not (folder / name).exists():
            make_healing_cohort(plan, folder / name, seed=SEED)
        found[name] = {"agreement": agreement(folder / name), "floors": floors(folder / name)}
    found["full"]["reader"] = reader(read_all(COHORTS["full"], folder / "full"))
    return found


def tell(found: dict[str, Any]) -> None:
    """Print the figures."""
    spent = found["seconds an image"]
    print(f"core seconds an image: median {spent['median']:.3f}, largest {spent['largest']:.3f}")
    for cortex, f in found["full"]["reader"].items():
        right = ", ".join(f"{k} {v:.3f}" for k, v in f["right"].items())
        print(f"reader, {cortex}: kappa {f['kappa']:.3f} on {f['cases']}; right with {right}; {f['confusion']}")
    for name in COHORTS:
        for pair in ("A and B", "A and the truth"):
            value, low, high = found[name]["agreement"][pair]
            print(f"{name}: ICC(2,1) of {pair} {value:.3f} ({low:.3f} to {high:.3f})")
        print(f"{name}: correlations {found[name]['agreement']['correlations']}")
        for floor, areas in found[name]["floors"].items():
            each = "; ".join(f"{c} {' '.join(f'{a:.2f}' for a in areas[c])}" for c in CORTICES)
            print(f"{name}: floor {floor} {areas['mean']:.3f}: {each}")


def tile(plan: HealingPlan, patient: Patient, grades: np.ndarray, view: str, spoilt: str = "") -> np.ndarray:
    """(TALL, WIDE) uint8, the fracture in its middle; `spoilt` is a reason that spoils both cortices, or a cortex."""
    visit = Visit(0, {v: spoilt if v == view and spoilt in CORTICES else "" for v in SHOWN})
    chance = streams(5, patient.number, 1)[5]
    scene = draw_scene(plan, patient, visit, grades, chance)
    shot = scene.shots[view]
    logged = exposed(plan, scene, shot, "" if spoilt in CORTICES else spoilt, np.zeros(shot.size, np.float32), chance)
    values, (centre, width) = stored_picture(logged, Device("sheet", "DX", 14, "MONOCHROME2"))
    grey = np.clip((values.astype(np.float32) - centre) / width + 0.5, 0, 1)
    x, y = shot.pixels_of(patient.shank.fracture.centre[None])[0]
    fine = 3  # drawn larger and averaged, as a small picture of a large one is
    step = CROP_MM / TALL / fine / shot.spacing_mm
    matrix = np.array([[step, 0, x - step * fine * WIDE / 2], [0, step, y - step * fine * TALL / 2]])
    crop = cv2.warpAffine(grey, matrix, (fine * WIDE, fine * TALL), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(crop, (WIDE, TALL), interpolation=cv2.INTER_AREA) * 255, np.uint8)


def sheet() -> np.ndarray:
    """The contact sheet, (height, width) uint8."""
    plain = HealingPlan(rows=640, columns=512, **dict.fromkeys(("nail", "plate", "cast", "marker"), always(0)))
    metal = {n: replace(plain, **{n: always(1)}) for n in ("nail", "plate")}
    patients = [draw_patient(plain, 5, n, [0]) for n in (1, 2, 3)]
    mixed, three, four = (np.array(g, np.int8) for g in ((1, 3, 2, 4), (3, 3, 3, 3), (4, 4, 4, 4)))
    beside = [
        [("medial 2, lateral 4", plain, mixed, "AP", ""), ("anterior 1, posterior 3", plain, mixed, "LAT", "")],
        [("too faint", plain, three, "AP", "faint"), ("moved", plain, three, "AP", "moved")],
        [("lateral hidden", plain, three, "AP", "lateral"), ("posterior hidden", plain, three, "LAT", "posterior")],
        [(f"{name}, grade 4", plan, four, "AP", "") for name, plan in metal.items()],
    ]
    rows = []
    for grade, others in enumerate(beside, start=1):
        same = np.full(4, grade, np.int8)
        tiles = [_labelled(tile(plain, p, same, v), f"grade {grade}, {v}") for p in patients for v in SHOWN]
        tiles += [_labelled(tile(plan, patients[0], g, v, spoilt), text) for text, plan, g, v, spoilt in others]
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    strip = np.zeros((16, image.shape[1]), np.uint8)
    size = min(0.36, 0.36 * (WIDE - 6) / cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0])
    cv2.putText(strip, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
    return np.pad(np.vstack([image, strip]), GAP // 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    parser.add_argument("--figure", type=Path, default=None, help="draw the contact sheet here, and measure nothing")
    parser.add_argument("--cohorts", type=Path, default=None, help="folder of the cohorts full and visits; kept")
    given = parser.parse_args()
    if given.figure is not None:
        cv2.imwrite(str(given.figure), sheet(), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        return
    with TemporaryDirectory() as temporary:
        found = measure(given.cohorts or Path(temporary))
    tell(found)
    common.write(given.json, "healing", found)


if __name__ == "__main__":
    main()
