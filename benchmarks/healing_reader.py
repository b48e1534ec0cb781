"""Whether the phantom's pixels tell the four grades: a reader who knows where every cortex lies, beside the floors.

The reader has five figures for each cortex: how far the wall darkens at the gap, and how much brighter what lies beside
the wall is near the gap than far from it, at three distances. A forest turns them into grades, fitted on the patients
with odd numbers and judged on the even ones, against the truth. Nothing is learnt from the picture as such: if this
reader fails, contrast is too low; if the floors succeed, it is too high.

The floors are fitted to rater A, as a model would be: a logistic regression on 32 x 32 thumbnails, and the frequency of
grades in each month.
"""

from __future__ import annotations

import argparse
from pathlib import Path
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
from osteon.phantom.healing import CORTICES, SHOWN
from osteon.phantom.healing_cohort import HealingPlan, make_healing_cohort, plan_visits
from osteon.phantom.healing_patient import draw_patient, draw_scene, streams
from osteon.phantom.projection import Shot
from osteon.phantom.tibia import TOWARDS, Shank

REACH_MM = 30.0


def figures_of(pixels: np.ndarray, shank: Shank, shot: Shot, cortex: int) -> list[float]:
    """The five figures of one cortex in one image, relative to the brightness of the wall far from the gap."""
    height = float(shank.fracture.centre[2])
    z = height + np.arange(-REACH_MM, REACH_MM + 0.1, 0.25)
    section = shank.surface.sections(z)
    reach = np.sqrt(section.spread[:, [0, 2]])

    def band(first_mm: float, last_mm: float) -> np.ndarray:
        """Mean brightness at each height of a band along the shaft; mm out of its surface."""
        lines = []
        for out in np.arange(first_mm, last_mm + 0.01, 0.25):
            points = np.column_stack([section.centre + TOWARDS[cortex] * (reach + out), z])
            x, y = shot.pixels_of(points).T.astype(np.float32)
            lines.append(cv2.remap(pixels, x[None], y[None], cv2.INTER_LINEAR)[0])
        return np.mean(lines, axis=0)

    off = np.abs(z - height)
    found = []
    wall = band(-2.75, -1.5)
    trend = np.polyval(np.polyfit(z[off > 14], wall[off > 14], 1), z)
    gap = cv2.blur((wall - trend)[None], (7, 1))[0]
    found += [float(gap[off < 9].min()), float(np.median(gap[off < 6]))]
    for first, last in ((0.75, 1.5), (1.75, 2.75), (3.0, 4.5)):
        beside = band(first, last)
        trend = np.polyval(np.polyfit(z[off > 22], beside[off > 22], 1), z)
        near = (off > 4.0) & (off < 9)
        found.append(float(np.mean((beside - trend)[near])))
    return found


def read_all(plan: HealingPlan, folder: Path, seed: int) -> pd.DataFrame:
    """One row per image and shown cortex: figures, true grade, whether it can be scored, what lies over it."""
    truth = pd.read_parquet(folder / "truth.parquet").set_index("image")
    rows: list[dict[str, Any]] = []
    for number, visits in enumerate(plan_visits(plan, seed), start=1):
        patient = draw_patient(plan, seed, number, [v.month for v in visits])
        chances = streams(seed, number, len(visits))[5:]
        for visit, grades, chance in zip(visits, patient.healing.grades(), chances, strict=True):
            scene = draw_scene(plan, patient, visit, grades, chance)
            for k, (view, shot) in enumerate(scene.shots.items(), start=1):
                image = f"dicom/{patient.id}/{visit.month:02d}/{k}.dcm"
                found = read(folder / image)
                pixels = found.pixels.astype(np.float32) / np.float32(found.white)
                for cortex in SHOWN[view]:
                    figures = figures_of(pixels, patient.shank, shot, cortex)
                    rows.append(
                        {
                            "image": image,
                            "number": number,
                            "view": view,
                            "cortex": CORTICES[cortex],
                            "grade": int(grades[cortex]),
                            "scoreable": visit.spoilt[view] not in ("both", CORTICES[cortex]),
                            "implant": truth.loc[image, "implant"],
                            **{f"f{i}": f for i, f in enumerate(figures)},
                        }
                    )
    return pd.DataFrame(rows)


def reader(table: pd.DataFrame) -> dict[str, Any]:
    """Quadratic kappa of the reader with the truth for each cortex, and of the total, on the patients not fitted."""
    names = [c for c in table.columns if c.startswith("f") and c[1:].isdigit()]
    table = table[table["scoreable"]]
    found: dict[str, Any] = {}
    for cortex in CORTICES:
        rows = table[table["cortex"] == cortex]
        fit, judged = rows[rows["number"] % 2 == 1], rows[rows["number"] % 2 == 0]
        forest = RandomForestClassifier(300, min_samples_leaf=4, random_state=0).fit(fit[names], fit["grade"])
        said = forest.predict(judged[names])
        found[cortex] = {
            "kappa": float(cohen_kappa_score(judged["grade"], said, weights="quadratic")),
            "right": float(np.mean(said == judged["grade"])),
            "n": len(judged),
            "confusion": pd.crosstab(judged["grade"], said).to_numpy().tolist(),
            "right with": {
                str(k) or "nothing": float(np.mean(said[(judged["implant"] == k).to_numpy()] == v["grade"]))
                for k, v in judged.groupby("implant")
            },
        }
    return found


def floors(folder: Path, strength: float = 0.003) -> dict[str, Any]:
    """AUROC of each grade of each cortex within its view, from thumbnails and from months, out of fold by patient."""
    labels = pd.read_csv(folder / "labels.csv")
    thumbs = np.array([_thumbnail(folder / path) for path in labels["image"]])
    found: dict[str, Any] = {"thumbnail": {}, "month": {}}
    for view, shown in SHOWN.items():
        for cortex in (CORTICES[c] for c in shown):
            graded = ((labels["view"] == view) & (labels[cortex] > 0)).to_numpy()
            rows, pixels = labels[graded], thumbs[graded]
            grade = rows[cortex].to_numpy(int)
            said = {"thumbnail": np.zeros((len(rows), 4)), "month": np.zeros((len(rows), 4))}
            for fit, judged in GroupKFold(5, shuffle=True, random_state=0).split(pixels, groups=rows["patient"]):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
                said["thumbnail"][judged] = model.fit(pixels[fit], grade[fit]).predict_proba(pixels[judged])
                shares = pd.crosstab(rows["month"].iloc[fit], grade[fit], normalize="index")
                said["month"][judged] = shares.loc[rows["month"].iloc[judged]]
            for name, p in said.items():
                found[name][cortex] = [float(roc_auc_score(grade == g, p[:, g - 1])) for g in (1, 2, 3, 4)]
    for name in ("thumbnail", "month"):
        found[name]["mean"] = float(np.mean([found[name][c] for c in CORTICES]))
    return found


def _thumbnail(path: Path) -> np.ndarray:
    image = read(path)
    small = cv2.resize(image.pixels.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel() / image.white)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder; made if it is not there")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--patients", type=int, default=1207)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    given = parser.parse_args()
    plan = HealingPlan(patients=given.patients)
    if not given.cohort.exists():
        make_healing_cohort(plan, given.cohort, seed=given.seed)
    figures = {"seed": given.seed, "patients": given.patients}
    figures["reader"] = reader(read_all(plan, given.cohort, given.seed))
    figures["floors"] = floors(given.cohort)
    print(f"{'cortex':12}{'kappa':>8}{'right':>8}{'n':>6}   thumbnail (grades 1 to 4)      month (grades 1 to 4)")
    for cortex, f in figures["reader"].items():
        lines = ["  ".join(f"{v:.2f}" for v in figures["floors"][n][cortex]) for n in ("thumbnail", "month")]
        print(f"{cortex:12}{f['kappa']:8.3f}{f['right']:8.3f}{f['n']:6}   {lines[0]:28}   {lines[1]}")
        print("            ", f["confusion"], f["right with"])
    print("mean AUROC of the floors:", {n: round(figures["floors"][n]["mean"], 3) for n in ("thumbnail", "month")})
    common.write(given.json, "healing_reader", figures)


if __name__ == "__main__":
    main()
