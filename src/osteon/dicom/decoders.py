"""One decoder per transfer syntax, behind pydicom's plugin interface.

The codecs of `osteon.dicom.codecs` are registered with pydicom under the name `imagecodecs` when a syntax is first
needed, so that importing osteon changes nothing, and `Dataset.pixel_array` can use them from then on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder, DecodeRunner, get_decoder

from osteon.dicom.attributes import PARSING_ERRORS, reason_of
from osteon.dicom.codecs import CODECS
from osteon.dicom.pixels import Encoding
from osteon.errors import UnreadableImage

PLUGIN = "imagecodecs"

_Array = NDArray[Any]


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
