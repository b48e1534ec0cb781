"""Patches are painted, everything else keeps its bytes; what is no pixel is cleared."""

from __future__ import annotations

from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from osteon.dicom.attributes import Attributes
from osteon.dicom.blanking import RING, blanked, set_pixels, trim, without_hidden_bits
from osteon.dicom.chain import encoding_of
from osteon.dicom.deidentify import Findings, deidentify, file_of
from osteon.dicom.parsing import parse
from osteon.dicom.pixels import Encoding
from osteon.dicom.pseudonyms import Key
from osteon.dicom.read import read
from tests.dicom.making import a_dataset, a_file, a_radiograph_file, stored_values

KEY = Key(b"k" * 32)


def test_a_patch_takes_the_colour_around_it_and_nothing_else_changes() -> None:
    words = np.full((60, 80), 700, np.uint16)
    words[20:30, 10:50] = 4095
    painted = blanked(words, [(10, 20, 40, 10)])
    assert (painted == 700).all()
    assert words.max() == 4095


def test_a_patch_beyond_the_edge_is_cut_and_one_outside_ignored() -> None:
    words = np.arange(600, dtype=np.uint16).reshape(20, 30)
    painted = blanked(words, [(-5, -5, 10, 10), (100, 100, 5, 5), (25, 15, 50, 50)])
    changed = painted != words
    assert not changed[5:15].any()
    assert set(painted[:5, :5].ravel()) == {painted[0, 0]}
    assert painted[0, 0] in words[: 5 + RING, : 5 + RING]


def test_the_whole_image_may_be_a_patch() -> None:
    assert len(np.unique(blanked(np.arange(100, dtype=np.uint8).reshape(10, 10), [(0, 0, 10, 10)]))) == 1


@pytest.mark.parametrize(
    ("stored", "high", "signed"), [(12, 11, False), (12, 15, False), (12, 11, True), (16, 15, False)]
)
def test_bits_outside_the_value_are_cleared_and_values_kept(stored: int, high: int, signed: bool) -> None:
    encoding = Encoding(40, 40, 16, stored, high, signed, "MONOCHROME2")
    words = np.random.default_rng(3).integers(0, 65536, (40, 40)).astype(np.uint16)
    cleared = without_hidden_bits(words, encoding)
    table = encoding.values()
    assert np.array_equal(table[cleared], table[words])
    assert len(np.unique(cleared)) <= 2**stored + signed * 2**stored
    assert np.array_equal(without_hidden_bits(cleared, encoding), cleared)


def test_signs_that_fill_the_word_are_no_hidden_bits() -> None:
    encoding = Encoding(40, 40, 16, 12, 11, True, "MONOCHROME2")
    words = stored_values(40, 40, bits=12, signed=True).astype(np.int16).view(np.uint16)
    assert np.array_equal(without_hidden_bits(words, encoding), words)


def test_painted_pixels_are_written_uncompressed_with_tables_in_their_order() -> None:
    lut = pydicom.Dataset()
    lut.add_new("LUTDescriptor", "US", [4096, 0, 12])
    lut.add_new("LUTData", "OW", np.arange(4095, -1, -1, dtype=">u2").tobytes())
    values = stored_values()
    data = a_radiograph_file(values, syntax="1.2.840.10008.1.2.2", bits=12, VOILUTSequence=[lut])
    clean = deidentify(parse(data, whole=True)[0], KEY, Findings())
    set_pixels(clean, values)
    assert clean.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(read(file_of(clean)).pixels, read(data).pixels)


def test_bytes_behind_an_uncompressed_image_go() -> None:
    dataset = a_dataset(stored_values(), bits=12)
    dataset.PixelData += b"Zebedee Quux"
    clean = deidentify(parse(a_file(dataset), whole=True)[0], KEY, Findings())
    trim(clean, encoding_of(Attributes(clean)))
    assert b"Zebedee" not in file_of(clean)
    assert len(clean.PixelData) == 48 * 40 * 2


def with_comment(stream: bytes, marker: bytes, comment: bytes) -> bytes:
    """A JPEG or JPEG 2000 stream with a segment put behind its first markers."""
    at = 2 if stream[:2] == b"\xff\xd8" else 4 + int.from_bytes(stream[4:6], "big")
    registration = b"\0\1" if marker == b"\xff\x64" else b""
    length = (2 + len(registration) + len(comment)).to_bytes(2, "big")
    return stream[:at] + marker + length + registration + comment + stream[at:]


@pytest.mark.parametrize(
    ("syntax", "marker"),
    [
        (JPEGBaseline8Bit, b"\xff\xfe"),
        (JPEGBaseline8Bit, b"\xff\xe1"),
        (JPEGLSLossless, b"\xff\xfe"),
        (JPEG2000Lossless, b"\xff\x64"),
    ],
)
def test_comments_in_a_stream_are_overwritten_and_its_pixels_kept(syntax: str, marker: bytes) -> None:
    values = stored_values(bits=8)
    encode = {
        JPEGBaseline8Bit: lambda a: imagecodecs.jpeg8_encode(a, 97),
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, codecformat="j2k"),
    }[syntax]
    plain = bytes(encode(values))
    dataset = a_dataset(values, bits=8)
    dataset.PixelData = encapsulate([with_comment(plain, marker, b"Zebedee Quux was here.")])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    data = a_file(dataset, syntax)
    clean = deidentify(parse(data, whole=True)[0], KEY, Findings())
    trim(clean, encoding_of(Attributes(clean)))
    after = file_of(clean)
    assert b"Zebedee" in data
    assert b"Zebedee" not in after
    assert np.array_equal(read(after).pixels, read(data).pixels)
    frame = next(generate_frames(pydicom.dcmread(BytesIO(after)).PixelData, number_of_frames=1))
    assert frame.rstrip(b"\0").endswith(plain[-20:].rstrip(b"\0"))
