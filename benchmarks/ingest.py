"""Bookkeeping of ingest at 10⁶ images: rows, copies, label table, exclusions, manifest and refusals, without any file.

Reading a million headers is another matter (see `decode.py`); here is all that comes after.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import write

from osteon import tables
from osteon.dataset import labels, refusals, survey
from osteon.dataset.exclusions import parse
from osteon.dataset.rows import Rows
from osteon.dataset.settle import Rules, settle
from osteon.tasks import FRACTURE
from osteon.types import Case, Header, Refusal

REGIONS = ("WRIST", "Muñeca", "MUÑECA D", "Canell", "Handgelenk", "poignet", "HAND", "")


def cases(number: int) -> Iterator[Case]:
    """Two images a study, four a patient; one in a hundred is a copy, of three kinds; ids are as long as real ones."""
    rng = np.random.default_rng(0)
    for start in range(0, number, 10_000):
        high, low = rng.integers(0, 2**63, (2, 10_000)).tolist()
        for inner in range(min(10_000, number - start)):
            row = start + inner
            kind = row % 300  # copies of the image before, by file, instance or pixels
            image, instance, pixels = (low[inner - (kind == hit)] for hit in (100, 200, 299))
            header = Header(
                patient=f"P{row // 4:07d}",
                study=f"1.2.826.0.1.3680043.10.543.{high[0]}.{row // 2}",
                series=f"1.2.826.0.1.3680043.10.544.{high[inner]}",
                instance=f"1.2.826.0.1.3680043.10.545.{instance}",
                accession=f"{row // 2:010d}",
                modality="DX",
                body_part=REGIONS[row % len(REGIONS)],
                study_description="Rx mano y muñeca",
                view=("AP", "LAT")[row % 2],
                laterality="LR"[row // 2 % 2],
                sex="FM"[row // 4 % 2],
                age_years=float(row // 4 % 95),
                device="Maker A",
                photometric="MONOCHROME2",
                transfer_syntax="1.2.840.10008.1.2.4.70",
                bits=12,
                spacing_mm=(0.139, 0.139),
                spacing_source="ImagerPixelSpacing",
            )
            size = 1000 + row % 37 * 40, 800 + row % 23 * 40
            yield Case(f"{image:032x}", f"{row // 4:07d}/IM{row:07d}", *size, header, f"{pixels:032x}")


def a_label_table(path: Path, number: int) -> None:
    """One row per study; one study in fifty has none, and one row in fifty is about no study."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("accession,fracture,cast,hardware,reader\n")
        for study in range(number // 2):
            name = f"{study:010d}" if study % 50 else f"X{study}"
            stream.write(f"{name},{int(study % 3 == 0)},{int(study % 40 == 1)},{int(study % 20 == 2)},R{study % 7}\n")


def main() -> None:
    """Print the table; with --json also write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    number = arguments.rows
    figures: dict[str, Any] = {"rows": number}
    broken = [Refusal(f"broken/{one}", "not_an_image", "no image", "leave it out") for one in range(number // 100)]
    rules = Rules((parse("cast"), parse("hardware=1")), 20, True)
    print(f"ingest of {number} images, bookkeeping alone                  by the clock   processor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a_label_table(folder / "labels.csv", number)
        with measured("making_the_cases", figures):
            for _ in cases(number):
                pass
        with measured("rows", figures):  # makes the cases once more
            seen = Rows()
            for case in cases(number):
                seen.add(case)
        with measured("label_table", figures):
            table = labels.read(folder / "labels.csv", FRACTURE)
        with measured("settling", figures):
            taken = settle(seen.frame(), broken, table, task=FRACTURE, rules=rules)
        with measured("writing", figures):
            tables.write(folder / "manifest.parquet", taken.manifest, tables.MANIFEST)
            refusals.write(folder / "refusals.parquet", taken.refusals)
        with measured("survey", figures):
            survey.survey(taken, FRACTURE)
    steps = ("rows", "label_table", "settling", "writing", "survey")
    for unit in ("s", "processor_s"):
        figures[f"bookkeeping_{unit}"] = (
            sum(figures[f"{s}_{unit}"] for s in steps) - figures[f"making_the_cases_{unit}"]
        )
    figures |= {"peak_mb": peak_mb(), "images": len(taken.manifest), "refused": len(taken.refusals)}
    tell("all but making them", figures["bookkeeping_s"], figures["bookkeeping_processor_s"])
    print(f"  {figures['images']} images taken, {figures['refused']} refused; {figures['peak_mb']:.0f} MB at most")
    write(arguments.json, "ingest", figures)


@contextmanager
def measured(step: str, figures: dict[str, Any]) -> Iterator[None]:
    """Time a step, by the clock and by the processor: others may share the machine."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    figures[f"{step}_s"] = time.perf_counter() - clock
    figures[f"{step}_processor_s"] = time.process_time() - processor
    tell(step.replace("_", " "), figures[f"{step}_s"], figures[f"{step}_processor_s"])


def tell(step: str, clock: float, processor: float) -> None:
    """One line of the table."""
    print(f"  {step:<50}{clock:10.1f} s{processor:10.1f} s   {peak_mb():6.0f} MB")


def peak_mb() -> float:
    """Most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
