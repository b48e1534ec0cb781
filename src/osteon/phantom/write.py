"""A phantom image as a valid DICOM file: CR or DX, several transfer syntaxes, deterministic to the byte."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

Stored = NDArray[np.uint16]

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
        view: PA, LAT or OBL. side: L or R.
        orientation: of the patient along a row and along a column, as in PS3.3 C.7.6.1.1.1.
        window: VOI centre and width, in stored values.
        number: instance number in its study, from 1.
        date: yyyymmdd.
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


def uid_of(*names: object) -> str:
    """A UID under 2.25 from what it names: the same names, the same UID."""
    text = "/".join(map(str, ("osteon phantom", *names)))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big')}"


def dicom_bytes(values: Stored, tags: Tags, syntax: str) -> bytes:
    """A DICOM file.

    Args:
        values: (rows, columns) stored values of `tags.device.bits` bits.
        tags: the header.
        syntax: a key of SYNTAXES.
    """
    uid, encode = SYNTAXES[syntax]
    dataset = _header(tags)
    _pixel_module(dataset, values, tags)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(uid)
    dataset.file_meta.ImplementationClassUID = UID(uid_of("implementation"))
    dataset.file_meta.ImplementationVersionName = "OSTEON_PHANTOM"
    if encode is None:
        dataset.PixelData = values.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    else:
        dataset.PixelData = encapsulate([encode(values, tags.device.bits)], has_bot=False)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _header(tags: Tags) -> Dataset:
    ds = Dataset()
    digital = tags.device.modality == "DX"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = UID(DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage)
    ds.SOPInstanceUID, ds.StudyInstanceUID = UID(tags.instance_uid), UID(tags.study_uid)
    ds.SeriesInstanceUID = UID(tags.series_uid)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = tags.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = tags.accession
    ds.Modality = tags.device.modality
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, tags.device.model
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Wrist phantom"
    ds.PatientName, ds.PatientID = f"PHANTOM^{tags.patient}", tags.patient
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "", tags.sex, f"{tags.age_years:03d}Y"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", tags.number, tags.number
    ds.ImageComments = COMMENT
    ds.BodyPartExamined = "WRIST"
    ds.PatientOrientation = list(tags.orientation)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""] if digital else ["ORIGINAL", "PRIMARY"]
    ds.ImageLaterality = tags.side
    ds.ViewPosition = tags.view
    ds.ImagerPixelSpacing = [f"{tags.spacing_mm:.6f}"] * 2
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    if digital:
        _digital_modules(ds, tags)
    return ds


_VIEW_CODES = {
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
    region = _code("8205005", "SCT", "Wrist")
    ds.AnatomicRegionSequence = Sequence([region])
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
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, tags.device.bits, tags.device.bits - 1
    ds.PixelRepresentation = 0
    ds.WindowCenter, ds.WindowWidth = tags.window
    ds.PresentationLUTShape = "INVERSE" if tags.device.photometric == "MONOCHROME1" else "IDENTITY"


def _jpeg_lossless(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(values, bitspersample=bits))


def _jpeg_ls(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values))


def _jpeg_2000(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k", bitspersample=bits))


def _rle(values: Stored, bits: int) -> bytes:
    """PS3.5 annex G: the high bytes, then the low ones, each row packed by itself."""
    planes = values.astype(">u2").view(np.uint8).reshape(*values.shape, 2)
    segments = []
    for plane in np.moveaxis(planes, 2, 0):
        packed = b"".join(imagecodecs.packbits_encode(np.ascontiguousarray(row)) for row in plane)
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16L", 2, *offsets, *[0] * 13) + b"".join(segments)


SYNTAXES: dict[str, tuple[str, Callable[[Stored, int], bytes] | None]] = {
    "explicit": (ExplicitVRLittleEndian, None),
    "implicit": (ImplicitVRLittleEndian, None),
    "jpeg-lossless": (JPEGLosslessSV1, _jpeg_lossless),
    "jpeg-ls": (JPEGLSLossless, _jpeg_ls),
    "jpeg-2000": (JPEG2000Lossless, _jpeg_2000),
    "rle": (RLELossless, _rle),
}
"""Name → transfer syntax UID and encoder of one frame (None: not encapsulated)."""
