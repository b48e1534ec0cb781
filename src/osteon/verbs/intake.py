"""In from a hospital and out to other programs: the verbs `ingest` and `export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from osteon import files, runs, tables
from osteon.errors import BadTable, TooFewCases, unknown_name
from osteon.tasks import INCONCLUSIVE, TASKS, Task
from osteon.types import Progress, silent
from osteon.verbs.folders import MANIFEST, REFUSALS, Done, by_code, examples, manifest_of, pictures, refused

if TYPE_CHECKING:
    import pandas as pd

    from osteon.dataset.labels import Columns
    from osteon.dataset.settle import Ingested, Rules

UNLABELLED, UNMET, OUTLIERS = "studies_without_label.csv", "labels_without_study.csv", "outliers.csv"
"""Lists for people: who works through them opens them in a spreadsheet program."""

KEY = "pseudonyms.key"
"""The key of the pseudonyms, unless another is named. Who has it can tell them again."""

SURVEY = "survey"
"""Name of the survey, less its ending: .html for people, .json for machines."""

FLOW = "flow"
"""Name of the flow diagram, less its ending: .svg and .png for a paper, .csv as a table."""


def ingest(
    source: Path,
    out: Path,
    *,
    labels: Path | None = None,
    columns: Columns | None = None,
    rules: Rules | None = None,
    task: str = "fracture",
    key: Path | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Done:
    """Take in an export: `manifest.parquet`, `refusals.parquet`, the survey, and the lists of what does not match.

    Args:
        source: folder or archive. out: folder for the results; it stays in the hospital.
        labels: the label table. columns: of it, where their names do not tell.
        rules: what is left out on purpose.
        task: what the labels answer.
        key: file of the key of the pseudonyms, made if it is not there; by default `pseudonyms.key` in `out`.
        workers: processes.

    Raises:
        TooFewCases: if no image is left to take; all but the manifest is written all the same.
    """
    from osteon.dataset import privacy, refusals
    from osteon.dataset.ingest import ingest as take_in
    from osteon.dataset.labels import BY_NAME
    from osteon.dataset.settle import NO_RULES
    from osteon.dicom.pseudonyms import Key

    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    columns, rules = columns or BY_NAME, rules or NO_RULES
    if columns.inconclusive and labels is None:
        raise BadTable("no label table can say inconclusive", remedy="pass --labels, or leave --inconclusive out")
    arguments = {"source": source.resolve(), "labels": labels, "columns": asdict(columns), "task": task}
    key = (key or out / KEY).resolve()
    arguments |= {"key": key, "rules": {**asdict(rules), "exclude": [str(rule) for rule in rules.exclude]}}
    with runs.recording("ingest", out, arguments, inputs=[labels] if labels else []) as result:
        taken = take_in(
            source, labels, task=TASKS[task], columns=columns, rules=rules, workers=workers, progress=progress
        )
        refusals.write(out / REFUSALS, taken.refusals)
        _write_csv(out / UNLABELLED, taken.studies_without_label)
        _write_csv(out / UNMET, taken.labels_without_study)
        _write_csv(out / OUTLIERS, taken.outliers)
        _write_survey(out, taken, TASKS[task], "Survey of an export", rules.max_instances)
        if taken.manifest.empty:
            for stale in (MANIFEST, runs.RECORD):  # of an earlier run: no table may speak of what is not taken
                (out / stale).unlink(missing_ok=True)
            raise _nothing_taken(taken, out)
        naming = privacy.identifying(taken.manifest)
        hidden = privacy.pseudonymised(taken.manifest.drop(columns=naming), Key.open(key))
        tables.write(out / MANIFEST, hidden, tables.MANIFEST)
        notes = [*taken.notes, *_about_columns(naming)]
        result |= {
            "files": taken.given,
            "images": len(taken.manifest),
            "studies": int(taken.manifest["study"].nunique()),
            "patients": int(taken.manifest["patient"].nunique()),
            "positive": int(taken.manifest["target"].sum()),
            "refused": by_code(taken.refusals),
            "studies_without_label": len(taken.studies_without_label),
            "labels_without_study": len(taken.labels_without_study),
            "outliers": len(taken.outliers),
            "notes": notes,
        }
        if columns.inconclusive:
            result["inconclusive"] = _undecided(taken)
    return Done(_said(taken, out, result["refused"], notes), result)


def export(prepared: Path, out: Path, *, progress: Progress = silent) -> Done:
    """Write a prepared data set in the layout of de Cid 2021: class folder → study folder → PNG, and CSV metadata."""
    from osteon.dataset import seed_layout, survey_figures

    manifest = manifest_of(prepared, "prepare", needs=["prepared"])
    images = pictures(prepared, manifest)
    with runs.recording("export", out, {"prepared": prepared}, inputs=[prepared]) as result:
        done = seed_layout.export(manifest, prepared / "images", out, progress=progress)
        _write_text(out / "sizes.svg", survey_figures.sizes(seed_layout.sizes_of(images.values())) + "\n")
        result |= {"studies": dict(done.studies), "radiographs": dict(done.radiographs)}
    told = [f"{n} studies in {name}/" for name, n in sorted(done.studies.items())]
    return Done(f"{sum(done.radiographs.values())} radiographs exported: {', '.join(told)}", result)


def _said(taken: Ingested, out: Path, codes: dict[str, int], notes: list[str]) -> str:
    last = taken.flow[-1]
    positive = int(taken.manifest["target"].sum())
    said = [
        f"{last.files} of {taken.given} files taken, {last.studies} studies of {last.patients} patients, "
        f"{positive} images with a positive label{_told_undecided(taken)}{refused(codes)}"
    ]
    if len(taken.studies_without_label):
        said.append(f"studies without a label: {len(taken.studies_without_label)}, in {out / UNLABELLED}")
    if len(taken.labels_without_study):
        said.append(f"labels about no image that could be read: {len(taken.labels_without_study)}, in {out / UNMET}")
    return "\n".join([*said, *notes, *examples(taken.refusals)])


def _undecided(taken: Ingested) -> int:
    """How many images people could not tell, by the answer in the label table."""
    return int((taken.manifest[INCONCLUSIVE] == "1").sum())


def _told_undecided(taken: Ingested) -> str:
    # A label table may have a column of that name beside an answer; then the images have a target too.
    if INCONCLUSIVE not in taken.manifest or taken.manifest["target"].notna().all():
        return ""
    return f", {_undecided(taken)} inconclusive"


def _about_columns(naming: list[str]) -> list[str]:
    note = (
        f"left out of the manifest, because they seem to tell patients apart: {', '.join(naming)} "
        "(to use such a column, divide it into groups first, such as years of age into decades)"
    )
    return [note] if naming else []


def _nothing_taken(taken: Ingested, out: Path) -> TooFewCases:
    codes = by_code(taken.refusals)
    commonest = next(iter(codes))
    example = next(refusal for refusal in taken.refusals if refusal.code == commonest)
    return TooFewCases(
        f"none of the {taken.given} files can be taken{refused(codes)}; for example {example.path}: {example.reason}",
        remedy=f"{example.remedy}; {out / REFUSALS} has a row for each file",
    )


def _write_survey(out: Path, taken: Ingested, task: Task, title: str, limit: int) -> None:
    from osteon.dataset import flow, survey_figures
    from osteon.dataset.survey import survey
    from osteon.dataset.survey_page import page

    told = survey(taken, task)
    files.write_json(out / f"{SURVEY}.json", told)
    _write_text(out / f"{SURVEY}.html", page(told, title=title, limit=limit))
    _write_csv(out / f"{FLOW}.csv", flow.table(taken.flow))
    drawn = survey_figures.flow(told)
    _write_text(out / f"{FLOW}.svg", drawn.text + "\n")
    with files.replacing(out / f"{FLOW}.png") as temporary:
        temporary.write_bytes(drawn.png)


def _write_text(path: Path, text: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with files.replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
