"""Factories in the words of the trade: each makes one valid thing, and takes only what the test is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon import tables
from osteon.tasks import rust
from osteon.types import Header, Radiograph

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Development data outside the repository; tests that need it carry `@pytest.mark.shared`."""


def a_radiograph(
    height: int = 200, width: int = 120, *, bits: int = 8, inverted: bool = False, seed: int = 0, **header: Any
) -> Radiograph:
    """A bright shaft on a dark, faintly noisy ground; `header` fields as in `osteon.types.Header`."""
    rng = np.random.default_rng(seed)
    white = 2**bits - 1
    image = rng.normal(0.06, 0.01, (height, width))
    image[:, width // 3 : width // 2] += 0.7
    values = np.clip(image, 0, 1) * white
    values = white - values if inverted else values
    return Radiograph(
        pixels=values.astype(np.uint8 if bits <= 8 else np.uint16), white=white, header=Header(bits=bits, **header)
    )


def some_cases(
    patients: int = 20, *, images_each: int = 2, fractured: float = 0.4, seed: int = 0, **columns: Any
) -> pd.DataFrame:
    """A manifest: every image of a fractured patient is fractured; `columns` are added as they are."""
    rng = np.random.default_rng(seed)
    sick = rng.permutation(patients) < round(fractured * patients)
    rows = []
    for p in range(patients):
        for i in range(images_each):
            rows.append(
                {
                    "image": f"{p:04d}{i:028d}",
                    "path": f"p{p:03d}/{i}.dcm",
                    "patient": f"p{p:03d}",
                    "study": f"s{p:03d}",
                    "series": "1",
                    "instance": f"{p}.{i}",
                    "target": int(sick[p]),
                    "view": ("AP", "LAT")[i % 2],
                    "laterality": "LR"[p % 2],
                    "body_part": "WRIST",
                    "modality": "DX",
                    "sex": "FM"[p % 2],
                    "age_years": float(rng.integers(5, 90)),
                    "device": "Phantom",
                    "photometric": "MONOCHROME2",
                    "transfer_syntax": "1.2.840.10008.1.2.1",
                    "bits": 12,
                    "rows": 512,
                    "columns": 384,
                    "spacing_mm": 0.15,
                    "spacing_source": "ImagerPixelSpacing",
                }
            )
    return tables.check(pd.DataFrame(rows).assign(**columns), tables.MANIFEST, "some_cases")


def some_split_cases(patients: int = 30, *, folds: int = 5, sealed: int = 0, **options: Any) -> pd.DataFrame:
    """`some_cases` with group and fold: fractured patients spread evenly, the last `sealed` patients put away."""
    cases = some_cases(patients, **options)
    number = cases["patient"].str[1:].astype(int)
    kept = number < patients - sealed
    # Counted within each class, so that every fold gets its share of both.
    place = number.where(kept).groupby(cases["target"]).rank(method="dense")
    fold = (place.fillna(0).astype(int) % folds).where(kept, -1)
    target = cases["target"].where(kept)
    return tables.check(
        cases.assign(group=cases["patient"], fold=fold, target=target), tables.MANIFEST, "some_split_cases"
    )


def some_predictions(
    patients: int = 60,
    *,
    images_each: int = 2,
    strength: float = 1.5,
    folds: int = 3,
    seed: int = 0,
    model: str = "model",
) -> pd.DataFrame:
    """Out-of-fold predictions of one model whose scores are normal, `strength` standard deviations apart by class."""
    cases = some_cases(patients, images_each=images_each, seed=seed)
    rng = np.random.default_rng(seed + 1)
    target = cases["target"].to_numpy(int)
    number = cases["patient"].str[1:].astype(int).to_numpy()
    # Half of the noise belongs to the patient, so that clustering matters.
    score = (
        strength * target + np.repeat(rng.normal(size=patients), images_each) * 0.7 + rng.normal(size=len(cases)) * 0.7
    )
    frame = pd.DataFrame(
        {
            "model": model,
            "image": cases["image"],
            "study": cases["study"],
            "group": cases["patient"],
            "part": "validation",
            "fold": number % folds,
            "target": target,
            "score": score,
            "probability": 1 / (1 + np.exp(-(score - strength / 2) * max(strength, 0.1))),
        }
    )
    return tables.check(frame, tables.PREDICTIONS, "some_predictions")


def with_floors(predictions: pd.DataFrame, *, seed: int = 9, **strengths: float) -> pd.DataFrame:
    """The predictions of one model and of floors on the same images, by keyword; strength 0 is a constant score."""
    rng = np.random.default_rng(seed)
    target = predictions["target"].to_numpy(float)
    tables_of = [predictions]
    for name, strength in strengths.items():
        score = strength * target + rng.normal(size=len(target)) * (strength > 0)
        tables_of.append(
            predictions.assign(model=f"floor:{name}", score=score, probability=1 / (1 + np.exp(strength / 2 - score)))
        )
    return pd.concat(tables_of, ignore_index=True)


def some_visits(patients: int = 40, *, visits_each: int = 2, highest: int = 4, seed: int = 0) -> pd.DataFrame:
    """Images of visits with both views, in the columns of grades: patients heal from visit to visit, each at a pace."""
    rng = np.random.default_rng(seed)
    pace = rng.normal(0, 0.7, patients)
    rows = []
    for patient in range(patients):
        for visit in range(visits_each):
            healed = pace[patient] + 0.9 * (visit - (visits_each - 1) / 2)
            latent = healed + rng.normal(0, 0.5, 4)
            grades = np.clip(np.digitize(latent, (-1.1, -0.1, 0.9)) + 1, 1, highest)
            for view in ("AP", "LAT"):
                seen = {c: g for c, g in zip(rust.CORTICES, grades, strict=True) if c in rust.SHOWN[view]}
                rows.append(
                    {
                        "image": f"{patient:04d}{visit:02d}{view}",
                        "patient": f"p{patient:03d}",
                        "study": f"s{patient:03d}-{visit}",
                        "month": float((0, 3, 6, 12)[visit % 4]),
                        "view": view,
                        **{cortex: seen.get(cortex, pd.NA) for cortex in rust.CORTICES},
                    }
                )
    return pd.DataFrame(rows).astype(dict.fromkeys(rust.CORTICES, "Int8"))


def some_grades(
    patients: int = 40, *, noise: float = 0.5, folds: int = 3, seed: int = 0, model: str = "ours", **options: Any
) -> pd.DataFrame:
    """Graded predictions of `some_visits`: the model sees each grade through normal noise, and knows how much."""
    visits = some_visits(patients, seed=seed, **options)
    long = visits.melt(
        ["image", "patient", "study", "month", "view"], list(rust.CORTICES), var_name="cortex", value_name="target"
    ).dropna(subset="target")
    long = long.sort_values(["image", "cortex"]).reset_index(drop=True)
    rng = np.random.default_rng(seed + 1)
    seen = long["target"].to_numpy(float) + rng.normal(0, noise, len(long))
    highest = options.get("highest", 4)
    p = np.exp(-((seen[:, None] - np.arange(1, highest + 1)) ** 2) / (2 * noise**2)) + 1e-9
    p /= p.sum(axis=1, keepdims=True)
    long = long.assign(
        model=model,
        group=long["patient"],
        part="validation",
        fold=long["patient"].str[1:].astype(int) % folds,
        **{f"p{grade}": p[:, grade - 1] for grade in range(1, highest + 1)},
    )
    return tables.check(long.drop(columns="patient"), tables.GRADES, "some_grades")


def with_grade_floors(grades: pd.DataFrame) -> pd.DataFrame:
    """The grades of one model and of two floors: frequencies of the other folds by view and cortex, and by month."""
    columns = [name for name in ("p1", "p2", "p3", "p4") if name in grades]
    told = [grades]
    for name, by in (("view", ["cortex"]), ("month", ["cortex", "month"])):
        floor = grades.assign(model=f"floor:{name}")
        for fold in grades["fold"].unique():
            others, here = grades[(grades["fold"] != fold) & grades["target"].gt(0)], grades["fold"] == fold
            counts = pd.crosstab([others[key] for key in by], others["target"].astype(int)) + 1
            counts = counts.reindex(columns=range(1, len(columns) + 1), fill_value=1)
            shares = counts.div(counts.sum(axis=1), axis=0).set_axis(columns, axis=1).reset_index()
            mine = grades.loc[here, by].merge(shares, on=by, how="left")[columns]
            floor.loc[here, columns] = mine.to_numpy(float)
        told.append(floor)
    return pd.concat(told, ignore_index=True)
