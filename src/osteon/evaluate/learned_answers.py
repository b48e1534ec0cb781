"""Three answers that were learnt, judged beside the conformal ones on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import conformal, metrics
from osteon.evaluate.conformal import INCONCLUSIVE, NEGATIVE, POSITIVE, UNAVAILABLE
from osteon.evaluate.intervals import Resamples, bootstrap, difference, draw, estimate, independent_pairs, point
from osteon.evaluate.metrics import Floats
from osteon.evaluate.three_way import shares_of
from osteon.types import Estimate

LEARNT, CONFORMAL = "learnt", "conformal"
WORDS = (POSITIVE, INCONCLUSIVE, NEGATIVE)


def judge_learned(told: pd.DataFrame, rng: np.random.Generator, *, resamples: int, error_rate: float) -> dict[str, Any]:
    """What was answered to what people said, by either way, and which of them finds the inconclusive images.

    The limits of the conformal answers are found on the positive and negative images of all other folds; what people
    called inconclusive is answered by them too, and takes no part in finding them. Intervals hold limits fixed.

    Args:
        told: columns as `osteon.tables.THREE_ANSWERS`.
        rng: of the bootstrap.
        resamples: bootstrap samples of whole patients.
        error_rate: of the conformal answers, in 0..1 exclusive.

    Returns:
        `reason` why there is nothing, or ""; `rows`, one for each way and truth, with the share of each answer;
        `ranked`, the AUROC of telling inconclusive images from all others by the learnt probability, by how near the
        other probability lies to the middle of the limits, and their difference; `conformal_reason` why there is no
        such answer beside.

    Raises:
        BadTable: for words that are none of the three, or a table without its columns.
    """
    told = _checked(told)
    truth, group = told["truth"].to_numpy(str), pd.factorize(told["group"])[0].astype(np.intp)
    fold, unsure = told["fold"].to_numpy(int), told["truth"].to_numpy(str) == INCONCLUSIVE
    counts = {"images": len(told), "patients": len(np.unique(group)), "inconclusive": int(unsure.sum())}
    content: dict[str, Any] = {"error_rate": error_rate, **counts}
    if not unsure.any() or unsure.all():
        reason = f"{'all' if unsure.any() else 'none'} of the {len(told)} images are inconclusive"
        return {"reason": reason, **content, "rows": []}
    drawn = draw(group, fold, unsure, rng, resamples=resamples)
    answers, nearness, why = _conformal(told, truth, group, fold, error_rate)
    ways = {LEARNT: told["answer"].to_numpy(str)} | ({} if why else {CONFORMAL: answers})
    rows = [{"by": way, **row} for way, said in ways.items() for row in shares_of(truth, said, group, drawn)]
    ranked = _ranked(told["p_inconclusive"].to_numpy(float), None if why else nearness, unsure, group, fold, drawn)
    return {"reason": "", **content, "rows": rows, "ranked": ranked, "conformal_reason": why}


def _checked(told: pd.DataFrame) -> pd.DataFrame:
    frame = tables.check(told, tables.THREE_ANSWERS, "the table of three answers")
    for column in ("truth", "answer"):
        unknown = sorted(set(frame[column].fillna("").astype(str)) - set(WORDS))
        if unknown:
            raise BadTable(
                f"the column {column} of the table of three answers says {unknown[0]!r}",
                remedy=f"write {', '.join(WORDS)}",
            )
    # In the order of the images, so that neither the order of rows nor the names of patients change a figure.
    return frame.sort_values("image").reset_index(drop=True)


def _conformal(
    told: pd.DataFrame, truth: NDArray[np.str_], group: NDArray[np.intp], fold: NDArray[np.int_], error_rate: float
) -> tuple[NDArray[np.str_], Floats, str]:
    """(n,) answers, (n,) how near each case lies to the middle of its limits in log odds, and why there are none."""
    p = told["probability"].to_numpy(float, na_value=np.nan)
    odds = np.log(np.clip(p, 1e-12, 1 - 1e-12) / np.clip(1 - p, 1e-12, 1))
    answers, near, why = np.full(len(p), UNAVAILABLE, dtype="<U16"), np.full(len(p), -np.inf), ""
    known = np.isin(truth, (POSITIVE, NEGATIVE)) & np.isfinite(p)
    for f in np.unique(fold):
        given, here = known & (fold != f), (fold == f) & np.isfinite(p)
        try:
            found = conformal.fit(odds[given], truth[given] == POSITIVE, group[given], error_rate=error_rate)
        except TooFewCases as error:
            why = error.message
            continue
        notes = [limit.note for limit in found.limits if limit.note]
        if notes:
            why = "; ".join(notes)
            continue
        answers[here] = found(odds[here]).answers()
        near[here] = -np.abs(odds[here] - np.mean([limit.value for limit in found.limits]))
    if (answers != UNAVAILABLE).any():
        return answers, near, ""
    return answers, near, why or "the model of two answers told no probability of these images"


def _ranked(
    learnt: Floats,
    nearness: Floats | None,
    unsure: NDArray[np.bool_],
    group: NDArray[np.intp],
    fold: NDArray[np.int_],
    drawn: Resamples,
) -> dict[str, Estimate]:
    trials = independent_pairs(group, np.zeros_like(group), unsure)
    found, samples = {}, {}
    for name, score in ((LEARNT, learnt), (CONFORMAL, nearness)):
        if score is None or not np.isfinite(score).all():
            continue
        statistic = _area(score, unsure)
        samples[name] = bootstrap(statistic, drawn)
        found[name] = estimate(float(point(statistic, len(score))), samples[name], len(score), trials=trials)
    if CONFORMAL in found:
        found["gain"] = difference(found[LEARNT], found[CONFORMAL], samples[LEARNT] - samples[CONFORMAL])
    return found


def _area(score: Floats, unsure: NDArray[np.bool_]) -> metrics.Statistic:
    ranked = metrics.rank(score, unsure)
    return lambda weights: metrics.auroc_of(ranked, weights)


def sentence(learned: Mapping[str, Any]) -> str:
    """The learnt third answer in plain words.

    Args:
        learned: as `judge_learned` returned it, as plain JSON.
    """
    share = {row["by"]: row[INCONCLUSIVE] for row in learned["rows"] if row["truth"] == INCONCLUSIVE}
    beside = f"; the conformal answer {_percent(share[CONFORMAL])}" if CONFORMAL in share else ""
    return (
        f"Of {learned['inconclusive']} images that people called inconclusive, the learnt answer calls "
        f"{_percent(share[LEARNT])} so{beside}."
    )


def _percent(figure: Mapping[str, Any]) -> str:
    value = f"{100 * figure['value']:.0f} %"
    return value if figure["low"] is None else f"{value} ({100 * figure['low']:.0f} to {100 * figure['high']:.0f} %)"
