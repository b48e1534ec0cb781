"""One image, from its file to its prepared PNGs: read once, decoded once, placed, warped once, written once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.dataset import steps
from osteon.dataset.frame import frame_of, render
from osteon.dataset.guard import Limits, Lost
from osteon.dataset.journal import Done, Part
from osteon.dataset.placement import Placement
from osteon.dataset.sources import read_bytes
from osteon.dataset.statistics import moments_of
from osteon.dicom.read import read
from osteon.errors import NotFound, UnreadableImage
from osteon.types import Radiograph, Recipe, Refusal

PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
"""Of the settings of OpenCV these are nearly the fastest, and write the smallest files, for 8-bit radiographs."""


@dataclass(frozen=True)
class Job:
    """One image to prepare.

    Attributes:
        image: its id in the manifest.
        source, path: what was ingested, and the path of the file in it.
        recipe: what to do with it.
        images: folder of the prepared images.
        limits: what it may take.
    """

    image: str
    source: Path
    path: str
    recipe: Recipe
    images: Path
    limits: Limits


def prepare_one(job: Job) -> Done:
    """Read, place, render and write one image. Files that cannot be used come back as a refusal."""
    try:
        parts = steps.apply(job.recipe, radiograph_of(job))
    except UnreadableImage as error:
        return _refused(job, error.code, error.message, error.remedy)
    names = [f"{job.image}.png"] if len(parts) == 1 else [f"{job.image}-{i}.png" for i in range(len(parts))]
    return Done(job.image, tuple(_written(job.images / name, part) for name, part in zip(names, parts, strict=True)))


def radiograph_of(job: Job) -> Radiograph:
    """The radiograph, decoded from the very bytes whose digest was compared with that of ingest.

    Raises:
        UnreadableImage: as `osteon.dicom.read`, and `changed` if the file is gone or holds other bytes.
    """
    try:
        data = read_bytes(job.source, job.path)
    except NotFound as error:
        raise _changed("the file is gone", "bring it back, or ingest the folder again") from error
    except UnreadableImage as error:
        # When it was ingested it was an image that could be opened.
        raise _changed("it is no longer what was ingested", "ingest the folder again") from error
    if hashlib.sha256(data).hexdigest()[:32] != job.image:
        raise _changed("its bytes are not those that were ingested", "ingest the folder again")
    return read(data)


def lost(job: Job, why: Lost) -> Done:
    """The entry of an image whose process crashed or passed the limits."""
    return Done(job.image, refusal=Refusal(job.image, why.code, why.reason, why.remedy), limits=job.limits)


def write_png(path: Path, pixels: NDArray[np.uint8]) -> int:
    """Write an 8-bit grey PNG, whole or not at all; its size in bytes."""
    data = cv2.imencode(".png", pixels, PNG)[1].tobytes()
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def _written(path: Path, part: Radiograph) -> Part:
    pixels = render(part)
    size = write_png(path, pixels)
    notes, placement = "; ".join((*part.header.notes, *part.notes)), Placement.of(frame_of(part))
    return Part(path.name, size, moments_of(pixels), notes, str(placement))


def _changed(reason: str, remedy: str) -> UnreadableImage:
    return UnreadableImage("changed", reason, remedy=remedy)


def _refused(job: Job, code: str, reason: str, remedy: str) -> Done:
    # By its id: the path may hold a name, and the prepared data set names nobody.
    return Done(job.image, refusal=Refusal(job.image, code, reason, remedy))
