"""The words of a data set by which somebody could be found: names, numbers, places."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from osteon.dicom.attributes import PARSING_ERRORS, tags_in

_NUMBERS_AND_PLACES = frozenset(
    {
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "PatientAddress", "PatientTelephoneNumbers"),
        *("InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber", "AdmissionID"),
        *("PatientBirthDate", "MedicalRecordLocator", "MilitaryRank", "BranchOfService"),
    }
)

SHORTEST = 3
"""Shorter words are in too many others to tell anybody."""

_WORD = re.compile(r"\w+")


def identifiers_of(dataset: Dataset) -> frozenset[str]:
    """What names people and places in a data set, in any depth: each part of a name, each number as a whole.

    Returns:
        In lower case; those under SHORTEST characters are left out.
    """
    return frozenset(word for word in _words(dataset) if len(word) >= SHORTEST)


def tells(text: str, identifiers: frozenset[str]) -> bool:
    """Whether a text holds one of the identifiers, as whole words."""
    words = _WORD.findall(text.casefold())
    joined = f" {' '.join(words)} "
    return bool(identifiers) and any(f" {' '.join(_WORD.findall(one))} " in joined for one in identifiers)


def _words(dataset: Dataset) -> Iterator[str]:
    for tag in tags_in(dataset):
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    yield from _words(item)
            elif not element.is_empty:
                yield from _words_of(element)
        except PARSING_ERRORS:
            continue  # a value that cannot be read is not kept either


def _words_of(element: DataElement) -> Iterator[str]:
    values = element.value if element.VM > 1 else [element.value]
    if element.VR == "PN":
        for value in values:
            yield from _WORD.findall(str(value).casefold())
    elif element.keyword in _NUMBERS_AND_PLACES:
        yield from (str(value).strip().casefold() for value in values)
