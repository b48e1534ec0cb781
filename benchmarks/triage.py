"""A worklist put in order by the FracAtlas model, beside first come, first read: minutes until read at several loads.

    python benchmarks/triage.py TRAINED [--days 200] [--json FILE] [--figure FILE]

TRAINED is the folder OUT of `docs/results/fracatlas.sh`; scores and truth are its out-of-fold ones. The department is
assumed: one reader round the clock, 5 minutes a radiograph, 15 % fractures, hours as `osteon.evaluate.triage.PROFILE`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import write
from doubt import cases_of

from osteon import files
from osteon.evaluate import triage_figures
from osteon.evaluate.report import plain
from osteon.evaluate.triage import Worklist, triage

PER_DAY = (150, 200, 240)
SHOWN = 240


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trained", type=Path, help="OUT of docs/results/fracatlas.sh")
    parser.add_argument("--days", type=int, default=200, help="simulated days")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="write the figure of the busiest day here, as SVG")
    arguments = parser.parse_args()
    cases, _ = cases_of(arguments.trained)
    probability = cases.pooled(next(iter(cases.scores)))
    rows = []
    for number in PER_DAY:
        rng, worklist = np.random.default_rng(0), Worklist(arrivals_per_day=number)
        found = triage(probability, cases.target, rng, worklist, days=arguments.days)
        rows.append(plain(found))
        first, by_score, _ = (order["positive"]["median"].value for order in found["orders"])
        print(f"\n{found['about']}; fractures are read {first / by_score:.1f} times as fast by score (median)")
        print(triage_figures.table(found))
        if arguments.figure and number == SHOWN:
            with files.replacing(arguments.figure) as temporary:
                temporary.write_text(triage_figures.times(found), encoding="utf-8")
    write(arguments.json, "triage", {"images": len(cases.name), "days": arguments.days, "rows": rows})


if __name__ == "__main__":
    main()
