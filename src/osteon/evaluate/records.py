"""What the commands wrote down of a run, found from the folder of its report.

A record is a JSON file: a run record, or what a command wrote beside it. The chain of parents in the run records leads
from a report back to the files that were taken in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from osteon import files, runs
from osteon.errors import BadTable, Mismatch
from osteon.evaluate.quotes import BUNDLE, REPORT, Record, Records
from osteon.evaluate.report import JSON

BESIDE = {
    "ingest": {"survey": "survey.json"},
    "split": {"openings": "openings.json"},
    "train": {BUNDLE: "bundle/bundle.json"},
    "evaluate": {REPORT: JSON},
}
"""Command → name of a record → JSON file that the command writes into its folder besides the run record."""


def find(folder: Path, *, among: Sequence[Path] = (), bundle: Path | None = None) -> Records:
    """The records of the report in a folder, and of all runs that it goes back to.

    A parent is looked for where the run record says that its results lay, beside the folders already found, and in
    `among`; it is known by its id alone.

    Args:
        folder: of the report.
        among: further folders in which parents may lie.
        bundle: of the model judged, if it does not lie where `train` writes it.

    Raises:
        NotFound: if there is no report, or no bundle in the folder given.
        BadTable: if a file that should be a record is none.
        Mismatch: if the bundle is not the one that the training run wrote.
    """
    report = files.must_exist(folder / JSON, remedy="pass a folder that `osteon evaluate` wrote")
    found, unfound = _ancestors(folder, among)
    held = {name: (path, _read(path)) for name, path in found.items()}
    for name, path in found.items():
        beside = {key: path.parent / file for key, file in BESIDE.get(name, {}).items()}
        held |= {key: (file, _read(file)) for key, file in beside.items() if file.exists()}
    held[REPORT] = (report, _read(report))
    if bundle is not None:
        path = files.must_exist(bundle / "bundle.json", remedy="pass the folder of a bundle")
        held[BUNDLE] = (path, _read(path))
    _must_belong(held)
    return Records({name: Record(_from(folder, path), content) for name, (path, content) in held.items()}, unfound)


def _ancestors(folder: Path, among: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Name → run record of the folder and of all its ancestors, nearest first; and the ids of those not found."""
    if not (folder / runs.RECORD).exists():
        return {}, ()
    found: dict[str, Path] = {}
    unfound, seen, queue = list[str](), set[str](), [folder.absolute() / runs.RECORD]
    while queue:
        path = queue.pop(0)
        content = _read(path)
        found[_free(str(content.get("command", "")), found)] = path
        beside = dict.fromkeys(one.parent.parent for one in found.values())
        places = [*_places_of(content, path.parent), *(inner for one in beside for inner in _inside(one)), *among]
        parents = content.get("parents")
        for parent in map(str, parents if isinstance(parents, list) else ()):
            if parent in seen:
                continue
            seen.add(parent)
            record = next((place / runs.RECORD for place in places if _id_of(place / runs.RECORD) == parent), None)
            if record is None:
                unfound.append(parent)
            else:
                queue.append(record)
    return found, tuple(unfound)


def _places_of(content: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Where the inputs of a run lay: as written, and as seen from the folder that its results lie in now."""
    inputs = content.get("inputs", {})
    for name in inputs if isinstance(inputs, Mapping) else ():
        path = Path(name)
        for one in (path, path.parent, folder.parent / PurePath(name).name):
            if (one / runs.RECORD).exists():
                yield one


def _inside(folder: Path) -> Iterator[Path]:
    yield from sorted(inner for inner in folder.iterdir() if (inner / runs.RECORD).exists())


def _id_of(record: Path) -> str:
    if not record.exists():
        return ""
    try:
        return str(_read(record).get("id", ""))
    except BadTable:
        # It may belong to something else; if it was the parent, its id is told among those not found.
        return ""


def _free(name: str, taken: Mapping[str, object]) -> str:
    if name not in taken:
        return name
    return next(f"{name} {k}" for k in range(2, len(taken) + 2) if f"{name} {k}" not in taken)


def _read(path: Path) -> Any:
    content = files.read_json(path)
    if not isinstance(content, dict) and path.name != BESIDE["split"]["openings"]:
        raise BadTable(f"{path} is no record", remedy="write it again with the command that made it")
    return content


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _must_belong(held: Mapping[str, tuple[Path, Any]]) -> None:
    """The digest that the training run wrote down is that of the bundle."""
    if BUNDLE not in held or "train" not in held:
        return
    path, written = held[BUNDLE][0], (held["train"][1].get("result") or {}).get("bundle")
    if written and files.digest_of(path) != written:
        raise Mismatch(
            f"{path.parent} is not the bundle that the training run wrote", remedy="train again, or pass its own bundle"
        )
