"""The command of published studies: `osteon experiment`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from osteon import settings
from osteon.console import Json, Seed, Workers, bars, show


class Name(StrEnum):
    """The studies."""

    hong2023 = "hong2023"
    kim2018 = "kim2018"
    decid2021 = "decid2021"


class Scale(StrEnum):
    """How large the experiment is."""

    small = "small"
    medium = "medium"
    full = "full"


def experiment(
    name: Annotated[Name, typer.Argument(help="The study.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results and finished stages. [default: experiment]"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="What split, prepare or ingest wrote, or images with labels.csv; default: phantoms."),
    ] = None,
    scale: Annotated[
        Scale | None, typer.Option(help="`small` (default) shows in minutes that all runs; `full` is the study's.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME=WEIGHTS: the backbones, frozen or beside the study's; repeatable if it compares them."
        ),
    ] = None,
    inception: Annotated[
        bool, typer.Option("--inception", help="hong2023: also train InceptionV3 end to end.")
    ] = False,
    network_epochs: Annotated[
        int | None, typer.Option(min=1, help="hong2023: epochs of LeNet and InceptionV3; default: the scale's.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run a published study again, as it was done and as it should be judged. Run it again after a kill: it goes on.

    With nothing but its name, say what scales it has.
    """
    from osteon.verbs.experiments import experiment as run
    from osteon.verbs.experiments import scales

    if out is None and scale is None and data is None:
        said = scales(name)
        show(said.said, said.figures, as_json)
        return
    asked = {"inception": inception or None, "network_epochs": network_epochs}
    chosen = settings.load()
    done = run(
        name,
        out or Path("experiment"),
        data=data,
        scale=str(scale or Scale.small),
        backbones=backbone or (),
        options={option: value for option, value in asked.items() if value is not None},
        seed=seed,
        settings=replace(chosen, workers=workers) if workers else chosen,
        bars=lambda label: bars(label, as_json),
        tell=lambda line: None if as_json else show(line, {}, as_json),
    )
    show(done.said, done.figures, as_json)
