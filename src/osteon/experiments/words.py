"""Figures of report.json in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.evaluate.words import number

Figure = Mapping[str, Any]


def interval(figure: Figure, digits: int = 3) -> str:
    """0.812 (0.790 to 0.834), in words where there is no figure."""
    if figure["value"] is None:
        return "not available"
    value = number(figure["value"], digits)
    if figure["low"] is None:
        return f"{value} (no interval)"
    return f"{value} ({number(figure['low'], digits)} to {number(figure['high'], digits)})"


def above(gain: Figure) -> bool:
    """Whether the whole interval lies above 0."""
    return gain["low"] is not None and gain["low"] > 0


def first_cautions(report: Mapping[str, Any], small: str) -> list[str]:
    """What any experiment says before its figures; `small` is what networks see of the data at the small scale."""
    told = []
    if report["phantom"]:
        told.append("The data are simulated. No figure here says anything about patients.")
    if report["scale"] == "small":
        told.append(
            f"This is the small scale: it shows that every stage runs. {small}, and no figure here is worth comparing "
            "with the study's."
        )
    return told
