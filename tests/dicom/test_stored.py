from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from osteon.dicom.read import read
from osteon.dicom.stored import stored_pixels
from osteon.errors import UnreadableImage
from tests.make import SHARED


def saved(dataset: pydicom.Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def renamed(path: Path) -> pydicom.Dataset:
    """The same image under the identity of another patient."""
    dataset = pydicom.dcmread(path)
    dataset.PatientID, dataset.PatientName = "other", "Other"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return dataset


@pytest.mark.shared
def test_a_copy_under_another_identity_has_the_same_digest_and_no_other_file_has() -> None:
    paths = sorted((SHARED / "dicom").rglob("*.dcm"))
    digests = {path: stored_pixels(path.read_bytes()) for path in paths}
    assert all(len(digest) == 32 for digest in digests.values())
    # Equal digests are equal pixels; how the room decodes them is another road than how the digest is taken.
    for path in paths[:6]:
        copy = saved(renamed(path))
        assert copy != path.read_bytes()
        assert stored_pixels(copy) == digests[path]
        assert (read(copy).pixels == read(path).pixels).all()


@pytest.mark.shared
def test_one_pixel_or_the_shape_makes_another_digest_and_the_encoding_of_tags_does_not() -> None:
    path = next(p for p in sorted((SHARED / "dicom").rglob("*.dcm")) if not is_compressed(p))
    dataset = renamed(path)
    before = stored_pixels(path.read_bytes())
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert stored_pixels(saved(dataset)) == before
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
    assert stored_pixels(saved(dataset)) != before
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
    dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
    assert stored_pixels(saved(dataset)) != before


def is_compressed(path: Path) -> bool:
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    return bool(syntax.is_compressed or not syntax.is_little_endian)


@pytest.mark.shared
def test_files_without_pixels_have_no_digest() -> None:
    for path in sorted((SHARED / "dicom_bad").iterdir()):
        try:
            digest = stored_pixels(path.read_bytes())
        except UnreadableImage as error:
            assert error.code in ("not_dicom", "too_large")
        else:
            assert len(digest) in (0, 32)
