"""Bookkeeping of ingest at 10⁶ images: rows, copies, label table, exclusions, manifest and refusals, without any file.

Reading a million headers is another matter (see `decode.py`); here is all that comes after.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import write

from osteon import tables
from osteon.dataset import labels, refusals, survey
from osteon.dataset.exclusions import parse
from osteon.dataset.rows import Rows
from osteon.dataset.settle import Ingested, Rules, settle
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
    number, clock = arguments.rows, time.perf_counter
    figures: dict[str, Any] = {"rows": number}

    def timed(name: str, began: float) -> float:
        figures[f"{name}_s"] = clock() - began
        print(f"  {name:<22}{figures[f'{name}_s']:8.1f} s   {peak_mb():6.0f} MB at most")
        return clock()

    print(f"ingest of {number} images, bookkeeping alone")
    with tempfile.TemporaryDirectory() as folder:
        a_label_table(Path(folder, "labels.csv"), number)
        began = clock()
        for _ in cases(number):
            pass
        began = timed("making_the_cases", began)
        seen = Rows()
        for case in cases(number):
            seen.add(case)
        began = timed("rows", began)  # with making the cases once more
        table = labels.read(Path(folder, "labels.csv"), FRACTURE)
        began = timed("label_table", began)
        broken = [Refusal(f"broken/{one}", "not_an_image", "no image", "leave it out") for one in range(number // 100)]
        rules = Rules((parse("cast"), parse("hardware=1")), 20, True)
        taken = settle(seen.frame(), broken, table, task=FRACTURE, rules=rules)
        began = timed("settling", began)
        tables.write(Path(folder, "manifest.parquet"), taken.manifest, tables.MANIFEST)
        refusals.write(Path(folder, "refusals.parquet"), taken.refusals)
        began = timed("writing", began)
        began = timed("survey", surveyed(taken, began))
    steps = ("rows", "label_table", "settling", "writing", "survey")
    figures["bookkeeping_s"] = sum(figures[f"{step}_s"] for step in steps) - figures["making_the_cases_s"]
    figures |= {"peak_mb": peak_mb(), "images": len(taken.manifest), "refused": len(taken.refusals)}
    print(f"  all but the cases     {figures['bookkeeping_s']:8.1f} s   {figures['peak_mb']:6.0f} MB at most")
    print(f"  {figures['images']} images taken, {figures['refused']} refused")
    write(arguments.json, "ingest", figures)


def surveyed(taken: Ingested, began: float) -> float:
    """Work the survey out; its page is drawn from that."""
    survey.survey(taken, FRACTURE)
    return began


def peak_mb() -> float:
    """Most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
