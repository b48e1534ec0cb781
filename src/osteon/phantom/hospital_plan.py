"""What the export of a hospital is to be like."""

from __future__ import annotations

from dataclasses import dataclass, field

from osteon.errors import BadTable, unknown_name
from osteon.phantom.dirt import Dirt
from osteon.phantom.free_text import LANGUAGES
from osteon.phantom.limbs import SITES
from osteon.phantom.syntaxes import SYNTAXES

INSTANCES = (0.575, 0.335, 0.055, 0.02, 0.008, 0.004, 0.002, 0.001)
"""Share of studies with 1 to 8 instances. Its mean is 1.58, that of de Cid 2021 (21,372 radiographs of 13,538 studies);
the shares themselves are only in a figure there, so they are chosen."""

CHANCES = (
    "fractured",
    "subtle",
    "joined",
    "paired",
    "stray",
    "no_view",
    "wrong_part",
    "empty_part",
    "misspelt",
    "unlabelled",
    "orphaned",
    "inconclusive",
    "growth_plate",
    "other_fracture",
    "same_file",
    "same_uid",
    "same_pixels",
    "corrupt",
    "zipped",
    "admits_text",
)


@dataclass(frozen=True)
class HospitalPlan:
    """An export of wrist studies with all that a hospital adds. Every chance holds in both classes alike.

    Attributes:
        studies: how many; one patient each.
        fractured: share of studies with a fracture of the distal radius; 31.13 % in de Cid 2021.
        subtle: share of these that are hairlines.
        instances: share of studies with 1, 2, … instances.
        giant: instances of one further study, which no one meant to export; 0 leaves it out.
        rows, columns: smallest and largest size of a plate in pixels.
        dirt: chances of the artefacts of each plate.
        paired, joined: chance that a plate shows two limbs in one exposure, or two exposures.
        stray: chance that an image of a study shows another body part.
        syntaxes: names of transfer syntaxes, drawn with equal chance for each study.
        languages: of the text fields, drawn with equal chance for each study.
        misspelt, empty_part: chance of an error in a text field; that the body part is empty.
        wrong_part: chance that the text fields speak of another body part.
        no_view: chance that an image does not tell its view position.
        admits_text: chance that the tags of an image with burnt-in text say so.
        unlabelled: chance of a study that the label table does not name.
        orphaned: labels of studies that are not there, relative to `studies`.
        inconclusive, growth_plate, other_fracture: chance that this column is 1 for a study; no image shows it.
        same_file, same_uid, same_pixels: chance that an instance lies in a second file as it is; with an edited
            description; with new UIDs.
        corrupt: chance that a file is spoiled.
        zipped: chance that a study lies in a zip archive.
    """

    studies: int = 120
    fractured: float = 0.3113
    subtle: float = 0.5
    instances: tuple[float, ...] = INSTANCES
    giant: int = 195
    rows: tuple[int, int] = (420, 1000)
    columns: tuple[int, int] = (360, 820)
    dirt: Dirt = field(default_factory=Dirt)
    paired: float = 0.06
    joined: float = 0.04
    stray: float = 0.034
    syntaxes: tuple[str, ...] = tuple(SYNTAXES)
    languages: tuple[str, ...] = LANGUAGES
    misspelt: float = 0.25
    empty_part: float = 0.08
    wrong_part: float = 0.02
    no_view: float = 0.25
    admits_text: float = 0.5
    unlabelled: float = 0.03
    orphaned: float = 0.03
    inconclusive: float = 0.04
    growth_plate: float = 0.05
    other_fracture: float = 0.04
    same_file: float = 0.02
    same_uid: float = 0.02
    same_pixels: float = 0.02
    corrupt: float = 0.02
    zipped: float = 0.2

    def __post_init__(self) -> None:
        for name in CHANCES:
            if not 0 <= getattr(self, name) <= 1:
                raise BadTable(f"{name} is {getattr(self, name):g}", remedy="choose a value between 0 and 1")
        _within("studies", self.studies, 1, 100_000)
        _within("giant", self.giant, 0, 1000)
        for name in ("rows", "columns"):
            low, high = getattr(self, name)
            _within(name, low, 250, high)
            _within(name, high, low, 4000)
        if not self.instances or min(self.instances) < 0 or abs(sum(self.instances) - 1) > 1e-6:
            raise BadTable("the shares of studies by instances do not add up to 1", remedy="give shares that do")
        for kind, names, known in (
            ("transfer syntax", self.syntaxes, SYNTAXES),
            ("language", self.languages, LANGUAGES),
        ):
            if not names:
                raise BadTable(f"a plan without any {kind}", remedy=f"name at least one {kind}")
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)


STRAYS = tuple(site for site in SITES if site != "wrist")
"""Body parts that stray into a study of wrists."""


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadTable(f"{name} is {value:g}", remedy=f"choose a value between {low:g} and {high:g}")
