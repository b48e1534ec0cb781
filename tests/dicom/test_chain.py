"""What a data set asks for, against the standard pixel by pixel and against pydicom where pydicom is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from osteon.dicom.attributes import Attributes
from osteon.dicom.chain import chain_of, encoding_of
from osteon.dicom.pixels import Rescale
from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from tests.dicom.making import a_dataset, a_file, a_radiograph_file, stored_values
from tests.dicom.test_pixels import by_the_standard

FULL = {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"}
"""The window that shows 12 unsigned bits as they are."""


def a_lut(first: int, entries: list[int], bits: int, *, packed: bool = False, signed: bool = False) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries) % 65536, first, bits])
    if packed:
        data = bytes(entries) + b"\0" * (len(entries) % 2)
        item.add_new("LUTData", "OW", data)
    else:
        item.add_new("LUTData", "US", entries)
    return item


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE", "CURLED"])
def test_black_and_white_change_places_at_most_once(photometric: str, shape: str | None) -> None:
    stored = stored_values()
    attributes = {**FULL, "PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    radiograph = read(a_radiograph_file(stored, bits=12, **attributes))
    inverted = {"IDENTITY": False, "INVERSE": True}.get(shape or "", photometric == "MONOCHROME1")
    assert (radiograph.pixels == (4095 - stored if inverted else stored)).all()
    contradiction = shape in ("IDENTITY", "INVERSE") and inverted != (photometric == "MONOCHROME1")
    assert any("contradicts" in note for note in radiograph.header.notes) == contradiction


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2.5, -1024), (-1, 1500)])
def test_rescale_and_window_follow_the_standard(signed: bool, function: str, slope: float, intercept: float) -> None:
    stored = stored_values(signed=signed)
    attributes: dict[str, Any] = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    attributes |= {"WindowCenter": [1000, 5], "WindowWidth": [1500, 6], "VOILUTFunction": function}
    radiograph = read(a_radiograph_file(stored, bits=12, **attributes))
    expected = [
        [round(by_the_standard(slope * int(v) + intercept, 1000, 1500, function, 4095)) for v in row] for row in stored
    ]
    assert radiograph.pixels.tolist() == expected
    assert radiograph.white == 4095


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("modality_lut", [False, True])
def test_the_chain_agrees_with_pydicom(function: str, modality_lut: bool) -> None:
    stored = stored_values(bits=10)
    entries = [int(60000 * (i / 1023) ** 2) for i in range(1024)]
    centre, width = (30000, 40000) if modality_lut else (500, 700)
    attributes: dict[str, Any] = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    if modality_lut:
        attributes["ModalityLUTSequence"] = [a_lut(0, entries, 16)]
    dataset = a_dataset(stored, bits=10, **attributes)
    theirs = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    ours = read(a_file(dataset))
    # pydicom stretches to the range of the modality values, which has the same ends.
    top = 65535 if modality_lut else 1023
    assert ours.white == top
    np.testing.assert_allclose(ours.pixels, theirs, atol=0.5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("count", [256, 255])
def test_a_voi_lut_of_8_bits_is_read_in_words_and_packed(packed: bool, syntax: str, count: int) -> None:
    stored = stored_values(bits=8)
    entries = [(i * 7) % 256 for i in range(count)]
    lut = a_lut(0, entries, 8, packed=packed)
    if packed and syntax == uid.ExplicitVRBigEndian:  # words of two entries change their bytes
        lut.LUTData = np.frombuffer(lut.LUTData, "<u2").astype(">u2").tobytes()
    radiograph = read(a_radiograph_file(stored, syntax=syntax, VOILUTSequence=[lut], WindowCenter=1, WindowWidth=1))
    assert radiograph.pixels.tolist() == [[entries[min(int(v), count - 1)] for v in row] for row in stored]


def test_a_signed_lut_begins_below_zero_even_if_its_writer_forgot_the_sign() -> None:
    stored = stored_values(signed=True)
    entries = list(range(4096))
    for first, signed in ((-2048, True), (65536 - 2048, False)):
        lut = a_lut(first, entries, 12, signed=signed)
        radiograph = read(a_radiograph_file(stored, bits=12, VOILUTSequence=[lut]))
        assert (radiograph.pixels == stored + 2048).all()


def test_a_lut_of_65536_entries_is_written_as_0() -> None:
    stored = stored_values(bits=16)
    entries = list(range(65535, -1, -1))
    dataset = a_dataset(stored, VOILUTSequence=[a_lut(0, entries, 16)])
    # 65536 entries of VR US do not fit an explicit element; VR OW is how they are written.
    dataset.VOILUTSequence[0].add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    assert (read(a_file(dataset)).pixels == 65535 - stored.astype(int)).all()


def test_a_voi_lut_after_a_rescale_below_zero_is_signed() -> None:
    stored = stored_values(bits=8)
    lut = a_lut(-128, list(range(256)), 8, signed=True)
    radiograph = read(a_radiograph_file(stored, VOILUTSequence=[lut], RescaleSlope=1, RescaleIntercept=-128))
    assert (radiograph.pixels == stored).all()


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100},
        {"WindowCenter": None, "WindowWidth": None},
        {"VOILUTSequence": [a_lut(0, [1, 2], 0)]},
        {"VOILUTSequence": [Dataset()]},
    ],
)
def test_a_useless_window_or_lut_gives_the_range_of_the_image_and_a_note(attributes: dict[str, Any]) -> None:
    stored = (stored_values() // 2 + 100).astype(np.uint16)
    radiograph = read(a_radiograph_file(stored, bits=12, **attributes))
    low, high = int(stored.min()), int(stored.max())
    np.testing.assert_allclose(radiograph.pixels, (stored.astype(float) - low) / (high - low) * 4095, atol=0.5001)
    assert any("range of the image" in note for note in radiograph.header.notes)


def test_an_unknown_voi_function_is_linear_with_a_note() -> None:
    radiograph = read(a_radiograph_file(stored_values(), bits=12, **{**FULL, "VOILUTFunction": "GUESS"}))
    assert any("VOILUTFunction is none" in note for note in radiograph.header.notes)


def test_bits_outside_the_stored_value_do_not_count() -> None:
    stored = stored_values(bits=10)
    overlay = (np.arange(stored.size).reshape(stored.shape) % 64 << 10).astype(np.uint16)
    clean = read(a_radiograph_file(stored, bits=10))
    dirty = read(a_radiograph_file(stored | overlay, bits=10))
    assert (clean.pixels == dirty.pixels).all()
    shifted = read(a_radiograph_file((stored << 6) | (overlay >> 10), bits=10, HighBit=15))
    assert (clean.pixels == shifted.pixels).all()


def test_padding_is_read_in_the_sign_of_the_pixels() -> None:
    stored = stored_values(signed=True)
    stored[5:9] = -2048
    for value, limit in ((-2048, None), (-2048, -2000), (-2000, -2048)):
        attributes = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
        radiograph = read(a_radiograph_file(stored, bits=12, PhotometricInterpretation="MONOCHROME1", **attributes))
        padded = (stored >= min(value, limit or value)) & (stored <= max(value, limit or value))
        assert (radiograph.pixels[padded] == 0).all()
        assert radiograph.pixels[~padded].max() == 4095


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"BitsAllocated": 32}, "bad_attributes"),
        ({"BitsStored": 0}, "bad_attributes"),
        ({"BitsStored": 17}, "bad_attributes"),
        ({"HighBit": 5}, "bad_attributes"),
        ({"PixelRepresentation": None}, "bad_attributes"),
        ({"PixelRepresentation": 2}, "bad_attributes"),
        ({"PhotometricInterpretation": None}, "bad_attributes"),
        ({"SamplesPerPixel": None}, "bad_attributes"),
        ({"Columns": 0}, "bad_attributes"),
        ({"Columns": None}, "bad_attributes"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "bad_attributes"),
        ({"RescaleSlope": 1}, "bad_attributes"),
        ({"RescaleSlope": 1e305, "RescaleIntercept": 0}, "bad_attributes"),
        ({"ModalityLUTSequence": [Dataset()]}, "bad_attributes"),
        ({"ModalityLUTSequence": [a_lut(0, [1], 17)]}, "bad_attributes"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_grey"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "not_grey"),
        ({"Rows": 31}, "too_small"),
        ({"Rows": 60000, "Columns": 60000}, "too_large"),
    ],
)
def test_an_encoding_that_would_have_to_be_guessed_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read(a_radiograph_file(stored_values(), bits=12, **change))
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_plain_image_has_a_plain_chain() -> None:
    attributes = Attributes(a_dataset(stored_values(), bits=12))
    chain = chain_of(attributes, encoding_of(attributes))
    assert chain.modality == Rescale(1, 0)
    assert (chain.voi, chain.inverted, chain.padding) == (None, False, None)
