"""Pixel data without writing: patches painted over in the stored values, hidden bits and comments in streams cleared.

Pixels that need no change keep their bytes. Those that do are decoded and written again as explicit VR little endian,
which every program reads and which loses nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import parse_fragments
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from osteon.dicom.attributes import PARSING_ERRORS, reason_of
from osteon.dicom.codecs import CODECS
from osteon.dicom.pixels import Encoding
from osteon.errors import UnreadableImage

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the image."""

RING = 3
"""Pixels around a patch, of which it takes its colour."""

_WORDS = NDArray[Any]


def blanked(words: _WORDS, boxes: list[Box]) -> _WORDS:
    """The image with each box painted in the middle value of the pixels around it.

    A patch of the colour of its surroundings hides what was written, and draws less attention than a black one, also
    that of a model that looks for a short cut.

    Args:
        words: (rows, columns) words of the pixel data.
        boxes: what to hide; parts outside the image are ignored.

    Returns:
        (rows, columns), a copy.
    """
    painted = words.copy()
    rows, columns = words.shape
    for x, y, width, height in boxes:
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, columns), min(y + height, rows)
        if left >= right or top >= bottom:
            continue
        around = np.s_[max(top - RING, 0) : bottom + RING, max(left - RING, 0) : right + RING]
        outside = np.ones(words.shape, bool)[around]
        outside[top - around[0].start : bottom - around[0].start, left - around[1].start : right - around[1].start] = 0
        ring = words[around][outside] if outside.any() else words[around].ravel()
        painted[top:bottom, left:right] = np.sort(ring, axis=None)[ring.size // 2]
    return painted


def without_hidden_bits(words: _WORDS, encoding: Encoding) -> _WORDS:
    """The image with all bits outside the stored value cleared: old files keep overlays there (PS3.5 section 8.1.2).

    Bits above the value that repeat its sign are left, since many writers fill them so.
    """
    mask = (1 << encoding.stored) - 1 << encoding.high + 1 - encoding.stored
    clear = words & words.dtype.type(mask)
    if encoding.signed and encoding.high == encoding.stored - 1:
        extended = encoding.values().astype(words.dtype)[words]
        return np.where(words == extended, words, clear)
    return np.asarray(clear)


def set_pixels(dataset: Dataset, words: _WORDS) -> None:
    """Write an image into a data set, as explicit VR little endian."""
    before = str(dataset.file_meta.TransferSyntaxUID)
    if before == ExplicitVRBigEndian:
        _turn_tables(dataset)
    if before in CODECS and CODECS[before].lossy:
        dataset.LossyImageCompression = "01"  # the pixels are what they were before they were unpacked
    data = words.astype(words.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if words.dtype.itemsize == 2 else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _turn_tables(dataset: Dataset) -> None:
    # Look-up tables stored as bytes (VR OW) are in the byte order of the file.
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in dataset.get(keyword) or []:
            data = item.get("LUTData")
            if isinstance(data, bytes):
                item.LUTData = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()


def trim(dataset: Dataset, encoding: Encoding) -> None:
    """Take from the pixel data what is no pixel: bytes behind an uncompressed image, comments in a compressed one.

    The coded pixels stay as they are, byte for byte: a comment is overwritten in its place.

    Raises:
        UnreadableImage: `undecodable`, if a compressed image is not in the fragments that it should be in.
    """
    element = dataset["PixelData"]
    data = bytes(element.value)
    if str(dataset.file_meta.TransferSyntaxUID) not in CODECS:
        length = encoding.rows * encoding.columns * encoding.allocated // 8
        element.value = data[:length] + b"\0" * (length % 2)
        return
    try:
        element.value = _without_comments(data)
    except PARSING_ERRORS as error:
        raise UnreadableImage(
            "undecodable", f"the pixel data are not in fragments ({reason_of(error)})", remedy="export the image again"
        ) from error


def _without_comments(data: bytes) -> bytes:
    """An encapsulated stream (PS3.5 annex A.4) with the comments of its JPEG or JPEG 2000 headers overwritten.

    Items of odd length, which the standard forbids and some write, get the byte that they lack.
    """
    _, offsets = parse_fragments(data)
    clean = bytearray(data[: offsets[1]] if len(offsets) > 1 else data)  # the first item is the table of offsets
    for start in offsets[1:]:
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        stream = bytearray(data[start + 8 : start + 8 + length])
        for at, end in _comments(bytes(stream)):
            stream[at:end] = b" " * (end - at)
        stream += b"\0" * (length % 2)
        clean += data[start : start + 4] + len(stream).to_bytes(4, "little") + stream
    return bytes(clean)


def _comments(stream: bytes) -> list[tuple[int, int]]:
    """Where a stream holds text: payloads of COM and of APPn segments, but those that decoders need.

    ISO/IEC 10918-1 B.2.4 (JPEG, and JPEG-LS after it), ISO/IEC 15444-1 A.9.2 (JPEG 2000, which has COM alone).
    """
    wavelet = stream[:4] == b"\xff\x4f\xff\x51"
    if not wavelet and stream[:2] != b"\xff\xd8":
        return []
    found, at = [], 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0x90, 0xDA):  # start of a tile part, start of a scan: coded data
            break
        end = min(at + 2 + length, len(stream))
        if wavelet and marker == 0x64:
            found.append((at + 6, end))  # behind the registration value
        elif not wavelet and (marker == 0xFE or (0xE0 <= marker <= 0xEF and not _needed(stream[at + 4 : end], marker))):
            found.append((at + 4, end))
        at += 2 + length
    return [(start, end) for start, end in found if start < end]


def _needed(payload: bytes, marker: int) -> bool:
    # JFIF without a thumbnail, Adobe's colour transform, the parameters of JPEG-LS.
    return (
        (marker == 0xE0 and payload[:5] == b"JFIF\0" and len(payload) == 14)
        or (marker == 0xEE and payload[:5] == b"Adobe" and len(payload) == 12)
        or (marker == 0xE8 and payload[:4] == b"mrfx")
    )
