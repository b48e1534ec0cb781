"""What PS3.15 asks to be done with each attribute: table E.1-1 with the options that osteon applies.

`confidentiality.csv` beside this module holds the table as the standard has it; this module says what it comes to.
`docs/decisions/0008-deidentification.md` says where its rows were taken from and how they were checked.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

EDITION = "PS3.15 2026c"
"""Edition of the standard that the table is from."""

CODES: Mapping[str, str] = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}
"""What is applied: codes of context group 7050 (PS3.16), coding scheme DCM, and their meaning."""


class Action(StrEnum):
    """What is done with an attribute. The values are the letters of the standard."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    SHIFT = "C"  # "clean": in the one option of ours that says so, dates and times
    KEEP = "K"


@dataclass(frozen=True)
class Rule:
    """A row of table E.1-1.

    Attributes:
        tag: eight hexadecimal digits; x stands for any digit.
        name: of the attribute.
        basic: action of the basic profile as the table writes it, e.g. X/Z/D.
        action: what osteon does, with its options.
    """

    tag: str
    name: str
    basic: str
    action: Action


_CHOICE: Mapping[str, Action] = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.UID,
    # Of alternatives the first is due unless the IOD requires a later one; the attributes of these rows are optional
    # (type 3, or 1C on a condition that no longer holds) in the IODs of CR, DX and RF images.
    "X/Z": Action.REMOVE,
    "X/D": Action.REMOVE,
    "X/Z/D": Action.REMOVE,
    "Z/D": Action.EMPTY,
    # References to other images are kept, and the UIDs in them mapped like those of the images.
    "X/Z/U*": Action.UID,
}

_REQUIRED: Mapping[str, Action] = {
    "00400555": Action.EMPTY,  # AcquisitionContextSequence: type 2 in a module that DX requires (PS3.3 A.26, C.7.6.14)
}

_NO_DATES = ("00080201", "00340007", "04000310")
"""Rows of the date option that hold no date: an offset from UTC, and times as bytes. Nothing there can be moved."""

PRIVATE = Rule("gggggggg", "Private Attributes", "X", Action.REMOVE)
"""The row for all attributes of an odd group."""

TABLE = Path(__file__).with_name("confidentiality.csv")


@cache
def rules() -> Mapping[str, Rule]:
    """All rows of the table but `PRIVATE`: tag, as the row writes it → rule."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["tag"].lower(): _rule(row) for row in csv.DictReader(stream)}


def _rule(row: Mapping[str, str]) -> Rule:
    tag, basic = row["tag"].lower(), row["basic"]
    action = _REQUIRED.get(tag, _CHOICE[basic])
    if row["modified_dates"] == "C" and tag not in _NO_DATES:
        action = Action.SHIFT
    elif row["patient_characteristics"] == "K":
        action = Action.KEEP
    # "C" under patient characteristics is free text (allergies, patient state). No program can vouch that such text
    # names nobody, so the basic profile's action stands.
    return Rule(tag, row["name"], basic, action)


def rule_of(tag: int) -> Rule | None:
    """The row of the table that an attribute falls under; None where the standard lists no such attribute.

    Curves and overlays fall under their rows with all attributes of their groups (50xx, 60xx): what is left of them
    without their data has no meaning.
    """
    if (tag >> 16) & 1:
        return PRIVATE
    found = rules().get(f"{tag:08x}")
    if found is None and tag >> 24 == 0x50:
        return rules()["50xxxxxx"]
    if found is None and tag >> 24 == 0x60:
        return rules()["60xx4000" if tag & 0xFFFF == 0x4000 else "60xx3000"]
    return found
