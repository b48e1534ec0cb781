"""One file of an export, cleaned: what only free text says is read before it goes, and its pixels are searched.

The body part, side and view are found from the descriptions, which the profile removes, and written into their
attributes. Writing in the pixels is painted over; side markers stay. Pixels that need no change keep their bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from osteon import files
from osteon.dataset import sources
from osteon.dataset.bodypart import PARTS, resolve
from osteon.dataset.writing import find_writing
from osteon.dicom.attributes import Attributes
from osteon.dicom.blanking import blanked, set_pixels, trim, without_hidden_bits
from osteon.dicom.chain import chain_of, encoding_of
from osteon.dicom.dates import age_between
from osteon.dicom.decoders import words_of
from osteon.dicom.deidentify import Findings, deidentify, file_of
from osteon.dicom.parsing import parse
from osteon.dicom.pixels import present
from osteon.dicom.pseudonyms import Key
from osteon.dicom.read import peek
from osteon.dicom.values import BODY_PARTS
from osteon.errors import NotFound, UnreadableImage
from osteon.types import Header, Refusal

DICOM = "dicom"
"""Folder of the tree, in the clean folder."""

CONFIDENT = 0.8
"""From this confidence on, the body part that free text names is written into BodyPartExamined."""

TERMS: Mapping[str, str] = {
    **{part: part.upper() for part in PARTS},
    "cervical spine": "CSPINE",
    "thoracic spine": "TSPINE",
    "lumbar spine": "LSPINE",
    "lower leg": "LEG",
}
"""Body part as osteon calls it → term of PS3.16 annex L."""


@dataclass(frozen=True)
class Cleaned:
    """A file of the clean tree, and where it came from.

    Attributes:
        image: id of the source file in the manifest. path: the source file.
        file: relative to the clean folder. size: its bytes.
        patient: pseudonym. study, instance: new UIDs. body_part: as written.
        hidden: patches of writing that were painted over.
    """

    image: str
    path: str
    file: str
    size: int
    patient: str
    study: str
    instance: str
    body_part: str
    hidden: int


@dataclass(frozen=True)
class Job:
    """One file to clean: where it lies, whose it is (as the manifest knows it), where it goes."""

    image: str
    source: Path
    path: str
    patient: str
    key: Key
    out: Path


def clean_one(job: Job) -> Cleaned | Refusal:
    """Clean one file and write it whole; what cannot be looked through, pixels included, is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote values
            data, cleaned, hidden = _cleaned(sources.read_bytes(job.source, job.path), job)
    except UnreadableImage as error:
        return Refusal(job.path, error.code, error.message, error.remedy)
    except (NotFound, OSError):
        return Refusal(job.path, "changed", "the file is gone", "bring it back and run again")
    key = job.key
    folder = f"{cleaned.PatientID}/S{key.of('study', str(cleaned.StudyInstanceUID))[1:]}"
    file = f"{DICOM}/{folder}/{key.of('instance', str(cleaned.SOPInstanceUID))}.dcm"
    with files.replacing(job.out / file) as temporary:
        temporary.write_bytes(data)
    study, instance, part = (
        str(cleaned[name].value) for name in ("StudyInstanceUID", "SOPInstanceUID", "BodyPartExamined")
    )
    return Cleaned(job.image, job.path, file, len(data), str(cleaned.PatientID), study, instance, part or "", hidden)


def _cleaned(data: bytes, job: Job) -> tuple[bytes, Dataset, int]:
    """The clean file, its data set, and how many patches of writing were painted over.

    Raises:
        UnreadableImage: if the file is no radiograph, or cannot be looked through to the last pixel.
    """
    header, _, _ = peek(data)
    if not header.transfer_syntax:
        raise UnreadableImage(
            "not_dicom", "a PNG or JPEG file has no attributes to clean", remedy="export it as DICOM, or leave it out"
        )
    dataset, _ = parse(data, whole=True)
    attributes = Attributes(dataset)
    encoding, syntax = encoding_of(attributes), header.transfer_syntax
    chain = chain_of(attributes, encoding)
    words = words_of(dataset, encoding, syntax)
    shown, white = present(words, encoding, chain)
    boxes = find_writing(shown, white)
    clean = deidentify(dataset, job.key, findings_of(attributes, header, job.patient))
    painted = blanked(without_hidden_bits(words, encoding), boxes)
    if np.array_equal(painted, words):
        trim(clean, encoding)
    else:
        set_pixels(clean, painted)
    result = file_of(clean)
    peek(result)  # whatever was taken away, it is still a radiograph
    return result, clean, len(boxes)


def findings_of(attributes: Attributes, header: Header, patient: str) -> Findings:
    """What goes into attributes whose free text is lost.

    A term that stands in BodyPartExamined already is kept; anything else is replaced by what the descriptions say, if
    that is sure enough, and else emptied. View and side are kept as the reader understands them, and only filled in
    where the file says nothing.
    """
    texts = [attributes.text(name) for name in ("StudyDescription", "SeriesDescription", "ProtocolName")]
    found = resolve(header.body_part, *texts, least=CONFIDENT)
    stands = header.body_part.upper().replace(" ", "")
    return Findings(
        patient=patient,
        body_part=stands if stands in BODY_PARTS else TERMS.get(found.part, ""),
        view=header.view or found.view,
        laterality=found.side,
        age=age_between(attributes.text("PatientBirthDate"), attributes.text("StudyDate")),
    )
