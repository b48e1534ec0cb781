"""What a score is worth as the order of a worklist: the verb `triage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from osteon import files, runs, tables
from osteon.types import Progress, silent
from osteon.verbs.folders import PREDICTIONS, Done

if TYPE_CHECKING:
    from osteon.evaluate.triage import Worklist


def triage(
    predictions: Path,
    out: Path,
    *,
    worklist: Worklist | None = None,
    days: int = 200,
    model: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> Done:
    """Simulate a worklist put in order by a model: `triage.json`, `triage.svg`, `triage.md`.

    Args:
        predictions: a predictions table, or the folder that holds `predictions.parquet`.
        out: folder of the results.
        worklist: the department; None takes the defaults of `osteon.evaluate.triage.Worklist`.
        days: simulated.
        model: which model of the table, if it holds several besides floors.
        seed: of the simulation.
        progress: told of days.

    Raises:
        BadTable, NotFound, TooFewCases: as `osteon.evaluate.outcomes.collect` and `osteon.evaluate.triage.triage`.
    """
    import numpy as np

    from osteon.evaluate import outcomes, triage_figures
    from osteon.evaluate import triage as worklists
    from osteon.evaluate.report import choose_model

    path = predictions / PREDICTIONS if predictions.is_dir() else predictions
    files.must_exist(path, remedy="pass a folder that `osteon train` wrote, or a table of predictions")
    table = outcomes.check(tables.read(path, tables.PREDICTIONS))
    judged = choose_model(table, model or None)
    worklist = worklist or worklists.Worklist()
    arguments = {"predictions": path, "worklist": repr(worklist), "days": days, "model": model}
    with runs.recording("triage", out, arguments, inputs=[predictions], seeds={"seed": seed}) as result:
        cases = outcomes.collect(table, "validation", [judged])
        rng, scores = np.random.default_rng(seed), cases.pooled(judged)
        found = worklists.triage(scores, cases.target, rng, worklist, days=days, progress=progress)
        triage_figures.write(found, out)
        first, by_score, aged = (order["positive"]["median"].value for order in found["orders"])
        result |= {"median_minutes": {"first come": first, "by score": by_score, "by score, with ageing": aged}}
    said = (
        f"Simulated: {found['about']}. Positive images are read after {first:.0f} minutes (median) when the first to "
        f"come is the first to be read, {by_score:.0f} by score, {aged:.0f} by score with ageing. What the others pay "
        f"stands in {out / triage_figures.TABLE}."
    )
    return Done(said, result)
