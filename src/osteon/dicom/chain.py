"""Which encoding and which grey-value chain a data set asks for.

Two rules decide about damage. How values arise may not be guessed: a damaged encoding or modality LUT is refused.
How they are shown may: a damaged VOI LUT or window is passed over, with a note.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.dicom.attributes import Attributes
from osteon.dicom.pixels import Chain, Encoding, Lut, Rescale, Window, check_size
from osteon.errors import UnreadableImage

_AGAIN = "export the image again"


def encoding_of(attributes: Attributes) -> Encoding:
    """The encoding that a data set states (PS3.3 C.7.6.3).

    Raises:
        UnreadableImage: `not_grey`, `bad_attributes`, `too_small` or `too_large`.
    """
    photometric = attributes.text("PhotometricInterpretation").upper()
    if not photometric:
        raise UnreadableImage("bad_attributes", "PhotometricInterpretation is missing", remedy=_AGAIN)
    if attributes.required("SamplesPerPixel", 1, 4) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableImage("not_grey", f"the image is {photometric}", remedy="export it in grey")
    rows, columns = (attributes.required(keyword, 1, 65535) for keyword in ("Rows", "Columns"))
    check_size(rows, columns)
    allocated = attributes.required("BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise UnreadableImage(
            "bad_attributes", f"BitsAllocated is {allocated}; a radiograph has 8 or 16", remedy=_AGAIN
        )
    stored = attributes.required("BitsStored", 1, allocated)
    high = attributes.required("HighBit", stored - 1, allocated - 1) if attributes.has("HighBit") else stored - 1
    signed = attributes.required("PixelRepresentation", 0, 1) == 1
    return Encoding(rows, columns, allocated, stored, high, signed, photometric)


def chain_of(attributes: Attributes, encoding: Encoding) -> Chain:
    """The chain that a data set asks for: modality LUT, VOI LUT or window, presentation LUT, padding.

    Raises:
        UnreadableImage: `bad_attributes`, for a modality LUT or rescale that is damaged.
    """
    modality = _modality(attributes, encoding)
    ends = modality(np.array([encoding.lowest, encoding.highest], float))
    return Chain(
        modality=modality,
        voi=_voi(attributes, signed=float(ends.min()) < 0),
        inverted=_inverted(attributes, encoding.photometric),
        padding=_padding(attributes, encoding.signed),
    )


def _modality(attributes: Attributes, encoding: Encoding) -> Rescale | Lut:
    if attributes.has("ModalityLUTSequence"):
        items = attributes.items("ModalityLUTSequence")
        lut = _lut(items[0], encoding.signed) if items else None
        if lut is None:
            raise UnreadableImage("bad_attributes", "ModalityLUTSequence is damaged", remedy=_AGAIN)
        return lut
    if not attributes.has("RescaleSlope") and not attributes.has("RescaleIntercept"):
        return Rescale()
    slope, intercept = attributes.number("RescaleSlope"), attributes.number("RescaleIntercept")
    if not slope or intercept is None or not math.isfinite(abs(slope) * 65536 + abs(intercept)):
        raise UnreadableImage("bad_attributes", "RescaleSlope and RescaleIntercept do not make a line", remedy=_AGAIN)
    return Rescale(slope, intercept)


def _voi(attributes: Attributes, *, signed: bool) -> Lut | Window | None:
    if attributes.has("VOILUTSequence"):
        items = attributes.items("VOILUTSequence")
        lut = _lut(items[0], signed) if items else None
        if lut is not None:
            return lut
        attributes.note("VOILUTSequence is damaged and was ignored")
    centre, width = attributes.number("WindowCenter"), attributes.number("WindowWidth")
    if centre is not None and width is not None:
        function = attributes.text("VOILUTFunction").upper() or "LINEAR"
        if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            attributes.note("VOILUTFunction is none of the standard's; LINEAR was used")
            function = "LINEAR"
        if width >= 1 or (width > 0 and function != "LINEAR"):
            return Window(centre, width, function)
        attributes.note(f"WindowWidth is {width:g} and was ignored")
    attributes.note("neither VOI LUT nor window: the range of the image is shown")
    return None


def _inverted(attributes: Attributes, photometric: str) -> bool:
    """Whether black and white change places; at most once, whatever two attributes say (PS3.3 C.11.6)."""
    by_photometric = photometric == "MONOCHROME1"
    shape = attributes.text("PresentationLUTShape").upper()
    if shape not in ("IDENTITY", "INVERSE"):
        if shape:
            attributes.note(f"PresentationLUTShape is none of the standard's; {photometric} decides")
        return by_photometric
    by_shape = shape == "INVERSE"
    if by_shape != by_photometric:
        attributes.note(f"PresentationLUTShape {shape} contradicts {photometric}; the shape decides")
    return by_shape


def _padding(attributes: Attributes, signed: bool) -> tuple[int, int] | None:
    value = attributes.number("PixelPaddingValue")
    if value is None:
        return None
    limit = attributes.number("PixelPaddingRangeLimit")
    ends = [_as_16_bits(end, signed) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_16_bits(value: float, signed: bool) -> int:
    # Attributes of VR "US or SS" come with the wrong sign from many writers; the pixel data say which is meant.
    word = int(value) % 65536
    return word - 65536 if signed and word >= 32768 else word


def _lut(item: Attributes, signed: bool) -> Lut | None:
    """The table of a LUT item, or None if it is damaged; `signed` is the sign of its input."""
    descriptor = item.numbers("LUTDescriptor")
    if len(descriptor) != 3:
        return None
    count, bits = int(descriptor[0]) % 65536 or 65536, int(descriptor[2]) % 65536  # 0 entries stand for 65536
    words = _lut_words(item)
    if not 1 <= bits <= 16 or words is None:
        return None
    if len(words) < count and bits <= 8:  # two 8-bit entries to a word
        words = words.astype("<u2").view(np.uint8).astype(np.uint16)
    if len(words) < count:
        return None
    entries = words[:count]
    # Writers that state too few bits exist; their tables would otherwise leave the output range.
    return Lut(_as_16_bits(descriptor[1], signed), entries, max(bits, int(entries.max()).bit_length()))


def _lut_words(item: Attributes) -> NDArray[np.uint16] | None:
    data: Any = item.value("LUTData")
    if isinstance(data, bytes):  # VR OW, in the byte order of the file
        little = item.dataset.original_encoding[1] is not False
        return np.frombuffer(data + b"\0" * (len(data) % 2), "<u2" if little else ">u2").astype(np.uint16)
    numbers = item.numbers("LUTData")
    return np.array([int(n) % 65536 for n in numbers], np.uint16) if numbers else None
