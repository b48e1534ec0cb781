"""PNG and JPEG files as radiographs: grey values are taken as presentation values, bone white or not as they stand."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from osteon.dicom.attributes import reason_of
from osteon.dicom.pixels import check_size
from osteon.errors import UnreadableImage
from osteon.types import Header, Pixels

_ERRORS = (
    Image.DecompressionBombError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,  # imagecodecs
    SyntaxError,  # Pillow, for a broken PNG chunk
    TypeError,
    UnidentifiedImageError,
    ValueError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
)
"""What Pillow and imagecodecs raise on damaged bytes, found by fuzzing. Nothing else is caught."""

GREY_TOLERANCE = 4 / 255
"""Largest difference between the colour channels of a grey image, as a share of white: the rounding of JPEG."""


def read_raster(data: bytes) -> tuple[Pixels, Header]:
    """Grey values and header of a PNG or JPEG file, turned upright as its EXIF orientation says.

    Args:
        data: bytes of the file. 8 and 16 bits, palettes and transparency are understood; colour is not.

    Returns:
        (rows, columns) uint8 or uint16 with white at 255 or 65535, and a header with `bits` and `notes`.

    Raises:
        UnreadableImage: `undecodable`, `multi_frame`, `not_grey`, `too_small` or `too_large`.
    """
    image, orientation = _open(data)
    if image.format == "JPEG" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        # Pillow reads a file that ends exactly between two blocks; its rows may be complete or not.
        raise _undecodable("the JPEG file has no end marker: it is cut short")
    try:
        # Pillow reduces 16-bit colour to 8 bits and libjpeg in imagecodecs takes truncated files: each does one half.
        pixels = np.asarray(image.convert(_GREY_OR_RGB[image.mode])) if image.format == "JPEG" else _png(data)
    except _ERRORS as error:
        raise _undecodable(f"the {image.format} data cannot be decoded ({reason_of(error)})") from error
    pixels, notes = _grey(pixels)
    if orientation != 1:
        notes.append(f"turned upright as EXIF orientation {orientation} says")
    return np.ascontiguousarray(_upright(pixels, orientation)), Header(bits=pixels.itemsize * 8, notes=tuple(notes))


def peek_raster(data: bytes) -> tuple[Header, int, int]:
    """Header, rows and columns of a PNG or JPEG file, upright, without decoding.

    Raises:
        UnreadableImage: as `read_raster`, except what only the pixels show.
    """
    image, orientation = _open(data)
    columns, rows = image.size if orientation < 5 else image.size[::-1]
    return Header(bits=16 if image.mode.startswith("I;16") else 8), rows, columns


_GREY_OR_RGB = {"L": "L", "RGB": "RGB", "CMYK": "RGB"}


def _open(data: bytes) -> tuple[Image.Image, int]:
    """The image, not yet decoded, and its EXIF orientation (1, upright, where there is none)."""
    try:
        image = Image.open(BytesIO(data), formats=("PNG", "JPEG"))
        check_size(image.height, image.width)
        frames = getattr(image, "n_frames", 1)
        exif = Image.Exif()  # not image.getexif(), which decodes a PNG to look behind its pixels
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_large", reason_of(error), remedy="reduce it first") from error
    except _ERRORS as error:
        raise _undecodable(f"the header of the image cannot be read ({reason_of(error)})") from error
    if frames != 1:
        raise UnreadableImage("multi_frame", f"the file holds {frames} images", remedy="save each as its own file")
    return image, orientation if orientation in range(1, 9) else 1


def _png(data: bytes) -> NDArray[Any]:
    return np.asarray(imagecodecs.png_decode(data))


def _grey(pixels: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """One channel of an image of one to four channels, the even ones with transparency."""
    notes = []
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    white = np.iinfo(pixels.dtype).max
    alpha = pixels[..., -1] if channels in (2, 4) else None
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    if channels >= 3:
        colours = pixels[..., :3]
        if int((colours.max(2) - colours.min(2)).max()) > GREY_TOLERANCE * white:
            raise UnreadableImage("not_grey", "the image is in colour", remedy="give radiographs in grey")
        grey = pixels[..., 1]
    if alpha is not None and int(alpha.min()) < white:
        grey = np.rint(grey.astype(np.float64) * (alpha / white)).astype(pixels.dtype)
        notes.append("transparent pixels are shown on black")
    return grey, notes


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The image that an EXIF orientation (1 to 8) describes."""
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _undecodable(message: str) -> UnreadableImage:
    return UnreadableImage("undecodable", message, remedy="copy or export the file again")
