"""The command of published studies: `osteon experiment`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from osteon import settings
from osteon.console import Json, Out, Seed, Workers, bars, show


class Name(StrEnum):
    """The studies."""

    hong2023 = "hong2023"


class Scale(StrEnum):
    """How large the experiment is."""

    small = "small"
    full = "full"


def experiment(
    name: Annotated[Name, typer.Argument(help="The study.")],
    out: Out = Path("experiment"),
    data: Annotated[
        Path | None,
        typer.Option(help="What split, prepare or ingest wrote, or images with labels.csv; default: phantoms."),
    ] = None,
    scale: Annotated[Scale, typer.Option(help="`small` shows in minutes that all runs; `full` is the study's.")] = (
        Scale.small
    ),
    backbone: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS: frozen backbones to compare; repeatable.")
    ] = None,
    inception: Annotated[bool, typer.Option("--inception", help="Also train InceptionV3 end to end.")] = False,
    network_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of LeNet and InceptionV3; default: the scale's.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run a published study again, as it was done and as it should be judged. Run it again after a kill: it goes on."""
    from osteon.verbs.experiments import experiment as run

    chosen = settings.load()
    done = run(
        name,
        out,
        data=data,
        scale=scale,
        backbones=backbone or (),
        inception=inception,
        network_epochs=network_epochs,
        seed=seed,
        settings=replace(chosen, workers=workers) if workers else chosen,
        bars=lambda label: bars(label, as_json),
        tell=lambda line: None if as_json else show(line, {}, as_json),
    )
    show(done.said, done.figures, as_json)
