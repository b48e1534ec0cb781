"""Transfer syntaxes in which phantoms are written: every one that osteon reads."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

Stored = NDArray[np.uint8] | NDArray[np.uint16]
Encode = Callable[[Stored, int], bytes]
"""Encodes one frame, (rows, columns), of values of so many bits."""


@dataclass(frozen=True)
class Syntax:
    """A transfer syntax.

    Attributes:
        uid: of the standard, PS3.6 table A-1.
        encode: how a frame is compressed; None if it is not.
        bits: the largest number of bits that it stores.
        method: of a lossy compression, as in (0028,2114); "" if every value is kept.
    """

    uid: str
    encode: Encode | None = None
    bits: int = 16
    method: str = ""


def _jpeg_lossless_sv1(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(values, bitspersample=bits))


def _jpeg_lossless(values: Stored, bits: int) -> bytes:
    """Process 14 with another predictor than the first: the mean slope of the neighbours above and to the left."""
    return bytes(imagecodecs.jpeg8_encode(values, lossless=True, predictor=6, bitspersample=bits))


def _jpeg(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(values, 95, bitspersample=8 if bits <= 8 else 12))


def _jpeg_ls(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values))


def _jpeg_ls_near(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values, 2))


def _jpeg_2000(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k", bitspersample=bits))


def _jpeg_2000_lossy(values: Stored, bits: int) -> bytes:
    """At a signal-to-noise ratio of 60 dB."""
    return bytes(imagecodecs.jpeg2k_encode(values, level=60, codecformat="j2k", bitspersample=bits))


def _htj2k(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values, reversible=True))


def _htj2k_rpcl(values: Stored, bits: int) -> bytes:
    """By resolution first, with the lengths of its parts ahead, as PS3.5 A.4.4.2 asks of this syntax."""
    return bytes(imagecodecs.htj2k_encode(values, reversible=True, tlm=True))


def _htj2k_lossy(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values, 1e-4, reversible=False))


def _rle(values: Stored, bits: int) -> bytes:
    """PS3.5 annex G: the high bytes, then the low ones, each row packed by itself."""
    planes = values.astype(">u2").view(np.uint8).reshape(*values.shape, 2)
    segments = []
    for plane in np.moveaxis(planes, 2, 0):
        packed = b"".join(imagecodecs.packbits_encode(np.ascontiguousarray(row)) for row in plane)
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16L", 2, *offsets, *[0] * 13) + b"".join(segments)


SYNTAXES: dict[str, Syntax] = {
    "explicit": Syntax(uid.ExplicitVRLittleEndian),
    "implicit": Syntax(uid.ImplicitVRLittleEndian),
    "jpeg-lossless": Syntax(uid.JPEGLosslessSV1, _jpeg_lossless_sv1),
    "jpeg-ls": Syntax(uid.JPEGLSLossless, _jpeg_ls),
    "jpeg-2000": Syntax(uid.JPEG2000Lossless, _jpeg_2000),
    "rle": Syntax(uid.RLELossless, _rle),
    "deflated": Syntax(uid.DeflatedExplicitVRLittleEndian),
    "big-endian": Syntax(uid.ExplicitVRBigEndian),
    "jpeg-lossless-14": Syntax(uid.JPEGLossless, _jpeg_lossless),
    "htj2k": Syntax(uid.HTJ2KLossless, _htj2k),
    "htj2k-rpcl": Syntax(uid.HTJ2KLosslessRPCL, _htj2k_rpcl),
    "jpeg-baseline": Syntax(uid.JPEGBaseline8Bit, _jpeg, 8, "ISO_10918_1"),
    "jpeg-extended": Syntax(uid.JPEGExtended12Bit, _jpeg, 12, "ISO_10918_1"),
    "jpeg-ls-near": Syntax(uid.JPEGLSNearLossless, _jpeg_ls_near, 16, "ISO_14495_1"),
    "jpeg-2000-lossy": Syntax(uid.JPEG2000, _jpeg_2000_lossy, 16, "ISO_15444_1"),
    "htj2k-lossy": Syntax(uid.HTJ2K, _htj2k_lossy, 16, "ISO_15444_15"),
}
"""Name → transfer syntax."""

COMMON = ("explicit", "implicit", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "rle")
"""Those that hospitals send most."""
