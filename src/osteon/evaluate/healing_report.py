"""The report on the healing score: all figures of a table of grades as one dictionary, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon import __version__, files
from osteon.evaluate import eighteen, graded, healing
from osteon.evaluate.graded import Graded
from osteon.evaluate.healing_page import page
from osteon.evaluate.healing_words import RULES, cautions, sentence
from osteon.evaluate.intervals import LEVEL, RESAMPLES, draw
from osteon.evaluate.report import HTML, JSON, choose_model, floors_of, plain
from osteon.evaluate.words import PHANTOM
from osteon.tasks.rust import Score
from osteon.types import Progress, silent


# One keyword for each choice that a reader of the report may ask about; none of them is needed.
def evaluate(
    predictions: pd.DataFrame,
    *,
    seed: int,
    model: str | None = None,
    score: Score | None = None,
    openings: int = 0,
    phantom: bool = False,
    rater: str = "",
    resamples: int = RESAMPLES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge one model's grades against the floors of the same table.

    Args:
        predictions: columns as `osteon.tables.GRADES`; models whose names start with `floor:` are the floors.
        seed: of the bootstrap. Same table, same seed: same report, byte for byte.
        model: the model to judge; by default the only one that is no floor.
        score: with its threshold of 'united'; by default RUST where no row has a probability of grade 4, else
            modified RUST, both with their default thresholds.
        openings: how often the sealed test set has been opened, this time included.
        phantom: whether the data are simulated.
        rater: who gave the grades that count as right here, in words, such as "one simulated rater".
        resamples: bootstrap samples.
        progress: called after each of four stages of a part.

    Returns:
        What report.json holds: plain dictionaries, lists, text and numbers; a figure is value, low, high, n and note,
        None where it is not defined.

    Raises:
        BadTable, Leak, TooFewCases: as `osteon.evaluate.graded.check` and `collect`; also BadTable for a score with
            other grades than the table's.
        UnknownName: if the table holds no such model, or several and none was named.
    """
    table = graded.check(predictions)
    judged = choose_model(table, model)
    rng = np.random.default_rng(seed)
    stages = count(1)

    def told() -> None:
        progress(next(stages), 8)

    def part(name: str) -> dict[str, Any]:
        cells = graded.rescored(graded.collect(table, name, [judged, *floors_of(table, name)]), score)
        return _judge(cells, judged, rng, resamples, told)

    validation = part("validation")
    test = _test(table, judged, openings)
    if test["state"] == "opened":
        test |= part("test")
    used = graded.score_of(table) if score is None else score
    report = {
        "title": f"Healing score: evaluation of {judged}",
        "model": judged,
        "score": {"name": used.name, "grades": used.grades, "united": used.united, "highest": used.highest},
        "rater": rater or "the rater of the table",
        "phantom": phantom,
        "label": PHANTOM if phantom else "",
        "sentence": sentence(validation, used, phantom=phantom),
        "cautions": cautions(validation, phantom=phantom, openings=openings),
        "rules": RULES,
        "humans": {"low": healing.BAND[0], "high": healing.BAND[1], "studies": healing.HUMANS},
        "settings": {
            "seed": seed,
            "resamples": resamples,
            "resamples_of_18_labels": min(resamples, eighteen.RESAMPLES),
            "level": LEVEL,
            "osteon": __version__,
        },
        "validation": validation,
        "test": test,
    }
    if test["state"] == "opened":
        test["sentence"] = sentence(test, used, phantom=phantom)
    progress(8, 8)
    plain_report: dict[str, Any] = plain(report)
    return plain_report


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json` and `report.html` into a folder: the figures, and one self-contained page that shows them.

    Raises:
        CannotWrite: if the folder cannot be written; earlier reports are then as they were.
    """
    text = page(report)
    with files.replacing(folder / HTML) as temporary:
        temporary.write_text(text, encoding="utf-8")
        files.write_json(folder / JSON, report)  # inside: if it fails, the page of the earlier report stays too


def _judge(
    cells: Graded, model: str, rng: np.random.Generator, resamples: int, told: Callable[[], None]
) -> dict[str, Any]:
    """All figures of one part."""
    nothing = np.zeros(len(cells.group), bool)  # no class whose loss would mean drawing again: losses are skipped
    sample = draw(cells.group, cells.fold, nothing, rng, resamples=resamples)
    models = list(cells.grades)
    cases = {
        "images": int(cells.image.max()) + 1,
        "visits": int(cells.visit.max()) + 1,
        "groups": cells.groups,
        "folds": cells.folds,
        "graded": int(cells.graded.sum()),
        "not_scoreable": int((cells.target == 0).sum()),
        "missing": int((cells.target < 0).sum()),
        "resamples": resamples,
    }
    told()
    found = healing.cortices(cells, models, sample)
    told()
    whole = healing.visits(cells, models, sample)
    told()
    labels = healing.published(cells, model, sample)
    told()
    return {"cases": cases, **found, "totals": whole, "eighteen": labels}


def _test(table: pd.DataFrame, model: str, openings: int) -> dict[str, Any]:
    rows = table[(table["part"] == "test") & (table["model"] == model)]
    if rows.empty:
        return {"state": "absent", "openings": openings}
    state = "sealed" if graded.is_sealed(table) else "opened"
    return {"state": state, "openings": openings, "images": int(rows["image"].nunique())}
