"""Figures in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.tasks import Task
from osteon.types import Estimate

PHANTOM = "phantom figure, not clinical"
TOO_GOOD = 0.99


def sentence(figures: Mapping[str, Any], task: Task, phantom: bool) -> str:
    """The result in plain words: how often a pair is ranked rightly, the interval, the best floor and the gain over it.

    Args:
        figures: the `discrimination` of a part.
        task: names the finding.
        phantom: whether the data are simulated.
    """
    auroc: Estimate = figures["auroc"]
    digits = 3 if auroc.value > TOO_GOOD else 2
    folds = figures["folds_counted"]
    mean = f", mean of {folds} folds" if folds > 1 else ""
    rightly = f"{auroc.value * 100:.{digits - 2}f}".removesuffix(".0")
    opening = f"{PHANTOM[0].upper()}{PHANTOM[1:]}. " if phantom else ""
    told = (
        f"{opening}The model ranks an image with {task.positive} above one without it "
        f"{rightly} times out of 100 (AUROC {_interval(auroc, digits)}{mean})."
    )
    best = figures["best_floor"]
    if best is None:
        return f"{told} Floor not available: how much of this could be had without reading the image is not known."
    return (
        f"{told} The best floor, {best['title']}, reaches {best['auroc'].value:.{digits}f}; "
        f"the gain over it is {_interval(figures['gain'], digits, named=False)}."
    )


def _interval(figure: Estimate, digits: int, *, named: bool = True) -> str:
    value = number(figure.value, digits)
    if not figure.low <= figure.high:  # NaN compares as false
        return f"{value}, no interval"
    ends = f"{number(figure.low, digits)} to {number(figure.high, digits)}"
    return f"{value}, 95 % interval {ends}" if named else f"{value} ({ends})"


def number(value: float, digits: int) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")
