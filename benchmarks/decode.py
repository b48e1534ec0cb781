"""Seconds to read a DICOM file, by transfer syntax: osteon against pydicom's own decoding in the same run.

    python benchmarks/decode.py [--folder DIR] [--repeats 5] [--json FILE]

Without a folder, one 12-bit image of 2500 × 2048 pixels (a forearm's size) is encoded in every transfer syntax that
osteon reads. pydicom is timed first, with the plugins that are installed, before osteon has registered its own:
`dcmread(...).pixel_array` gives stored values, as osteon's decoding step does, to which it is compared; `read` also
checks the attributes and gives presentation values.
"""

from __future__ import annotations

import argparse
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

from osteon.dicom import read as door
from osteon.dicom.decoders import words_of
from osteon.dicom.read import read
from osteon.errors import UnreadableImage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values


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
    """Seconds of the fastest of several runs: the one that other processes disturbed least."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
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


def osteon_seconds(data: bytes, repeats: int) -> tuple[float, float]:
    """Seconds of `read`, and those of them that pass in decoding."""
    header, encoding, _ = door._described(*door._parsed(data, whole=False))
    whole = best_of(repeats, lambda: read(data))
    decoding = best_of(repeats, lambda: words_of(door._parsed(data, whole=True)[0], encoding, header.transfer_syntax))
    return whole, decoding


def measure(files: Mapping[str, bytes], repeats: int) -> list[dict[str, Any]]:
    theirs = {name: pydicom_seconds(data, repeats) for name, data in files.items()}
    rows = []
    for name, data in files.items():
        try:
            radiograph = read(data)
        except UnreadableImage as error:
            print(f"{name}: not read ({error.code})")
            continue
        whole, decoding = osteon_seconds(data, repeats)
        pydicom = theirs[name]
        rows.append(
            {
                "file": name,
                "syntax": uid.UID(radiograph.header.transfer_syntax).keyword,
                "megapixels": round(radiograph.pixels.size / 1e6, 2),
                "read_s": round(whole, 4),
                "decode_s": round(decoding, 4),
                "decode_share": round(min(decoding / whole, 1), 2),
                "pydicom_s": None if pydicom is None else round(pydicom, 4),
                "pydicom_over_decode": None if pydicom is None else round(pydicom / decoding, 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="DICOM files to read instead of made ones")
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of so many runs counts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.folder:
        files = {path.name: path.read_bytes() for path in sorted(options.folder.rglob("*.dcm"))}
    else:
        files = made_files()
    rows = measure(files, options.repeats)
    print(f"{'file':44s} {'Mpx':>5s} {'read s':>7s} {'decode s':>9s} {'share':>6s} {'pydicom s':>10s} {'ratio':>6s}")
    for row in rows:
        pydicom = "fails" if row["pydicom_s"] is None else f"{row['pydicom_s']:.3f}"
        ratio = "" if row["pydicom_over_decode"] is None else f"{row['pydicom_over_decode']:.2f}"
        print(
            f"{row['file'][:44]:44s} {row['megapixels']:5.1f} {row['read_s']:7.3f} {row['decode_s']:9.3f} "
            f"{row['decode_share']:6.0%} {pydicom:>10s} {ratio:>6s}"
        )
    ratios = [row["pydicom_over_decode"] for row in rows if row["pydicom_over_decode"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"pydicom takes {mean:.2f} times as long to decode (geometric mean of {len(ratios)} files)")
    write(options.json, "decode", {"files": rows})


if __name__ == "__main__":
    main()
