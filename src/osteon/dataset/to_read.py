"""Files that are to be read: from a path to prepared pixels, here or in processes that can be killed.

What `osteon.dataset.preparation` writes for training, a reader holds in memory for as long as it looks at it. Nothing
here knows of networks, so that a worker process starts quickly.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osteon.dataset.frame import frame_of, render
from osteon.dataset.guard import Lost
from osteon.dataset.placement import Placement
from osteon.dataset.steps import apply
from osteon.dataset.workers import each
from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from osteon.files import digest_of
from osteon.types import Header, Recipe, Refusal


@dataclass(frozen=True)
class Wanted:
    """A file, and the recipes by which it is prepared."""

    path: Path
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """What a network is shown of a file: the whole, or one part if a step split it.

    Attributes:
        pixels: for each recipe the prepared image, (height, width) uint8.
        placement: where the first of them lies in the file.
        notes: what the reader of the file and the steps of the first recipe had to decide.
        header: what the file says of itself.
    """

    pixels: tuple[NDArray[np.uint8], ...]
    placement: Placement
    notes: tuple[str, ...]
    header: Header = field(default_factory=Header)


@dataclass(frozen=True, eq=False)
class Taken:
    """A file that was read and prepared, or refused.

    Attributes:
        path: of the file.
        image: its id, as in manifests; "" if it was refused.
        study: of its header.
        size: (height, width) of the file in pixels, upright.
        parts: one, or several if a step split it; none if it was refused.
        refusal: why there are none.
    """

    path: Path
    image: str = ""
    study: str = ""
    size: tuple[int, int] = (0, 0)
    parts: tuple[Part, ...] = ()
    refusal: Refusal | None = None


def take(wanted: Wanted) -> Taken:
    """Read and prepare a file."""
    path = wanted.path
    try:
        radiograph = read(path)
        ways = [apply(recipe, radiograph) for recipe in wanted.recipes]
        if len({len(parts) for parts in ways}) > 1:
            raise UnreadableImage(
                "step_refused", "the recipes divide this image differently", remedy="read its limbs as single files"
            )
    except UnreadableImage as error:
        return Taken(path, refusal=Refusal(str(path), error.code, error.message, error.remedy))
    parts = tuple(
        Part(
            pixels=tuple(render(part) for part in same),
            placement=Placement.of(frame_of(same[0])),
            notes=(*same[0].header.notes, *same[0].notes),
            header=same[0].header,
        )
        for same in zip(*ways, strict=True)
    )
    height, width = radiograph.pixels.shape
    return Taken(path, digest_of(path)[:32], radiograph.header.study, (height, width), parts)


def take_all(paths: Sequence[Path], recipes: tuple[Recipe, ...], *, workers: int = 0) -> Generator[tuple[int, Taken]]:
    """Read and prepare files, a few ahead of whoever asks for them, however many there are.

    Args:
        paths: of the files.
        recipes: each prepares every file.
        workers: processes to start, in which a file that is too much for a library ends as a refusal; 0 works here,
            and starts nothing.

    Yields:
        (position among the paths, what was taken) in the order in which they are ready.
    """
    wanted = (Wanted(path, recipes) for path in paths)
    if not workers:
        yield from enumerate(map(take, wanted))
        return
    with closing(each(take, wanted, workers=workers, lost=_lost)) as done:
        yield from done


def _lost(wanted: Wanted, how: Lost) -> Taken:
    return Taken(wanted.path, refusal=Refusal(str(wanted.path), how.code, how.reason, how.remedy))
