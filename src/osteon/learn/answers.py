"""What bundles that answer yes or no have in common: a calibration and cut-offs, checked, read back and told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from osteon.errors import unknown_name
from osteon.tasks import TASKS
from osteon.types import Calibration


def check(task: str, calibration: Calibration, thresholds: Mapping[str, float], operating_point: str) -> None:
    """Nothing, if a bundle may answer so.

    Raises:
        UnknownName: for another task, or an operating point without a cut-off.
        ValueError: for a cut-off or calibration that is no finite number.
    """
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    if operating_point not in thresholds:
        raise unknown_name("operating point", operating_point, thresholds)
    if not all(map(math.isfinite, (*thresholds.values(), calibration.slope, calibration.intercept))):
        raise ValueError("a threshold or the calibration is not a finite number")


def to_json(calibration: Calibration, thresholds: Mapping[str, float], operating_point: str) -> dict[str, Any]:
    """What `from_json` takes."""
    return {
        "calibration": asdict(calibration),
        "thresholds": dict(thresholds),
        "operating_point": operating_point,
    }


def from_json(content: Mapping[str, Any]) -> tuple[Calibration, dict[str, float], str]:
    """Calibration, cut-offs and operating point, from among what a `bundle.json` holds.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if they are not there.
    """
    fitted = content["calibration"]
    calibration = Calibration(
        slope=float(fitted["slope"]),
        intercept=float(fitted["intercept"]),
        n=int(fitted["n"]),
        prevalence=float(fitted["prevalence"]),
        note=str(fitted["note"]),
    )
    cuts = {str(name): float(cut) for name, cut in content["thresholds"].items()}
    return calibration, cuts, str(content["operating_point"])


def calibration_note(task: str, fitted: Calibration) -> str:
    """How far a calibrated probability may be trusted, for people."""
    note = f" {fitted.note.rstrip('.').capitalize()}." if fitted.note else ""
    return (
        f"Calibrated on {fitted.n} images, {fitted.prevalence:.0%} of them with the finding “{TASKS[task].positive}”; "
        f"where the finding is rarer or more common, or the images differ, the probability is off.{note}"
    )


def cut_offs(thresholds: Mapping[str, float], operating_point: str) -> str:
    """The cut-offs as a Markdown table, the one that decides marked."""
    rows = [f"| {name}{' (used)' if name == operating_point else ''} | {cut:.4f} |" for name, cut in thresholds.items()]
    return "\n".join(["| operating point | cut-off on the probability |", "|---|---|", *rows])
