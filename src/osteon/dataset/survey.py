"""What an ingested export is like: counts for a page and for machines, without a patient's id or name in them.

Tags are free text, and free text holds names now and then. So a value is told only if it occurs in the images of at
least three patients; all others are told as a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from osteon import __version__, tables
from osteon.dataset.settle import Ingested
from osteon.tasks import Task

FEWEST = 3
"""A value of a tag is told if so many patients share it (k-anonymity with k = 3)."""

TAGS: Mapping[str, str] = {
    "modality": "Modality",
    "view": "View position",
    "laterality": "Side",
    "sex": "Sex",
    "device": "Device",
    "photometric": "Photometric interpretation",
    "transfer_syntax": "Transfer syntax",
    "bits": "Bits stored",
    "spacing_source": "Source of the pixel spacing",
    "resolved_part": "Body part, resolved",
    "resolved_side": "Side, resolved",
    "resolved_view": "View, resolved",
}
"""Columns of the manifest that are counted by value, and what they are called for people."""

COMMONEST = 20
"""So many values of a tag are told one by one, as in figure 4.4 of de Cid 2021."""

SIZES = 3000
"""So many sizes, the commonest, are drawn; further ones are told as a count."""


def survey(taken: Ingested, task: Task) -> dict[str, Any]:
    """Everything that the survey tells, ready for JSON.

    Args:
        taken: what `osteon.dataset.ingest.ingest` returned.
        task: the question of the labels.

    Returns:
        `cases`, `flow`, `mismatches`, `outliers`, `instances` (per study: figure 3.2 of de Cid 2021), `sizes` (figures
        3.3 and 4.11), `body_part` (figure 4.4), `tags`, `ages`, `carried` (further columns of the label table, by how
        many values they have) and `notes`.
    """
    manifest = taken.manifest
    patient = pd.Series(pd.factorize(manifest["patient"])[0], name="patient")
    return {
        "osteon": __version__,
        "task": task.name,
        "positive": task.positive,
        "negative": task.negative,
        "phantom": bool(len(manifest)) and bool(manifest["device"].str.contains("phantom", case=False).any()),
        "cases": cases(manifest),
        "flow": [asdict(stage) for stage in taken.flow],
        "mismatches": {
            "studies_without_label": len(taken.studies_without_label),
            "images_without_label": int(taken.studies_without_label["instances"].sum()),
            "labels_without_study": len(taken.labels_without_study),
        },
        "outliers": {
            "studies": len(taken.outliers),
            "instances": [int(n) for n in taken.outliers["instances"].head(COMMONEST)],
            "kept": bool(taken.outliers["kept"].all()),
        },
        "instances": instances(manifest),
        "sizes": sizes(manifest["rows"], manifest["columns"]),
        "body_part": _with_meaning(spellings(manifest["body_part"], patient), manifest),
        "tags": {name: spellings(manifest[name], patient) for name in TAGS if name in manifest},
        "ages": ages(manifest["age_years"]),
        "carried": carried(manifest),
        "notes": list(taken.notes),
    }


def cases(manifest: pd.DataFrame) -> dict[str, Any]:
    """Images, studies and patients, by label. A study or patient is positive if any of its images is."""
    figures: dict[str, Any] = {}
    for unit, by in (("images", None), ("studies", "study"), ("patients", "patient")):
        target = manifest["target"] if by is None else manifest.groupby(by, sort=False)["target"].max()
        figures[unit] = len(target)
        figures[f"positive_{unit}"] = int((target == 1).sum())
        figures[f"negative_{unit}"] = int((target == 0).sum())
    labelled = figures["positive_images"] + figures["negative_images"]
    return {**figures, "prevalence": figures["positive_images"] / labelled if labelled else None}


def instances(manifest: pd.DataFrame) -> dict[str, dict[int, int]]:
    """Number of images → number of studies with so many: of all studies, of positive and of negative ones."""
    grouped = manifest.groupby("study", sort=False)["target"]
    size, target = grouped.size(), grouped.max()
    chosen = {"all": size, "positive": size[(target == 1).fillna(False)], "negative": size[(target == 0).fillna(False)]}
    return {
        name: {int(n): int(times) for n, times in of.value_counts().sort_index().items()} for name, of in chosen.items()
    }


def sizes(rows: pd.Series, columns: pd.Series) -> dict[str, Any]:
    """How many images have which size, the commonest first, and the quartiles of height and width, in pixels."""
    counted = pd.DataFrame({"rows": rows, "columns": columns}).value_counts(sort=False).reset_index(name="images")
    counted = counted.sort_values(["images", "rows", "columns"], ascending=[False, True, True], kind="stable")
    quartiles = {
        name: [int(q) for q in np.percentile(side.to_numpy(float), (0, 25, 50, 75, 100))] if len(side) else []
        for name, side in (("rows", rows), ("columns", columns))
    }
    shown = counted.head(SIZES)
    return {
        "different": len(counted),
        "quartiles": quartiles,
        "commonest": [[int(r), int(c), int(n)] for r, c, n in shown.itertuples(index=False)],
        "images_beyond": int(counted["images"].sum() - shown["images"].sum()),
    }


def spellings(values: pd.Series, patient: pd.Series) -> dict[str, Any]:
    """How often each value of a tag occurs.

    Args:
        values: (n,) one per image.
        patient: (n,) whose image it is.

    Returns:
        `different`: how many values there are, `empty`: images without one, `ranks`: images of each value, the
        commonest first, `shown`: value, images and patients of the COMMONEST that FEWEST patients share, `others`:
        values and images of all the rest.
    """
    text = values.astype("string").fillna("").str.strip().reset_index(drop=True)
    said = pd.DataFrame({"value": text, "patient": patient})[text != ""]
    counts = pd.DataFrame(
        {"images": said.groupby("value").size(), "patients": said.groupby("value")["patient"].nunique()}
    )
    counts = counts.reset_index().sort_values(["images", "value"], ascending=[False, True], kind="stable")
    shown = counts[counts["patients"] >= FEWEST].head(COMMONEST)
    others = counts.drop(shown.index)
    return {
        "different": len(counts),
        "empty": int(len(text) - len(said)),
        "ranks": [int(n) for n in counts["images"].head(SIZES)],
        "shown": [{"value": v, "images": int(i), "patients": int(p)} for v, i, p in shown.itertuples(index=False)],
        "others": {"values": len(others), "images": int(others["images"].sum())},
    }


def _with_meaning(told: dict[str, Any], manifest: pd.DataFrame) -> dict[str, Any]:
    """Beside each spelling of the body part that is told, the part that most of its images were resolved to."""
    pairs = manifest[["body_part", "resolved_part"]].fillna("")
    pairs = pairs.assign(body_part=pairs["body_part"].str.strip()).value_counts().reset_index()
    meaning = pairs.drop_duplicates("body_part").set_index("body_part")["resolved_part"]
    return {**told, "shown": [{**one, "resolved": meaning[one["value"]]} for one in told["shown"]]}


def ages(years: pd.Series) -> dict[str, Any]:
    """Images by decade of age (10 is 10 to 19 years), and those without an age."""
    known = years.dropna().to_numpy(float)
    decades = pd.Series(np.floor(known / 10) * 10).value_counts().sort_index()
    return {"decades": {int(d): int(n) for d, n in decades.items()}, "empty": int(len(years) - len(known))}


def carried(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Further columns of the label table: how many different values they have, and how many images none."""
    names = [name for name in manifest if name not in tables.MANIFEST]
    return [
        {
            "column": name,
            "different": int(manifest[name].replace("", pd.NA).nunique()),
            "empty": int((manifest[name].fillna("") == "").sum()),
        }
        for name in names
    ]
