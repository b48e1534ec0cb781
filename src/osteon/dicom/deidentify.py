"""A data set without what tells whose it is: PS3.15 annex E, basic profile with three options, in any depth.

`profile` says what the standard asks for each attribute it lists. What it does not list it lets stay, which is right
for files as the standard describes them and not for those that exist. So osteon is stricter there, and keeps an
unlisted attribute only if its value cannot name anybody: it is known to the standard, has the value representation
that the standard gives it, obeys its grammar, and is neither free text nor bytes. `residue` proves the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from osteon.dicom.attributes import PARSING_ERRORS, tags_in
from osteon.dicom.dates import shifted
from osteon.dicom.hush import hushed
from osteon.dicom.identifiers import identifiers_of, tells
from osteon.dicom.profile import CODES, EDITION, Action, rule_of
from osteon.dicom.pseudonyms import Key
from osteon.dicom.values import GRAMMAR, NUMBERS, WELL_KNOWN_UIDS, WORDS, age_of, dummy_of, may_hold_bytes, plain, vr_of
from osteon.errors import UnreadableImage

IMPLEMENTATION = UID("2.25.177049207612312190362106411843530180913")
"""Implementation class UID in the files written here."""

PATIENT_ID, PATIENT_NAME, ACCESSION = 0x00100020, 0x00100010, 0x00080050
_CHARACTER_SET = 0x00080005
_BYTES = ("OB", "OW")


@dataclass(frozen=True)
class Findings:
    """What was found out about an image before its descriptions go.

    Attributes:
        patient: who it is, if a label table knows better than PatientID; "" takes PatientID, else the study.
        body_part: DICOM term for BodyPartExamined; "" empties it.
        view: for ViewPosition, "" empties it.
        laterality: L, R or B, for ImageLaterality (DX) or Laterality if they say nothing.
        age: for PatientAge if it says nothing: the date of birth goes.
    """

    patient: str = ""
    body_part: str = ""
    view: str = ""
    laterality: str = ""
    age: str = ""


@dataclass(frozen=True)
class _Context:
    """What the values of one file depend on."""

    key: Key
    patient: str
    days: int
    identifiers: frozenset[str]


def patient_of(dataset: Dataset) -> str:
    """Who the patient is: PatientID, else the study that the file belongs to, "" if it names neither."""
    return _text_of(dataset, PATIENT_ID) or _text_of(dataset, 0x0020000D)


def deidentify(dataset: FileDataset, key: Key, findings: Findings) -> Dataset:
    """A new data set, with new file meta information; the one given is not changed, but for reading its values.

    Args:
        dataset: a single-frame image, as `osteon.dicom.parsing.parse` returns it. Its pixel data are taken over.
        key: of the pseudonyms.
        findings: what goes into attributes whose free text is lost.

    Raises:
        UnreadableImage: `bad_attributes`, if it is too damaged to be looked through, or names no instance;
            `no_pixels` or `no_transfer_syntax`.
    """
    if "PixelData" not in dataset:
        raise UnreadableImage("no_pixels", "the file holds no image", remedy="leave it out")
    little = dataset.original_encoding[1] is not False
    with hushed():  # about values that break the standard, none of which will stay
        try:
            correct_ambiguous_vr(dataset, little)
            patient = findings.patient or patient_of(dataset)
            context = _Context(key, patient, key.days(patient), identifiers_of(dataset))
            clean = _cleaned(dataset, context)
        except PARSING_ERRORS as error:
            raise UnreadableImage(
                "bad_attributes", "its attributes cannot be looked through", remedy="export the image again"
            ) from error
        _state(clean, context, findings)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not syntax:
        raise UnreadableImage("no_transfer_syntax", "the file does not say how it is encoded", remedy="export it again")
    if not clean.get("SOPInstanceUID") or not clean.get("SOPClassUID"):
        raise UnreadableImage("bad_attributes", "SOPInstanceUID or SOPClassUID is missing", remedy="export it again")
    clean.file_meta = _meta(clean, str(syntax))
    return clean


def file_of(dataset: Dataset) -> bytes:
    """The file of a de-identified data set: a preamble of zeros, meta information, data set.

    Raises:
        UnreadableImage: `bad_attributes`, if its pixel data are not encoded as its transfer syntax says.
    """
    buffer = BytesIO()
    with hushed():
        try:
            dataset.save_as(buffer, enforce_file_format=True)
        except PARSING_ERRORS as error:
            raise UnreadableImage(
                "bad_attributes", "it cannot be written as its transfer syntax asks", remedy="export the image again"
            ) from error
    return buffer.getvalue()


def _cleaned(dataset: Dataset, context: _Context) -> Dataset:
    clean = Dataset()
    for tag in tags_in(dataset):
        if tag == _CHARACTER_SET or tag.element == 0 or tag.group < 8:
            continue  # all text is decoded here and written in UTF-8; group lengths would be wrong
        element = _element(dataset, int(tag), context)
        if element is not None:
            clean.add(element)
    return clean


def _element(dataset: Dataset, tag: int, context: _Context) -> DataElement | None:
    rule = rule_of(tag)
    action = rule.action if rule else Action.KEEP
    vr = vr_of(tag)
    if action is Action.REMOVE or not vr:
        return None
    if tag in (PATIENT_ID, PATIENT_NAME, ACCESSION):
        kind = "accession" if tag == ACCESSION else "patient"
        return DataElement(tag, vr, context.key.of(kind, _text_of(dataset, tag)))
    if action is Action.EMPTY:
        return DataElement(tag, vr, None)
    if action is Action.DUMMY:
        return dummy_of(tag, vr)
    try:
        element = dataset[tag]
        if vr == "SQ":
            items = element.value if element.VR == "SQ" else []
            return DataElement(tag, "SQ", Sequence([_cleaned(item, context) for item in items]))
        values = [] if element.is_empty else _values(element)
        if action is Action.UID:
            return DataElement(tag, "UI", [context.key.uid(str(value)) for value in values])
        if element.VR not in vr.split(" or "):
            # A value that was written as something else than it should be may hold anything.
            values = values if vr in ("DA", "DT", "TM") else []
        if element.VR in _BYTES and not may_hold_bytes(dataset, tag):
            return None
        return _kept(tag, vr if vr in ("DA", "DT", "TM") else element.VR, values, context)
    except (*PARSING_ERRORS, BytesLengthException):
        return None  # a damaged value says nothing to anybody but whom it names


def _kept(tag: int, vr: str, values: list[Any], context: _Context) -> DataElement | None:
    """The element with those values that name nobody; None if its kind of value might."""
    if not values:
        return DataElement(tag, vr_of(tag).split(" or ")[0], None)
    if vr == "UI":
        return DataElement(tag, vr, [v if v.startswith(WELL_KNOWN_UIDS) else context.key.uid(v) for v in values])
    if vr == "PN":
        return DataElement(tag, vr, None)
    if vr in ("DA", "DT", "TM"):
        return DataElement(tag, vr, [shifted(str(value), vr, context.days) for value in values])
    if vr == "AS":
        return DataElement(tag, vr, [age_of(str(value)) for value in values])
    if vr in GRAMMAR:
        texts = [plain(value).upper() if vr == "CS" else plain(value) for value in values]
        named = vr in WORDS and any(tells(text, context.identifiers) for text in texts)
        fits = not named and all(GRAMMAR[vr].fullmatch(text) for text in texts)
        return DataElement(tag, vr, texts if fits else None)
    return DataElement(tag, vr, values if len(values) > 1 else values[0]) if vr in (*NUMBERS, *_BYTES) else None


def _values(element: DataElement) -> list[Any]:
    value = element.value
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _text_of(dataset: Dataset, tag: int) -> str:
    try:
        element = dataset.get(tag)
        values = [] if element is None or element.is_empty else _values(element)
    except PARSING_ERRORS:
        return ""
    first = values[0] if values else ""
    text = first.decode("latin-1") if isinstance(first, bytes) else str(first)
    return "".join(c for c in text if c.isprintable()).strip()


def _state(clean: Dataset, context: _Context, findings: Findings) -> None:
    """Write what must be said of a de-identified image, and what was found out about it before."""
    clean.PatientID = clean.PatientName = context.key.of("patient", context.patient)
    clean.BodyPartExamined = findings.body_part
    if "ViewPosition" in clean or findings.view:
        clean.ViewPosition = findings.view
    side = "ImageLaterality" if clean.get("Modality") == "DX" else "Laterality"
    if findings.laterality and not clean.get("ImageLaterality") and not clean.get("Laterality"):
        setattr(clean, side, findings.laterality)
    if "ImageLaterality" not in clean and "Laterality" not in clean:
        clean.Laterality = ""  # type 2C: required of paired parts of the body, and now the part is stated
    if findings.age and not clean.get("PatientAge"):
        clean.PatientAge = age_of(findings.age)
    clean.SpecificCharacterSet = "ISO_IR 192"
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = f"osteon, {EDITION}"
    clean.DeidentificationMethodCodeSequence = Sequence([_code(value) for value in CODES])
    clean.LongitudinalTemporalInformationModified = "MODIFIED"
    clean.BurnedInAnnotation = "NO"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", CODES[value]
    return item


def _meta(clean: Dataset, syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = clean.SOPClassUID
    meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "OSTEON"
    return meta
