"""The commands of privacy: `osteon deidentify`, and `osteon check` that proves its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osteon.console import (
    Json,
    KeyColumn,
    LabelColumn,
    Labels,
    Out,
    PatientColumn,
    Sheet,
    Task,
    Workers,
    bars,
    show,
    workers_of,
)
from osteon.errors import NotClean

KeyFile = Annotated[Path, typer.Option("--key", help="File of the secret key; made if it is not there.")]


def deidentify(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files and zip archives, nested as you like.")],
    out: Out,
    key: KeyFile,
    private: Annotated[
        Path | None, typer.Option(help="Folder for what ties the files to people; default: --out with -private.")
    ] = None,
    labels: Labels = None,
    key_column: KeyColumn = "",
    label_column: LabelColumn = "",
    patient_column: PatientColumn = "",
    sheet: Sheet = "",
    keep_column: Annotated[
        list[str] | None, typer.Option(help="Column of the label table that may leave too; repeatable.")
    ] = None,
    task: Task = "fracture",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Make a clean copy of an export: no name, number, date or writing in it tells whose it is."""
    from osteon import verbs
    from osteon.dataset.labels import Columns

    with bars("deidentify", as_json) as progress:
        done = verbs.deidentify(
            source,
            out,
            key,
            private=private,
            labels=labels,
            columns=Columns(key_column, label_column, patient_column, sheet),
            keep_columns=keep_column or (),
            task=task,
            workers=workers_of(workers),
            progress=progress,
        )
    show(done.said, done.figures, as_json)


def check(
    tree: Annotated[Path, typer.Argument(help="Folder of DICOM files that should name nobody.")],
    original: Annotated[
        Path | None, typer.Option(help="The export that it was made of: also look for what that said. Needs --key.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The key that it was made with.")] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Prove that a tree is clean: every attribute held against the standard's table, file names and pixels too."""
    from osteon import verbs

    with bars("check", as_json) as progress:
        done = verbs.check(tree, original=original, key=key, workers=workers_of(workers), progress=progress)
    show(done.said, done.figures, as_json)
    if not done.figures["clean"]:
        raise NotClean(f"{tree} is not clean", remedy="make it again with `osteon deidentify`; do not pass it on")
