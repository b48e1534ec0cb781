"""What a phantom cohort of healing tibiae is to be like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from osteon.errors import BadTable
from osteon.phantom.healing import MONTHS, deviation_between
from osteon.phantom.plan import chance_within, listed, within
from osteon.phantom.syntaxes import COMMON, SYNTAXES


@dataclass(frozen=True)
class ByUnion:
    """Probability of an option in visits that are united and in those that are not. Unequal ones plant a shortcut."""

    united: float
    ununited: float

    def __post_init__(self) -> None:
        chance_within(self.united, self.ununited)

    def of(self, united: bool) -> float:
        """The probability in a class."""
        return self.united if united else self.ununited


def always(probability: float) -> ByUnion:
    """The same probability whether united or not: nothing is planted."""
    return ByUnion(probability, probability)


@dataclass(frozen=True)
class Spoilt:
    """How many images of a view lack grades: both of them, or only that of one cortex.

    Attributes:
        both: share of the images in which neither cortex can be graded.
        one: share of those in which only the first, and only the second of the cortices shown cannot.
    """

    both: float
    one: tuple[float, float]

    def __post_init__(self) -> None:
        chance_within(self.both, *self.one, self.both + sum(self.one))


@dataclass(frozen=True)
class HealingPlan:
    """A cohort of healing tibiae. The defaults are the size and the mix of Hong 2023.

    Attributes:
        patients: how many.
        visits: patients with 1, 2, 3 and 4 visits, relative to each other, each at other months.
        views: visits with both views, with AP alone, with LAT alone, relative to each other.
        spoilt_ap, spoilt_lat: images that cannot be scored.
        icc: ICC(2,1) of the total between two raters. raters: how many there are, called A, B, …
        pace: mean growth of the stage in a year, in deviations of the stage between visits: how much is progress.
        united: total from which a fracture counts as united.
        rows, columns: of each image, 250 to 4000.
        field_mm: mean height of an image in the patient, which varies by up to 8 %; the pixel spacing is that / rows.
        quanta_per_mm2: dose, in detected quanta of the empty beam. scatter: relative to the direct radiation.
        turn_deg: how far an image is turned in its plane at most.
        nail, plate, cast: chance of a nail, of a plate where there is no nail, of a plaster in a visit. A patient keeps
            metal as long as its chance does not change.
        marker: chance of a lead letter in an image.
        syntaxes: names of transfer syntaxes, drawn with equal chance for each visit.
    """

    patients: int = 1207
    visits: tuple[float, ...] = (964, 178, 52, 13)
    views: tuple[float, float, float] = (1408, 85, 35)
    spoilt_ap: Spoilt = field(default_factory=lambda: Spoilt(156 / 1493, (55 / 1493, 96 / 1493)))
    spoilt_lat: Spoilt = field(default_factory=lambda: Spoilt(96 / 1443, (71 / 1443, 20 / 1443)))
    icc: float = 0.86
    raters: int = 2
    pace: float = 0.8
    united: int = 15
    rows: int = 320
    columns: int = 256
    field_mm: float = 140.0
    quanta_per_mm2: float = 2e5
    scatter: float = 0.35
    turn_deg: float = 12.0
    nail: ByUnion = field(default_factory=lambda: always(0.25))
    plate: ByUnion = field(default_factory=lambda: always(0.08))
    cast: ByUnion = field(default_factory=lambda: always(0.1))
    marker: ByUnion = field(default_factory=lambda: always(0.6))
    syntaxes: tuple[str, ...] = COMMON

    def __post_init__(self) -> None:
        within("patients", self.patients, 1, 100_000)
        _counts("visits", self.visits, len(MONTHS))
        _counts("views", self.views, 3)
        within("icc", self.icc, 0.1, 1)
        within("raters", self.raters, 1, 26)
        within("pace", self.pace, 0, 10)
        within("united", self.united, 4, 16)
        within("rows", self.rows, 250, 4000)
        within("columns", self.columns, 250, 4000)
        within("field_mm", self.field_mm, 100, 220)
        within("quanta_per_mm2", self.quanta_per_mm2, 1e3, 1e8)
        within("scatter", self.scatter, 0, 5)
        within("turn_deg", self.turn_deg, 0, 180)
        listed("transfer syntax", self.syntaxes, SYNTAXES)
        if math.isnan(self.between):
            raise BadTable(
                f"pace is {self.pace:g}, so that months alone tell the grades", remedy="choose a slower pace"
            )

    @property
    def between(self) -> float:
        """Deviation of the stage between patients."""
        return deviation_between(self.pace, self.visits)

    @property
    def spoilt(self) -> dict[str, Spoilt]:
        """Images that cannot be scored, by view."""
        return {"AP": self.spoilt_ap, "LAT": self.spoilt_lat}

    @property
    def planted(self) -> tuple[str, ...]:
        """The options whose chance depends on union; empty for a neutral cohort."""
        chances = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple(name for name, c in chances if isinstance(c, ByUnion) and c.united != c.ununited)


def healing_plan(*, patients: int | None = None, visits: int | None = None, **chances: float | None) -> HealingPlan:
    """The plan of the study, but for what is given.

    Args:
        patients: how many.
        visits: of each patient, 1 to 4.
        chances: of nail, plate, cast and marker, whether united or not.
    """
    options: dict[str, Any] = {name: always(chance) for name, chance in chances.items() if chance is not None}
    if patients is not None:
        options["patients"] = patients
    if visits is not None:
        options["visits"] = tuple(float(n == visits) for n in range(1, len(MONTHS) + 1))
    return HealingPlan(**options)


def _counts(name: str, counts: tuple[float, ...], most: int) -> None:
    if not 1 <= len(counts) <= most or min(counts) < 0 or not sum(counts) > 0:
        raise BadTable(f"{name} are {counts}", remedy=f"give up to {most} numbers of 0 or more, not all of them 0")
