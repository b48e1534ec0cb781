"""Read visits with a bundle of the healing score: each cortex, the total with its interval, and the months between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osteon.dataset.frame import render
from osteon.dataset.steps import apply
from osteon.dicom.read import read as read_radiograph
from osteon.errors import UnreadableImage
from osteon.evaluate.healing import called
from osteon.files import digest_of
from osteon.learn.fuse import fused
from osteon.learn.healing.bundle import HealingBundle
from osteon.learn.multiview import PROBABLY, Visits
from osteon.tasks.rust import CORTICES
from osteon.types import CortexReading, ImageReading, Refusal, VisitReading

DAYS_A_MONTH = 365.25 / 12


@dataclass
class _Visit:
    """A visit while its files are read."""

    study: str = ""
    patient: str = ""
    date: str = ""
    images: list[ImageReading] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)


def read_visits(
    studies: Sequence[Sequence[Path]], bundle: HealingBundle, *, injured: date | None = None
) -> list[VisitReading]:
    """Read visits, each from the files of one study.

    Args:
        studies: the files of each, DICOM, PNG or JPEG. Only DICOM says view, side, patient and date.
        bundle: what `osteon train` made of maps and grades.
        injured: when the bone broke; None counts months from each patient's first visit.

    Returns:
        One reading per study, in order. Files that cannot be read are among its refusals.
    """
    visits = [_taken(study, bundle) for study in studies]
    seen = [visit for visit in visits if visit.pixels]
    said = None
    if seen:
        number = np.repeat(np.arange(len(seen)), [len(visit.pixels) for visit in seen])
        pixels = np.stack([image for visit in seen for image in visit.pixels])
        views, sides = ([name for visit in seen for name in getattr(visit, kind)] for kind in ("views", "sides"))
        said = bundle.read(pixels, views, sides, number)
    place = {id(visit): row for row, visit in enumerate(seen)}
    months = _months(visits, injured)
    return [_reading(visit, months[row], bundle, said, place.get(id(visit))) for row, visit in enumerate(visits)]


def ready(bundle: HealingBundle) -> HealingBundle:
    """The bundle with its trunk made fast for reading: the same answers, to rounding."""
    network = bundle.network
    return replace(bundle, network=type(network)(fused(network.trunk), network.reader).eval())


def _taken(study: Sequence[Path], bundle: HealingBundle) -> _Visit:
    """The files of a study, read and prepared."""
    visit = _Visit()
    for path in study:
        try:
            parts = apply(bundle.recipe, read_radiograph(path))
        except UnreadableImage as error:
            visit.refusals.append(Refusal(str(path), error.code, error.message, error.remedy))
            continue
        header = parts[0].header
        visit.study, visit.patient = visit.study or header.study, visit.patient or header.patient
        visit.date = visit.date or header.date
        for part in parts:
            visit.pixels.append(render(part))
            visit.views.append(header.view)
            visit.sides.append(header.laterality)
            visit.images.append(ImageReading(str(path), digest_of(path)[:32], (), "", (*header.notes, *part.notes)))
    return visit


def _months(visits: Sequence[_Visit], injured: date | None) -> list[float | None]:
    """Months of each visit since the injury, or since the patient's first visit among these."""
    days = [datetime.strptime(visit.date, "%Y%m%d").date() if visit.date else None for visit in visits]
    first: dict[str, date] = {}
    for visit, day in zip(visits, days, strict=True):
        if day is not None:
            first[visit.patient] = min(day, first.get(visit.patient, day))
    return [
        None if day is None else (day - (injured or first[visit.patient])).days / DAYS_A_MONTH
        for visit, day in zip(visits, days, strict=True)
    ]


def _reading(
    visit: _Visit, month: float | None, bundle: HealingBundle, said: Visits | None, row: int | None
) -> VisitReading:
    total = low = high = None
    cortices = tuple(CortexReading(cortex, None, (), None) for cortex in CORTICES)
    if said is not None and row is not None:
        cortices = tuple(
            _cortex(cortex, said.grades[row, k], said.scoreable[row, k]) for k, cortex in enumerate(CORTICES)
        )
        if said.complete[row]:
            total, low, high = (float(x[row]) for x in (said.expected(bundle.score), said.low, said.high))
    return VisitReading(
        study=visit.study,
        patient=visit.patient,
        month=month,
        cortices=cortices,
        total=total,
        low=low,
        high=high,
        images=tuple(visit.images),
        refusals=tuple(visit.refusals),
        bundle=bundle.digest,
        note=f"Learnt from {bundle.origin.data}" if bundle.origin.data else "Nothing is known of its training data.",
    )


def _cortex(name: str, grades: NDArray[np.float64], scoreable: float) -> CortexReading:
    if np.isnan(scoreable):
        return CortexReading(name, None, (), None)
    expected = float(grades @ np.arange(1, len(grades) + 1))
    grade = int(called(np.array(expected))) if scoreable >= PROBABLY else None
    return CortexReading(name, grade, tuple(map(float, grades)), float(scoreable))
