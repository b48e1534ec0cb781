"""What is known of the images of a run, gathered from its folders: the sample that drift compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs, tables
from osteon.errors import BadTable
from osteon.types import Progress, silent
from osteon.verbs.folders import PREDICTIONS, READINGS, manifest_of, pictures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from osteon.audit.drift import Sample

SAMPLE = "sample"
"""Folder of the sample, in that of an audit."""


def sample_of(
    manifest: Path,
    *,
    images: Path | None = None,
    bank: Path | None = None,
    scores: Path | None = None,
    model: str = "",
    progress: Progress = silent,
) -> Sample:
    """Tags, image statistics, embeddings and scores of a run, as far as there are any.

    Args:
        manifest: folder that `split`, `prepare` or `ingest` wrote. Patients are its groups, if it has them.
        images: what `prepare` wrote; None takes `manifest` itself, if it holds images.
        bank: what `features` wrote.
        scores: what `train` wrote (out of fold), or `read`, or a table of predictions. Probabilities are compared.
        model: of the table, if it holds several besides floors.
        progress: told of images measured.

    Raises:
        NotFound, BadTable: for a folder that is not what it should be, or lacks some of the images.
        UnknownName, TooFewCases: if the table of predictions has not that model, or several and none was named.
    """
    from osteon.audit.drift import Sample

    cases = manifest_of(manifest, "split")
    missing: dict[str, str] = {}
    statistics = embeddings = told = None
    embedded_by = scored_by = ""
    prepared = images or (manifest if (manifest / "images").is_dir() else None)
    if prepared is None or "prepared" not in cases:
        missing["statistics"] = "no prepared images were given"
    else:
        statistics = _statistics(prepared, cases, progress)
    if bank is None:
        missing["embeddings"] = "no feature bank was given"
    else:
        embeddings, embedded_by = _embeddings(bank, cases)
    if scores is None:
        missing["scores"] = "no predictions were given"
    else:
        told, scored_by = _scores(scores, cases, model)
    return Sample(
        image=cases["image"].to_numpy(str),
        group=cases["group" if "group" in cases else "patient"].to_numpy(str),
        tags=cases,
        statistics=statistics,
        embeddings=embeddings,
        embedded_by=embedded_by,
        scores=told,
        scored_by=scored_by,
        missing=missing,
    )


def _statistics(prepared: Path, cases: pd.DataFrame, progress: Progress) -> pd.DataFrame:
    from osteon.audit.image_statistics import statistics_table

    return statistics_table(list(cases["image"]), pictures(prepared, cases), progress=progress)


def _embeddings(bank: Path, cases: pd.DataFrame) -> tuple[NDArray[np.floating], str]:
    """(n, 2d) pooled features, the mean over flips, and what made them."""
    from osteon.learn.bank import FeatureBank

    features = FeatureBank.open(bank)
    return features.array(list(cases["image"])).mean(axis=1), f"{features.trunk} ({features.trunk.digest[:8]})"


def _scores(folder: Path, cases: pd.DataFrame, model: str) -> tuple[NDArray[np.float64], str]:
    """(n,) probability of each image, NaN where there is none, and the bundle or model that gave it."""
    import numpy as np

    readings = folder / READINGS if folder.is_dir() else folder
    if readings.name == READINGS and readings.exists():
        told, by = _read(files.read_json(readings))
    else:
        told, by = _predicted(folder, model)
    found = cases["image"].astype(str).map(told).to_numpy(float)
    if np.isnan(found).all():
        raise BadTable(f"{folder} has scores of none of these images", remedy="pass the scores of this manifest")
    return np.asarray(found, float), by


def _read(readings: list[dict[str, Any]]) -> tuple[dict[str, float], str]:
    told = {}
    for reading in readings:
        for image in reading["images"]:
            if image["findings"]:
                told[str(image["image"])] = max(float(finding["probability"]) for finding in image["findings"])
    return told, f"bundle {str(readings[0]['bundle'])[:8]}" if readings else ""


def _predicted(folder: Path, model: str) -> tuple[dict[str, float], str]:
    from osteon.evaluate.report import choose_model

    path = folder / PREDICTIONS if folder.is_dir() else folder
    table = tables.read(path, tables.PREDICTIONS)
    judged = choose_model(table, model or None)
    rows = table[table["model"] == judged]
    value = rows["probability"] if "probability" in rows and rows["probability"].notna().all() else rows["score"]
    record = path.parent / runs.RECORD
    # A bundle reads new studies: its digest is what their scores and those of its own training have in common.
    bundle = str(files.read_json(record).get("result", {}).get("bundle", "")) if record.exists() else ""
    told = dict(zip(rows["image"].astype(str), value.astype(float), strict=True))
    return told, f"bundle {bundle[:8]}" if bundle else judged
