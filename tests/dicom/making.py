"""Small DICOM files made for one purpose each."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

SYNTAXES_LOSSLESS: dict[str, Callable[[NDArray[Any], int], bytes] | None] = {
    uid.ImplicitVRLittleEndian: None,
    uid.ExplicitVRLittleEndian: None,
    uid.DeflatedExplicitVRLittleEndian: None,
    uid.ExplicitVRBigEndian: None,
    uid.RLELossless: None,
    uid.JPEGLossless: lambda a, bits: bytes(
        imagecodecs.jpeg8_encode(a, lossless=True, predictor=6, bitspersample=bits)
    ),
    uid.JPEGLosslessSV1: lambda a, bits: bytes(imagecodecs.ljpeg_encode(a, bitspersample=bits)),
    uid.JPEGLSLossless: lambda a, bits: bytes(imagecodecs.jpegls_encode(a)),
    uid.JPEG2000Lossless: lambda a, bits: bytes(
        imagecodecs.jpeg2k_encode(a, reversible=True, codecformat="j2k", bitspersample=bits)
    ),
    uid.HTJ2KLossless: lambda a, bits: bytes(imagecodecs.htj2k_encode(a, reversible=True)),
    uid.HTJ2KLosslessRPCL: lambda a, bits: bytes(imagecodecs.htj2k_encode(a, reversible=True)),
}
"""Transfer syntaxes that keep every bit, and how a frame is encoded; None where pydicom writes it."""

SYNTAXES_LOSSY: dict[str, Callable[[NDArray[Any], int], bytes]] = {
    uid.JPEGBaseline8Bit: lambda a, bits: bytes(imagecodecs.jpeg8_encode(a, 97)),
    uid.JPEGExtended12Bit: lambda a, bits: bytes(imagecodecs.jpeg8_encode(a, 97, bitspersample=12)),
    uid.JPEGLSNearLossless: lambda a, bits: bytes(imagecodecs.jpegls_encode(a, 2)),
    uid.JPEG2000: lambda a, bits: bytes(imagecodecs.jpeg2k_encode(a, 50, codecformat="j2k", bitspersample=bits)),
    uid.HTJ2K: lambda a, bits: bytes(imagecodecs.htj2k_encode(a, 1e-4, reversible=False)),
}
"""Transfer syntaxes that may change values a little; baseline holds 8 bits, the others 12."""


def stored_values(rows: int = 48, columns: int = 40, *, bits: int = 12, signed: bool = False) -> NDArray[Any]:
    """A smooth image with some noise that reaches both ends of the range of `bits`."""
    y, x = np.mgrid[0:rows, 0:columns] / [[[rows]], [[columns]]]
    image = (
        0.5 + 0.5 * np.sin(5 * x + 3 * y) * np.cos(4 * y) + np.random.default_rng(1).normal(0, 0.01, (rows, columns))
    )
    values = np.clip(np.rint(image * (2**bits - 1)), 0, 2**bits - 1)
    values[0, 0], values[-1, -1] = 0, 2**bits - 1
    if signed:
        values -= 2 ** (bits - 1)
    return values.astype(("i" if signed else "u") + ("1" if bits <= 8 else "2"))


def a_dataset(stored: NDArray[Any], *, bits: int | None = None, **attributes: Any) -> Dataset:
    """A CR image of stored values, uncompressed little endian; `attributes` by keyword, None to leave one out."""
    dataset = Dataset()
    allocated = stored.dtype.itemsize * 8
    defaults: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "PatientID": "p1",
        "Modality": "CR",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": allocated,
        "BitsStored": bits or allocated,
        "HighBit": (bits or allocated) - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes() + b"\0" * (stored.nbytes % 2),
    }
    for keyword, value in {**defaults, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW" if allocated > 8 else "OB"
    return dataset


def a_file(dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    """The bytes of an uncompressed data set in a native transfer syntax."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def a_radiograph_file(
    stored: NDArray[Any], *, syntax: str = uid.ExplicitVRLittleEndian, bits: int | None = None, **attributes: Any
) -> bytes:
    """The bytes of a CR file of stored values in any transfer syntax that osteon reads."""
    bits = bits or stored.dtype.itemsize * 8
    dataset = a_dataset(stored, bits=bits, **attributes)
    if syntax == uid.ExplicitVRBigEndian and stored.dtype.itemsize == 2:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    encode = {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}[syntax]
    if syntax == uid.RLELossless:
        dataset.file_meta = FileMetaDataset()
        dataset.compress(uid.RLELossless, stored, encoding_plugin="pydicom", generate_instance_uid=False)
    elif encode is not None:
        if (
            stored.dtype.kind == "i"
            and "JPEG 20" not in uid.UID(syntax).name
            and "HTJ2K" not in uid.UID(syntax).keyword
        ):
            # These streams know no sign: they hold the bits of the two's complement.
            stored = stored.view(f"u{stored.dtype.itemsize}") & np.uint16(2**bits - 1).astype(
                f"u{stored.dtype.itemsize}"
            )
        dataset.PixelData = encapsulate([encode(stored, bits)])
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    return a_file(dataset, syntax)
