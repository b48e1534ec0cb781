"""Drift in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from osteon.evaluate.words import number as with_minus

NAMES = {"classifier": "images (classifier)", "discrepancy": "images (distance)"}
"""Comparisons of embeddings, as readers see them; all others go by their own name."""


def name_of(row: Mapping[str, Any]) -> str:
    """What is compared, for a table or a figure."""
    return NAMES.get(str(row["kind"]), str(row["name"]).replace("_", " "))


def sentence(told: Mapping[str, Any]) -> str:
    """What all comparisons together say, and how far that goes."""
    new, reference = (f"{s['images']} images ({s['patients']} patients)" for s in (told["new"], told["reference"]))
    if not told["rows"]:
        reasons = dict.fromkeys(each["reason"] for each in told["missing"])
        return f"Not available: {'; '.join(reasons) or 'there is nothing to compare'}."
    number = told["comparisons"]
    made = f"{number} comparison{'s' * (number != 1)} of new studies, {new}, with the reference, {reference}"
    rarely = f"Where nothing drifts, {100 * told['level']:.3g} % of such audits raise an alarm at most."
    if not told["found"]:
        return f"No drift found in {made}. {rarely[:-1]}; what is small beside its interval may have been missed."
    drifted = [row for row in told["rows"] if row["found"]]
    names = [f"{name_of(row)} ({row['size']})" if row["size"] else name_of(row) for row in drifted]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Drift in {len(names)} of {made}: {listed}. {rarely}"


def told_of(row: Mapping[str, Any]) -> str:
    """What one comparison says."""
    if row["kind"] == "classifier":
        return (
            f"A classifier ranks a new image above one of the reference {100 * row['observed']:.0f} times out of 100; "
            f"chance stays below {100 * row['chance']:.0f}."
        )
    if row["kind"] == "discrepancy":
        times = row["observed"] / row["chance"] if row["chance"] > 0 else float("nan")
        beside = f"{times:.1f} times the limit of chance" if times >= 0.05 else "no more than chance"
        return f"The squared distance between the two clouds of images is {beside}."
    if row["middle"] is not None and np.isfinite(row["middle"]).all():
        before, after = (f"{value:.3g}" for value in row["middle"])
        if before != after:
            return f"Median {after.replace('-', '−')} and {before.replace('-', '−')} in the reference."
    # The bin that adds most to the index: far apart, and far apart in proportion.
    most = max(row["bins"], key=lambda b: abs(b["new"] - b["reference"]))
    what = f"“{most['label']}”" if row["middle"] is None else f"values {most['label']}"
    return f"{what[0].upper()}{what[1:]}: {share(most['new'])}, and {share(most['reference'])} in the reference."


def share(value: float) -> str:
    """0.171 as 17 %, and small shares with a digit more."""
    percent = 100 * value
    return f"{with_minus(percent, 1 if 0 < percent < 10 else 0)} %"
