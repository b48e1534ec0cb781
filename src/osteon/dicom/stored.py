"""The stored pixels of a DICOM file as one number, so that copies under a new identity are found without decoding."""

from __future__ import annotations

import hashlib

from osteon.dicom.attributes import PARSING_ERRORS
from osteon.dicom.hush import hushed
from osteon.dicom.parsing import parse

_SHAPE = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
"""What the same bytes may be read as (PS3.3 C.7.6.3): without it, a wide image may equal a high one."""


def stored_pixels(data: bytes) -> str:
    """Digest of the pixel data element as it is stored, with the attributes that shape it: 32 hexadecimal digits.

    Two files with the same digest show the same image, up to window and look-up tables, whoever they say it is of.
    The reverse does not hold: an image that was compressed anew, or edited by one pixel, has another digest.

    Args:
        data: bytes of a DICOM file.

    Returns:
        The digest; "" if the file holds no pixel data that can be parsed.

    Raises:
        UnreadableImage: `not_dicom` or `too_large`.
    """
    with hushed():  # whoever reads the image counts the warnings
        dataset, has_pixels = parse(data, whole=True)
        try:
            value = dataset.get("PixelData") if has_pixels else None
            shape = repr([str(dataset.get(keyword)) for keyword in _SHAPE])
        except PARSING_ERRORS:
            return ""
    if not isinstance(value, bytes):
        return ""
    digest = hashlib.sha256(shape.encode())
    digest.update(value)
    return digest.hexdigest()[:32]
