"""Radiographs of the wanted body parts only, by what their headers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osteon.dataset.bodypart import LEAST, PARTS, BodyPart, resolve
from osteon.types import Header, Radiograph


@dataclass(frozen=True)
class BodyPartFilter:
    """Keep a radiograph if its header names one of these parts, as it is; give nothing back if it does not.

    Attributes:
        parts: names of `osteon.dataset.bodypart.PARTS`.
        least: the confidence below which a header counts as naming no part, 0..1.
        keep_unnamed: whether a radiograph whose header names no part is kept. What names another part, or something
            outside the list, is not unnamed.
    """

    parts: tuple[str, ...] = ("wrist",)
    least: float = LEAST
    keep_unnamed: bool = False

    refusal: ClassVar[str] = "body_part"
    """The code under which `osteon.dataset.steps.apply` refuses what this step leaves out."""

    def __post_init__(self) -> None:
        given: object = self.parts
        if not isinstance(given, tuple | list) or not given or not all(part in PARTS for part in given):
            raise ValueError(f"parts is one or more of {', '.join(PARTS)}, not {given!r}")
        object.__setattr__(self, "parts", tuple(given))  # JSON has a list
        if not isinstance(self.least, int | float) or not 0 <= self.least <= 1:
            raise ValueError(f"least is a confidence from 0 to 1, not {self.least!r}")

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        found = part_of(radiograph.header, least=self.least)
        unnamed = not found.part and not found.outside
        return [radiograph] if found.part in self.parts or (self.keep_unnamed and unnamed) else []

    def __str__(self) -> str:
        unnamed = " or of no part named" if self.keep_unnamed else ""
        return f"keep radiographs of {' or '.join(self.parts)}{unnamed}"


def part_of(header: Header, *, least: float = LEAST) -> BodyPart:
    """Body part, side and view that the free texts of a header state."""
    return resolve(
        header.body_part,
        header.study_description,
        header.series_description,
        header.protocol_name,
        least=least,
    )
