"""The same figures within parts of the cases, and how many of each part are positive: where a shortcut shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.errors import BadTable
from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, estimate, independent_pairs, point
from osteon.evaluate.metrics import Floats
from osteon.evaluate.outcomes import Outcomes
from osteon.tasks import ANSWERS
from osteon.types import Estimate

KNOWN = {
    "view": "View",
    "laterality": "Side",
    "body_part": "Body part",
    "sex": "Sex",
    "age_years": "Age",
    "device": "Device",
}
"""Columns of every manifest that make subgroups, with their titles."""

AGES = {10: "0 to 9", 18: "10 to 17", 40: "18 to 39", 65: "40 to 64", 200: "65 and over"}
MOST_VALUES = 12
LEAST_EACH = 5  # images for each value on average; below it, a column of a small cohort names its patients
UNKNOWN, OTHER = "not stated", "other"

Labels = NDArray[np.object_]


def labels_of(manifest: pd.DataFrame, images: NDArray[np.str_]) -> dict[str, Labels]:
    """Subgroup of each image: title → (n,) labels, for every column that tells some of the images apart.

    Taken are the columns of KNOWN, age in bands, and any column beyond `osteon.tables.MANIFEST` with 2 to 12 values
    that hold 5 images on average, but not the label itself. A known column with more than 12 values keeps its 11
    largest, the others become 'other'.

    Raises:
        BadTable: if the manifest lacks images of the predictions, or holds one twice.
    """
    table = manifest.assign(image=manifest["image"].astype(str)).drop_duplicates("image").set_index("image")
    if len(table) < len(manifest):
        raise BadTable("the manifest holds an image for a second time", remedy="one row per image")
    absent = ~pd.Index(images).isin(table.index)
    if absent.any():
        raise BadTable(
            f"{int(absent.sum())} of {len(images)} predicted images are not in the manifest",
            remedy="pass the manifest that the predictions were made from, or none",
        )
    rows = table.loc[images]
    found = {}
    for column, title in KNOWN.items():
        if column in rows:
            found[title] = _ages(rows[column]) if column == "age_years" else _largest(_text(rows[column]))
    for column in (str(c) for c in rows if c not in tables.MANIFEST and c not in ANSWERS):
        values = _text(rows[column])
        if values.nunique() <= min(MOST_VALUES, max(2, len(values) // LEAST_EACH)):
            found[column.replace("_", " ").capitalize()] = values
    return {title: values.to_numpy(object) for title, values in found.items() if values.nunique() > 1}


def judge(
    outcomes: Outcomes, model: str, labels: Mapping[str, Labels], called: NDArray[np.bool_] | None, resamples: Resamples
) -> list[dict[str, Any]]:
    """One row per subgroup: size, share of positives, AUROC of the pooled cases, sensitivity and specificity.

    `added` is what the subgroup adds to the AUROC of all: that of all cases less that of all others, paired. To
    leave out the images with osteosynthesis hardware is the comparison of de Cid 2021 (section 6.3).

    Args:
        outcomes: all cases.
        model: the model judged.
        labels: from `labels_of`, in the order of the outcomes.
        called: (n,) whether each case was called positive at the operating point; None if there is none.
        resamples: those of all cases. Resamples that leave a subgroup one class are skipped, and the note counts them.
    """
    rows = []
    of_all = _auroc(outcomes, model, np.arange(len(outcomes.target)), resamples)
    for title, values in labels.items():
        for value in sorted(set(values), key=lambda v: (v in (UNKNOWN, OTHER), _natural(v))):
            member = np.flatnonzero(values == value)
            row = {"column": title, "value": value, **_figures(outcomes, model, member, called, resamples)}
            rows.append({**row, "added": _added(outcomes, model, values != value, of_all, resamples)})
    return rows


def _auroc(outcomes: Outcomes, model: str, member: NDArray[np.intp], resamples: Resamples) -> tuple[float, Floats]:
    """The AUROC of some of the pooled cases, and of the same in every bootstrap sample."""
    ranked = metrics.rank(outcomes.pooled(model)[member], outcomes.target[member])

    def statistic(weights: Floats) -> Floats:
        return metrics.auroc_of(ranked, weights[:, member])

    return float(point(statistic, len(outcomes.target))), bootstrap(statistic, resamples)


def _added(
    outcomes: Outcomes, model: str, other: NDArray[np.bool_], of_all: tuple[float, Floats], resamples: Resamples
) -> Estimate:
    """The AUROC of all cases less that of the others."""
    rest = np.flatnonzero(other)
    target = outcomes.target[rest]
    value, samples = _auroc(outcomes, model, rest, resamples)
    pairs = independent_pairs(outcomes.group[rest], np.zeros(len(rest), int), target)
    note = "the others are of one class" if target.all() or not target.any() else ""
    return estimate(of_all[0] - value, of_all[1] - samples, len(outcomes.target), trials=pairs, note=note)


def _figures(
    outcomes: Outcomes, model: str, member: NDArray[np.intp], called: NDArray[np.bool_] | None, resamples: Resamples
) -> dict[str, Any]:
    target, group, n = outcomes.target[member], outcomes.group[member], len(member)
    elsewhere = np.delete(outcomes.target, member)
    ranked = metrics.rank(outcomes.pooled(model)[member], target)

    def statistic(weights: Floats) -> Floats:
        inside = weights[:, member]
        columns = [metrics.auroc_of(ranked, inside)]
        if called is not None:
            rates = metrics.rates_of(called[member], target, inside)
            columns += [rates["sensitivity"], rates["specificity"]]
        return np.stack(columns, axis=1)

    values, samples = point(statistic, len(outcomes.target)), bootstrap(statistic, resamples)
    one_class = "one class only" if target.all() or not target.any() else ""
    pairs = independent_pairs(group, np.zeros(n, int), target)
    sick, well = len(np.unique(group[target])), len(np.unique(group[~target]))
    row: dict[str, Any] = {
        "n": n,
        "groups": len(np.unique(group)),
        "positives": int(target.sum()),
        "prevalence": float(target.mean()),
        "prevalence_elsewhere": float(elsewhere.mean()),
        "auroc": estimate(float(values[0]), samples[:, 0], n, trials=pairs, note=one_class),
    }
    if called is not None:
        for name, i, trials, cases in (("sensitivity", 1, sick, target), ("specificity", 2, well, ~target)):
            row[name] = estimate(float(values[i]), samples[:, i], int(cases.sum()), trials=trials)
    return row


def _text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return values.map(lambda v: f"{v:g}", na_action="ignore").astype(object).fillna(UNKNOWN)
    return values.astype(object).where(values.notna(), UNKNOWN).astype(str).str.strip().replace("", UNKNOWN)


def _largest(values: pd.Series) -> pd.Series:
    if values.nunique() <= MOST_VALUES:
        return values
    counts = values.value_counts().rename_axis("value").reset_index(name="n")
    kept = counts.sort_values(["n", "value"], ascending=[False, True])["value"].head(MOST_VALUES - 1)
    return values.where(values.isin(kept), OTHER)


def _ages(years: pd.Series) -> pd.Series:
    bands = pd.cut(
        years.astype("Float64").to_numpy(float, na_value=np.nan), [0, *AGES], right=False, labels=[*AGES.values()]
    )
    return pd.Series(bands, index=years.index).astype(object).fillna(UNKNOWN)


def _natural(value: str) -> tuple[float, str]:
    head = value.split(" ")[0]
    return (float(head), value) if head.replace(".", "", 1).isdigit() else (float("inf"), value)
