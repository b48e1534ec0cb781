"""The report: all figures of a predictions table as one dictionary, and that dictionary as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon import __version__, files, tables
from osteon.errors import BadTable, TooFewCases, UnknownName, unknown_name
from osteon.evaluate import judge, outcomes, per_study, subgroups, three_way, thresholds
from osteon.evaluate.cautions import RULES, cautions
from osteon.evaluate.conformal import ERROR_RATE
from osteon.evaluate.curves import curves
from osteon.evaluate.intervals import LEVEL, RESAMPLES, draw
from osteon.evaluate.judge_places import judge_places
from osteon.evaluate.learned_answers import judge_learned
from osteon.evaluate.outcomes import PARTS, Outcomes
from osteon.evaluate.page import page
from osteon.evaluate.places import PlaceTables, must_agree
from osteon.evaluate.prevalence import at_prevalences
from osteon.evaluate.words import PHANTOM, sentence
from osteon.tasks import FRACTURE, Task
from osteon.types import Progress, silent

DIGITS = 6  # of every figure in the report: far below any interval, and above the last bits that machines disagree on
SUBGROUP_POINT = "youden"
JSON, HTML = "report.json", "report.html"


# One keyword for each choice that a reader of the report may ask about; none of them is needed.
def evaluate(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame | None = None,
    *,
    seed: int,
    model: str | None = None,
    places: PlaceTables | None = None,
    learned: pd.DataFrame | str | None = None,
    prevalence: float | None = None,
    error_rate: float = ERROR_RATE,
    openings: int = 0,
    phantom: bool | None = None,
    task: Task = FRACTURE,
    resamples: int = RESAMPLES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge one model against the floors of the same table.

    Args:
        predictions: columns as `osteon.tables.PREDICTIONS`; models whose names start with `floor:` are the floors.
        manifest: columns as `osteon.tables.MANIFEST`; without it there are no subgroups.
        seed: of the bootstrap. Same table, same seed: same report, byte for byte.
        model: the model to judge; by default the only one that is no floor.
        places: where the finding lies and where the model says it does; without them there are no figures on that.
        learned: three answers that were learnt (`osteon.tables.THREE_ANSWERS`), or why there are none although people
            called images inconclusive; None leaves them out of the report.
        prevalence: between 0 and 1, the share of positives for which predictive values and probabilities are wanted.
        error_rate: between 0 and 1, the share of each class that the three answers may get wrong.
        openings: how often the sealed test set has been opened, this time included.
        phantom: whether the data are simulated; by default what `is_phantom` says of the manifest.
        task: names the finding.
        resamples: bootstrap samples.
        progress: called after each of five stages.

    Returns:
        What report.json holds: plain dictionaries, lists, text and numbers; a figure is value, low, high, n and note,
        None where it is not defined.

    Raises:
        BadTable, Leak, TooFewCases: as `osteon.evaluate.outcomes.check` and `collect`, and as those of
            `osteon.evaluate.places`.
        UnknownName: if the table holds no such model, or several and none was named.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise BadTable(f"a prevalence of {prevalence} is not between 0 and 1", remedy="give it as a share, e.g. 0.15")
    if not 0 < error_rate < 1:
        raise BadTable(f"an error rate of {error_rate} is not between 0 and 1", remedy="give it as a share, e.g. 0.1")
    table = outcomes.check(predictions)
    judged = choose_model(table, model)
    simulated = is_phantom(manifest) if phantom is None else phantom
    rng = np.random.default_rng(seed)
    if places is not None:
        must_agree(places, table)
    context = {
        "part": "validation",
        "manifest": manifest,
        "places": places,
        "prevalence": prevalence,
        "error_rate": error_rate,
        "resamples": resamples,
        "seed": seed,
        "chosen_on": None,
    }
    validation = outcomes.collect(table, "validation", [judged, *floors_of(table, "validation")])
    cut, points = _validation_cuts(validation, judged)
    progress(1, 5)
    first = _judge(validation, judged, points, cut, context, rng)
    if learned is not None:
        first["three_way"]["learned"] = _learned(learned, seed, resamples, error_rate)
    progress(3, 5)
    test = _test(table, judged, cut, openings, {**context, "part": "test", "chosen_on": validation}, rng)
    if test["state"] == "opened":
        test["sentence"] = sentence(test["discrimination"], task, simulated)
    progress(4, 5)
    report = {
        "title": f"Evaluation of {judged}",
        "model": judged,
        "task": {"name": task.name, "positive": task.positive, "negative": task.negative},
        "phantom": simulated,
        "label": PHANTOM if simulated else "",
        "sentence": sentence(first["discrimination"], task, simulated),
        "cautions": cautions(first, phantom=simulated, openings=openings),
        "rules": RULES,
        "settings": {
            "seed": seed,
            "resamples": resamples,
            "level": LEVEL,
            "prevalence": prevalence,
            "error_rate": error_rate,
            "osteon": __version__,
            "subgroup_operating_point": SUBGROUP_POINT,
        },
        "operating_points": thresholds.OPERATING_POINTS,
        "validation": first,
        "test": test,
    }
    progress(5, 5)
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


def is_phantom(manifest: pd.DataFrame | None) -> bool:
    """Whether any image comes from a device that calls itself a phantom: 'phantom' in manufacturer or model."""
    if manifest is None or "device" not in manifest:
        return False
    return bool(manifest["device"].astype("string").str.contains("phantom", case=False, na=False).any())


def plain(content: Any) -> Any:
    """`content` as JSON can hold it: arrays as lists, figures as dictionaries, six digits, and None for NaN."""
    if is_dataclass(content) and not isinstance(content, type):
        return plain(asdict(content))
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, np.ndarray):
        return plain(content.tolist())
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, float):
        return round(content, DIGITS) + 0.0 if np.isfinite(content) else None  # + 0.0 turns -0.0 into 0.0
    return content


def choose_model(table: pd.DataFrame, model: str | None) -> str:
    """The model of a table that is to be judged: the one that was named, or the only one that is no floor.

    Raises:
        UnknownName: if the table holds no such model, or several and none was named.
        TooFewCases: if it holds floors alone.
    """
    names = sorted(str(m) for m in table["model"].unique())
    candidates = [name for name in names if not name.startswith(tables.FLOOR)]
    if model is not None:
        if model not in names:
            raise unknown_name("model in the predictions table", model, names)
        return model
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise TooFewCases(
            "the predictions table holds floors alone", remedy=f"name the one to judge: {', '.join(names)}"
        )
    raise UnknownName(
        f"the predictions table holds {len(candidates)} models",
        remedy=f"name the one to judge: {', '.join(candidates)}",
    )


def floors_of(table: pd.DataFrame, part: str) -> list[str]:
    """The floors of a part, by name."""
    names = table.loc[table["part"] == part, "model"].unique()
    return sorted(str(name) for name in names if str(name).startswith(tables.FLOOR))


def _validation_cuts(cases: Outcomes, model: str) -> tuple[dict[str, float], dict[str, Any]]:
    """The cut-offs chosen on all validation cases, and the cross-fitted ones by which these cases are judged."""
    values = cases.pooled(model)
    cut = thresholds.choose(values, cases.target)
    try:
        return cut, {"cuts": thresholds.cross_fitted(values, cases.target, cases.fold), "reason": ""}
    except TooFewCases as error:
        return cut, {"cuts": None, "reason": error.message}


def _judge(
    cases: Outcomes,
    model: str,
    points: Mapping[str, Any],
    cut: Mapping[str, float],
    context: Mapping[str, Any],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """All figures of one part."""
    resamples = draw(cases.group, cases.fold, cases.target, rng, resamples=context["resamples"])
    floors = [name for name in cases.scores if name != model]
    cuts, manifest = points["cuts"], context["manifest"]
    called = None if cuts is None else cases.pooled(model) >= cuts[SUBGROUP_POINT]
    labels = {} if manifest is None else subgroups.labels_of(manifest, cases.name)
    found = judge.discrimination(cases, model, floors, resamples)
    elsewhere = [] if context["prevalence"] is None else [context["prevalence"]]
    return {
        "cases": judge.cases_of(cases, resamples),
        "discrimination": found,
        "calibration": judge.calibration_of(cases, model, resamples),
        "operating_points": {
            "reason": points["reason"],
            "rows": []
            if cuts is None
            else judge.operating_points(cases, model, cuts, resamples, context["prevalence"]),
        },
        "cut": dict(cut),
        "at_prevalence": at_prevalences(cases, model, elsewhere, resamples, called=called),
        "three_way": three_way.judge_three_way(
            cases,
            model,
            resamples,
            labels=labels,
            chosen_on=context["chosen_on"],
            error_rate=context["error_rate"],
        ),
        "curves": curves(cases, model, [line["model"] for line in found["floors"]], resamples),
        "subgroups": subgroups.judge(cases, model, labels, called, resamples),
        "per_study": per_study.judge_studies(
            cases,
            model,
            rng,
            resamples=context["resamples"],
            chosen_on=context["chosen_on"],
            manifest=manifest,
        ),
        "places": _places(context),
    }


def _learned(learned: pd.DataFrame | str, seed: int, resamples: int, error_rate: float) -> dict[str, Any]:
    """Three answers that were learnt, judged; or the reason why there are none."""
    if isinstance(learned, str):
        return {"reason": learned, "rows": []}
    # A generator of its own, as for places: with them or without, all other figures of the report are the same.
    rng = np.random.default_rng([seed, len(PARTS)])
    return judge_learned(learned, rng, resamples=resamples, error_rate=error_rate)


def _places(context: Mapping[str, Any]) -> dict[str, Any]:
    """Where the model looks, or the reason why that is not known."""
    if context["places"] is None:
        return {"reason": "no boxes were given"}
    # A generator of its own: with boxes or without them, all other figures of the report are the same.
    rng = np.random.default_rng([context["seed"], PARTS.index(context["part"])])
    try:
        found = judge_places(context["places"], context["part"], rng=rng, resamples=context["resamples"])
    except TooFewCases as error:
        return {"reason": error.message}
    return {"reason": "", **found}


def _test(
    table: pd.DataFrame,
    model: str,
    cut: Mapping[str, float],
    openings: int,
    context: Mapping[str, Any],
    rng: np.random.Generator,
) -> dict[str, Any]:
    rows = table[(table["part"] == "test") & (table["model"] == model)]
    if rows.empty:
        return {"state": "absent", "openings": openings}
    if outcomes.is_sealed(table):
        return {"state": "sealed", "openings": openings, "images": len(rows)}
    cases = outcomes.collect(table, "test", [model, *floors_of(table, "test")])
    cuts = {name: np.full(len(cases.name), value) for name, value in cut.items()}
    judged = _judge(cases, model, {"cuts": cuts, "reason": ""}, cut, context, rng)
    return {"state": "opened", "openings": openings, **judged}
