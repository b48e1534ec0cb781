"""CPU seconds to read a DICOM file, by transfer syntax: osteon against pydicom's own decoding in the same run.

    python benchmarks/decode.py [--folder DIR] [--repeats 5] [--json FILE]

One 12-bit image of 2500 × 2048 pixels (a forearm's size) is encoded in every transfer syntax that osteon reads; the
files of the folder (by default the real ones of the development data, where they are) follow. pydicom is timed first,
with the plugins that are installed, before osteon has registered its own: `dcmread(...).pixel_array` gives stored
values, as osteon's decoding step does, to which it is compared; `read` also checks the attributes and gives
presentation values. "Bare" is the codec alone, without parsing and pydicom's interface. CPU seconds, since some of
pydicom's plugins use every core, of which osteon gives each an image of its own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from common import write
from numpy.typing import NDArray
from pydicom import dcmread, uid
from pydicom.encaps import get_frame

from osteon.dicom.attributes import Attributes
from osteon.dicom.chain import encoding_of
from osteon.dicom.codecs import CODECS
from osteon.dicom.decoders import words_of
from osteon.dicom.parsing import parse
from osteon.dicom.read import read
from osteon.errors import UnreadableImage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values
from tests.make import SHARED


def made_files() -> dict[str, bytes]:
    """One image in every transfer syntax, by the name of the syntax."""
    made = {}
    for syntax in {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}:
        bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
        stored = stored_values(2500, 2048, bits=bits)
        window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
        made[uid.UID(syntax).keyword] = a_radiograph_file(stored, syntax=syntax, bits=bits, **window)
    return made


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several runs: the one that other processes disturbed least."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def pydicom_seconds(data: bytes, repeats: int) -> float | None:
    """None where the installed plugins cannot decode the file."""

    def work() -> NDArray[Any]:
        return dcmread(BytesIO(data)).pixel_array

    try:
        work()
    except (RuntimeError, AttributeError, ValueError, NotImplementedError):
        return None
    return best_of(repeats, work)


def bare_seconds(data: bytes, repeats: int) -> float | None:
    """Of the codec alone; None for uncompressed files, which have none."""
    dataset = dcmread(BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in CODECS:
        return None
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    container = np.dtype(f"u{dataset.BitsAllocated // 8}")
    return best_of(repeats, lambda: CODECS[syntax].decode(frame, container))


def measured(name: str, data: bytes, pydicom: float | None, repeats: int) -> dict[str, Any]:
    """One row of the table: seconds of `read`, of parsing and decoding in it, and of the codec in that."""
    radiograph = read(data)
    syntax, bare = radiograph.header.transfer_syntax, bare_seconds(data, repeats)
    encoding = encoding_of(Attributes(parse(data, whole=False)[0]))
    whole = best_of(repeats, lambda: read(data))
    decoding = best_of(repeats, lambda: words_of(parse(data, whole=True)[0], encoding, syntax))
    return {
        "file": name,
        "syntax": uid.UID(syntax).keyword,
        "megapixels": round(radiograph.pixels.size / 1e6, 2),
        "read_s": round(whole, 4),
        "decode_s": round(decoding, 4),
        "bare_s": None if bare is None else round(bare, 4),
        "decode_share": round(min(decoding / whole, 1), 2),
        "pydicom_s": None if pydicom is None else round(pydicom, 4),
        "pydicom_over_decode": None if pydicom is None else round(pydicom / decoding, 2),
    }


def measure(files: Mapping[str, bytes], repeats: int) -> list[dict[str, Any]]:
    theirs = {name: pydicom_seconds(data, repeats) for name, data in files.items()}
    rows = []
    print(
        f"{'file':44s} {'Mpx':>5s} {'read':>7s} {'decode':>7s} {'bare':>7s} {'share':>6s} {'pydicom':>8s} {'ratio':>6s}"
    )
    for name, data in files.items():
        try:
            row = measured(name, data, theirs[name], repeats)
        except UnreadableImage as error:
            print(f"{name[:44]:44s} not read ({error.code})")
            continue
        rows.append(row)
        bare, pydicom = _shown(row["bare_s"], "-"), _shown(row["pydicom_s"], "fails")
        print(
            f"{name[:44]:44s} {row['megapixels']:5.1f} {row['read_s']:7.3f} {row['decode_s']:7.3f} {bare:>7s} "
            f"{row['decode_share']:6.0%} {pydicom:>8s} {row['pydicom_over_decode'] or '':>6}"
        )
    ratios = [row["pydicom_over_decode"] for row in rows if row["pydicom_over_decode"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"pydicom takes {mean:.2f} times as long to decode (geometric mean of {len(ratios)} files)")
    return rows


def _shown(seconds: float | None, otherwise: str) -> str:
    return otherwise if seconds is None else f"{seconds:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=SHARED / "dicom")
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of so many runs counts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    made = made_files()
    real = {path.name: path.read_bytes() for path in sorted(options.folder.rglob("*.dcm"))}
    rows = measure(made | real, options.repeats)
    plugins = {name: _version(name) for name in ("python-gdcm", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls")}
    figures = {
        "made": [row for row in rows if row["file"] in made],
        "real": [row for row in rows if row["file"] in real],
    }
    write(options.json, "decode", figures | {"pydicom_plugins": plugins})


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
