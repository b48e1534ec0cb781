"""Read studies with a bundle: the whole path on one page, for a classifier and for a detector alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from osteon.dataset.to_read import Part, Taken, take_all
from osteon.errors import UnreadableImage
from osteon.explain.maps import explain, overlay
from osteon.explain.overlays import save_picture
from osteon.explain.verdict import for_readers
from osteon.learn.bundle import Bundle, head_of
from osteon.learn.bundle import load as classifier_in
from osteon.learn.detector import bundle as detector_bundle
from osteon.learn.detector.bundle import DetectorBundle, Member
from osteon.learn.detector.lesions import on_file
from osteon.learn.detector.network import STRIDES, DetectorNetwork
from osteon.learn.detector.pictures import boxed, heat_of
from osteon.learn.fuse import fused
from osteon.learn.heads import mirrored
from osteon.tasks import TASKS
from osteon.types import Box, Finding, ImageReading, Progress, Reading, Refusal, silent

Model = Bundle | DetectorBundle
"""What answers yes or no."""

FAINT = 0.01
"""Score below which a box is in the reading and not in the overlay: it would point where there is next to nothing."""


def read(study: Sequence[Path], bundle: Model, *, overlays: Path | None = None) -> Reading:
    """Read the images of one study: file → radiograph → recipe → network → guard → calibration → decision.

    Args:
        study: the files of one study, DICOM, PNG or JPEG.
        bundle: what `osteon train` made.
        overlays: folder for one overlay (PNG) per image, or None for none.

    Returns:
        The reading. Files that cannot be read, and images that the bundle's guard refuses, are among its refusals;
        without any image read `finding` is None, and the decision is "not read".
    """
    return read_all([study], bundle, overlays=overlays)[0]


def read_all(
    studies: Sequence[Sequence[Path]],
    bundle: Model,
    *,
    overlays: Path | None = None,
    workers: int = 0,
    threads: int = 1,
    progress: Progress = silent,
) -> list[Reading]:
    """Read studies, as `read` reads each; what is held of an image is given up once it is read.

    Args:
        studies: the files of each.
        bundle: what `osteon train` made.
        overlays: folder for one overlay (PNG) per image, or None for none.
        workers: processes that read and prepare files; 0 does it here, which is quicker for a few.
        threads: images that are looked at at the same time, each by one core: the same answers as with one.
        progress: told of files read.
    """
    paths = [path for study in studies for path in study]
    read_files: list[_File | None] = [None] * len(paths)
    recipes = (bundle.recipe,) if isinstance(bundle, Bundle) else bundle.recipes
    with closing(take_all(paths, recipes, workers=workers)) as taken:
        for done, (place, file) in enumerate(_looked_at(taken, bundle, overlays, threads), start=1):
            read_files[place] = file
            progress(done, len(paths))
    in_order = iter([file for file in read_files if file is not None])
    return [_reading([next(in_order) for _ in study], bundle) for study in studies]


def load(folder: Path, task: str | None = None) -> Model:
    """The bundle in a folder, of a classifier or a detector; arguments and errors as `osteon.learn.bundle.load`."""
    return (
        detector_bundle.load(folder, task) if head_of(folder) == detector_bundle.HEAD else classifier_in(folder, task)
    )


def ready(bundle: Model) -> Model:
    """The bundle with its networks made fast for reading: the same answers, to rounding, in about half the time."""
    if isinstance(bundle, Bundle):
        return replace(bundle, classifier=bundle.classifier.with_trunk(fused(bundle.classifier.trunk)))
    trunks = {id(member.network.trunk): member.network.trunk for member in bundle.members}
    quick = {key: fused(trunk) for key, trunk in trunks.items()}

    def made(member: Member) -> Member:
        network = member.network
        return replace(member, network=DetectorNetwork(quick[id(network.trunk)], network.detector.head).eval())

    return replace(bundle, members=tuple(map(made, bundle.members)))


def probability_of(pixels: NDArray[np.uint8], bundle: Bundle) -> float:
    """Calibrated probability of one prepared image, (height, width) uint8."""
    return _answer(pixels, bundle)[0]


@dataclass(frozen=True)
class _File:
    """What was read of a file."""

    study: str
    images: tuple[ImageReading, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, eq=False)
class _Look:
    """What a bundle says of a part of a file, why it should not be said (None if nothing speaks against it), and how
    that is drawn: (height, width, 3) RGB, or None if no picture may be shown, and what a reader should know of it.
    """

    probability: float
    boxes: tuple[Box, ...]
    why_not: UnreadableImage | None
    picture: Callable[[], tuple[NDArray[np.uint8] | None, str]]


def _looked_at(
    taken: Iterator[tuple[int, Taken]], bundle: Model, overlays: Path | None, threads: int
) -> Iterator[tuple[int, _File]]:
    """File by file what the bundle says, while a few more are under way: torch and OpenCV let go of Python's lock."""
    waiting: deque[tuple[int, Future[_File]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for place, file in taken:
            waiting.append((place, pool.submit(_read_file, file, bundle, overlays)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for place, future in waiting:
            yield place, future.result()


def _read_file(file: Taken, bundle: Model, overlays: Path | None) -> _File:
    said = [_read_part(file, number, part, bundle, overlays) for number, part in enumerate(file.parts)]
    refused = [file.refusal, *said]
    return _File(
        study=file.study,
        images=tuple(one for one in said if isinstance(one, ImageReading)),
        refusals=tuple(one for one in refused if isinstance(one, Refusal)),
    )


def _read_part(file: Taken, number: int, part: Part, bundle: Model, overlays: Path | None) -> ImageReading | Refusal:
    look = _classified(part, bundle) if isinstance(bundle, Bundle) else _detected(file, part, bundle)
    if look.why_not is not None:
        return Refusal(str(file.path), look.why_not.code, look.why_not.message, look.why_not.remedy)
    name, notes = "", part.notes
    if overlays is not None:
        picture, note = look.picture()
        notes += (note,) if note else ()
        if picture is not None:
            # Named by digest: a file name may hold what identifies a patient.
            name = f"{file.image}-{number}.png"
            save_picture(overlays / name, picture)
    finding = Finding(TASKS[bundle.task].positive, look.probability, look.boxes)
    return ImageReading(str(file.path), file.image, (finding,), name, notes)


def _classified(part: Part, bundle: Bundle) -> _Look:
    (pixels,) = part.pixels
    probability, features = _answer(pixels, bundle)
    why_not = bundle.guard.why_not(pixels, features, part.header) if bundle.guard else None

    def picture() -> tuple[NDArray[np.uint8] | None, str]:
        method, note = for_readers(bundle.explanations)
        if not method:
            return None, note
        found = explain(bundle.classifier, pixels, method)
        return overlay(pixels, found.heat), f"{note}: {found.missing}" if found.missing else note

    return _Look(probability, (), why_not, picture)


def _answer(pixels: NDArray[np.uint8], bundle: Bundle) -> tuple[float, NDArray[np.float32]]:
    """Calibrated probability of a prepared image, and its features (flips, d), which tell it."""
    classifier, grey = bundle.classifier, torch.from_numpy(pixels)[None, None].float() / 255.0
    with torch.inference_mode():
        features = [classifier.features(grey), classifier.features(mirrored(grey))]
        score = sum(classifier.head(one).squeeze(1) for one in features) / len(features)
    return float(bundle.calibration(score.numpy().astype(np.float64))[0]), torch.cat(features).numpy()


def _detected(file: Taken, part: Part, bundle: DetectorBundle) -> _Look:
    sight, first = bundle.see(part.pixels), part.pixels[0]

    def picture() -> tuple[NDArray[np.uint8], str]:
        heat, clear = heat_of(sight.cells, STRIDES[0], bundle.members[0].size), sight.scores >= FAINT
        return boxed(overlay(first, heat), sight.corners[clear], sight.scores[clear]), ""

    boxes = on_file(sight.corners, sight.scores, part.placement, file.size)
    return _Look(sight.probability, boxes, bundle.why_not(part.pixels, sight, part.header), picture)


def _reading(study: Sequence[_File], bundle: Model) -> Reading:
    images = [image for file in study for image in file.images]
    task, threshold = TASKS[bundle.task], bundle.thresholds[bundle.operating_point]
    finding, decision = None, "not read"
    if images:
        probability = task.of_study([image.findings[0].probability for image in images])
        finding, decision = Finding(task.positive, probability), task.decide(probability, threshold)
    return Reading(
        study=next((file.study for file in study if file.study), ""),
        images=tuple(images),
        refusals=tuple(refusal for file in study for refusal in file.refusals),
        finding=finding,
        decision=decision,
        threshold=threshold,
        bundle=bundle.digest,
        note=_note(bundle, len(images)),
    )


def _note(bundle: Model, images: int) -> str:
    """How far the finding of a study may be trusted, of which so many images were read."""
    sentences = [bundle.calibration_note]
    if bundle.origin.data:
        sentences.append(f"Learnt from {bundle.origin.data}")
    if images > 1:
        sentences.append(
            "The probability of a study is the largest of its images, while calibration and cut-off come from single "
            "images: a study is called positive more easily than an image."
        )
    return " ".join(sentences)
