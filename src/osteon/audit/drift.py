"""Drift: are new studies like those of a reference run, in tags, image statistics, embeddings and scores?

Every comparison has an effect size with its interval, what chance alone would give, and a p-value by exchanging whole
patients, corrected for the number of comparisons. What cannot be compared says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from osteon.audit import two_samples
from osteon.audit.drift_words import sentence, told_of
from osteon.audit.tags import Coded, coded, tags_of
from osteon.audit.two_samples import Draws, Statistic
from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.intervals import TAIL
from osteon.evaluate.metrics import Floats
from osteon.types import Estimate, Progress, silent

LEVEL = 0.05
"""Probability of an alarm, any of all comparisons, where nothing has drifted."""

PERMUTATIONS, RESAMPLES = 2000, 1000
COMPONENTS = 64
"""Principal components of the embeddings, of both samples together, on which they are compared."""

MOST_IMAGES = 3000
"""A sample of more images is thinned to whole patients at random, so that an audit takes seconds."""

SIZES = {"large": 0.25, "moderate": 0.10, "small": 0.0}
"""Effect → the stability index from which on it is called so; the cut-offs are those in use (Siddiqi 2006)."""

AUROC_SIZES = {"large": 0.638, "moderate": 0.588, "small": 0.5}
"""The same effects as an AUROC: that of two normals whose stability index is that of SIZES."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What is known of the images of a run, row by row; what is not known says why.

    Attributes:
        image: (n,) ids, unique.
        group: (n,) patient of each image.
        tags: n rows; any columns. Those that name cases or hold answers are left out.
        statistics: n rows, as `osteon.audit.image_statistics.statistics_table` gives them; None if not known.
        embeddings: (n, d); None if not known. embedded_by: what made them; others are not compared with them.
        scores: (n,), NaN where there is none; None if not known. scored_by: what made them, likewise.
        missing: "statistics", "embeddings" or "scores" → why it is not known.
    """

    image: NDArray[np.str_]
    group: NDArray[np.str_]
    tags: pd.DataFrame
    statistics: pd.DataFrame | None = None
    embeddings: NDArray[np.floating] | None = None
    embedded_by: str = ""
    scores: Floats | None = None
    scored_by: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [each for each in (self.tags, self.statistics, self.embeddings, self.scores) if each is not None]
        if any(len(each) != len(self.image) for each in (self.group, *known)):
            raise ValueError("a sample has one row per image in everything that is known of it")
        if len(np.unique(self.image)) < len(self.image):
            raise ValueError("a sample holds each image once")

    def __len__(self) -> int:
        return len(self.image)

    def only(self, rows: NDArray[np.bool_]) -> Sample:
        """The sample of some of its images."""
        return Sample(
            self.image[rows],
            self.group[rows],
            self.tags[rows],
            None if self.statistics is None else self.statistics[rows],
            None if self.embeddings is None else self.embeddings[rows],
            self.embedded_by,
            None if self.scores is None else self.scores[rows],
            self.scored_by,
            self.missing,
        )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """One comparison before it is judged."""

    family: str
    name: str
    kind: str  # shares, classifier or discrepancy
    chance: Floats
    effect: Estimate
    coded: Coded | None = None


def drift(
    reference: Sample,
    new: Sample,
    *,
    seed: int,
    level: float = LEVEL,
    permutations: int = PERMUTATIONS,
    resamples: int = RESAMPLES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare new studies with those of a reference.

    Patients of the reference that are among the new ones too, by name or by an image, are left out of the reference:
    they would make the samples alike. A patient counts once, however many images it has.

    Args:
        reference, new: the samples.
        seed: of permutations, resamples, folds and the kernel. Same samples, same seed: same figures.
        level: probability of any alarm where nothing has drifted, in 0..1 exclusive.
        permutations: 1 / level at least; more are made if there are many comparisons.
        resamples: bootstrap samples.
        progress: told of comparisons done.

    Returns:
        `sentence` in plain words; `rows`, one per comparison, and `missing`, one per comparison that could not be made,
        each with its `reason`; `found`, the names of those that drifted; and what it was done with.

    Raises:
        BadTable: for a level outside 0..1 exclusive, or too few permutations for it.
        TooFewCases: if a sample is empty, or nothing is left of the reference.
    """
    if not 0 < level < 1 or permutations + 1 < 1 / level:
        raise BadTable(
            f"{permutations} permutations cannot show a level of {level:g}",
            remedy="give a level between 0 and 1, such as 0.05, and 2000 permutations",
        )
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    reference = _thinned(_without_shared(reference, new, notes), "reference", rng, notes)
    new = _thinned(new, "new studies", rng, notes)
    group, is_new = _patients(reference, new)
    content: dict[str, Any] = {
        "level": level,
        "permutations": 0,
        "resamples": resamples,
        "seed": seed,
        "reference": {"images": len(reference), "patients": int((~is_new).sum())},
        "new": {"images": len(new), "patients": int(is_new.sum())},
        "notes": notes,
    }
    columns, missing = _columns(reference, new, group)
    embeddings = _embeddings(reference, new, is_new, missing)
    number = len(columns) + 2 * (embeddings is not None)
    if reason := _too_few(is_new, number, level):
        named = [(family, name) for family, name, _ in columns]
        named += [("embeddings", "embeddings")] * (embeddings is not None)
        return _told(content, [], missing + [{"family": f, "name": name, "reason": reason} for f, name in named])
    # So many that a comparison far from chance can be an alarm even if each of the others had a permutation to itself.
    content["permutations"] = max(permutations, 2 * two_samples.fewest_arrangements(number, level))
    draws = two_samples.draw(is_new, rng, permutations=content["permutations"], resamples=resamples)
    comparisons = []
    for done, column in enumerate(columns):
        progress(done, number)
        comparisons.append(_of_column(*column, group, draws))
    if embeddings is not None:
        progress(len(columns), number)
        comparisons += _of_embeddings(embeddings, group, draws, rng, missing)
    progress(number, number)
    return _told(content, _rows(comparisons, draws, group, level), missing)


def _told(content: dict[str, Any], rows: list[dict[str, Any]], missing: list[dict[str, str]]) -> dict[str, Any]:
    found = [row["name"] for row in rows if row["found"]]
    told = {**content, "comparisons": len(rows), "found": found, "rows": rows, "missing": missing}
    return {"sentence": sentence(told), **told}


def _without_shared(reference: Sample, new: Sample, notes: list[str]) -> Sample:
    if not len(reference) or not len(new):
        side = "new sample" if len(reference) else "reference"
        raise TooFewCases(f"the {side} holds no image", remedy="pass a folder that holds some")
    shared = np.isin(reference.group, new.group) | np.isin(reference.image, new.image)
    shared = np.isin(reference.group, reference.group[shared])
    if shared.all():
        raise TooFewCases(
            "every patient of the reference is among the new ones", remedy="compare with studies of other patients"
        )
    if shared.any():
        patients = len(np.unique(reference.group[shared]))
        notes.append(f"patients of the reference that are among the new ones too, and are left out of it: {patients}")
    return reference.only(~shared)


def _thinned(sample: Sample, name: str, rng: np.random.Generator, notes: list[str]) -> Sample:
    """Whole patients at random, as many as MOST_IMAGES allow, at least one."""
    if len(sample) <= MOST_IMAGES:
        return sample
    names, group = np.unique(sample.group, return_inverse=True)
    order = rng.permutation(len(names))
    kept = order[: max(1, int((np.cumsum(np.bincount(group)[order]) <= MOST_IMAGES).sum()))]
    notes.append(f"of the {len(names)} patients of the {name}, {len(kept)} at random were compared")
    return sample.only(np.isin(group, kept))


def _patients(reference: Sample, new: Sample) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(n,) 0-based patient of each image, those of the reference first, and (patients,) whether each is new."""
    theirs = np.unique(reference.group, return_inverse=True)[1]
    mine = np.unique(new.group, return_inverse=True)[1]
    first = int(theirs.max()) + 1
    return np.concatenate([theirs, first + mine]), np.arange(first + int(mine.max()) + 1) >= first


def _columns(
    reference: Sample, new: Sample, group: NDArray[np.intp]
) -> tuple[list[tuple[str, str, Coded]], list[dict[str, str]]]:
    """Family, name and bins of all that is one value an image; and what there is none of, with the reason."""
    tables = {
        "tags": (tags_of(reference.tags), tags_of(new.tags)),
        "statistics": (reference.statistics, new.statistics),
        "scores": tuple(None if s.scores is None else pd.DataFrame({"score": s.scores}) for s in (reference, new)),
    }
    columns, missing = [], []
    for family, (theirs, mine) in tables.items():
        reason = _why_not(family, reference, new)
        if reason or theirs is None or mine is None:
            missing.append({"family": family, "name": family, "reason": reason})
            continue
        for name in dict.fromkeys([*map(str, theirs), *map(str, mine)]):
            lacking = [
                side for side, table in (("reference has", theirs), ("new studies have", mine)) if name not in table
            ]
            found = f"the {lacking[0]} no such column" if lacking else coded(theirs[name], mine[name], group)
            if isinstance(found, str):
                missing.append({"family": family, "name": name, "reason": found})
            else:
                columns.append((family, name, found))
    return columns, missing


def _why_not(family: str, reference: Sample, new: Sample) -> str:
    """Why a family cannot be compared; "" if it can."""
    for side, sample in (("reference", reference), ("new studies", new)):
        if getattr(sample, family) is None:
            return f"{side}: {sample.missing.get(family, 'not given')}"
    makers = {"embeddings": "embedded_by", "scores": "scored_by"}
    if family in makers:
        theirs, mine = (getattr(sample, makers[family]) for sample in (reference, new))
        if theirs != mine:
            return f"those of the reference are by {theirs or 'an unnamed model'}, the new ones by {mine or 'another'}"
    return ""


def _embeddings(
    reference: Sample, new: Sample, is_new: NDArray[np.bool_], missing: list[dict[str, str]]
) -> Floats | None:
    """(n, d) of both samples, the reference first."""
    reason = _why_not("embeddings", reference, new)
    if not reason and reference.embeddings is not None and new.embeddings is not None:
        if reference.embeddings.shape[1] == new.embeddings.shape[1]:
            both = np.concatenate([reference.embeddings, new.embeddings]).astype(float)
            fewest = int(min(is_new.sum(), (~is_new).sum()))
            if not np.isfinite(both).all():
                reason = "some are not finite numbers"
            elif fewest < two_samples.FOLDS:
                reason = f"a sample has too few patients for a classifier in {two_samples.FOLDS} folds: {fewest}"
            elif not both.std(axis=0).any():
                reason = "one value everywhere"
            else:
                return both
        else:
            reason = "they differ in length"
    missing.append({"family": "embeddings", "name": "embeddings", "reason": reason})
    return None


def _too_few(is_new: NDArray[np.bool_], comparisons: int, level: float) -> str:
    """Why no outcome could be an alarm; "" if one could."""
    ways = math.comb(len(is_new), int(is_new.sum()))
    needed = two_samples.fewest_arrangements(comparisons, level)
    if ways >= needed:
        return ""
    few, side = min((int(is_new.sum()), "new"), (int((~is_new).sum()), "reference"))
    return (
        f"{few} {side} patient{'s' * (few != 1)}: {comparisons} comparisons at {level:g} need {needed} ways to choose "
        f"the new patients among all, and there are {ways}"
    )


def _of_column(family: str, name: str, column: Coded, group: NDArray[np.intp], draws: Draws) -> _Comparison:
    shares = two_samples.shares_of(column.code, group, len(column.labels))
    chance, effect = _stability(two_samples.stability(shares), draws)
    return _Comparison(family, name, "shares", chance, effect, column)


def _stability(statistic: Statistic, draws: Draws) -> tuple[Floats, Estimate]:
    """The index as it came and by chance, and its estimate with an interval.

    The index of two finite samples is too high, since it is never negative, and that of a sample drawn again from a
    sample is too high once more. The basic bootstrap (Davison & Hinkley 1997, 5.2) takes the second excess for the
    first, which shifts value and interval down, and cuts them at 0.
    """
    chance, again = draws.chance(statistic), draws.again(statistic)
    low, high = np.quantile(again, [TAIL, 1 - TAIL])
    if low == high:
        value = max(0.0, float(2 * chance[0] - low))
        return chance, Estimate(value, n=len(draws.new), note="no interval: every resample gives the same figure")
    value, low, high = (max(0.0, float(2 * chance[0] - each)) for each in (again.mean(), high, low))
    return chance, Estimate(value, min(low, value), max(high, value), len(draws.new))


def _of_embeddings(
    x: Floats, group: NDArray[np.intp], draws: Draws, rng: np.random.Generator, missing: list[dict[str, str]]
) -> list[_Comparison]:
    scaled = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    state = int(rng.integers(2**31))
    reduced = PCA(min(COMPONENTS, *scaled.shape), svd_solver="randomized", random_state=state).fit_transform(scaled)
    told = two_samples.classify(reduced, group, draws, rng)
    statistic = two_samples.discrepancy(two_samples.waves_of(reduced, group, rng))
    apart, again = draws.chance(statistic), draws.again(statistic)
    found = [
        _Comparison("embeddings", "discrepancy", "discrepancy", apart, _percentiles(apart[0], again, len(draws.new)))
    ]
    if np.isnan(told.chance).any():
        missing.append(
            {"family": "embeddings", "name": "classifier", "reason": "no fold holds patients of both samples"}
        )
        return found
    effect = _percentiles(told.chance[0], told.again, len(draws.new))
    return [_Comparison("embeddings", "classifier", "classifier", told.chance, effect), *found]


def _percentiles(value: float, again: Floats, n: int) -> Estimate:
    kept = again[np.isfinite(again)]
    if len(kept) < len(again) / 2:
        return Estimate(float(value), n=n, note="no interval: most resamples have no pair to compare")
    low, high = np.quantile(kept, [TAIL, 1 - TAIL])
    return Estimate(float(value), float(low), float(high), n)


def _rows(comparisons: list[_Comparison], draws: Draws, group: NDArray[np.intp], level: float) -> list[dict[str, Any]]:
    """What is told of each comparison, the surest drift first, of equals the largest."""
    if not comparisons:
        return []
    p = two_samples.p_values(np.stack([each.chance for each in comparisons], axis=1))
    after = two_samples.corrected(p)
    rows = []
    for each, own, all_told in zip(comparisons, p[0], after, strict=True):
        row: dict[str, Any] = {"family": each.family, "name": each.name, "kind": each.kind, "effect": each.effect}
        row |= {"observed": float(each.chance[0]), "chance": float(np.quantile(each.chance[1:], 1 - level))}
        row |= {"p": float(own), "p_corrected": float(all_told), "found": bool(all_told <= level)}
        row["size"] = _size(each) if row["found"] else ""
        row["bins"] = [] if each.coded is None else each.coded.bins(group, draws.new)
        row["middle"] = None if each.coded is None else each.coded.middle
        rows.append(row | {"told": told_of(row)})
    return sorted(rows, key=lambda row: (row["p_corrected"], -row["effect"].value))


def _size(comparison: _Comparison) -> str:
    """How large an effect is called; "" where there is no custom."""
    if comparison.kind == "discrepancy":
        return ""
    cuts = SIZES if comparison.kind == "shares" else AUROC_SIZES
    return next((word for word, cut in cuts.items() if comparison.effect.value >= cut), "small")
