"""What a model is worth: the verb `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs, tables
from osteon.errors import BadTable, NotFound
from osteon.types import Progress, silent
from osteon.verbs.doubting import THREE_ANSWERS
from osteon.verbs.folders import OPENINGS, PREDICTIONS, SEALED, Done, manifest_of

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    predictions: Path,
    out: Path,
    *,
    manifest: Path | None = None,
    unseal: bool = False,
    prevalence: float | None = None,
    model: str = "",
    places: Path | None = None,
    error_rate: float = 0.1,
    seed: int = 0,
    progress: Progress = silent,
) -> Done:
    """Judge predictions, whoever made them: `report.json` and `report.html`.

    Args:
        predictions: a predictions table, or the folder that holds `predictions.parquet`.
        out: folder of the report.
        manifest: what `split` wrote, for subgroups and for the sealed targets.
        unseal: open the sealed test set; when, and for which predictions, is written beside it, in `openings.json`.
        prevalence: for predictive values, as a share.
        model: which model of the table, if it holds several besides floors.
        places: folder of tables (`osteon.evaluate.places.FILES`): where findings lie, and where the model says so.
        error_rate: that the three answers (positive, inconclusive, negative) may have, as a share of each class.
        seed: of the bootstrap.
        progress: told of stages done.
    """
    path = predictions / PREDICTIONS if predictions.is_dir() else predictions
    files.must_exist(path, remedy="pass a folder that `osteon train` wrote, or a table of predictions")
    graded = tables.is_graded(path)
    table = tables.read(path, tables.GRADES if graded else tables.PREDICTIONS)
    if graded and prevalence is not None:
        raise BadTable("grades have no prevalence", remedy="leave --prevalence out")
    if graded and places is not None:
        raise BadTable("grades have no places", remedy="leave --places out")
    cases = manifest_of(manifest, "split") if manifest else None
    learned = None if graded else _learned(path.parent)
    arguments = {"predictions": path, "manifest": manifest, "unseal": unseal, "prevalence": prevalence, "model": model}
    arguments |= {"places": places, "error_rate": error_rate}
    inputs = [folder for folder in (predictions, manifest, places) if folder]
    with runs.recording("evaluate", out, arguments, inputs=inputs, seeds={"seed": seed}) as result:
        if unseal:
            if manifest is None:
                raise BadTable("the sealed targets lie with the split", remedy="pass --manifest with --unseal")
            table = _opened(manifest, table, by=path)
        context = _Context(
            seed,
            model or None,
            len(_openings(manifest)),
            _phantom(path.parent, cases),
            progress,
            places,
            error_rate,
            learned,
        )
        if graded:
            content, figures = _judge_grades(table, context, out)
        else:
            content, figures = _judge(table, cases, prevalence, context, out)
        result |= {"sentence": content["sentence"], "model": content["model"], "phantom": content["phantom"]}
        result |= {**figures, "openings": context.openings}
    said = [content["sentence"]]
    if content["test"]["state"] == "opened":
        said.append(f"{_which_test(result['openings'])}: {content['test']['sentence']}")
    return Done("\n".join(said), result)


@dataclass(frozen=True)
class _Context:
    """What a report needs to know besides the table."""

    seed: int
    model: str | None
    openings: int
    phantom: bool
    progress: Progress
    places: Path | None = None
    error_rate: float = 0.1
    learned: pd.DataFrame | str | None = None


def _judge(
    table: pd.DataFrame, cases: pd.DataFrame | None, prevalence: float | None, context: _Context, out: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report on answers of yes or no, written; and the figures of it that the run record keeps."""
    from osteon.evaluate import places, report

    content = report.evaluate(
        table,
        cases,
        seed=context.seed,
        model=context.model,
        prevalence=prevalence,
        error_rate=context.error_rate,
        openings=context.openings,
        phantom=context.phantom,
        places=places.read(context.places) if context.places else None,
        learned=context.learned,
        progress=context.progress,
    )
    report.write(content, out)
    found = content["validation"]["discrimination"]
    kept = ("auroc", "auroc_pooled", "average_precision", "best_floor", "gain")
    return content, {**{name: found[name] for name in kept}, "test": _test_figures(content)}


def _judge_grades(table: pd.DataFrame, context: _Context, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report on grades of cortices and totals of visits, written; and the figures that the run record keeps."""
    from osteon.evaluate import healing_report

    content = healing_report.evaluate(
        table,
        seed=context.seed,
        model=context.model,
        openings=context.openings,
        phantom=context.phantom,
        progress=context.progress,
    )
    healing_report.write(content, out)
    totals = content["validation"]["totals"]
    return content, {name: totals[name] for name in ("icc", "mae") if name in totals} | {
        "test": {"state": content["test"]["state"]}
    }


def _opened(manifest: Path, table: pd.DataFrame, *, by: Path) -> pd.DataFrame:
    """The predictions with the sealed targets, after this opening has been written down."""
    from osteon.evaluate import graded, outcomes

    columns = {name: tables.MANIFEST[name] for name in ("image", "target")}
    sealed = tables.read(manifest / SEALED, columns)
    if sealed.empty:
        raise NotFound(f"{manifest} has no sealed test set", remedy="split with --test 0.2, say")
    opening = {"opened": datetime.now(UTC).isoformat(timespec="seconds"), "predictions": files.digest_of(by)}
    files.write_json(manifest / OPENINGS, [*_openings(manifest), opening])
    return graded.unseal(table, sealed) if "cortex" in table else outcomes.unseal(table, sealed)


def _learned(folder: Path) -> pd.DataFrame | str | None:
    """Three answers that `train` learnt beside the predictions, or why it could not; None if it had no reason to."""
    if (folder / THREE_ANSWERS).exists():
        return tables.read(folder / THREE_ANSWERS, tables.THREE_ANSWERS)
    record = folder / runs.RECORD
    said = files.read_json(record).get("result", {}).get("three_answers", "") if record.exists() else ""
    return str(said) or None


def _phantom(folder: Path, cases: pd.DataFrame | None) -> bool:
    """Whether the images are simulated: by the manifest, or by the run that wrote the predictions."""
    from osteon.evaluate.report import is_phantom

    record = folder / runs.RECORD
    said = record.exists() and bool(files.read_json(record).get("result", {}).get("phantom"))
    return said or is_phantom(cases)


def _which_test(openings: int) -> str:
    if not openings:
        return "Test part, whose truth the table holds (how often it was looked at is not recorded)"
    return f"Sealed test set, opened {'once' if openings == 1 else f'{openings} times'}"


def _openings(manifest: Path | None) -> list[dict[str, Any]]:
    path = manifest / OPENINGS if manifest else None
    return list(files.read_json(path)) if path and path.exists() else []


def _test_figures(content: dict[str, Any]) -> dict[str, Any]:
    test = content["test"]
    found = test.get("discrimination", {})
    return {"state": test["state"], **{name: found[name] for name in ("auroc", "gain") if name in found}}
