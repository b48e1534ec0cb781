"""What a phantom cohort is to be like."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields

from osteon.errors import BadTable, unknown_name
from osteon.phantom.syntaxes import COMMON, SYNTAXES

AS_READ = (81 / 99, 14 / 99, 4 / 99)
"""Shares of fractured studies that show the fracture in all of their views, in half, in a third of them: what a
radiologist saw in 70 studies (de Cid 2021, 6.3)."""

ANGLES_DEG = {"PA": 0.0, "LAT": 90.0, "OBL": 45.0}
"""View → angle of the rays about the forearm."""


@dataclass(frozen=True)
class Chance:
    """Probability of an option in each class. Unequal ones plant a shortcut."""

    fractured: float
    intact: float

    def __post_init__(self) -> None:
        chance_within(self.fractured, self.intact)

    def of(self, fractured: bool) -> float:
        """The probability in a class."""
        return self.fractured if fractured else self.intact


def even(probability: float) -> Chance:
    """The same probability in both classes: nothing is planted."""
    return Chance(probability, probability)


@dataclass(frozen=True)
class Plan:
    """A cohort of wrists: one study each, one image per view.

    Attributes:
        patients: how many.
        fractured: share of patients with a fracture.
        subtle: share of fractures that are hairlines without displacement. The one knob of difficulty.
        gap_mm: narrowest and widest fracture gap.
        views: of each study, in order; PA, LAT or OBL, repeated if wanted.
        instances: share of studies with the first 1, 2, … of these views alone; () for studies that have all of them.
        shown: shares of fractured studies that show it in all, in half, in a third of their views (`AS_READ`);
            a view that does not show it is exposed with the bone whole. Every study shows it in one view at least.
        mislabelled: share of studies whose label in `labels.csv` is the wrong one; the truth table has the right one.
        rows, columns: of each image, 250 to 4000.
        field_mm: height of the image in the patient; the pixel spacing is field_mm / rows.
        quanta_per_mm2: dose, in detected quanta of the empty beam.
        scatter: scattered radiation relative to the direct one.
        turned: chance of an image turned in its plane by up to `turn_deg`; all others by at most 3°.
        inverted: chance that the pixels of an image are inverted although the tags say otherwise.
        marker: chance of a lead letter in an image.
        hardware, cast: chance of metal, or a plaster, in a study.
        syntaxes: names of transfer syntaxes, drawn with equal chance for each study.
    """

    patients: int = 120
    fractured: float = 0.5
    subtle: float = 0.5
    gap_mm: tuple[float, float] = (0.2, 4.0)
    views: tuple[str, ...] = ("PA", "LAT")
    instances: tuple[float, ...] = ()
    shown: tuple[float, float, float] = (1.0, 0.0, 0.0)
    mislabelled: float = 0.0
    rows: int = 640
    columns: int = 512
    field_mm: float = 96.0
    quanta_per_mm2: float = 2e5
    scatter: float = 0.35
    turned: Chance = field(default_factory=lambda: even(0.2))
    turn_deg: float = 25.0
    inverted: Chance = field(default_factory=lambda: even(0.05))
    marker: Chance = field(default_factory=lambda: even(0.6))
    hardware: Chance = field(default_factory=lambda: even(0.05))
    cast: Chance = field(default_factory=lambda: even(0.05))
    syntaxes: tuple[str, ...] = COMMON

    def __post_init__(self) -> None:
        within("patients", self.patients, 1, 100_000)
        within("fractured", self.fractured, 0, 1)
        within("subtle", self.subtle, 0, 1)
        within("rows", self.rows, 250, 4000)
        within("columns", self.columns, 250, 4000)
        within("field_mm", self.field_mm, 40, 300)
        within("quanta_per_mm2", self.quanta_per_mm2, 1e3, 1e8)
        within("scatter", self.scatter, 0, 5)
        within("turn_deg", self.turn_deg, 0, 180)
        within("gap_mm", self.gap_mm[0], 0.05, self.gap_mm[1])
        within("gap_mm", self.gap_mm[1], self.gap_mm[0], 10)
        listed("view", self.views, ANGLES_DEG)
        if self.instances:
            _shared_out("studies by their images", self.instances, len(self.views), "views")
        _shared_out("fractured studies by the views that show it", self.shown, 3, "kinds")
        within("mislabelled", self.mislabelled, 0, 1)
        listed("transfer syntax", self.syntaxes, SYNTAXES)

    @property
    def spacing_mm(self) -> float:
        """Pixel spacing."""
        return self.field_mm / self.rows

    @property
    def planted(self) -> tuple[str, ...]:
        """The options whose chance depends on the class; empty for a neutral cohort."""
        chances = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple(name for name, c in chances if isinstance(c, Chance) and c.fractured != c.intact)


def _shared_out(what: str, shares: tuple[float, ...], most: int, places: str) -> None:
    """Check that shares are shares, and no more of them than there are places."""
    if not shares or len(shares) > most or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise BadTable(
            f"{len(shares)} shares of {what}, {sum(shares):g} together, for {most} {places}",
            remedy="give at most as many shares, 1 together",
        )


def chance_within(*chances: float) -> None:
    """Check that chances are probabilities."""
    for chance in chances:
        if not 0 <= chance <= 1:
            raise BadTable(f"a chance is {chance}", remedy="give a probability between 0 and 1")


def within(name: str, value: float, low: float, high: float) -> None:
    """Check that an option lies in its range."""
    if not low <= value <= high:
        raise BadTable(f"{name} is {value:g}", remedy=f"choose a value between {low:g} and {high:g}")


def listed(kind: str, names: tuple[str, ...], known: Collection[str]) -> None:
    """Check that names are given and known."""
    if not names:
        raise BadTable(f"a plan without any {kind}", remedy=f"name at least one {kind}")
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
