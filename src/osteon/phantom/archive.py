"""How a hospital's export lies on a disk: folders and names of any kind, zip archives, files that are no images."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from numpy.random import Generator
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from osteon.phantom.write import MANUFACTURER, uid_of

SPOILS = ("cut", "cut early", "empty", "noise", "text")
"""Ways in which a file is spoiled: cut in its pixels or in its header, empty, random bytes, a page of text."""

INSIDE = "!/"
"""Between an archive and the path of a file inside it."""


def name_of(style: int, study: str, number: int, uid: str, part: str) -> str:
    """Where a file lies, relative to the export.

    Args:
        style: how this study's machine names files, 0 to STYLES − 1.
        study: accession number. number: of the file in its study, from 1. uid: of the instance.
        part: free text of the body part, for machines that name files by it.
    """
    plain = "".join(c for c in part if c.isalnum() or c in " .") or "img"
    return (
        f"{study}/{number:04d}/IM{number:05d}",
        f"DICOM/PA{zlib.crc32(study.encode()) % 10**6:06d}/ST000001/SE{number:06d}/IM{number:06d}",
        f"{study}/{uid}.dcm",
        f"{study}/{uid}",
        f"entrega {study[-1]}/{study} {plain}/imagen {number}.DCM",
        f"alt/{study[:4]}/{study[4:]}/{number}.img",
        f"{study}_{number}.dcm",
    )[style]


STYLES = 7


def spoiled(data: bytes, kind: str, rng: Generator) -> bytes:
    """A file after an accident, one of SPOILS."""
    if kind == "cut":
        return data[: int(len(data) * rng.uniform(0.3, 0.9))]
    if kind == "cut early":
        return data[: int(rng.integers(200, 700))]
    if kind == "noise":
        return rng.bytes(4096)
    return b"" if kind == "empty" else b"This file could not be restored from tape 0417.\r\n"


def others(rng: Generator) -> dict[str, bytes]:
    """Files of an export that are no radiographs: path → bytes."""
    return {
        "DICOMDIR": _directory(),
        "README.TXT": b"Export of phantom studies. Viewer: none.\r\n",
        "DICOM/VERSION": b"1.4\n",
        ".DS_Store": b"\0\0\0\1Bud1" + rng.bytes(120),
        "viewer/autorun.inf": b"[autorun]\r\nopen=viewer.exe\r\n",
        "informes/informe_1.dcm": _report(),
    }


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A zip archive: the same members, the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def _directory() -> bytes:
    ds = _object(MediaStorageDirectoryStorage, "directory")
    ds.FileSetID = "PHANTOM"
    ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    ds.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    ds.FileSetConsistencyFlag = 0
    ds.DirectoryRecordSequence = Sequence()
    del ds.SOPClassUID, ds.SOPInstanceUID
    return _bytes(ds)


def _report() -> bytes:
    """A DICOM object without pixels."""
    ds = _object(BasicTextSRStorage, "report")
    ds.PatientName, ds.PatientID, ds.Modality, ds.Manufacturer = "PHANTOM^REPORT", "REPORT", "SR", MANUFACTURER
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UID(uid_of("report", "study")), UID(uid_of("report", "series"))
    ds.CompletionFlag, ds.VerificationFlag, ds.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
    return _bytes(ds)


def _object(kind: UID, name: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = kind, UID(uid_of(name))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = kind, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(uid_of("implementation"))
    return ds


def _bytes(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
