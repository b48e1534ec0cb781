"""One decoder per transfer syntax: imagecodecs behind pydicom's plugin interface.

The decoders were chosen by speed among those that give exact pixels and refuse what is cut short; see
`docs/decisions/0002-decoders.md`. They are registered with pydicom under the name `imagecodecs` when a syntax is
first needed, so that importing osteon changes nothing, and `Dataset.pixel_array` can use them from then on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder, DecodeRunner, get_decoder

from osteon.dicom.attributes import PARSING_ERRORS, reason_of
from osteon.dicom.pixels import Encoding
from osteon.errors import UnreadableImage

PLUGIN = "imagecodecs"

_Array = NDArray[Any]


@dataclass(frozen=True)
class Codec:
    """How the frames of a transfer syntax are decoded.

    Attributes:
        decode: bytes of one frame and the stored container (uint8 or uint16) → (rows, columns) or (pixels,).
        size: bytes of one frame → (rows, columns, components) that its own header states; None if it has none.
        lossy: whether decoded values may overshoot the range of the bits stored.
    """

    decode: Callable[[bytes, np.dtype[Any]], _Array]
    size: Callable[[bytes], tuple[int, int, int]] | None
    lossy: bool = False


def _jpeg(frame: bytes, container: np.dtype[Any]) -> _Array:
    _refuse_cut(frame)
    return np.asarray(imagecodecs.jpeg8_decode(frame))


def _jpeg_ls(frame: bytes, container: np.dtype[Any]) -> _Array:
    _refuse_cut(frame)
    return np.asarray(imagecodecs.jpegls_decode(frame))


def _refuse_cut(frame: bytes) -> None:
    # libjpeg fills a stream that is cut short with grey and only warns; CharLS may count missing bits for seconds.
    # In the coded data FF is never followed by a byte from 80 on, restart markers aside, so an end-of-image marker
    # after the last start of scan is a real one.
    if frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
        raise ValueError("the stream has no end marker: it is cut short")


def _jpeg_2000(frame: bytes, container: np.dtype[Any]) -> _Array:
    return np.asarray(imagecodecs.jpeg2k_decode(frame))


def _rle(frame: bytes, container: np.dtype[Any]) -> _Array:
    """PS3.5 annex G: a header of 16 words (number of segments, their offsets), then byte planes, the highest first."""
    # imagecodecs also decodes whole frames, but follows the offsets of a damaged header out of its memory.
    if len(frame) < 64:
        raise ValueError("the stream is shorter than its header")
    count, *starts = struct.unpack("<16L", frame[:64])
    if count != container.itemsize:
        raise ValueError(f"the stream has {count} byte planes, the data set {container.itemsize}")
    ends = [*starts[1:count], len(frame)]
    planes = [
        np.frombuffer(imagecodecs.packbits_decode(frame[start:end]), np.uint8)
        for start, end in zip(starts[:count], ends, strict=True)
    ]
    if len({len(plane) for plane in planes}) != 1:
        raise ValueError("the byte planes of the stream are of unequal length")
    words = planes[0].astype(container)
    for plane in planes[1:]:
        words = words << 8 | plane
    return words


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    """What the frame header (SOF, or SOF55 of JPEG-LS) says; ISO/IEC 10918-1 B.2.2 and 14495-1 C.2.2."""
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return _be(frame, at + 5, 2), _be(frame, at + 7, 2), frame[at + 9]
        else:
            at += 2 + _be(frame, at + 2, 2)
    raise ValueError("the stream has no JPEG frame header")


def _jpeg_2000_size(frame: bytes) -> tuple[int, int, int]:
    """What the SIZ marker says; ISO/IEC 15444-1 A.5.1."""
    start = frame.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 42 > len(frame):
        raise ValueError("the stream has no JPEG 2000 header")
    columns, rows = (_be(frame, start + at, 4) - _be(frame, start + at + 8, 4) for at in (8, 12))
    return rows, columns, _be(frame, start + 40, 2)


def _be(frame: bytes, at: int, length: int) -> int:
    return int.from_bytes(frame[at : at + length], "big")


CODECS: Mapping[str, Codec] = {
    uid.JPEGBaseline8Bit: Codec(_jpeg, _jpeg_size, lossy=True),
    uid.JPEGExtended12Bit: Codec(_jpeg, _jpeg_size, lossy=True),
    uid.JPEGLossless: Codec(_jpeg, _jpeg_size),
    uid.JPEGLosslessSV1: Codec(_jpeg, _jpeg_size),
    uid.JPEGLSLossless: Codec(_jpeg_ls, _jpeg_size),
    uid.JPEGLSNearLossless: Codec(_jpeg_ls, _jpeg_size, lossy=True),
    uid.JPEG2000Lossless: Codec(_jpeg_2000, _jpeg_2000_size),
    uid.JPEG2000: Codec(_jpeg_2000, _jpeg_2000_size, lossy=True),
    uid.HTJ2KLossless: Codec(_jpeg_2000, _jpeg_2000_size),
    uid.HTJ2KLosslessRPCL: Codec(_jpeg_2000, _jpeg_2000_size),
    uid.HTJ2K: Codec(_jpeg_2000, _jpeg_2000_size, lossy=True),
    uid.RLELossless: Codec(_rle, None),
}
"""Every compressed transfer syntax that osteon reads."""

NATIVE: tuple[str, ...] = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
"""Every uncompressed transfer syntax that osteon reads."""

DECODER_DEPENDENCIES: dict[uid.UID, tuple[str, ...]] = {uid.UID(syntax): ("imagecodecs",) for syntax in CODECS}
"""Asked for by pydicom's plugin interface."""


def is_available(syntax: str) -> bool:
    """Whether the plugin decodes a transfer syntax; asked for by pydicom's plugin interface."""
    return syntax in CODECS


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """The pixels of one frame as little-endian words of the allocated bits; called by pydicom.

    A lossy codec may overshoot the range of the bits stored; those values are clipped to it, since cutting their
    upper bits off (as pydicom does) would turn the whitest pixel black.

    Raises:
        ValueError: if the stream states another size than the data set, or holds values far beyond the bits stored.
        RuntimeError: from imagecodecs, if the stream is damaged.
    """
    codec = CODECS[runner.transfer_syntax]
    expected = (runner.rows, runner.columns, 1)
    # Before decoding: a stream of a few bytes can ask for gigabytes.
    if codec.size is not None and (stated := codec.size(frame)) != expected:
        raise ValueError(f"the stream is of {_by(stated)}, the data set of {_by(expected)} (rows, columns, samples)")
    container = np.dtype(f"u{runner.bits_allocated // 8}")
    values = codec.decode(frame, container).reshape(runner.rows, runner.columns)
    if values.dtype.itemsize > container.itemsize:
        raise ValueError(f"the stream holds {values.dtype}, the data set allocates {runner.bits_allocated} bits")
    if codec.lossy:
        values = _within(values, runner.bits_stored)
    # Widening keeps the sign, so that the words are two's complement of all allocated bits.
    words = values.astype(f"<{values.dtype.kind}{container.itemsize}", copy=False)
    return words.tobytes()


def _within(values: _Array, bits: int) -> _Array:
    signed = values.dtype.kind == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    largest = int(values.max())
    if largest <= high and (not signed or int(values.min()) >= low):
        return values
    if largest > 2 * high + 1:
        raise ValueError(f"the stream holds values up to {largest}, far beyond {bits} bits stored")
    return np.clip(values, low, high)


def _by(numbers: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in numbers)


def decoder_of(syntax: str) -> Decoder:
    """pydicom's decoder of a transfer syntax, with the plugin registered if the syntax is compressed."""
    decoder = get_decoder(uid.UID(syntax))
    if syntax in CODECS and PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
    return decoder


def words_of(dataset: Dataset, encoding: Encoding, syntax: str) -> _Array:
    """The words of a single-frame image.

    Args:
        dataset: holds PixelData.
        encoding: what the data set states, as checked.
        syntax: transfer syntax UID, one of CODECS or NATIVE.

    Returns:
        (rows, columns) uint8 or uint16 in native byte order; `Encoding.values` says what each word stands for.

    Raises:
        UnreadableImage: `undecodable`.
    """
    compressed = syntax in CODECS
    try:
        if "PixelData" not in dataset:
            raise ValueError("the file ends within them")
        element = dataset["PixelData"]
        if element.is_undefined_length != compressed:
            raise ValueError(f"they are not encoded as transfer syntax {syntax} says")
        plugin = PLUGIN if compressed else ""
        options = _options(encoding, element.VR)
        words = decoder_of(syntax).as_array(element.value, index=0, raw=True, decoding_plugin=plugin, **options)[0]
    except PARSING_ERRORS as error:
        raise UnreadableImage(
            "undecodable", f"the pixel data cannot be decoded ({reason_of(error)})", remedy="export the image again"
        ) from error
    return words.astype(words.dtype.newbyteorder("="), copy=False)


def _options(encoding: Encoding, vr: str) -> dict[str, Any]:
    return {
        "rows": encoding.rows,
        "columns": encoding.columns,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "photometric_interpretation": encoding.photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": vr,
        "bits_allocated": encoding.allocated,
        "bits_stored": encoding.stored,
        "pixel_representation": 0,  # words: sign and bits are found by `Encoding.values`, for all syntaxes alike
        "correct_unused_bits": False,
        "apply_j2k_sign_correction": False,
        "apply_jls_sign_correction": False,
        "allow_excess_frames": False,
        "view_only": True,
    }
