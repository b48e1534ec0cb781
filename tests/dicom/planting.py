"""Files in which every attribute of the standard's table says something that it should not."""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from osteon.dicom.profile import rules
from tests.dicom.making import a_dataset, a_file, stored_values

SECRET = "Zebedee Quux"
"""Stands in every text that is planted."""

SECRETS: dict[str, Any] = {
    **dict.fromkeys(("LO", "SH", "LT", "ST", "UT", "UC", "AE"), SECRET),
    **dict.fromkeys(("OB", "OW", "UN"), SECRET.encode()),
    "PN": "Quux^Zebedee",
    "CS": "ZEBEDEE QUUX",
    "UR": "http://quux.example/zebedee",
    "UI": "1.2.826.0.1.77777.5",
    "DA": "20190703",
    "DT": "20190703111213",
    "TM": "111213.5",
    "AS": "097Y",
    "DS": "77777.5",
    "IS": "77777",
    "US": 7777,
    "SS": 7777,
    "UL": 77777,
    "SL": 77777,
    "FL": 77777.5,
    "FD": 77777.5,
}
"""What is planted, by value representation."""

STRUCTURE = {0x00080005, 0x00080016, 0x00080018, 0x7FE00010}
"""Attributes without which a file is none; they are not planted over."""


def tags_of_the_table() -> list[int]:
    """Every tag of the table that can stand in a data set, repeating groups by two of their members."""
    found = {0x50000010, 0x50023000, 0x60003000, 0x60024000, 0x60000010}
    found |= {int(tag, 16) for tag in rules() if "x" not in tag and tag > "0008"}
    return sorted(found)


def a_planted_element(tag: int, vr: str = "") -> DataElement:
    """An element whose value is a secret, of the representation that the standard gives it or of another."""
    try:
        usual = dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        usual = "LO"
    vr = vr or usual
    if vr == "UN" and usual not in ("PN", "LO", "SH", "LT", "ST", "UT", "UC"):
        vr = "OB"  # pydicom takes UN for the usual one, and would not build it
    if vr == "SQ":
        item = Dataset()
        item.add_new(0x00081199 if tag != 0x00081199 else 0x00081140, "SQ", [])
        item.add_new(0x00104000, "LT", SECRET)
        item.add_new(0x00100010, "PN", SECRETS["PN"])
        return DataElement(tag, "SQ", Sequence([item]))
    return DataElement(tag, vr, SECRETS[vr])


def an_identifying_file(**attributes: Any) -> bytes:
    """A small CR file of a person with a name, a number, dates and a private block."""
    dataset = a_dataset(stored_values(), bits=12)
    dataset.PatientName, dataset.PatientID = SECRETS["PN"], "77777"
    dataset.StudyDate, dataset.ContentDate, dataset.ContentTime = "20190703", "20190704", "111213"
    dataset.AccessionNumber, dataset.BodyPartExamined = "ACC77777", "WRIST"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return a_file(dataset)
