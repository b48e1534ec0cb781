"""How often the intervals of ICC(2,1) hold the truth: by a bootstrap of patients, of visits, and by the F distribution.

    python benchmarks/agreement.py [--json FILE] [--studies N]

Simulated studies whose true correlation is known: totals vary between patients, between the visits of a patient, and by
the error of each rating. A second part of the error, shared by all visits of a patient as seen by one rater, stands for
what misleads a rater (or a model) about that patient each time, such as a plate over the fracture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import write
from numpy.typing import NDArray

from osteon.evaluate import agreement
from osteon.evaluate.intervals import bootstrap, draw, estimate, point

PATIENT, VISIT, SHARED, ERROR = 4.0, 4.0, 0.7, 0.7
"""Variances: between patients, between visits of a patient, of the shared error and of the error of each rating."""

TRUE_ICC = (PATIENT + VISIT) / (PATIENT + VISIT + SHARED + ERROR)
RESAMPLES = 1000
DESIGNS = ((30, 1), (30, 3), (60, 3), (150, 1), (150, 4), (600, 2))


def a_study(patients: int, visits: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(n, 2) ratings of n visits by two raters, and the patient of each visit."""
    group = np.repeat(np.arange(patients), visits)
    true = rng.normal(0, PATIENT**0.5, patients)[group] + rng.normal(0, VISIT**0.5, len(group))
    shared = rng.normal(0, SHARED**0.5, (patients, 2))[group]
    return true[:, None] + shared + rng.normal(0, ERROR**0.5, (len(group), 2)), group


def coverage(studies: int, patients: int, visits: int) -> dict[str, float]:
    """Share of the intervals that hold the true ICC."""
    rng = np.random.default_rng(1000 * patients + visits)
    held = dict.fromkeys(("by_patient", "by_visit", "by_f"), 0)
    for _ in range(studies):
        ratings, group = a_study(patients, visits, rng)
        by_f = agreement.icc(ratings)
        held["by_f"] += by_f.low <= TRUE_ICC <= by_f.high
        for name, unit in (("by_patient", group), ("by_visit", np.arange(len(group)))):
            nothing = np.zeros(len(group), bool)
            drawn = draw(unit, np.zeros(len(group), int), nothing, rng, resamples=RESAMPLES)

            def statistic(weights: NDArray[np.float64], of: NDArray[np.float64] = ratings) -> NDArray[np.float64]:
                return agreement.icc_of(of, weights)

            found = estimate(float(point(statistic, len(group))), bootstrap(statistic, drawn), len(group))
            held[name] += found.low <= TRUE_ICC <= found.high
    return {"patients": patients, "visits_each": visits, **{name: n / studies for name, n in held.items()}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--studies", type=int, default=1000)
    options = parser.parse_args()
    print(f"true ICC(2,1) {TRUE_ICC:.3f}, {options.studies} studies each: share of 95 % intervals that hold it")
    print("patients  visits each  by patient  by visit  by F")
    rows = []
    for patients, visits in DESIGNS:
        row = coverage(options.studies, patients, visits)
        rows.append(row)
        print(f"{patients:8d}  {visits:11d}  {row['by_patient']:10.3f}  {row['by_visit']:8.3f}  {row['by_f']:5.3f}")
    write(options.json, "agreement", {"true_icc": TRUE_ICC, "studies": options.studies, "coverage": rows})


if __name__ == "__main__":
    main()
