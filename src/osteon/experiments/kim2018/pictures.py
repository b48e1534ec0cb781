"""The figures of the study, drawn again, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from osteon.drawing import GREEN, INK, LINE, ORANGE, QUIET, drawing
from osteon.evaluate.figures import SQUARE, WIDE, short
from osteon.experiments.kim2018.plan import PUBLISHED
from osteon.learn.log_figures import POINTS, moving_average

LIGHT = "#F2B98C"
"""Of single training batches, as in the study's figure 3; their moving average is black, validation grey."""

AXES = {"accuracy": "accuracy", "error": "error (cross-entropy, nats)"}

CUTS = {"chosen_here": ("o", "cut-off chosen here"), "chosen_elsewhere": ("s", "cut-off chosen elsewhere")}
"""Operating point → marker and label."""

Part = Mapping[str, Any]


def training(curves: pd.DataFrame, figure_of: str, name: str) -> str:
    """Accuracy or error against the iteration: batches light, their 40-point moving average dark, validation grey.

    Args:
        curves: columns `toplayer.CURVES`.
        figure_of: `accuracy` or `error`.
        name: of the figure.
    """
    at, batches = curves["iteration"], curves[f"training_{figure_of}"]
    with drawing(name, WIDE, f"Training and validation {figure_of} against the iteration") as (figure, svg):
        axes = figure.subplots()
        axes.plot(at, batches, color=LIGHT, lw=0.6, label="training, one batch")
        average = moving_average(batches, least=POINTS)
        axes.plot(at, average, color=INK, lw=1.4, label=f"training, mean of {POINTS} points", zorder=4)
        axes.plot(at, curves[f"validation_{figure_of}"], color=QUIET, lw=1.6, label="validation", zorder=3)
        axes.set(xlabel="iteration", ylabel=AXES[figure_of], xlim=(0, at.iloc[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
    return svg.text


def roc(found: Part, name: str) -> str:
    """The empirical points, the binormal fit with its 95 % band, the best floor, and the cut-offs.

    Args:
        found: `final` of a model.
        name: of the figure.
    """
    lines, fitted = found["curves"]["roc"]["lines"], found["curves"]["binormal"]
    model, *floors = lines
    with drawing(name, SQUARE, "Receiver operating characteristic on the final set") as (figure, svg):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=LINE, lw=1)
        if floors:
            _line(axes, lines[floors[0]], color=QUIET, lw=1, ls="--", label=short(f"floor: {_title(found)}"))
        _line(axes, lines[model], color=INK, lw=0.7, alpha=0.6)
        _line(axes, lines[model], color=INK, ls="none", marker="D", ms=3, label="empirical", clip_on=False, zorder=3)
        if not fitted["note"]:
            rate = fitted["false_positive_rate"]
            if fitted["low"][0] is not None:
                axes.fill_between(rate, fitted["low"], fitted["high"], color=GREEN, alpha=0.12, lw=0)
                for end, told in (("low", "95 % band"), ("high", "")):
                    axes.plot(rate, fitted[end], color=GREEN, lw=0.9, ls=":", label=told)
            axes.plot(rate, fitted["sensitivity"], color=GREEN, lw=1.8, label="binormal fit")
        for key, (marker, told) in CUTS.items():
            if found[key]:
                _point(axes, found[key], marker=marker, mfc="white", mec=ORANGE, mew=1.6, ms=7, label=told)
        published = {rate: {"value": PUBLISHED[rate]} for rate in ("sensitivity", "specificity")}
        _point(axes, published, marker="x", color=QUIET, mew=1.6, ms=7, label="the study's")
        axes.set(xlabel="1 − specificity (false alarms)", ylabel="sensitivity (fractures seen)")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(loc="lower right")
    return svg.text


def _line(axes: Axes, line: Part, **style: Any) -> None:
    axes.plot(line["false_positive_rate"], line["sensitivity"], **style)


def _point(axes: Axes, at: Part, **style: Any) -> None:
    x, y = 1 - at["specificity"]["value"], at["sensitivity"]["value"]
    axes.plot(x, y, ls="none", clip_on=False, zorder=5, **style)


def _title(found: Part) -> str:
    return str(found["discrimination"]["best_floor"]["title"])
