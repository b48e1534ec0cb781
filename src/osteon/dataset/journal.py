"""What `prepare` has done so far, image by image: the file that makes it safe to kill and to run again.

`prepared.jsonl` begins with the recipe; each further line is one image. Lines are appended while the work goes on, in
the order in which images are finished; at the end the file is put in the order of the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from osteon import files
from osteon.types import Refusal

JOURNAL = "prepared.jsonl"
"""Name of the file, in the folder of the prepared images."""


@dataclass(frozen=True)
class Part:
    """One prepared image: file name in `images/`, its size in bytes, and what was done to it."""

    file: str
    size: int
    steps: str


@dataclass(frozen=True)
class Done:
    """What became of one image of the manifest: parts, or a refusal."""

    image: str
    parts: tuple[Part, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Journal:
    """The recipe, as JSON values, with which images were prepared, and what became of each; None without a run."""

    recipe: Any = None
    done: Mapping[str, Done] | None = None

    def of(self, image: str) -> Done | None:
        """What became of an image, None if it was not reached."""
        return (self.done or {}).get(image)


def why_stale(image: str, journal: Journal, recipe: Any, sizes: Mapping[str, int]) -> str | None:
    """Why an image must be prepared (again), in a few words; None if it need not.

    Args:
        image: its id in the manifest.
        journal: what earlier runs did.
        recipe: the recipe asked for, as JSON values.
        sizes: name → bytes of the files in `images/`.
    """
    done = journal.of(image)
    if done is None:
        return "not prepared yet"
    if journal.recipe != recipe:
        return "the recipe is another"
    if done.refusal is not None and done.refusal.code == "changed":
        return "its file was missing or changed"  # it may have come back, for example with its disk
    for part in done.parts:
        if part.file not in sizes:
            return "its prepared image is missing"
        if sizes[part.file] != part.size:
            return "its prepared image was changed"
    return None


def line_of(done: Done) -> str:
    """One image as a line of the journal."""
    content = asdict(done)
    return json.dumps({name: value for name, value in content.items() if value}, ensure_ascii=False) + "\n"


def write(folder: Path, recipe: Any, done: Iterable[Done]) -> None:
    """Write the journal anew, whole or not at all."""
    with files.replacing(folder / JOURNAL) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps({"recipe": recipe}) + "\n")
        stream.writelines(line_of(one) for one in done)


def read(folder: Path) -> Journal:
    """The journal of a folder, as far as it is whole; a line that was cut off by a kill counts as not written."""
    path = folder / JOURNAL
    if not path.exists():
        return Journal()
    head, *lines = [_parsed(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]]
    done = [_done(line) for line in lines if "image" in line]
    return Journal(head.get("recipe"), {one.image: one for one in done})


def _parsed(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _done(line: dict[str, Any]) -> Done:
    parts = tuple(Part(**part) for part in line.get("parts", ()))
    return Done(line["image"], parts, Refusal(**line["refusal"]) if "refusal" in line else None)
