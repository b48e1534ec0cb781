"""How a frame of each compressed transfer syntax becomes an array: the fastest exact decoder, and what it refuses.

All functions are from imagecodecs; which of its libraries serves which syntax, and why, is measured and told in
`docs/results/decoding.md` and `docs/decisions/0002-decoders.md`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

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
    end = frame[-64:]  # where it stands in nearly all streams; looking there first spares a search of megabytes
    if end.rfind(b"\xff\xd9") > end.rfind(b"\xff\xda"):
        return
    if frame.rfind(b"\xff\xd9") < frame.rfind(b"\xff\xda"):
        raise ValueError("the stream has no end marker: it is cut short")


def _jpeg_2000(frame: bytes, container: np.dtype[Any]) -> _Array:
    # One thread: osteon keeps every core busy with an image of its own.
    return np.asarray(imagecodecs.jpeg2k_decode(frame, numthreads=1))


def _htj2k(frame: bytes, container: np.dtype[Any]) -> _Array:
    _refuse_missing_tiles(frame)
    with _heard_by_hooks("_htj2k") as errors:
        values = np.asarray(imagecodecs.htj2k_decode(frame))
    if errors:
        raise ValueError(f"the stream is damaged ({errors[0]})")
    return values


@contextmanager
def _heard_by_hooks(source: str) -> Iterator[list[str]]:
    """The errors that a compiled module cannot raise and gives to Python's last-resort hooks.

    imagecodecs reads the rows from OpenJPH in a function that lets no exception through: Python prints the error and
    goes on, with rows that were never written.
    """
    errors: list[str] = []
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def unraisable(report: sys.UnraisableHookArgs) -> None:
        if source in str(report.object):
            errors.append(str(report.exc_value))
        else:
            unraisablehook(report)

    sys.excepthook, sys.unraisablehook = lambda *error: None, unraisable  # the first only prints the same once more
    try:
        yield errors
    finally:
        sys.excepthook, sys.unraisablehook = excepthook, unraisablehook


def _refuse_missing_tiles(frame: bytes) -> None:
    """Follow the tile-parts of a codestream to its end marker; ISO/IEC 15444-1 A.4.2 and A.4.4."""
    # OpenJPH decodes a stream that ends too early, and fills what is missing.
    at = 2
    while frame[at : at + 1] == b"\xff" and frame[at + 1 : at + 2] not in (b"\x90", b"\xd9"):
        at += 2 + max(2, _be(frame, at + 2, 2))
    while frame[at : at + 2] == b"\xff\x90" and (length := _be(frame, at + 6, 4)) >= 14:
        at += length
    if frame[at : at + 2] == b"\xff\x90" and length == 0:  # the last part, which reaches to the end of the stream
        at = len(frame.rstrip(b"\0")) - 2
    if frame[at : at + 2] != b"\xff\xd9":
        raise ValueError("the parts of the stream do not add up to its end marker: it is damaged or cut short")


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
    # Interleaving the planes, the lowest first, gives little-endian words; OpenCV does it four times as fast as numpy.
    return np.asarray(cv2.merge(planes[::-1])).view(container.newbyteorder("<"))


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
    uid.HTJ2KLossless: Codec(_htj2k, _jpeg_2000_size),
    uid.HTJ2KLosslessRPCL: Codec(_htj2k, _jpeg_2000_size),
    uid.HTJ2K: Codec(_htj2k, _jpeg_2000_size, lossy=True),
    uid.RLELossless: Codec(_rle, None),
}
"""Every compressed transfer syntax that osteon reads."""
