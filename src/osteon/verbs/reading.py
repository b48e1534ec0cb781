"""What a model says of studies: the verb `read`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import osteon
from osteon import files, runs
from osteon.errors import NotFound, UnreadableImage
from osteon.settings import Settings
from osteon.tasks.rust import Score
from osteon.types import ImageReading, Progress, Reading, VisitReading, silent
from osteon.verbs.folders import BUNDLE, OVERLAYS, READINGS, Done

SHIPPED = Path(osteon.__file__).parent / "bundles" / "fracatlas"
"""The bundle that comes with osteon, which reads where none is named."""

MANY = 16
"""Files from which on worker processes are worth their start."""


def read(
    paths: Sequence[Path],
    out: Path,
    *,
    bundle: Path | None = None,
    overlays: bool = True,
    injured: date | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Read studies with a bundle: `readings.json`, and overlays that show where the model looked.

    With a bundle of the healing score each study is a visit: `trajectories.json` and a figure per patient tell how the
    totals go over the months.

    Args:
        paths: files of one or several studies, or folders of them.
        out: folder of the readings.
        bundle: what `train` wrote, or the `bundle` folder in it; None takes the one that comes with osteon.
        overlays: whether to write overlays; the healing score has none.
        injured: when the bone broke, for months since then; None counts from each patient's first visit.
        settings: of this machine.
        progress: told of files read.

    Raises:
        NotFound: if no bundle was named and this osteon comes with none.
        UnreadableImage: if not one of the files can be read.
    """
    import torch

    from osteon.learn.bundle import head_of
    from osteon.learn.healing.bundle import HEAD as HEALING

    settings = settings or Settings()
    # Threads that share one image wait for each other: seconds on a busy machine, for little gain on a quiet one.
    torch.set_num_threads(settings.threads or 1)
    named, bundle = bundle is not None, _bundle_at(bundle)
    arguments = {"files": sum(map(len, studies := _studies(paths))), "overlays": overlays, "bundle": bundle}
    with runs.recording("read", out, arguments, inputs=[bundle]) as result:
        readings: list[Reading] | list[VisitReading]
        if head_of(bundle) == HEALING:
            readings, said = _visits(studies, bundle, out, injured, progress)
        else:
            readings, said = _findings(studies, bundle, out / OVERLAYS if overlays else None, settings, progress)
        files.write_json(out / READINGS, [asdict(reading) for reading in readings])
        images = sum(len(reading.images) for reading in readings)
        result |= {"studies": len(readings), "images": images, "bundle": readings[0].bundle}
    if not named:
        said.append("No bundle was named: this was the one that comes with osteon.")
    said.append("Research use only: osteon is not a medical device.")
    return Done("\n".join(said), {"readings": [asdict(reading) for reading in readings]})


def _bundle_at(given: Path | None) -> Path:
    """The folder of the bundle that reads.

    Raises:
        NotFound: if none was named and there is none.
    """
    if given is None:
        return files.must_exist(SHIPPED, remedy="name a bundle that `osteon train` wrote: --bundle FOLDER")
    return given / BUNDLE if (given / BUNDLE).is_dir() else given


def _findings(
    studies: Sequence[Sequence[Path]], bundle: Path, overlays: Path | None, settings: Settings, progress: Progress
) -> tuple[list[Reading], list[str]]:
    from osteon import reader

    loaded = reader.ready(reader.load(bundle, task="fracture"))
    many = sum(map(len, studies)) >= MANY
    readings = reader.read_all(
        studies,
        loaded,
        overlays=overlays,
        workers=settings.worker_count if many else 0,
        threads=settings.threads or settings.worker_count if many else 1,
        progress=progress,
    )
    _must_hold_an_image(readings)
    said = [_said(reading) for reading in readings]
    return readings, [*said, *dict.fromkeys(reading.note for reading in readings), loaded.describe()]


def _visits(
    studies: Sequence[Sequence[Path]], bundle: Path, out: Path, injured: date | None, progress: Progress
) -> tuple[list[VisitReading], list[str]]:
    """The readings of visits, and the trajectories of their patients, written."""
    import pandas as pd

    from osteon import visit_reader
    from osteon.evaluate import trajectory
    from osteon.learn.healing import bundle as healing_bundle

    loaded = visit_reader.ready(healing_bundle.load(bundle))
    progress(0, 1)
    readings = visit_reader.read_visits(studies, loaded, injured=injured)
    progress(1, 1)
    _must_hold_an_image(readings)
    dated = [reading for reading in readings if reading.images and reading.month is not None]
    # Patients are numbered: a name in a figure would leave with it.
    number = {name: f"patient {k}" for k, name in enumerate(dict.fromkeys(r.patient for r in dated), start=1)}
    columns = ("study", "month", "total", "low", "high")
    rows = [{"patient": number[r.patient], **{name: getattr(r, name) for name in columns}} for r in dated]
    found = trajectory.trajectories(pd.DataFrame(rows), score=loaded.score) if rows else []
    files.write_json(out / "trajectories.json", trajectory.as_json(found, score=loaded.score))
    for one in found:
        with files.replacing(out / f"trajectory-{one.patient.removeprefix('patient ')}.svg") as temporary:
            temporary.write_text(trajectory.figure(one, score=loaded.score), encoding="utf-8")
    said = [_said_of_visit(reading, loaded.score) for reading in readings]
    said += [f"{one.patient}: {one.flag}; {one.reason}" for one in found]
    return readings, [*said, *dict.fromkeys(reading.note for reading in readings), loaded.describe()]


def _must_hold_an_image(readings: Sequence[Reading] | Sequence[VisitReading]) -> None:
    if not any(reading.images for reading in readings):
        first = readings[0].refusals[0]
        raise UnreadableImage(first.code, f"{first.path}: {first.reason}", remedy=first.remedy)


def _said_of_visit(reading: VisitReading, score: Score) -> str:
    lines = [f"not read: {refusal.path}: {refusal.reason}; {refusal.remedy}" for refusal in reading.refusals]
    if reading.images:
        when = "undated" if reading.month is None else f"month {reading.month:.1f}"
        grades = ", ".join(f"{c.cortex} {'–' if c.grade is None else c.grade}" for c in reading.cortices)
        total = (
            "no total: it lacks a view, or a cortex that can be graded"
            if reading.total is None
            else f"{score.name} {reading.total:.1f} ({reading.low:g} to {reading.high:g})"
        )
        lines.insert(0, f"{when}: {total}; {grades} ({', '.join(image.path for image in reading.images)})")
    return "\n".join(lines)


def _said(reading: Reading) -> str:
    lines = [f"not read: {refusal.path}: {refusal.reason}; {refusal.remedy}" for refusal in reading.refusals]
    if reading.finding:
        positive = reading.finding.probability >= reading.threshold
        names = ", ".join(_with_places(image) if positive else image.path for image in reading.images)
        figures = f"probability {reading.finding.probability:.2f}, cut-off {reading.threshold:.2f}"
        lines.insert(0, f"{reading.decision}: {figures} ({names})")
    return "\n".join(lines)


def _with_places(image: ImageReading) -> str:
    """The name of an image, and where to look in it first: the box of the highest score, in pixels of the file."""
    boxes = [box for finding in image.findings for box in finding.boxes]
    if not boxes:
        return image.path
    x, y, width, height = (round(side) for side in (boxes[0].x, boxes[0].y, boxes[0].width, boxes[0].height))
    more = f", and {len(boxes) - 1} more" if len(boxes) > 1 else ""
    return f"{image.path}: look at {width} × {height} px from ({x}, {y}){more}"


def _studies(paths: Sequence[Path]) -> list[list[Path]]:
    """The files in order, those of one study together; a file that names no study is a study of its own."""
    from osteon.dataset.sources import files_given
    from osteon.dicom.read import peek

    given = []
    for path in paths:
        files.must_exist(path)
        given += [path / inner for inner in files_given(path, archives=False)] if path.is_dir() else [path]
    if not given:
        raise NotFound("there are no files to read", remedy="pass radiographs, or a folder that holds some")
    studies: dict[str, list[Path]] = {}
    for path in given:
        try:
            study = peek(path)[0].study
        except UnreadableImage:
            study = ""  # the reader says why it cannot be read
        studies.setdefault(study or str(path), []).append(path)
    return list(studies.values())
