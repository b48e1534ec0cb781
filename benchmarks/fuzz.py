"""Thousands of damaged files led through ingest and prepare: no crash, no hang, none lost, each refused with a reason.

    python benchmarks/fuzz.py [--count 5000] [--seed 0] [--seconds 10] [--keep DIR] [--json FILE]

The mutants come from the development data: most from crops of 72 × 72 pixels of each radiograph, in the file's transfer
syntax and in all others that osteon reads, the rest from whole files, from broken and foreign DICOM files, and from
truncated JPEGs. `tests/dicom/mutate.py` says what is done to them. With `--keep`, the mutants that crashed or hung stay
in a folder.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from common import write

from osteon.dataset.steps import describe
from osteon.errors import UnreadableImage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.fuzzing import Specimen, as_it_is, cropped, led_through, most_steps, mutants
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY
from tests.make import SHARED

TRANSCODED = ("RG2_UNC.dcm", "RG3_UNC.dcm")
"""Files whose crops are made in every transfer syntax."""


def specimens() -> list[Specimen]:
    """What is damaged; the share of each kind is its share of this list."""
    found: list[Specimen] = []
    whole: list[Specimen] = []
    for path in sorted((SHARED / "dicom").rglob("*.dcm")):
        data = path.read_bytes()
        whole.append(as_it_is(data))
        try:
            found += [cropped(data)] * 6
        except UnreadableImage:
            continue  # the one that is cut short; it is damaged as a whole
        if path.name in TRANSCODED:
            for syntax in {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}:
                found += [cropped(data, syntax)] * 2
    broken = [as_it_is(path.read_bytes()) for path in sorted((SHARED / "dicom_bad").glob("*.dcm"))]
    pictures = [as_it_is(path.read_bytes()) for path in sorted((SHARED / "bad_images").glob("*.jpg"))]
    return found + broken + pictures * 3 + whole[:: max(1, len(whole) // 6)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10, help="what preparing one image may take")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that crashed or hung")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (SHARED / "dicom").is_dir():
        print("not measured: the development data are not there")
        return
    warnings.simplefilter("ignore")  # pydicom's, on writing what is damaged
    sources = specimens()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        outcome = led_through(mutants(sources, options.count, options.seed), Path(folder), seconds=options.seconds)
        seconds = time.perf_counter() - start
        lost = [refusal for refusal in outcome.refusals if refusal.code in ("crashed", "timeout")]
        for refusal in lost if options.keep else ():
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder, "export", refusal.path), options.keep / refusal.path.replace("/", "-"))
    figures = {
        "mutants": outcome.count,
        "seed": options.seed,
        "recipe": describe(most_steps()),
        "past_preamble": outcome.past_preamble,
        "past_preamble_share": round(outcome.past_preamble / outcome.count, 4),
        "prepared": outcome.prepared,
        "refused": len(outcome.refusals),
        "by_code": dict(sorted(outcome.codes.items(), key=lambda item: -item[1])),
        "missing": outcome.missing,
        "twice": outcome.twice,
        "refusals_without_code_path_reason_or_remedy": outcome.wrong,
        "crashed_or_hung": [f"{refusal.path}: {refusal.code}: {refusal.reason}" for refusal in lost],
        "seconds": round(seconds, 1),
        "limit_s": options.seconds,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    write(options.json, "fuzz", figures)


if __name__ == "__main__":
    main()
