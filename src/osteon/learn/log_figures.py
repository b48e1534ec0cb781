"""The curves of a training run as SVG text: what every step noted, thin, and its moving average, bold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike, NDArray

from osteon.drawing import BLUE, GREY_BLUE, ORANGE, drawing
from osteon.learn.objectives import Epoch

POINTS = 40
"""Of the moving average of Kim and MacKinnon 2018, figure 3."""


def moving_average(values: ArrayLike, points: int = POINTS, *, least: int = 1) -> NDArray[np.float64]:
    """Mean (n,) of each of the values (n,) and those before it, `points` together, or as many as there are so far.

    Args:
        values: (n,), in order.
        points: so many together.
        least: where there are not yet so many, NaN.
    """
    series = pd.Series(np.asarray(values, np.float64))
    return np.asarray(series.rolling(points, min_periods=least).mean(), np.float64)


def run_curves(name: str, log: pd.DataFrame, epochs: Sequence[Epoch], *, points: int = POINTS) -> str:
    """A run at a glance: its loss with the held-out loss after every epoch, its gradients and its learning rate.

    Args:
        name: salts the ids of the figure.
        log: as `logs.read_log` reads it.
        epochs: those of `train.Fitted`.
        points: of the moving averages.
    """
    ends = log.groupby("epoch")["step"].max()
    held_out = [epochs[number - 1].held_out for number in ends.index]
    with drawing(name, (5.0, 6.0), "Loss, gradient length and learning rate over the steps") as (figure, svg):
        loss, gradient, rate = figure.subplots(3, 1, height_ratios=(3, 1, 1), sharex=True)
        _smoothed(loss, log["step"], log["loss"], ORANGE, f"training, mean of {points} steps", points)
        loss.plot(ends.to_numpy(), held_out, "o-", color=BLUE, lw=1.4, ms=3.5, label="held out")
        loss.set_ylabel("loss")
        loss.legend(loc="best")
        _smoothed(gradient, log["step"], log["gradient_norm"], GREY_BLUE, "", points)
        gradient.set(ylabel="gradient length", yscale="log")
        gradient.yaxis.set_major_formatter(FuncFormatter(lambda length, _: f"{length:g}"))
        gradient.yaxis.set_minor_formatter(NullFormatter())
        rate.plot(log["step"], log["learning_rate"], color=GREY_BLUE, lw=1.4)
        rate.set(xlabel="step", ylabel="learning rate")
        rate.set_ylim(bottom=0)
    return svg.text


def _smoothed(axes: Axes, steps: ArrayLike, values: ArrayLike, colour: str, legend: str, points: int) -> None:
    axes.plot(steps, values, color=colour, lw=0.6, alpha=0.35)
    axes.plot(steps, moving_average(values, points), color=colour, lw=1.8, label=legend)
