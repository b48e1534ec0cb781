"""The one door for images: DICOM, PNG or JPEG → `Radiograph`, or an error that says why not.

What a file is, its bytes decide, never its name. Warnings of pydicom and Pillow are counted in a note of the header,
not quoted (`osteon.dicom.hush`, which is not safe between threads: read in processes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydicom.dataset import FileDataset

from osteon import files
from osteon.dicom.attributes import Attributes
from osteon.dicom.chain import chain_of, encoding_of
from osteon.dicom.codecs import CODECS
from osteon.dicom.decoders import NATIVE, words_of
from osteon.dicom.header import RADIOGRAPHS, header_of, modality_of
from osteon.dicom.hush import hushed
from osteon.dicom.parsing import MAX_BYTES as MAX_BYTES  # part of what this module offers
from osteon.dicom.parsing import parse
from osteon.dicom.pixels import Chain, Encoding, present
from osteon.dicom.raster import peek_raster, read_raster
from osteon.errors import UnreadableImage
from osteon.types import Header, Radiograph

_DIRECTORY = "1.2.840.10008.1.3.10"

_Result = TypeVar("_Result")


def read(source: Path | bytes) -> Radiograph:
    """The radiograph in a DICOM, PNG or JPEG file.

    Args:
        source: the file, or its bytes.

    Returns:
        Presentation values (PS3.3 C.11: modality LUT, VOI LUT or window, presentation LUT), 0 shown black, at full
        size, and what the file says. `header.notes` tells what had to be decided.

    Raises:
        UnreadableImage: if it is no radiograph that can be read whole; `code` and remedy say why.
        NotFound: if there is no such file.
    """
    radiograph, notes = _listening(lambda: _read(bytes_of(source)))
    return replace(radiograph, header=_with_notes(radiograph.header, notes))


def peek(source: Path | bytes) -> tuple[Header, int, int]:
    """Header, rows and columns of what `read` would return, without decoding pixels.

    Raises:
        UnreadableImage: as `read`, except where only the pixels show what is wrong.
        NotFound: if there is no such file.
    """
    (header, rows, columns), notes = _listening(lambda: _peek(bytes_of(source)))
    return _with_notes(header, notes), rows, columns


def _listening(work: Callable[[], _Result]) -> tuple[_Result, list[str]]:
    with hushed() as caught:
        result = work()
    # Counted, not quoted: they repeat values of the file, and a damaged one may hold a name anywhere.
    told = f"{len(caught)} warning(s) while reading: the file breaks its standard; for DICOM, dciodvfy says where"
    return result, [told] if caught else []


def _with_notes(header: Header, notes: list[str]) -> Header:
    return replace(header, notes=tuple(dict.fromkeys((*header.notes, *notes))))


def bytes_of(source: Path | bytes) -> bytes:
    """The bytes of a file that may be an image; others are refused after their first bytes.

    Raises:
        UnreadableImage: `not_an_image` or `too_large`.
    """
    if isinstance(source, bytes):
        if not source or not _kind_of(source):
            raise _not_an_image("the data", empty=not source)
        return source
    if source.is_symlink() and not source.exists():
        raise UnreadableImage("not_an_image", f"{source} is a link to nothing", remedy="copy the file itself")
    if not files.must_exist(source).is_file():
        raise UnreadableImage("not_an_image", f"{source} is a folder or device", remedy="give a file")
    try:
        with source.open("rb", buffering=0) as stream:  # a buffer would be put before the rest, which copies it
            head = stream.read(512)
            if not head or not _kind_of(head):
                raise _not_an_image(source.name, empty=not head)
            if source.stat().st_size > MAX_BYTES:
                raise UnreadableImage("too_large", f"{source.name} is larger than 256 MiB", remedy="split or reduce it")
            stream.seek(0)
            return stream.read()
    except OSError as error:
        raise UnreadableImage(
            "not_an_image", f"{source} cannot be opened ({error.strerror})", remedy="check its permissions"
        ) from error


def _not_an_image(name: str, *, empty: bool) -> UnreadableImage:
    state = "is empty" if empty else "is neither DICOM, nor PNG, nor JPEG"
    return UnreadableImage("not_an_image", f"{name} {state}", remedy="leave it out, or copy it again")


def _kind_of(head: bytes) -> str:
    """`dicom`, `raster`, or "" for anything else, by the first bytes.

    DICOM has "DICM" at byte 128. Without it, bytes count as DICOM if they begin with an element of group 0002 or 0008
    (of the file meta information or the identification of the object) in either byte order, with an even length.
    """
    if head[128:132] == b"DICM":  # first, since the preamble may hold the signature of another format
        return "dicom"
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return "raster"
    group, vr, length = head[:2], head[4:6], head[6:8]
    if len(head) >= 8 and group in (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"):
        order: Literal["little", "big"] = "little" if group[1] == 0 else "big"
        explicit = vr.isalpha() and vr.isupper()
        implicit = order == "little" and int.from_bytes(head[4:8], "little") < 1024
        if (explicit and int.from_bytes(length, order) % 2 == 0) or implicit:
            return "dicom"
    return ""


def _read(data: bytes) -> Radiograph:
    if _kind_of(data) == "raster":
        pixels, header = read_raster(data)
        white = int(np.iinfo(pixels.dtype).max)
    else:
        dataset, has_pixels = parse(data, whole=True)
        header, encoding, chain = _described(dataset, has_pixels)
        pixels, white = present(words_of(dataset, encoding, header.transfer_syntax), encoding, chain)
    # Nearly every image shows in its first rows that it is not blank.
    if pixels[:32].min() == pixels[:32].max() and pixels.min() == pixels.max():
        raise UnreadableImage("blank", f"every pixel is shown as {pixels.min()}", remedy="leave it out")
    return Radiograph(pixels=pixels, white=white, header=header)


def _peek(data: bytes) -> tuple[Header, int, int]:
    if _kind_of(data) == "raster":
        return peek_raster(data)
    header, encoding, _ = _described(*parse(data, whole=False))
    return header, encoding.rows, encoding.columns


def _described(dataset: FileDataset, has_pixels: bool) -> tuple[Header, Encoding, Chain]:
    """All that a data set says of its image.

    Raises:
        UnreadableImage: for every reason that can be known without the pixels.
    """
    attributes = Attributes(dataset)
    syntax = _checked(attributes, Attributes(dataset.file_meta), has_pixels=has_pixels)
    encoding = encoding_of(attributes)
    chain = chain_of(attributes, encoding)
    header = header_of(attributes, bits=encoding.stored, transfer_syntax=syntax)
    return replace(header, notes=tuple(attributes.notes)), encoding, chain


def _checked(attributes: Attributes, meta: Attributes, *, has_pixels: bool) -> str:
    """The transfer syntax of a single-frame radiograph, from its attributes and its meta information.

    Raises:
        UnreadableImage: `no_pixels`, `no_transfer_syntax`, `not_a_radiograph`, `multi_frame` or `undecodable`, tried
            in this order.
    """
    modality, syntax = modality_of(attributes), meta.text("TransferSyntaxUID")
    if not has_pixels:
        raise _without_pixels(attributes, directory=meta.text("MediaStorageSOPClassUID") == _DIRECTORY)
    if not syntax:
        raise UnreadableImage(
            "no_transfer_syntax",
            "the file does not say how its pixels are encoded",
            remedy="export it with file meta information (DCMTK: dcmconv +F)",
        )
    if modality not in RADIOGRAPHS:
        raise UnreadableImage(
            "not_a_radiograph",
            f"the modality is {modality or 'not stated'}",
            remedy=f"osteon reads {', '.join(RADIOGRAPHS)}; leave it out",
        )
    frames = attributes.number("NumberOfFrames")
    if frames is not None and frames > 1:
        raise UnreadableImage("multi_frame", f"the image has {frames:g} frames", remedy="export each by itself")
    if syntax not in CODECS and syntax not in NATIVE:
        raise _undecodable(f"transfer syntax {syntax} is not supported")
    return syntax


def _without_pixels(attributes: Attributes, *, directory: bool) -> UnreadableImage:
    if directory:
        return UnreadableImage(
            "no_pixels", "the file is a DICOMDIR, an index of other files", remedy="give those files instead"
        )
    if attributes.has("Rows"):
        return _undecodable("the pixel data are missing or cut short")
    what = modality_of(attributes) or "no modality stated; the file may be cut short"
    return UnreadableImage("no_pixels", f"the file holds no image ({what})", remedy="leave it out")


def _undecodable(message: str) -> UnreadableImage:
    return UnreadableImage("undecodable", message, remedy="export the image again, uncompressed if need be")
