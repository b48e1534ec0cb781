"""DICOM files: valid, lossless in every transfer syntax, shown right in both photometric interpretations."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.random import default_rng
from pydicom.encaps import get_frame

from osteon.dicom.read import read
from osteon.phantom.syntaxes import SYNTAXES
from osteon.phantom.write import COMMENT, DEVICES, MANUFACTURER, Device, Tags, dicom_bytes, uid_of

DECODE = {
    "jpeg-lossless": imagecodecs.ljpeg_decode,
    "jpeg-ls": imagecodecs.jpegls_decode,
    "jpeg-2000": imagecodecs.jpeg2k_decode,
    "jpeg-lossless-14": imagecodecs.jpeg8_decode,
    "htj2k": imagecodecs.htj2k_decode,
    "htj2k-rpcl": imagecodecs.htj2k_decode,
    "htj2k-lossy": imagecodecs.htj2k_decode,
    "jpeg-baseline": imagecodecs.jpeg8_decode,
    "jpeg-extended": imagecodecs.jpeg8_decode,
    "jpeg-ls-near": imagecodecs.jpegls_decode,
    "jpeg-2000-lossy": imagecodecs.jpeg2k_decode,
}
UNKNOWN_TO_DCIODVFY = {"deflated", "htj2k", "htj2k-rpcl", "htj2k-lossy"}
LOSSLESS = [name for name, syntax in SYNTAXES.items() if not syntax.method]


def some_tags(device: Device = DEVICES[0], view: str = "PA") -> Tags:
    return Tags(
        patient="PH0001",
        sex="F",
        age_years=71,
        study_uid=uid_of("study"),
        series_uid=uid_of("series"),
        instance_uid=uid_of("instance"),
        accession="PH007000001",
        date="20200229",
        number=1,
        view=view,
        side="L",
        orientation=("L", "H"),
        device=device,
        spacing_mm=0.15,
        window=(300, 400),
    )


def some_values(bits: int) -> np.ndarray:
    """Odd width, every bit in use, long runs and noise."""
    values = default_rng(bits).integers(0, 2**bits, (70, 51)).astype(np.uint16)
    values[:20] = 7
    values[30:40, ::2] = 2**bits - 1
    return values


def rle_decoded(frame: bytes, shape: tuple[int, int]) -> np.ndarray:
    """By the letter of PS3.5 annex G, one count byte at a time."""
    header = np.frombuffer(frame[:64], "<u4")
    ends = [*header[2 : 1 + header[0]], len(frame)]
    planes = []
    for start, end in zip(header[1 : 1 + header[0]], ends, strict=True):
        data, plane, at = frame[start:end], bytearray(), 0
        while at < len(data) - 1 and len(plane) < shape[0] * shape[1]:
            count = data[at]
            if count < 128:
                plane += data[at + 1 : at + 2 + count]
                at += 2 + count
            else:
                plane += data[at + 1 : at + 2] * (257 - count)
                at += 2
        planes.append(np.frombuffer(bytes(plane), np.uint8).reshape(shape).astype(np.uint16))
    return planes[0] << 8 | planes[1]


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.model)
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_syntax_gives_back_the_stored_values(syntax, device):
    values = some_values(device.bits)
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(values, some_tags(device), syntax)))
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES[syntax].uid
    assert dataset.BitsStored == device.bits and dataset.PhotometricInterpretation == device.photometric
    if SYNTAXES[syntax].encode is None:
        found = np.frombuffer(dataset.PixelData, ">u2" if syntax == "big-endian" else "<u2").reshape(values.shape)
    elif syntax == "rle":
        found = rle_decoded(get_frame(dataset.PixelData, 0, number_of_frames=1), values.shape)
    else:
        found = DECODE[syntax](get_frame(dataset.PixelData, 0, number_of_frames=1))
    np.testing.assert_array_equal(found, values)


def smooth_values(bits: int) -> np.ndarray:
    """What a lossy compression is made for."""
    y, x = np.mgrid[0:70, 0:51]
    return np.rint((2**bits - 1) * (0.5 + 0.4 * np.sin(x / 9) * np.cos(y / 13))).astype(np.uint16)


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.model)
@pytest.mark.parametrize("syntax", sorted(set(SYNTAXES) - set(LOSSLESS)))
def test_a_lossy_syntax_stays_near_and_says_that_it_is_lossy(syntax, device):
    values = smooth_values(device.bits)
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(values, some_tags(device), syntax)))
    bits = min(device.bits, SYNTAXES[syntax].bits)
    assert dataset.BitsStored == bits and dataset.BitsAllocated == (8 if bits <= 8 else 16)
    assert dataset.LossyImageCompression == "01" and float(dataset.LossyImageCompressionRatio) > 1
    found = DECODE[syntax](get_frame(dataset.PixelData, 0, number_of_frames=1))
    kept = values >> (device.bits - bits)
    assert np.abs(found.astype(int) - kept).max() <= max(2, 0.02 * 2**bits)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_osteon_reads_its_own_phantom(syntax):
    device = DEVICES[1]
    radiograph = read(dicom_bytes(some_values(device.bits), some_tags(device, "LAT"), syntax))
    header = radiograph.header
    assert radiograph.pixels.shape == (70, 51)
    assert (header.patient, header.view, header.laterality, header.sex) == ("PH0001", "LAT", "L", "F")
    assert header.age_years == 71 and header.spacing_mm == pytest.approx((0.15, 0.15))
    assert (header.study, header.bits) == (uid_of("study"), min(device.bits, SYNTAXES[syntax].bits))


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.model)
@pytest.mark.parametrize("view", ["PA", "LAT", "OBL"])
def test_the_view_code_says_what_the_view_position_says(view, device):
    header = read(dicom_bytes(some_values(device.bits), some_tags(device, view), "explicit")).header
    assert header.view == view
    assert header.notes == ()


def test_both_photometric_interpretations_look_the_same():
    values = np.linspace(0, 4095, 70 * 51).astype(np.uint16).reshape(70, 51)
    bright, dark = (replace(DEVICES[0], bits=12, photometric=f"MONOCHROME{k}") for k in (2, 1))
    shown = read(dicom_bytes(values, replace(some_tags(bright), window=(1500, 2000)), "explicit"))
    turned = read(dicom_bytes((4095 - values), replace(some_tags(dark), window=(4095 - 1500 + 1, 2000)), "explicit"))
    difference = np.abs(shown.pixels.astype(int) - turned.pixels.astype(int))
    assert difference.max() <= 0.001 * shown.white + 1


def test_a_phantom_says_that_it_is_one():
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(some_values(14), some_tags(), "explicit")))
    assert "phantom" in str(dataset.PatientName).lower()
    assert dataset.ImageComments == COMMENT and dataset.Manufacturer == MANUFACTURER
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in (dataset.SOPInstanceUID, dataset.StudyInstanceUID))


def test_uids_name_what_they_name():
    assert uid_of(1, 2, "study") == uid_of(1, 2, "study")
    assert len({uid_of(s, p, k) for s in range(9) for p in range(9) for k in ("study", "series")}) == 162


@pytest.mark.system("dicom3tools")
@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.model)
@pytest.mark.parametrize("syntax", sorted(set(SYNTAXES) - UNKNOWN_TO_DCIODVFY))
def test_dciodvfy_finds_no_error(syntax, device, tmp_path):
    for view in ("PA", "AP", "LAT", "OBL"):
        path = tmp_path / f"{view}.dcm"
        path.write_bytes(dicom_bytes(some_values(device.bits), some_tags(device, view), syntax))
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Image" in done.stderr  # it names the object that it checked
        assert "Error" not in done.stderr + done.stdout, done.stderr
