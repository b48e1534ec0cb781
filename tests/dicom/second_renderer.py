"""The same file as another renderer shows it: DCMTK, whose decoders and grey-scale pipeline share no code with ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid

from osteon.dicom.read import read

TOOLS = ("dcm2pnm", "dcmj2pnm", "dcml2pnm", "gdcmconv")
"""Commands that are needed, of the Debian packages dcmtk and libgdcm-tools."""

LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000)

_TOOL = {
    uid.JPEGBaseline8Bit: "dcmj2pnm",
    uid.JPEGExtended12Bit: "dcmj2pnm",
    uid.JPEGLossless: "dcmj2pnm",
    uid.JPEGLosslessSV1: "dcmj2pnm",
    uid.JPEGLSLossless: "dcml2pnm",
    uid.JPEGLSNearLossless: "dcml2pnm",
}


def commands(path: Path, dataset: Dataset, folder: Path) -> list[list[str]]:
    """What renders a file into `folder`/second.pgm, with the first VOI LUT or window of the file or its whole range."""
    syntax = dataset.file_meta.TransferSyntaxUID
    steps, source = [], path
    if syntax in (uid.JPEG2000, uid.JPEG2000Lossless):  # DCMTK knows no JPEG 2000
        source = folder / "raw.dcm"
        steps.append(["gdcmconv", "--raw", str(path), str(source)])
    window = ["+Wi", "1"] if "WindowCenter" in dataset else ["+Wm"]
    if "VOILUTSequence" in dataset:
        window = ["+Wl", "1"]
    steps.append([_TOOL.get(syntax, "dcm2pnm"), "-O", *window, str(source), str(folder / "second.pgm")])
    return steps


def rendered(path: Path, folder: Path) -> NDArray[np.uint8]:
    """(rows, columns) grey values of a file, as DCMTK renders them; `folder` takes what lies between."""
    for command in commands(path, dcmread(path, stop_before_pixels=True), folder):
        subprocess.run(command, check=True, capture_output=True)
    return read_pgm((folder / "second.pgm").read_bytes())


def read_pgm(data: bytes) -> NDArray[np.uint8]:
    """A binary 8-bit PGM, as DCMTK writes it: a comment, and one line for each number."""
    magic, *lines = data.split(b"\n", 4)
    lines = lines[1:] if lines[0].startswith(b"#") else data.split(b"\n", 3)[1:]
    size, white, pixels = lines
    assert (magic, white) == (b"P5", b"255")
    columns, rows = map(int, size.split())
    return np.frombuffer(pixels, np.uint8, rows * columns).reshape(rows, columns)


def ours(path: Path) -> NDArray[np.uint8]:
    """(rows, columns) grey values of a file as osteon reads it, white at 255."""
    radiograph = read(path)
    return np.rint(radiograph.pixels * (255 / radiograph.white)).astype(np.uint8)


def levels_brighter(path: Path, folder: Path) -> NDArray[np.int16]:
    """(rows, columns) grey levels of 255 by which osteon shows a file brighter than DCMTK does."""
    return ours(path).astype(np.int16) - rendered(path, folder).astype(np.int16)
