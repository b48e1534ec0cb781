"""The commands of the healing score: `osteon agreement`, how far raters agree."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from osteon.console import Json, Out, Seed, Sheet, bars, show


class ScoreName(StrEnum):
    """The forms of the score."""

    rust = "rust"
    modified = "modified-rust"


class NamingName(StrEnum):
    """What a table's words for views and cortices mean."""

    as_written = "as-written"
    views_swapped = "views-swapped"
    cortices_swapped = "cortices-swapped"


Score = Annotated[ScoreName, typer.Option(help="Grades 1 to 3, or 1 to 4.")]
Naming = Annotated[NamingName, typer.Option(help="What the table's words for views and cortices mean.")]
Column = Annotated[
    list[str] | None,
    typer.Option(help="NAME=MEANING: a column whose name does not tell, such as `k1=anterior`; repeatable."),
]


def agreement(
    ratings: Annotated[Path, typer.Argument(help="CSV, Excel or Parquet: rater, study, patient, and the grades.")],
    out: Out,
    score: Score = ScoreName.modified,
    naming: Naming = NamingName.as_written,
    column: Column = None,
    sheet: Sheet = "",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure how far raters agree: kappa, ICC, Krippendorff's alpha, limits of agreement."""
    from osteon import verbs
    from osteon.verbs.ratings import columns_named

    with bars("agreement", as_json) as progress:
        done = verbs.agreement(
            ratings,
            out,
            score=score,
            naming=naming,
            columns=columns_named(column or []),
            sheet=sheet,
            seed=seed,
            progress=progress,
        )
    show(done.said, done.figures, as_json)
