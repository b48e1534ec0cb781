"""How far raters agree: the verb `agreement`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from osteon import files, runs
from osteon.errors import BadTable, unknown_name
from osteon.tasks.rust import SCORES, Score
from osteon.types import Progress, silent
from osteon.verbs.folders import Done


def agreement(
    ratings: Path,
    out: Path,
    *,
    score: str = "modified-rust",
    naming: str = "as-written",
    columns: Mapping[str, str] | None = None,
    sheet: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> Done:
    """Measure agreement between raters of the healing score: `agreement.json` and `agreement.html`.

    Args:
        ratings: table with one row per rater and visit, as `osteon.dataset.visits.read_ratings` reads it.
        out: folder of the results.
        score: name in `osteon.tasks.rust.SCORES`.
        naming: name in `osteon.dataset.naming.NAMINGS`.
        columns: column of the table → what it means, where its name does not tell.
        sheet: of a workbook.
        seed: of the bootstrap.
        progress: told of stages done.
    """
    from osteon.dataset.naming import NAMINGS
    from osteon.dataset.visits import read_ratings
    from osteon.evaluate import ratings as measures

    files.must_exist(ratings, remedy="pass a table with one row per rater and visit")
    if naming not in NAMINGS:
        raise unknown_name("naming", naming, NAMINGS)
    chosen = score_named(score)
    arguments = {"ratings": ratings, "score": score, "naming": naming, "columns": dict(columns or {}), "sheet": sheet}
    with runs.recording("agreement", out, arguments, inputs=[ratings], seeds={"seed": seed}) as result:
        named = replace(NAMINGS[naming], columns=dict(columns or {}))
        table = read_ratings(ratings, chosen, named, sheet=sheet)
        content = measures.evaluate(
            table.rows, seed=seed, score=chosen, counts=table.counts, notes=table.notes, progress=progress
        )
        measures.write(content, out)
        said = measures.sentence(content)
        result |= {"sentence": said, **{name: content[name] for name in ("cases", "patients", "disjoint", "counts")}}
        result |= {"icc": content["total"]["icc"]["ICC(2,1)"], "alpha": content["total"]["alpha"]}
    return Done("\n".join([said, *table.notes]), result)


def score_named(name: str) -> Score:
    """A score by its name on the command line.

    Raises:
        UnknownName: if there is none of that name.
    """
    if name not in SCORES:
        raise unknown_name("score", name, SCORES)
    return SCORES[name]


def columns_named(pairs: list[str]) -> dict[str, str]:
    """NAME=MEANING of the command line as a mapping.

    Raises:
        BadTable: for a word without an equals sign.
    """
    told = [pair.partition("=") for pair in pairs]
    if wrong := [pair for pair, (_, sign, _) in zip(pairs, told, strict=True) if not sign]:
        raise BadTable(f"--column {wrong[0]} does not say what the column means", remedy="write NAME=MEANING")
    return {name: meaning for name, _, meaning in told}
