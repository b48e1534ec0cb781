"""The commands that judge: `osteon evaluate`, what a paper and a worklist make of it, and which maps may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osteon.console import Json, Out, Seed, bars, show

Predictions = Annotated[Path, typer.Argument(help="predictions.parquet (or .csv), or the folder that holds it.")]
Model = Annotated[str, typer.Option(help="Which model of the table, if it holds several.")]


def evaluate(
    predictions: Predictions,
    out: Out,
    manifest: Annotated[
        Path | None, typer.Option(help="Folder that `osteon split` wrote: subgroups, sealed targets.")
    ] = None,
    unseal: Annotated[bool, typer.Option("--unseal", help="Open the sealed test set. This is written down.")] = False,
    prevalence: Annotated[float | None, typer.Option(min=0, max=1, help="Prevalence for predictive values.")] = None,
    model: Model = "",
    places: Annotated[
        Path | None, typer.Option(help="Folder of boxes and points: judge where the model looks, too.")
    ] = None,
    error_rate: Annotated[float, typer.Option(help="Share of each class that the three answers may get wrong.")] = 0.1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judge predictions, whoever made them: floors, intervals, calibration, operating points, subgroups."""
    from osteon import verbs

    with bars("evaluate", as_json) as progress:
        done = verbs.evaluate(
            predictions,
            out,
            manifest=manifest,
            unseal=unseal,
            prevalence=prevalence,
            model=model,
            places=places,
            error_rate=error_rate,
            seed=seed,
            progress=progress,
        )
    show(done.said, done.figures, as_json)


def checklist(
    report: Annotated[Path, typer.Argument(help="Folder that `osteon evaluate` wrote.")],
    out: Out,
    guideline: Annotated[
        list[str] | None, typer.Option(help="claim-2024, stard-ai-2025 or tripod-ai-2024; repeatable; default: all.")
    ] = None,
    answers: Annotated[Path | None, typer.Option(help="TOML file with what no record can know.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle of the model judged, if it is not where `osteon train` writes it.")
    ] = None,
    among: Annotated[
        list[Path] | None, typer.Option(help="Further folder in which records may lie; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fill reporting checklists (CLAIM, STARD-AI, TRIPOD+AI) and a model card, as far as it is recorded."""
    from osteon import verbs

    done = verbs.checklist(report, out, guidelines=guideline or (), answers=answers, bundle=bundle, among=among or ())
    show(done.said, done.figures, as_json)


def triage(
    predictions: Predictions,
    out: Out,
    model: Model = "",
    per_day: Annotated[float, typer.Option(help="Radiographs that arrive on a day.")] = 200.0,
    readers: Annotated[int, typer.Option(min=1, help="Who read, round the clock.")] = 1,
    minutes: Annotated[float, typer.Option(help="Mean time of a reading.")] = 5.0,
    variation: Annotated[float, typer.Option(min=0, help="Its standard deviation, as a share of the mean.")] = 0.7,
    prevalence: Annotated[float, typer.Option(min=0, max=1, help="Share of positive radiographs.")] = 0.15,
    patience: Annotated[
        float, typer.Option(min=0, help="Minutes by which a score of 1 moves ahead, in the order with ageing.")
    ] = 120.0,
    days: Annotated[int, typer.Option(min=2, help="Days to simulate.")] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Simulate a worklist put in order by a model: how much earlier positives are read, and what the others pay."""
    from osteon import verbs
    from osteon.errors import BadTable
    from osteon.evaluate.triage import Worklist

    try:
        worklist = Worklist(per_day, readers, minutes, variation, prevalence, patience)
    except ValueError as error:
        raise BadTable(str(error), remedy="see `osteon triage --help`") from error
    with bars("triage", as_json) as progress:
        done = verbs.triage(predictions, out, worklist=worklist, days=days, model=model, seed=seed, progress=progress)
    show(done.said, done.figures, as_json)


def explain(
    bundle: Annotated[Path, typer.Argument(help="Bundle of a classifier that `osteon train` wrote.")],
    images: Annotated[
        Path, typer.Option(help="Folder that `osteon prepare` wrote by the bundle's recipe, or `osteon split` of it.")
    ],
    boxes: Annotated[
        Path, typer.Option(help="CSV, Excel or Parquet: image, x, y, width, height in pixels of the file.")
    ],
    out: Out,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Method to check, e.g. grad-cam or lrp; repeatable; default: all that apply."),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Images with boxes to measure on, at most.")] = 150,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no further image after so long; 0 measures all.")] = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Check which maps of a bundle depend on what it learnt and on the lesion, and write that into the bundle."""
    from osteon import verbs

    how = verbs.Checking(tuple(method or ()), cases, minutes, seed)
    with bars("explain", as_json) as progress:
        done = verbs.explain(bundle, out, images=images, boxes=boxes, how=how, progress=progress)
    show(done.said, done.figures, as_json)
