"""Every transfer syntax: the same pixels back, and nothing that is cut short."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder

from osteon.dicom.codecs import CODECS, _heard_by_hooks
from osteon.dicom.decoders import NATIVE, PLUGIN, decoder_of
from osteon.dicom.parsing import inflated
from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_dataset, a_file, a_radiograph_file, stored_values
from tests.make import SHARED

COMPRESSED = sorted({*SYNTAXES_LOSSLESS, *SYNTAXES_LOSSY} - set(NATIVE))


def as_stored(low: int, bits: int) -> dict[str, Any]:
    """The window that shows `bits` bits from `low` on as they are."""
    width = 2**bits - 1
    return {"WindowCenter": low + width / 2, "WindowWidth": width, "VOILUTFunction": "LINEAR_EXACT"}


def frame_of(data: bytes) -> bytes:
    return get_frame(dcmread(BytesIO(data)).PixelData, 0, number_of_frames=1)


def with_frame(stored: np.ndarray, frame: bytes, syntax: str, **attributes: Any) -> bytes:
    dataset = a_dataset(stored, **attributes)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return a_file(dataset, syntax)


def refusal(data: bytes) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read(data)
    return caught.value


def test_all_syntaxes_that_are_read_are_tested() -> None:
    assert set(SYNTAXES_LOSSLESS) | set(SYNTAXES_LOSSY) == {*CODECS, *NATIVE}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", SYNTAXES_LOSSLESS)
def test_lossless_syntaxes_give_every_value_back(syntax: str, bits: int, signed: bool) -> None:
    stored = stored_values(bits=bits, signed=signed)
    low = int(stored.min())
    radiograph = read(a_radiograph_file(stored, syntax=syntax, bits=bits, **as_stored(low, bits)))
    assert (radiograph.pixels == stored.astype(int) - low).all()
    assert radiograph.white == 2**bits - 1
    assert radiograph.header.transfer_syntax == syntax
    assert radiograph.header.notes == ()
    assert radiograph.pixels.dtype.isnative


@pytest.mark.parametrize("syntax", SYNTAXES_LOSSY)
def test_lossy_syntaxes_give_nearly_the_same_image(syntax: str) -> None:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    stored = stored_values(bits=bits)
    radiograph = read(a_radiograph_file(stored, syntax=syntax, bits=bits, **as_stored(0, bits)))
    difference = np.abs(radiograph.pixels.astype(int) - stored)
    assert difference.max() <= (5 if bits == 8 else 60)
    assert difference.mean() < 0.004 * 2**bits


@pytest.mark.parametrize(("rows", "columns"), [(33, 35), (32, 33), (33, 32)])
@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("syntax", NATIVE)
def test_odd_sizes_of_8_bits_survive_padding_and_byte_order(rows: int, columns: int, vr: str, syntax: str) -> None:
    stored = stored_values(rows, columns, bits=8)
    dataset = a_dataset(stored, **as_stored(0, 8))
    if vr == "OW" and syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = vr
    assert (read(a_file(dataset, syntax)).pixels == stored).all()


def test_values_that_a_lossy_codec_overshoots_are_white_not_black() -> None:
    # A 12-bit stream of a 10-bit image, with one pixel just above the range, as in RG3_JPLY of the NEMA samples.
    stored = np.full((64, 64), 512, np.uint16)
    stored[20:40, 20:40] = 1023
    stream = stored.copy()
    stream[30, 30] = 1030
    frame = bytes(imagecodecs.jpeg8_encode(stream, 100, bitspersample=12))
    decoded = imagecodecs.jpeg8_decode(frame)
    assert decoded.max() > 1023
    radiograph = read(with_frame(stored, frame, uid.JPEGExtended12Bit, bits=10, **as_stored(0, 10)))
    assert (radiograph.pixels == np.minimum(decoded, 1023)).all()


def test_values_far_beyond_the_bits_stored_are_refused() -> None:
    stored = stored_values(bits=12)
    frame = bytes(imagecodecs.jpeg8_encode(stored, 98, bitspersample=12))
    error = refusal(with_frame(stored, frame, uid.JPEGExtended12Bit, bits=8))
    assert error.code == "undecodable"
    assert "beyond 8 bits" in error.message


@pytest.mark.parametrize("part", [0.3, 0.8, 0.98])
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_stream_that_is_cut_short_is_refused(syntax: str, part: float) -> None:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    stored = stored_values(bits=bits)
    frame = frame_of(a_radiograph_file(stored, syntax=syntax, bits=bits))
    cut = frame[: int(len(frame) * part)]
    assert refusal(with_frame(stored, cut, syntax, bits=bits)).code == "undecodable"


@pytest.mark.parametrize("missing", [1, 2, 500])
def test_uncompressed_pixels_that_are_cut_short_are_refused(missing: int) -> None:
    stored = stored_values()
    dataset = a_dataset(stored, bits=12)
    dataset.PixelData = dataset.PixelData[: -missing - missing % 2]
    assert refusal(a_file(dataset)).code == "undecodable"


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(syntax: str) -> None:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    stored = stored_values(48, 40, bits=bits)
    frame = frame_of(a_radiograph_file(stored, syntax=syntax, bits=bits))
    error = refusal(with_frame(stored, frame, syntax, bits=bits, Rows=49))
    assert error.code == "undecodable"
    assert "48 × 40" in error.message or syntax == uid.RLELossless  # whose streams do not state a size


@pytest.mark.parametrize(
    "header",
    [(2, 64, 2**31), (2, 2**31, 64), (2, 0xFFFFFFF0, 70), (1, 64, 0), (3, 64, 70, 80), (2**31, 64, 70), (2, 64, 70)],
)
def test_an_rle_header_that_points_astray_is_refused(header: tuple[int, ...]) -> None:
    stored = stored_values(bits=12)
    frame = frame_of(a_radiograph_file(stored, syntax=uid.RLELossless, bits=12))
    astray = struct.pack(f"<{len(header)}L", *header) + frame[4 * len(header) :]
    assert refusal(with_frame(stored, astray, uid.RLELossless, bits=12)).code == "undecodable"


def test_a_stream_of_16_bits_does_not_fit_8_allocated() -> None:
    frame = bytes(imagecodecs.jpegls_encode(stored_values(bits=12)))
    assert refusal(with_frame(stored_values(bits=8), frame, uid.JPEGLSLossless)).code == "undecodable"


def test_a_stream_of_another_kind_than_stated_is_refused() -> None:
    stored = stored_values()
    frame = frame_of(a_radiograph_file(stored, syntax=uid.JPEG2000Lossless, bits=12))
    for syntax in set(COMPRESSED) - {uid.JPEG2000, uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL}:
        if syntax != uid.JPEG2000Lossless:
            assert refusal(with_frame(stored, frame, syntax, bits=12)).code == "undecodable"


def test_fragments_under_an_uncompressed_syntax_and_the_reverse_are_refused() -> None:
    stored = stored_values()
    plain, packed = b"1.2.840.10008.1.2.1\0", uid.RLELossless.encode() + b"\0"
    assert refusal(a_radiograph_file(stored, bits=12).replace(plain, packed)).code == "undecodable"
    rle = a_radiograph_file(stored, bits=12, syntax=uid.RLELossless)
    assert refusal(rle.replace(packed, plain)).code == "undecodable"


def test_an_unknown_transfer_syntax_is_named() -> None:
    data = a_radiograph_file(stored_values(), bits=12)
    error = refusal(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.77"))
    assert error.code == "undecodable"
    assert "1.2.840.10008.1.2.77" in error.message


def test_the_plugin_serves_pydicom_from_its_first_use_on() -> None:
    decoder = decoder_of(uid.JPEGLSLossless)
    assert PLUGIN in decoder.available_plugins
    assert decoder_of(uid.JPEGLSLossless) is decoder is get_decoder(uid.JPEGLSLossless)
    assert decoder_of(uid.ExplicitVRLittleEndian).available_plugins == ()


@pytest.mark.parametrize("syntax", sorted(set(SYNTAXES_LOSSLESS) & set(CODECS)))
def test_pydicom_decodes_with_the_plugin(syntax: str) -> None:
    stored = stored_values(bits=12)
    dataset = dcmread(BytesIO(a_radiograph_file(stored, syntax=syntax, bits=12)))
    decoder_of(syntax)
    dataset.pixel_array_options(decoding_plugin=PLUGIN)
    assert (dataset.pixel_array == stored).all()


def test_importing_the_decoders_changes_nothing_in_pydicom() -> None:
    code = (
        "import osteon.dicom.read, pydicom.config as c; from pydicom.pixels import get_decoder; "
        "from osteon.dicom.codecs import CODECS; from osteon.dicom.decoders import PLUGIN; "
        "assert all(PLUGIN not in get_decoder(u).available_plugins for u in CODECS)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["RG2", "RG3"])
def test_lossless_variants_of_one_image_are_equal(name: str) -> None:
    folder = SHARED / "dicom" / "nema_wg04"
    images = [read(folder / f"{name}_{kind}.dcm") for kind in ("UNC", "RLE", "JPLL", "JLSL", "J2KR")]
    for image in images[1:]:
        assert (image.pixels == images[0].pixels).all()
    for kind in ("JPLY", "JLSN", "J2KI"):
        lossy = read(folder / f"{name}_{kind}.dcm")
        assert np.abs(lossy.pixels.astype(int) - images[0].pixels.astype(int)).max() < 0.1 * images[0].white


@pytest.mark.shared
@pytest.mark.parametrize("name", ["RG2_JPLL", "RG3_JPLL"])
def test_two_lossless_jpeg_decoders_agree(name: str) -> None:
    frame = frame_of((SHARED / "dicom" / "nema_wg04" / f"{name}.dcm").read_bytes())
    assert (imagecodecs.jpeg8_decode(frame) == imagecodecs.jpegsof3_decode(frame)).all()


@pytest.mark.parametrize("seed", range(12))
def test_damage_that_the_htj2k_decoder_notices_is_refused(seed: int) -> None:
    # imagecodecs gives back an array with rows never written; OpenJPEG says that there is something to notice.
    stored = stored_values(480, 400, bits=12)
    frame = bytearray(imagecodecs.htj2k_encode(stored, reversible=True))
    rng = np.random.default_rng(seed)
    while True:
        at = int(rng.integers(200, len(frame) - 2))
        frame[at] ^= 1 << int(rng.integers(8))
        try:
            imagecodecs.jpeg2k_decode(bytes(frame))
        except RuntimeError:
            break
    hooks = sys.excepthook, sys.unraisablehook
    assert refusal(with_frame(stored, bytes(frame), uid.HTJ2KLossless, bits=12)).code == "undecodable"
    assert (sys.excepthook, sys.unraisablehook) == hooks


@pytest.mark.parametrize("dropped", [1, 10, 300])
def test_an_htj2k_stream_with_a_hole_is_refused(dropped: int) -> None:
    stored = stored_values(480, 400, bits=12)
    frame = bytearray(imagecodecs.htj2k_encode(stored, reversible=True))
    del frame[3000 : 3000 + dropped]
    error = refusal(with_frame(stored, bytes(frame), uid.HTJ2KLossless, bits=12))
    assert "do not add up" in error.message


def test_the_last_part_of_an_htj2k_stream_may_leave_its_length_open() -> None:
    stored = stored_values(bits=12)
    frame = bytearray(imagecodecs.htj2k_encode(stored, reversible=True))
    start = frame.index(b"\xff\x90")
    frame[start + 6 : start + 10] = bytes(4)
    for padding in (b"", b"\0"):
        data = with_frame(stored, bytes(frame) + padding, uid.HTJ2KLossless, bits=12, **as_stored(0, 12))
        assert (read(data).pixels == stored).all()
    for end in (b"\xff\x90", b"\xff\x90\0", b"", b"\xff"):
        data = with_frame(stored, bytes(frame[:-2]) + end, uid.HTJ2KLossless, bits=12)
        assert refusal(data).code == "undecodable"


def test_errors_of_others_reach_their_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    with _heard_by_hooks("_htj2k") as errors:
        for source in ("somebody else's __del__", "imagecodecs._htj2k._copy_from_codestream"):
            sys.unraisablehook(SimpleNamespace(object=source, exc_value=ValueError(source)))  # type: ignore[arg-type]
    assert [report.object for report in reports] == ["somebody else's __del__"]
    assert errors == ["imagecodecs._htj2k._copy_from_codestream"]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_two_htj2k_decoders_give_the_image_that_was_encoded(bits: int) -> None:
    stored = stored_values(333, 257, bits=bits)
    for resolutions in (0, 1, 5):
        frame = bytes(imagecodecs.htj2k_encode(stored, reversible=True, resolutions=resolutions))
        assert (imagecodecs.htj2k_decode(frame) == stored).all()
        assert (imagecodecs.jpeg2k_decode(frame) == stored).all()


def test_deflated_files_of_any_ratio_are_unpacked() -> None:
    rng = np.random.default_rng(0)
    for plain in (b"", bytes(10_000_000), rng.bytes(10_000), bytes(1000) + rng.bytes(10)):
        deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        assert inflated(deflate.compress(plain) + deflate.flush() + b"\0") == plain


@pytest.mark.shared
@pytest.mark.parametrize("name", ["nema_wg04/RG2_UNC", "nema_wg04/RG3_UNC", "other_real/THORAX_DX_small_highdicom"])
def test_a_real_image_comes_back_from_htj2k_as_it_was(name: str) -> None:
    # There is no HTJ2K file among the real ones: the pixels of one are encoded, and decoded by two libraries.
    dataset = dcmread(SHARED / "dicom" / f"{name}.dcm")
    stored = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}")[: dataset.Rows * dataset.Columns]
    stored = stored.reshape(dataset.Rows, dataset.Columns)
    frame = bytes(imagecodecs.htj2k_encode(stored, reversible=True))
    assert (imagecodecs.jpeg2k_decode(frame) == stored).all()
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    plain = read(SHARED / "dicom" / f"{name}.dcm")
    assert (read(a_file(dataset, uid.HTJ2KLossless)).pixels == plain.pixels).all()
