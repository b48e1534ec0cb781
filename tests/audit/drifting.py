"""Made-up samples whose patients differ, and whose drift is planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from osteon.audit.drift import Sample

DEVICES = {"A": 0.5, "B": 0.3, "C": 0.2}


def a_sample(patients: int = 60, *, first: int = 0, seed: int = 0, images: bool = True, **drifted: Any) -> Sample:
    """Patients of one to four images; half of the variance of each figure is the patient's own.

    Args:
        patients: their number; `first` is the first one's.
        images: whether there are embeddings.
        drifted: `devices` → share of each; `brightness`, `embedding`, `spread` or `score` → by how much it is moved, or
            stretched, in standard deviations.
    """
    rng = np.random.default_rng([seed, first])
    own = np.repeat(np.arange(patients), rng.integers(1, 5, patients))

    def figure(width: int) -> np.ndarray:
        return np.sqrt(0.5) * (rng.normal(size=(patients, width))[own] + rng.normal(size=(len(own), width)))

    devices = drifted.get("devices", DEVICES)
    tags = pd.DataFrame(
        {
            "image": own,
            "device": rng.choice(list(devices), patients, p=list(devices.values()))[own],
            "view": rng.choice(["AP", "LAT"], len(own)),
            "age_years": rng.normal(50, 15, patients)[own],
            "target": rng.integers(0, 2, len(own)),
        }
    )
    statistics = pd.DataFrame(figure(3), columns=["brightness", "contrast", "noise"])
    statistics["brightness"] += drifted.get("brightness", 0.0)
    embeddings = figure(8) * drifted.get("spread", 1.0)
    embeddings[:, 0] += drifted.get("embedding", 0.0)
    return Sample(
        image=np.array([f"{first}-{i}" for i in range(len(own))]),
        group=(first + own).astype(str),
        tags=tags,
        statistics=statistics,
        embeddings=embeddings if images else None,
        embedded_by="trunk",
        scores=figure(1)[:, 0] + drifted.get("score", 0.0),
        scored_by="model",
        missing={} if images else {"embeddings": "no feature bank was given"},
    )


def by_image(sample: Sample) -> Sample:
    """As if each image were a patient."""
    return replace(sample, group=sample.image)
