"""What `prepare` has done so far, image by image: the file that makes it safe to kill and to run again.

`prepared.jsonl` begins with the recipe; each further line is one image. Lines are appended while the work goes on, in
the order in which images are finished; at the end the file is put in the order of the manifest. It is read line by
line, and never held: a run over a million images remembers of each no more than where its line begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from osteon import files
from osteon.dataset.guard import Limits
from osteon.dataset.statistics import Moments
from osteon.errors import CannotWrite
from osteon.types import Refusal

JOURNAL = "prepared.jsonl"
"""Name of the file, in the folder of the prepared images."""


@dataclass(frozen=True)
class Part:
    """One prepared image: file name in `images/`, its size in bytes, its moments, what was done to it, and where it
    lies in its file (`osteon.dataset.placement`; "" in journals of versions that did not keep it).
    """

    file: str
    size: int
    moments: Moments
    steps: str
    placement: str = ""


@dataclass(frozen=True)
class Done:
    """What became of one image of the manifest: parts, or a refusal.

    Attributes:
        limits: those under which it was lost, if it was lost by passing them.
    """

    image: str
    parts: tuple[Part, ...] = ()
    refusal: Refusal | None = None
    limits: Limits | None = None


@dataclass(frozen=True)
class Journal:
    """The journal of a folder.

    Attributes:
        path: the file; it need not exist.
        recipe: with which images were prepared, as JSON values; None without a run.
    """

    path: Path
    recipe: Any = None

    def __iter__(self) -> Iterator[tuple[int, Done]]:
        """(byte at which its line begins, what became of an image); of two lines of one image the later counts.

        A line that was cut off by a kill counts as not written.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            begin = len(stream.readline())
            for line in stream:
                if line.endswith(b"\n") and (content := _parsed(line)).get("image"):
                    yield begin, _done(content)
                begin += len(line)


def read(folder: Path) -> Journal:
    """The journal of a folder."""
    path = folder / JOURNAL
    if not path.exists():
        return Journal(path)
    with path.open("rb") as stream:
        return Journal(path, _parsed(stream.readline()).get("recipe"))


def why_stale(done: Done, images: Path, limits: Limits) -> str | None:
    """Why an image that was done must be prepared again, in a few words; None if it need not.

    Args:
        done: what became of it.
        images: the folder that should hold its prepared images.
        limits: those of the run that asks.
    """
    if done.refusal is not None and done.refusal.code == "changed":
        return "its file was missing or changed"  # it may have come back, for example with its disk
    if done.limits and (limits.seconds > done.limits.seconds or limits.memory > done.limits.memory):
        return "it was lost under narrower limits"
    for part in done.parts:
        try:
            size = (images / part.file).stat().st_size
        except FileNotFoundError:
            return "its prepared image is missing"
        if size != part.size:
            return "its prepared image was changed"
        if not part.placement:
            return "its place in its file was not kept"
    return None


def opened(folder: Path, recipe: Any) -> BinaryIO:
    """The journal, to append to: begun anew unless it has this recipe, and without a line that was cut off."""
    path = folder / JOURNAL
    if read(folder).recipe != recipe:
        with files.replacing(path) as temporary:
            temporary.write_bytes(_head(recipe))
    stream = path.open("r+b")
    whole = 0
    for line in stream:
        whole += len(line) if line.endswith(b"\n") else 0
    stream.truncate(whole)
    stream.seek(whole)
    return stream


def append(stream: BinaryIO, done: Done) -> int:
    """Add one image; the byte at which its line begins.

    Raises:
        CannotWrite: if the disk is full.
    """
    begin = stream.tell()
    try:
        stream.write(line_of(done))
        stream.flush()
    except OSError as error:
        raise CannotWrite(
            f"could not write {JOURNAL} ({error.strerror})",
            remedy="free some space and run again: what was finished is kept",
        ) from error
    return begin


def in_order(folder: Path, recipe: Any, begins: Iterable[int]) -> Iterator[Done]:
    """Put the lines that begin at these bytes in this order, whole or not at all, and yield each on the way."""
    path = folder / JOURNAL
    with files.replacing(path) as temporary, path.open("rb") as old, temporary.open("wb") as new:
        new.write(_head(recipe))
        for begin in begins:
            old.seek(begin)
            line = old.readline()
            new.write(line)
            yield _done(_parsed(line))


def line_of(done: Done) -> bytes:
    """One image as a line of the journal."""
    content = {name: value for name, value in asdict(done).items() if value}
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def _head(recipe: Any) -> bytes:
    return (json.dumps({"recipe": recipe}) + "\n").encode()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:  # JSONDecodeError and UnicodeDecodeError
        return {}
    return content if isinstance(content, dict) else {}


def _done(line: dict[str, Any]) -> Done:
    parts = tuple(Part(**{**part, "moments": Moments(**part["moments"])}) for part in line.get("parts", ()))
    refusal = Refusal(**line["refusal"]) if "refusal" in line else None
    return Done(line["image"], parts, refusal, Limits(**line["limits"]) if "limits" in line else None)
