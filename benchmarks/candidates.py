"""Milliseconds of CPU per frame of every decoder at hand, by transfer syntax: which is the fastest exact one?

    python benchmarks/candidates.py [--repeats 5] [--json FILE]

One 12-bit image of 2500 × 2048 pixels (8-bit for JPEG baseline) is encoded in each transfer syntax. Each library gets
the bare frame, in turn with the others. CPU time on one core is what counts: gdcm decodes JPEG 2000 with a thread on
each core, which looks faster where the other cores idle, and is slower where each has an image of its own. Lossless
decoders are held to the stored values, lossy ones to osteon's. Libraries that are not installed are passed over; none
but imagecodecs, Pillow and OpenCV is a dependency of osteon.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import os
import sys
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import imagecodecs
import numpy as np
from common import write
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.encaps import get_frame

from osteon.dicom.codecs import CODECS
from osteon.dicom.decoders import NATIVE
from osteon.dicom.parsing import inflated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values

ROWS, COLUMNS = 2500, 2048

_Array = NDArray[Any]
_Decode = Callable[[bytes], Any]


def optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def by_gdcm(syntax: str, bits: int) -> _Decode | None:
    """As pydicom's plugin calls it: one frame goes in, and text comes out that has to be turned into bytes."""
    gdcm = optional("gdcm")
    if gdcm is None:
        return None

    def decode(frame: bytes) -> _Array:
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(frame)
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((COLUMNS, ROWS, 1))
        image.SetDataElement(element)
        kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
        image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
        image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        allocated = 8 if bits == 8 else 16
        image.SetPixelFormat(gdcm.PixelFormat(1, allocated, bits, bits - 1, 0))
        return np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), f"<u{allocated // 8}")

    return decode


def by_pillow(bits: int) -> _Decode:
    def decode(frame: bytes) -> _Array:
        values = np.asarray(Image.open(BytesIO(frame)))
        return values >> (16 - bits) if values.dtype == np.uint16 else values

    return decode


def by_opencv(frame: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_UNCHANGED)


def by_openjpeg(frame: bytes) -> Any:
    return importlib.import_module("openjpeg").decode(frame)


def candidates(syntax: str, bits: int) -> dict[str, _Decode]:
    """What can decode a transfer syntax, of what is installed."""
    return {name: decode for name, decode in _all_candidates(syntax, bits).items() if decode is not None}


def _all_candidates(syntax: str, bits: int) -> dict[str, _Decode | None]:
    ours: dict[str, _Decode | None] = {
        "osteon": lambda frame: CODECS[syntax].decode(frame, np.dtype("u1" if bits == 8 else "u2"))
    }
    gdcm, openjpeg = {"gdcm": by_gdcm(syntax, bits)}, {"pylibjpeg-openjpeg": optional("openjpeg") and by_openjpeg}
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        others = {"liblj92": imagecodecs.ljpeg_decode, "jpegsof3": imagecodecs.jpegsof3_decode}
        return {**ours, "libjpeg-turbo": imagecodecs.jpeg8_decode, **others, **gdcm}
    if syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        others = {"OpenCV": by_opencv, "Pillow": by_pillow(bits)}
        return {**ours, "libjpeg-turbo": imagecodecs.jpeg8_decode, **others, **gdcm}
    if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):
        pyjpegls = optional("jpeg_ls")
        other = pyjpegls and (lambda frame: pyjpegls.decode(np.frombuffer(frame, np.uint8)))
        return {**ours, "CharLS": imagecodecs.jpegls_decode, "pyjpegls": other, **gdcm}
    if syntax in (uid.JPEG2000, uid.JPEG2000Lossless):
        others = {"OpenJPEG": imagecodecs.jpeg2k_decode, "Pillow": by_pillow(bits), "OpenCV": by_opencv}
        return {**ours, **others, **openjpeg, **gdcm}
    if syntax == uid.RLELossless:
        rle = optional("rle.rle")
        other = rle and (lambda frame: np.frombuffer(rle.decode_frame(frame, ROWS * COLUMNS, 16, "<"), "<u2"))
        whole = lambda frame: np.frombuffer(imagecodecs.dicomrle_decode(frame, "<u2"), "<u2")  # noqa: E731
        return {**ours, "imagecodecs, whole frame": whole, "pylibjpeg-rle": other}
    return {**ours, "OpenJPH": imagecodecs.htj2k_decode, "OpenJPEG": imagecodecs.jpeg2k_decode, **openjpeg}


def deflated() -> tuple[bytes, dict[str, _Decode]]:
    """The pixels of the image deflated as PS3.5 section A.5 says, and what inflates them."""
    plain = stored_values(ROWS, COLUMNS).tobytes()
    deflate = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    isal = optional("isal.isal_zlib")
    decoders = {
        "osteon": inflated,
        "libdeflate": lambda data: imagecodecs.deflate_decode(data, raw=True, out=8 * len(data)),
        "zlib": lambda data: zlib.decompress(data, -zlib.MAX_WBITS),
        "isal": isal and (lambda data: isal.decompress(data, -zlib.MAX_WBITS)),
    }
    words = {
        name: work and (lambda data, work=work: np.frombuffer(work(data), "<u2")) for name, work in decoders.items()
    }
    return deflate.compress(plain) + deflate.flush(), words


def measure(syntax: str, repeats: int) -> list[dict[str, Any]]:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    stored = stored_values(ROWS, COLUMNS, bits=bits)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        frame, decoders = deflated()
    else:
        file = a_radiograph_file(stored, syntax=syntax, bits=bits)
        frame = get_frame(dcmread(BytesIO(file)).PixelData, 0, number_of_frames=1)
        decoders = candidates(syntax, bits)
    rows: dict[str, dict[str, Any]] = {}
    wanted = decoders["osteon"](frame) if syntax in SYNTAXES_LOSSY else stored
    for name, decode in decoders.items():
        rows[name] = {"syntax": uid.UID(syntax).keyword, "decoder": name, "ms": None, "apart": None}
        with contextlib.suppress(Exception):  # whatever a library raises on what it cannot decode: it fails here
            values = np.asarray(decode(frame)).reshape(stored.shape)
            rows[name]["apart"] = int(np.abs(values.astype(int) - wanted).max())
    for _ in range(repeats):
        for name, decode in decoders.items():
            if rows[name]["apart"] is None:
                continue
            start = time.process_time()
            decode(frame)
            ms = round(1000 * (time.process_time() - start), 1)
            rows[name]["ms"] = min(ms, rows[name]["ms"] or ms)
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of so many runs counts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    print(f"{'syntax':30s} {'decoder':26s} {'ms':>8s} {'apart':>6s}")
    for syntax in {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}:
        if syntax in NATIVE and syntax != uid.DeflatedExplicitVRLittleEndian:
            continue
        for row in measure(syntax, options.repeats):
            rows.append(row)
            ms = "fails" if row["ms"] is None else f"{row['ms']:.1f}"
            print(f"{row['syntax']:30s} {row['decoder']:26s} {ms:>8s} {row['apart'] or '':>6}")
    names = ("python-gdcm", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "isal")
    versions = {name: _version(name) for name in names}
    write(options.json, "candidates", {"decoders": rows, "libraries": versions | imagecodecs.version(dict)})


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
