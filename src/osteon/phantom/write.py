"""A phantom image as a valid DICOM file: CR or DX, several transfer syntaxes, deterministic to the byte."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace

import numpy as np
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
)

from osteon.phantom.syntaxes import SYNTAXES, Stored, Syntax

MANUFACTURER = "osteon phantom"
COMMENT = "Computed phantom. Not an image of a person. Not for clinical use."


@dataclass(frozen=True)
class Device:
    """An imaginary machine: its model name, the modality it writes, bits stored, photometric interpretation."""

    model: str
    modality: str
    bits: int
    photometric: str


DEVICES = (
    Device("Phantom DX 14", "DX", 14, "MONOCHROME2"),
    Device("Phantom DX 12", "DX", 12, "MONOCHROME1"),
    Device("Phantom CR 10", "CR", 10, "MONOCHROME2"),
    Device("Phantom CR 12", "CR", 12, "MONOCHROME1"),
)


@dataclass(frozen=True)
class Tags:
    """What the header of one image says.

    Attributes:
        view: PA, AP, LAT or OBL; "" says nothing. side: L, R or U (unpaired).
        orientation: of the patient along a row and along a column, as in PS3.3 C.7.6.1.1.1.
        window: VOI centre and width, in stored values.
        number: instance number in its study, from 1.
        date: yyyymmdd.
        region: SNOMED code and meaning of the body part. body_part, study_description, series_description, protocol:
            free text, written as it is, right or wrong. charset: in which it is written.
        burned_in: whether the tags admit to burnt-in text.
    """

    patient: str
    sex: str
    age_years: int
    study_uid: str
    series_uid: str
    instance_uid: str
    accession: str
    date: str
    number: int
    view: str
    side: str
    orientation: tuple[str, str]
    device: Device
    spacing_mm: float
    window: tuple[int, int]
    region: tuple[str, str] = ("8205005", "Wrist")
    body_part: str = "WRIST"
    study_description: str = "Wrist phantom"
    series_description: str = ""
    protocol: str = ""
    charset: str = "ISO_IR 100"
    burned_in: str = "NO"


def uid_of(*names: object) -> str:
    """A UID under 2.25 from what it names: the same names, the same UID."""
    text = "/".join(map(str, ("osteon phantom", *names)))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def dicom_bytes(values: Stored, tags: Tags, syntax: str) -> bytes:
    """A DICOM file.

    Args:
        values: (rows, columns) stored values of `tags.device.bits` bits. A transfer syntax that cannot hold so many
            gets the higher ones.
        tags: the header.
        syntax: a key of SYNTAXES.
    """
    chosen = SYNTAXES[syntax]
    values, tags = _narrowed(values, tags, chosen.bits)
    dataset = _header(tags)
    _pixel_module(dataset, values, tags)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(chosen.uid)
    dataset.file_meta.ImplementationClassUID = UID(uid_of("implementation"))
    dataset.file_meta.ImplementationVersionName = "OSTEON_PHANTOM"
    _pixel_data(dataset, values, chosen, tags.device.bits)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _narrowed(values: Stored, tags: Tags, bits: int) -> tuple[Stored, Tags]:
    """Values and header without the bits that a transfer syntax cannot hold."""
    spare = tags.device.bits - bits
    if spare <= 0:
        return values, tags
    centre, width = (max(1, round(v / 2**spare)) for v in tags.window)
    device = replace(tags.device, bits=bits)
    kept = values >> spare
    narrow = kept.astype(np.uint8) if bits <= 8 else kept.astype(np.uint16)
    return narrow, replace(tags, device=device, window=(centre, max(2, width)))


def _pixel_data(ds: Dataset, values: Stored, syntax: Syntax, bits: int) -> None:
    if syntax.encode is None:
        order = ">" if syntax.uid == ExplicitVRBigEndian else "<"
        ds.PixelData = values.astype(f"{order}u2").tobytes()
        ds["PixelData"].VR = "OW"
        return
    frame = syntax.encode(values, bits)
    ds.PixelData = encapsulate([frame], has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    if syntax.method:
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionRatio = f"{values.nbytes / len(frame):.2f}"
        ds.LossyImageCompressionMethod = syntax.method


def _header(tags: Tags) -> Dataset:
    ds = Dataset()
    digital = tags.device.modality == "DX"
    ds.SpecificCharacterSet = tags.charset
    ds.SOPClassUID = UID(DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage)
    ds.SOPInstanceUID, ds.StudyInstanceUID = UID(tags.instance_uid), UID(tags.study_uid)
    ds.SeriesInstanceUID = UID(tags.series_uid)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = tags.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = tags.accession
    ds.Modality = tags.device.modality
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, tags.device.model
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = tags.study_description
    ds.PatientName, ds.PatientID = f"PHANTOM^{tags.patient}", tags.patient
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "", tags.sex, f"{tags.age_years:03d}Y"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", tags.number, tags.number
    ds.ImageComments = COMMENT
    # Free text of the wild, past pydicom's check of what a code string may hold.
    part = DataElement("BodyPartExamined", "CS", tags.body_part, validation_mode=config.IGNORE)
    ds.add(part)
    if tags.series_description:
        ds.SeriesDescription = tags.series_description
    if tags.protocol:
        ds.ProtocolName = tags.protocol
    ds.PatientOrientation = list(tags.orientation)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""] if digital else ["ORIGINAL", "PRIMARY"]
    ds.ImageLaterality = tags.side
    ds.ViewPosition = tags.view
    ds.ImagerPixelSpacing = [f"{tags.spacing_mm:.6f}"] * 2
    ds.BurnedInAnnotation = tags.burned_in
    ds.LossyImageCompression = "00"
    if digital:
        _digital_modules(ds, tags)
    return ds


_VIEW_CODES = {
    "AP": ("399348003", "antero-posterior"),
    "PA": ("272479007", "postero-anterior"),
    "LAT": ("399067008", "lateral"),
    "OBL": ("399182000", "oblique"),
}


def _digital_modules(ds: Dataset, tags: Tags) -> None:
    """What DX asks for beyond CR: PS3.3 A.26, C.8.11.1 to C.8.11.5."""
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PixelSpacing = ds.ImagerPixelSpacing
    ds.PixelSpacingCalibrationType = "GEOMETRY"
    ds.PixelSpacingCalibrationDescription = "Parallel rays: no magnification"
    ds.DetectorType = "SCINTILLATOR"
    ds.PositionerType = "NONE"
    ds.AcquisitionContextSequence = Sequence()
    ds.AnatomicRegionSequence = Sequence([_code(tags.region[0], "SCT", tags.region[1])])
    if tags.view:
        ds.ViewCodeSequence = Sequence([_code(_VIEW_CODES[tags.view][0], "SCT", _VIEW_CODES[tags.view][1])])
    # Larger values mean fewer quanta unless the photometric interpretation turns them round.
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1 if tags.device.photometric == "MONOCHROME2" else 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _pixel_module(ds: Dataset, values: Stored, tags: Tags) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, tags.device.photometric
    ds.Rows, ds.Columns = values.shape
    allocated = 8 * values.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, tags.device.bits, tags.device.bits - 1
    ds.PixelRepresentation = 0
    ds.WindowCenter, ds.WindowWidth = tags.window
    ds.PresentationLUTShape = "INVERSE" if tags.device.photometric == "MONOCHROME1" else "IDENTITY"
