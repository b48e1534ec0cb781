"""Agreement between any set of raters: what `osteon agreement` computes, as one dictionary, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from osteon import __version__, files, pages
from osteon.drawing import with_ids
from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import agreement, healing, healing_figures
from osteon.evaluate.intervals import LEVEL, RESAMPLES, Resamples, bootstrap, draw, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.page import figure
from osteon.evaluate.report import plain
from osteon.tasks.rust import CORTICES, MODIFIED_RUST, Score
from osteon.types import Estimate, Progress, silent

LEAST = 3
"""Cases that two raters must share for a figure."""

TEMPLATE, JSON, HTML = "agreement.html.j2", "agreement.json", "agreement.html"


@dataclass(frozen=True, eq=False)
class Ratings:
    """What raters gave to the same cases.

    Attributes:
        raters: k names.
        values: (n, k), NaN where a rater did not rate a case.
        group: (n,) 0-based number of each case's patient.
    """

    raters: tuple[str, ...]
    values: Floats
    group: NDArray[np.intp]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(n,) the cases that every rater rated."""
        return np.asarray(~np.isnan(self.values).any(axis=1), bool)

    @property
    def shared(self) -> NDArray[np.intp]:
        """(k, k) how many cases each two raters share."""
        given = (~np.isnan(self.values)).astype(int)
        return np.asarray(given.T @ given, np.intp)


def ratings_of(rows: pd.DataFrame, column: str) -> Ratings:
    """The ratings in one column of a long table with `study`, `patient` and `rater`.

    Raises:
        BadTable: if a rater rates a study twice, or a patient is missing.
    """
    if rows["patient"].fillna("").eq("").any():
        raise BadTable("a visit names no patient", remedy="name all patients, or leave the column out")
    if rows.duplicated(["study", "rater"]).any():
        raise BadTable("a rater rates a study twice", remedy="leave one row per rater and study")
    wide = rows.pivot(index="study", columns="rater", values=column).sort_index(axis=0).sort_index(axis=1)
    patient = rows.drop_duplicates("study").set_index("study")["patient"].reindex(wide.index)
    values = wide.to_numpy(float, na_value=np.nan)
    values = np.where(values > 0, values, np.nan)  # 0 is 'not scoreable': no grade to compare
    return Ratings(tuple(map(str, wide.columns)), values, pd.factorize(patient)[0])


def evaluate(
    rows: pd.DataFrame,
    *,
    seed: int,
    score: Score = MODIFIED_RUST,
    counts: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Agreement on the total and on each cortex.

    What is missing is handled as each statistic's definition allows: an ICC needs cases that all its raters rated, a
    kappa and limits of agreement cases that both rated, and alpha takes every case with two ratings or more.

    Args:
        rows: one per rater and visit: `rater`, `study`, `patient`, the four grades, `total`; missing where not given.
        seed: of the bootstrap, in which whole patients are drawn.
        score: whose grades these are.
        counts, notes: what the reader of the table counted and remarked, carried into the report.
        resamples: bootstrap samples.
        progress: told of measures done.

    Returns:
        What agreement.json holds; a figure is value, low, high, n and note, None where it is not defined.

    Raises:
        TooFewCases: for one rater alone, or if no two raters share a case.
    """
    rng = np.random.default_rng(seed)
    total = ratings_of(rows, "total")
    if len(total.raters) < 2:
        raise TooFewCases("there is one rater only", remedy="agreement needs the ratings of two or more")
    cells = {cortex: ratings_of(rows, cortex) for cortex in CORTICES}
    if not any(np.triu(each.shared, 1).any() for each in (total, *cells.values())):
        raise TooFewCases(
            f"no two of the {len(total.raters)} raters share a case", remedy="agreement needs cases that two have rated"
        )
    nothing = np.zeros(len(total.group), bool)
    sample = draw(total.group, np.zeros(len(total.group), int), nothing, rng, resamples=resamples)
    report: dict[str, Any] = {
        "raters": [_rater(rows, rater) for rater in total.raters],
        "cases": len(total.group),
        "patients": int(total.group.max()) + 1,
        "score": {"name": score.name, "grades": score.grades, "highest": score.highest},
        "disjoint": _disjoint(total, cells),
        "humans": {"low": healing.BAND[0], "high": healing.BAND[1], "studies": healing.HUMANS},
        "counts": dict(counts or {}),
        "notes": list(notes),
        "settings": {"seed": seed, "resamples": resamples, "level": LEVEL, "osteon": __version__},
    }
    progress(1, 6)
    report["total"] = {**_together(total, sample, "interval"), "pairs": _pairs_of_totals(total, sample)}
    progress(2, 6)
    report["cortices"] = []
    for done, (cortex, each) in enumerate(cells.items(), start=3):
        kappas = [{**pair, "kappa": _kappa(each, pair, sample)} for pair in _pairs(each)]
        report["cortices"].append({"cortex": cortex, **_together(each, sample, "ordinal"), "pairs": kappas})
        progress(done, 6)
    plain_report: dict[str, Any] = plain(report)
    return plain_report


def sentence(report: Mapping[str, Any]) -> str:
    """The result in plain words, from what `evaluate` returned."""
    icc = report["total"]["icc"]["ICC(2,1)"]["bootstrap"]
    raters = f"{len(report['raters'])} raters, {report['cases']} visits of {report['patients']} patients"
    if icc["value"] is None:
        return f"{raters}: no ICC of the total for all together ({icc['note']})."
    ends = "" if icc["low"] is None else f", 95 % interval {icc['low']:.2f} to {icc['high']:.2f}"
    return (
        f"{raters}: the totals agree at ICC(2,1) {icc['value']:.2f}{ends} on the {icc['n']} that all rated; raters in "
        f"the literature reach {report['humans']['low']:.2f} to {report['humans']['high']:.2f}."
    )


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write `agreement.json` and `agreement.html` into a folder.

    Raises:
        CannotWrite: if the folder cannot be written; earlier results are then as they were.
    """
    environment = pages.environment("osteon.evaluate")
    environment.filters.update(figure=figure)
    drawn = []
    for number, pair in enumerate(report["total"]["pairs"]):
        if pair["points"] is not None:
            svg = healing_figures.differences(pair["points"], pair, pair["first"], pair["second"])
            # Safe as markup: matplotlib has escaped the texts inside.
            drawn.append({**pair, "svg": Markup(with_ids(svg, f"pair-{number}"))})
    text = environment.get_template(TEMPLATE).render(report=report, sentence=sentence(report), drawn=drawn) + "\n"
    with files.replacing(folder / HTML) as temporary:
        temporary.write_text(text, encoding="utf-8")
        files.write_json(folder / JSON, report)


def _rater(rows: pd.DataFrame, rater: str) -> dict[str, Any]:
    mine = rows[rows["rater"] == rater]
    complete = int(mine["total"].notna().sum())
    return {"rater": rater, "visits": len(mine), "complete": complete, "incomplete": len(mine) - complete}


def _disjoint(total: Ratings, cells: Mapping[str, Ratings]) -> list[list[str]]:
    """Pairs of raters without a common case, whatever is rated."""
    shared = sum((each.shared for each in cells.values()), total.shared)
    return [
        [total.raters[i], total.raters[j]] for i, j in combinations(range(len(total.raters)), 2) if not shared[i, j]
    ]


def _together(ratings: Ratings, sample: Resamples, level: str) -> dict[str, Any]:
    """Alpha and the ICCs of all raters, whichever way cells are missing."""
    whole, paired = np.flatnonzero(ratings.complete), np.flatnonzero((~np.isnan(ratings.values)).sum(axis=1) > 1)
    values = ratings.values[paired]
    icc = {}
    for form in agreement.ICC_FORMS:
        if len(whole) < LEAST:
            lacking = Estimate(float("nan"), n=len(whole), note=f"{len(whole)} cases were rated by all raters")
            icc[form] = {"bootstrap": lacking, "by_f": lacking}
            continue
        mine = ratings.values[whole]
        icc[form] = {
            "bootstrap": _figure(partial(agreement.icc_of, mine, form=form), whole, sample),
            "by_f": agreement.icc(mine, form),
        }
    return {
        "level": level,
        "alpha": _figure(partial(agreement.alpha_of, values, level=level), paired, sample),
        "icc": icc,
    }


def _pairs(ratings: Ratings) -> list[dict[str, Any]]:
    return [
        {"first": ratings.raters[i], "second": ratings.raters[j], "n": int(ratings.shared[i, j])}
        for i, j in combinations(range(len(ratings.raters)), 2)
    ]


def _pairs_of_totals(ratings: Ratings, sample: Resamples) -> list[dict[str, Any]]:
    """Kappa, ICC, mean absolute difference and limits of agreement of each two raters."""
    told = []
    for pair in _pairs(ratings):
        both, rows = _shared(ratings, pair)
        first, second = both.T
        names = ("bias", "deviation", "lower_limit", "upper_limit")
        if len(rows) < LEAST:
            none = _too_few(len(rows))
            told.append({**pair, **dict.fromkeys(("kappa", "icc", "mae", *names), none), "points": None})
            continue
        differences = partial(agreement.differences_of, first, second)
        value, samples = point(differences, len(rows)), bootstrap(differences, sample.of(rows))
        limits = {n: estimate(float(value[i]), samples[:, i], len(rows)) for i, n in enumerate(names)}
        told.append(
            {
                **pair,
                "kappa": _kappa(ratings, pair, sample),
                "icc": _figure(partial(agreement.icc_of, both), rows, sample),
                "mae": _figure(partial(agreement.absolute_error_of, first, second), rows, sample),
                **limits,
                "points": {"true": first, "said": second},
            }
        )
    return told


def _kappa(ratings: Ratings, pair: Mapping[str, Any], sample: Resamples) -> Estimate:
    both, rows = _shared(ratings, pair)
    if len(rows) < LEAST:
        return _too_few(len(rows))
    first, second = both.T
    return _figure(partial(agreement.quadratic_kappa_of, first, second), rows, sample)


def _shared(ratings: Ratings, pair: Mapping[str, Any]) -> tuple[Floats, NDArray[np.intp]]:
    """(m, 2) ratings of the cases that both raters of a pair rated, and their rows."""
    both = ratings.values[:, [ratings.raters.index(pair[who]) for who in ("first", "second")]]
    rows = np.flatnonzero(~np.isnan(both).any(axis=1))
    return both[rows], rows


def _figure(statistic: Statistic, rows: NDArray[np.intp], sample: Resamples) -> Estimate:
    if not len(rows):
        return _too_few(0)
    value, samples = point(statistic, len(rows)), bootstrap(statistic, sample.of(rows))
    return estimate(float(value), samples, len(rows))


def _too_few(n: int) -> Estimate:
    return Estimate(float("nan"), n=n, note="no common case" if n == 0 else f"{n} common case{'s' * (n > 1)} only")
