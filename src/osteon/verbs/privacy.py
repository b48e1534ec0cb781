"""From an export to a tree that names nobody, and the proof of it: the verbs `deidentify` and `check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from osteon import files, runs
from osteon.dicom.profile import CODES, EDITION
from osteon.dicom.pseudonyms import Key
from osteon.errors import BadTable, unknown_name
from osteon.tasks import TASKS
from osteon.types import Progress, silent
from osteon.verbs.folders import Done, by_code, examples, refused
from osteon.verbs.intake import UNLABELLED, UNMET

if TYPE_CHECKING:
    import pandas as pd

    from osteon.dataset.labels import Columns


def deidentify(
    source: Path,
    out: Path,
    key: Path,
    *,
    private: Path | None = None,
    labels: Path | None = None,
    columns: Columns | None = None,
    keep_columns: Sequence[str] = (),
    task: str = "fracture",
    workers: int = 1,
    progress: Progress = silent,
) -> Done:
    """Make a clean tree of an export: `dicom/`, `labels.csv`; and, in a private folder, what ties it to people.

    Args:
        source: the export. out: the clean folder, the only one that may leave the hospital.
        key: file of the key; made if it is not there. It stays in the hospital.
        private: folder for `crosswalk.jsonl`, `refusals.parquet` and the lists of studies without label and of labels
            without study; default: `out` with `-private` behind.
        labels, columns, task: as for `ingest`.
        keep_columns: columns of the label table that go into `labels.csv` beside the answer.

    Raises:
        BadTable: if the key is none, or one of these paths lies in another that it must not mix with.
    """
    from osteon.dataset.ingest import ingest
    from osteon.dataset.labels import BY_NAME
    from osteon.dataset.release import release

    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    private = private or out.with_name(f"{out.name}-private")
    _must_lie_outside(out, "clean folder", key=key, private=private)
    _must_lie_outside(source, "export", key=key, private=private, out=out)
    is_new = not key.exists()
    secret = Key.open(key)
    files.must_be_writable(private)
    taken = ingest(source, labels, task=TASKS[task], columns=columns or BY_NAME, workers=workers, progress=progress)
    _write_csv(private / UNLABELLED, taken.studies_without_label)
    _write_csv(private / UNMET, taken.labels_without_study)
    # The record lies in the clean folder: no path, no name of a file and no id may be among its arguments.
    arguments = {"edition": EDITION, "codes": list(CODES), "key": secret.fingerprint, "task": task}
    with runs.recording("deidentify", out, arguments) as result:
        made = release(
            taken.manifest,
            source,
            out,
            private,
            secret,
            label=TASKS[task].label_columns[0] if labels else "",
            keep_columns=keep_columns,
            refusals=taken.refusals,
            workers=workers,
            progress=progress,
        )
        result |= {
            "files": len(made.files),
            "skipped": made.skipped,
            "patients": len({one.patient for one in made.files}),
            "with_writing_hidden": sum(one.hidden > 0 for one in made.files),
            "without_body_part": sum(not one.body_part for one in made.files),
            "refused": by_code(made.refusals),
        }
    said = [
        f"{result['files']} clean files of {result['patients']} patients in {out}{refused(result['refused'])}",
        f"in {result['with_writing_hidden']} of them writing was painted over; "
        f"{result['without_body_part']} name no body part",
        f"{private} ties them to people: it stays here, and so does the {'new ' if is_new else ''}key {key}",
        *examples(made.refusals),
    ]
    return Done("\n".join(said), result)


def check(
    tree: Path,
    *,
    original: Path | None = None,
    key: Path | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Done:
    """Look for everything that a clean tree may not hold. `figures["clean"]` says whether there was nothing.

    Args:
        tree: any folder of DICOM files. original: the export that it was made of, which needs the key.
    """
    from osteon.dataset.proof import prove

    secret = Key.open(files.must_exist(key, remedy="give the key that the tree was made with")) if key else None
    proof = prove(tree, original=original, key=secret, workers=workers, progress=progress)
    kinds = Counter((one.violation.attribute, one.violation.reason) for one in proof.found)
    first = {(one.violation.attribute, one.violation.reason): one.file for one in reversed(proof.found)}
    figures = {
        "clean": not proof.found,
        "edition": EDITION,
        "files": proof.files,
        "compared": proof.compared,
        "files_with_violations": len({one.file for one in proof.found}),
        "violations": [
            {"attribute": name, "reason": reason, "times": times, "example": first[name, reason]}
            for (name, reason), times in kinds.most_common()
        ],
    }
    against = f"{EDITION}, {', '.join(CODES)}" + (f", and {proof.compared} originals" if original else "")
    if not proof.found:
        return Done(f"{proof.files} files are clean by {against}", figures)
    lines = [f"{times:6d} × {name} {reason} ({first[name, reason]})" for (name, reason), times in kinds.most_common()]
    bad = f"{figures['files_with_violations']} of {proof.files} files are not clean by {against}:"
    return Done("\n".join([bad, *lines]), figures)


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with files.replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def _must_lie_outside(folder: Path, called: str, **paths: Path) -> None:
    for name, path in paths.items():
        if path.resolve().is_relative_to(folder.resolve()):
            raise BadTable(f"--{name} {path} lies in the {called}", remedy=f"choose one outside {folder}")
