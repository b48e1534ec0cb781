"""Which values may stand in a clean file: grammar by value representation, dummies, ages, terms for body parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

WELL_KNOWN_UIDS = "1.2.840.10008."
"""Root of the UIDs that the standard itself gives: classes, transfer syntaxes, coding schemes."""

GRAMMAR: Mapping[str, re.Pattern[str]] = {
    "CS": re.compile(r"[A-Z0-9_ ]{0,16}"),
    "DS": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|", re.ASCII),
    "IS": re.compile(r"[+-]?\d{1,12}|", re.ASCII),
    "LO": re.compile(r"[^\x00-\x1f\\]{0,64}"),
    "SH": re.compile(r"[^\x00-\x1f\\]{0,16}"),
    "UC": re.compile(r"[^\x00-\x1f\\]{0,256}"),
}
"""Representations of text that an attribute which the table does not list may have, and how one value looks, without
blanks around it (PS3.5 section 6.2). Free text (ST, LT, UT), addresses (AE, UR) and names (PN) are not among them."""

WORDS = ("CS", "LO", "SH", "UC")
"""Those of them that hold words, in which a name could stand."""

NUMBERS = ("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT")
"""Representations of binary numbers, which name nobody."""

PIXEL_DATA, LUT_DATA = 0x7FE00010, 0x00283006
"""Attributes that may hold bytes: look-up tables may be written as words."""

LONGEST_TABLE = 2 * 65536
"""Bytes of a look-up table at most (PS3.3 C.11.1.1.1)."""

DUMMIES: Mapping[str, Any] = {
    **dict.fromkeys(("LO", "SH", "CS", "AE", "LT", "ST", "UT", "UC", "PN"), "REMOVED"),
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(NUMBERS, 0),
    **dict.fromkeys(("OB", "OW", "UN", "OF", "OD", "OL", "OV"), b"\0" * 8),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101",
    "TM": "000000",
    "UR": "urn:removed",
    "UI": UID("2.25.604472133179351442128896"),
}
"""What stands in the place of a value that must not be empty, by value representation."""

OLDEST_YEARS = 89
"""Ages above are written as 90 years: so few are alive then that an age tells who (45 CFR 164.514(b)(2)(i)(C))."""

BODY_PARTS = frozenset(
    {
        *("ABDOMEN", "ABDOMENPELVIS", "ACJOINT", "ANKLE", "ARM", "BACK", "BREAST", "CALCANEUS", "CALF", "CERVIX"),
        *("CHEEK", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "COCCYX", "CSPINE", "CTSPINE", "ELBOW"),
        *("EXTREMITY", "EYE", "FACE", "FACIALBONES", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "HAND"),
        *("HEAD", "HEADNECK", "HEEL", "HIP", "HUMERUS", "IAC", "JAW", "KNEE", "LARGETOE", "LEG", "LOWERLEG"),
        *("LOWERLIMB", "LSPINE", "LSSPINE", "MANDIBLE", "MAXILLA", "METACARPUS", "METATARSUS", "NASALBONE", "NECK"),
        *("ORBIT", "PANCREAS", "PATELLA", "PELVIS", "PHALANX", "RADIUS", "RADIUSULNA", "RIB", "SACRUM", "SCAPHOID"),
        *("SCAPULA", "SCJOINT", "SELLA", "SHOULDER", "SIJOINT", "SINUS", "SKULL", "SPINE", "STERNUM", "TEETH"),
        *("THIGH", "THUMB", "TIBIA", "TIBIAFIBULA", "TLSPINE", "TMJ", "TOE", "TOOTH", "TSPINE", "ULNA", "UPPERARM"),
        *("UPPERLIMB", "WHOLEBODY", "WRIST", "ZYGOMA"),
    }
)
"""Values that BodyPartExamined may have: terms of PS3.16 annex L for radiography, and a few that are usual beside."""


def may_hold_bytes(dataset: Dataset, tag: int) -> bool:
    """Whether an attribute of a data set may hold bytes: pixel data, or a look-up table that has its descriptor."""
    if tag != LUT_DATA:
        return tag == PIXEL_DATA
    return "LUTDescriptor" in dataset and len(dataset[tag].value or b"") <= LONGEST_TABLE


def vr_of(tag: int) -> str:
    """Value representation that the standard gives an attribute, e.g. "US or SS"; "" if pydicom does not know it."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def dummy_of(tag: int, vr: str) -> DataElement:
    """An element whose value says nothing; a sequence gets one empty item."""
    first = vr.split(" or ")[0]
    return DataElement(tag, first, Sequence([Dataset()]) if first == "SQ" else DUMMIES[first])


def age_of(text: str) -> str:
    """An age as the standard writes it, at most 090Y; "" if it is none."""
    match = re.fullmatch(r"(\d{3})([DWMY])", text.strip().upper(), re.ASCII)
    if match is None:
        return ""
    years = int(match[1]) if match[2] == "Y" else 0  # 999 months are 83 years
    return "090Y" if years > OLDEST_YEARS else match[0]


def plain(value: Any) -> str:
    """One value as text, as it stands in the file, without the padding round it."""
    written = getattr(value, "original_string", None)  # numbers as text remember how they were written
    return (written if isinstance(written, str) else str(value)).strip("\0 ")
