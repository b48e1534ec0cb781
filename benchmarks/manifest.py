"""A manifest of 10⁶ rows: write, read, split. Against the same table as CSV."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import write

from osteon import tables
from osteon.dataset import splits


def a_manifest(rows: int) -> pd.DataFrame:
    """A cohort with two images a study, four a patient, and ids as long and as random as real ones."""
    rng = np.random.default_rng(0)
    number = np.arange(rows)
    high, low = rng.integers(0, 2**63, (2, rows))

    def text(form: str, *values: Any) -> list[str]:
        return [form.format(*row) for row in zip(*(v.tolist() for v in values), strict=True)]

    frame = pd.DataFrame(
        {
            "image": text("{:016x}{:016x}", high, low),
            "path": text("{:06d}/IM{:07d}.dcm", number // 4, number),
            "patient": text("P{:06d}", number // 4),
            "study": text("1.2.826.0.1.3680043.10.543.{}", high[number // 2]),
            "series": text("1.2.826.0.1.3680043.10.544.{}", high),
            "instance": text("1.2.826.0.1.3680043.10.545.{}", low),
            "target": rng.random(rows) < 0.3,
            "view": rng.choice(["AP", "LAT", ""], rows),
            "laterality": rng.choice(["L", "R"], rows),
            "body_part": rng.choice(["WRIST", "Muñeca", "HAND"], rows),
            "modality": "DX",
            "sex": rng.choice(["F", "M"], rows),
            "age_years": rng.integers(0, 95, rows),
            "device": rng.choice(["Maker A", "Maker B"], rows),
            "photometric": "MONOCHROME2",
            "transfer_syntax": "1.2.840.10008.1.2.4.70",
            "bits": 12,
            "rows": 2500,
            "columns": 2048,
            "spacing_mm": 0.139,
            "spacing_source": "ImagerPixelSpacing",
        }
    )
    return tables.check(frame, tables.MANIFEST, "benchmark")


def seconds(work: Callable[[], Any]) -> float:
    """The best of three runs."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print the table; with --json also write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    manifest = a_manifest(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        parquet, csv = Path(folder, "manifest.parquet"), Path(folder, "manifest.csv")
        figures: dict[str, Any] = {"rows": arguments.rows}
        figures["write_s"] = seconds(lambda: tables.write(parquet, manifest, tables.MANIFEST))
        figures["read_s"] = seconds(lambda: tables.read(parquet, tables.MANIFEST))
        figures["size_mb"] = parquet.stat().st_size / 1e6
        manifest.to_csv(csv, index=False)
        figures["csv_read_s"] = seconds(lambda: tables.check(pd.read_csv(csv, dtype="string"), tables.MANIFEST, "CSV"))
    figures["csv_ratio"] = figures["csv_read_s"] / figures["read_s"]
    figures["split_s"] = seconds(lambda: splits.split(manifest, folds=5, test=0.2, seed=0))
    print(f"manifest of {arguments.rows} rows")
    print(f"  write Parquet     {figures['write_s']:7.2f} s   ({figures['size_mb']:.0f} MB)")
    print(f"  read and check    {figures['read_s']:7.2f} s")
    print(f"  pandas, from CSV  {figures['csv_read_s']:7.2f} s   ({figures['csv_ratio']:.1f}× as long)")
    print(f"  split, 5 folds    {figures['split_s']:7.2f} s")
    write(arguments.json, "manifest", figures)


if __name__ == "__main__":
    main()
