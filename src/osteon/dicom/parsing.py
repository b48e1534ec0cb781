"""Bytes → data set: the file meta information, the unpacking of deflated files, and files that end too early."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import imagecodecs
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from osteon.dicom.attributes import PARSING_ERRORS, reason_of
from osteon.errors import UnreadableImage

MAX_BYTES = 2**28
"""Larger files, and deflated files that unpack to more, are refused: no image of `MAX_PIXELS` needs as much."""

MAX_ELEMENTS = 10_000
"""Data sets with more elements on their first level are refused; radiographs have a few hundred."""

_PIXEL_DATA = 0x7FE00010
_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, _PIXEL_DATA)  # float, double float, integer

_Stop = Callable[[BaseTag, str | None, int], bool]


def parse(data: bytes, *, whole: bool) -> tuple[FileDataset, bool]:
    """The data set of a DICOM file, and whether it has pixel data.

    Args:
        data: bytes of the file; the preamble may be missing.
        whole: with the pixel data, if they can be parsed; else without. What stands behind them is never parsed.

    Raises:
        UnreadableImage: `not_dicom` or `too_large`.
    """
    met: list[int] = []

    def behind_pixels(tag: BaseTag) -> bool:
        passed = bool(met)
        if tag in _PIXEL_TAGS:
            met.append(tag)
        return passed

    def at_pixels(tag: BaseTag) -> bool:
        return behind_pixels(tag) or bool(met)

    try:
        parsed = _parser(data)
        if whole and "PixelData" in (dataset := parsed(_until(behind_pixels))):
            return dataset, True
        met.clear()
        # pydicom drops the whole header of a file that ends within its pixels; parsed by itself, it is there.
        return parsed(_until(at_pixels)), _PIXEL_DATA in met
    except PARSING_ERRORS as error:
        raise UnreadableImage(
            "not_dicom", f"the DICOM header cannot be parsed ({reason_of(error)})", remedy="export the image again"
        ) from error


def _until(end: Callable[[BaseTag], bool]) -> _Stop:
    """Tells pydicom at which element to stop. A file of many empty elements would keep it busy for minutes."""
    met = 0

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal met
        met += 1
        if met > MAX_ELEMENTS:
            raise ValueError(f"it has more than {MAX_ELEMENTS} elements")
        return end(tag)

    return stop


def _parser(data: bytes) -> Callable[[_Stop], FileDataset]:
    """What parses a file up to a given element, as often as it is asked to; deflated files are unpacked once."""
    stream = BytesIO(data)
    stream.seek(132 if data[128:132] == b"DICM" else 0)
    meta = read_dataset(stream, False, True, stop_when=_until(lambda tag: tag.group != 2))
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return lambda stop: read_partial(BytesIO(data), stop, force=True)
    plain = inflated(data[stream.tell() :])

    def parsed(stop: _Stop) -> FileDataset:
        dataset = read_dataset(BytesIO(plain), False, True, stop_when=stop)
        return FileDataset("", dataset, file_meta=FileMetaDataset(meta), is_implicit_VR=False, is_little_endian=True)

    return parsed


def inflated(packed: bytes) -> bytes:
    """The data set of a deflated file (PS3.5 section A.5), unpacked by libdeflate.

    pydicom inflates with zlib, which takes twice as long, and never asks how large the result becomes. libdeflate
    fills memory of a size given beforehand: radiographs unpack to two to four times their size, so eight times fits
    nearly all at the first try, and what does not fit MAX_BYTES is a bomb.

    Raises:
        UnreadableImage: `too_large`.
        RuntimeError: if the stream is damaged or cut short.
    """
    for size in sorted({min(ratio * len(packed), MAX_BYTES) for ratio in (8, 64, 1032)}):  # deflate knows no higher one
        try:
            return bytes(imagecodecs.deflate_decode(packed, raw=True, out=size))
        except imagecodecs.DeflateError as error:
            if "INSUFFICIENT_SPACE" not in str(error):
                raise
    raise UnreadableImage("too_large", "the file unpacks to more than 256 MiB", remedy="export it again")
