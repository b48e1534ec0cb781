"""Proof that a file is clean: every attribute, in any depth, held against the standard's table.

`deidentify` and this module know the table in common and nothing else: one walks through the attributes that were there
and makes new ones, the other walks through what is there now and asks of each by what right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from osteon.dicom.attributes import PARSING_ERRORS, tags_in
from osteon.dicom.dates import shifted
from osteon.dicom.hush import hushed
from osteon.dicom.identifiers import identifiers_of, tells
from osteon.dicom.parsing import inflated, parse
from osteon.dicom.profile import CODES, PRIVATE, Action, rule_of
from osteon.dicom.pseudonyms import PATTERN, is_ours
from osteon.dicom.values import (
    BODY_PARTS,
    DUMMIES,
    GRAMMAR,
    NUMBERS,
    WELL_KNOWN_UIDS,
    WORDS,
    age_of,
    may_hold_bytes,
    plain,
    vr_of,
)
from osteon.errors import UnreadableImage
from osteon.types import VIEWS

_META = {"FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID"} | {
    *("MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName")
}
_PSEUDONYMS = ("PatientID", "PatientName", "AccessionNumber")
_TERMS = {"BodyPartExamined": BODY_PARTS, "ViewPosition": frozenset(VIEWS), "ImageLaterality": frozenset("LRBU")}
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"  # of a sequence of unknown length, as encapsulated pixel data are
_STATED = {
    "PatientIdentityRemoved": "YES",
    "LongitudinalTemporalInformationModified": "MODIFIED",
    "BurnedInAnnotation": "NO",
}


@dataclass(frozen=True)
class Violation:
    """Something that a clean file may not hold. Values are never told.

    Attributes:
        attribute: its name, with those of the sequences round it, e.g. `RequestAttributesSequence.AccessionNumber`.
        reason: why it may not be there.
    """

    attribute: str
    reason: str


def violations_of(data: bytes) -> list[Violation]:
    """What a file holds against the profile; nothing if it is clean as far as attributes tell.

    Args:
        data: bytes of the file.
    """
    with hushed():  # what pydicom warns of is judged here by value
        try:
            dataset, _ = parse(data, whole=True)
            found = [*_of_file(data, dataset), *_of_dataset(dataset, ""), *_statements(dataset)]
        except (UnreadableImage, *PARSING_ERRORS):
            return [Violation("the file", "cannot be read as DICOM")]
    return found


def left_of(original: Dataset, data: bytes) -> list[Violation]:
    """Where a clean file still says what only its original said: names, numbers, places, UIDs, dates.

    Args:
        original: the data set before.
        data: bytes of the file after.
    """
    with hushed():
        clean, _ = parse(data, whole=False)
        identifiers, before = identifiers_of(original), _dated(original)
        found = []
        for name, element in _walk(clean, ""):
            texts, same = _texts(element), list[str]()
            if element.VR == "UI":
                same = [t for t in texts if t in before and not t.startswith(WELL_KNOWN_UIDS)]
            elif element.VR in ("DA", "DT"):
                same = [t for t in texts if t and (name, t) in before]
            elif name not in _TERMS:
                same = [t for t in texts if tells(t, identifiers)] if element.VR in WORDS else []
            if same:
                found.append(Violation(name, "says what the original said"))
    return found


def _dated(original: Dataset) -> set[object]:
    kept: set[object] = set()
    for name, element in _walk(original, ""):
        values = _texts(element)
        kept |= set(values) if element.VR == "UI" else {(name, value) for value in values if element.VR in ("DA", "DT")}
    return kept


def _walk(dataset: Dataset, within: str) -> Iterator[tuple[str, DataElement]]:
    for tag in tags_in(dataset):
        name = f"{within}{_name(tag)}"
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    yield from _walk(item, f"{name}.")
            elif not element.is_empty:
                yield name, element
        except PARSING_ERRORS:
            continue


def _texts(element: DataElement) -> list[str]:
    values = element.value if element.VM > 1 else [element.value]
    return [plain(value) for value in values]


def _name(tag: BaseTag) -> str:
    return keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"


def _of_file(data: bytes, dataset: FileDataset) -> Iterator[Violation]:
    if data[128:132] != b"DICM" or any(data[:128]):
        yield Violation("the preamble", "is not empty")
    for tag in tags_in(dataset.file_meta):
        if _name(tag) not in _META:
            yield Violation(_name(tag), "has no place in the file meta information")
    if not _ends_with_pixels(data, dataset):
        yield Violation("the end of the file", "holds something behind the pixels, or no pixels")
    if dataset.file_meta.get("MediaStorageSOPInstanceUID") != dataset.get("SOPInstanceUID"):
        yield Violation("MediaStorageSOPInstanceUID", "is not that of the data set")


def _ends_with_pixels(data: bytes, dataset: FileDataset) -> bool:
    """Whether the file ends with its pixel data: what stands behind them, readers pass over."""
    pixels = dataset.get("PixelData", b"")
    if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        data = inflated(data[144 + int(dataset.file_meta.FileMetaInformationGroupLength) :])
    end = _DELIMITER if pixels and dataset["PixelData"].is_undefined_length else b""
    return bool(pixels) and data.endswith(pixels + end)


def _statements(dataset: FileDataset) -> Iterator[Violation]:
    for keyword, value in _STATED.items():
        if dataset.get(keyword) != value:
            yield Violation(keyword, f"is not {value}")
    items = dataset.get("DeidentificationMethodCodeSequence") or []
    if {str(item.get("CodeValue")) for item in items} != set(CODES):
        yield Violation("DeidentificationMethodCodeSequence", "does not name the profile and options applied")


def _of_dataset(dataset: Dataset, within: str) -> Iterator[Violation]:
    for tag in tags_in(dataset):
        name = f"{within}{_name(tag)}"
        rule = rule_of(tag)
        if rule is PRIVATE:
            yield Violation(name, "is private")
        elif rule and rule.action is Action.REMOVE:
            yield Violation(name, f"is to be removed ({rule.basic})")
        elif tag.group < 8 or tag.element == 0 or not vr_of(tag):
            yield Violation(name, "is unknown to the standard, or has no place in a data set")
        else:
            yield from _of_element(dataset, tag, name)


def _of_element(dataset: Dataset, tag: BaseTag, name: str) -> Iterator[Violation]:
    try:
        element = dataset[tag]
        if element.VR == "SQ" and vr_of(tag) == "SQ":
            rule = rule_of(tag)
            if rule and rule.action in (Action.EMPTY, Action.DUMMY) and any(len(item) for item in element.value):
                yield Violation(name, f"is to be emptied ({rule.basic})")
            for item in element.value:
                yield from _of_dataset(item, f"{name}.")
        elif not element.is_empty:
            reason = _reason(element, dataset)
            if reason:
                yield Violation(name, reason)
    except PARSING_ERRORS:
        yield Violation(name, "cannot be read")


def _reason(element: DataElement, dataset: Dataset) -> str:
    """Why an element may not have the value that it has; "" if it may."""
    rule, vr, keyword = rule_of(element.tag), element.VR, element.keyword
    texts = _texts(element)
    if keyword in _PSEUDONYMS:
        return "" if all(PATTERN.fullmatch(text) for text in texts) else "is no pseudonym"
    if rule and rule.action is Action.EMPTY:
        return f"is to be empty ({rule.basic})"
    if rule and rule.action is Action.DUMMY:
        first = vr_of(element.tag).split(" or ")[0]
        return "" if str(element.value) == str(DUMMIES.get(first)) else f"is to be a dummy ({rule.basic})"
    if vr not in vr_of(element.tag).split(" or "):
        return f"is written as {vr}, which the standard does not give it"
    if vr == "UI":
        mapped = bool(rule and rule.action is Action.UID)
        fine = all(is_ours(text) or (not mapped and text.startswith(WELL_KNOWN_UIDS)) for text in texts)
        return "" if fine else "is a UID from elsewhere"
    if vr in ("DA", "DT", "TM"):
        return "" if all(shifted(text, vr, 0) == text for text in texts) else f"is no {vr}"
    if vr == "AS":
        return "" if all(age_of(text) == text for text in texts) else "is no age up to 90 years"
    if keyword in _TERMS:
        return "" if _TERMS[keyword].issuperset(filter(None, texts)) else "is no term of its list"
    if vr in GRAMMAR:
        return "" if all(GRAMMAR[vr].fullmatch(text) for text in texts) else f"breaks the grammar of {vr}"
    return "" if vr in NUMBERS or may_hold_bytes(dataset, element.tag) else f"is {vr}, which could hold anything"
