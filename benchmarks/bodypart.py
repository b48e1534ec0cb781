"""Body part, side and view from free text: precision and recall on a half of the table of tags, and the speed.

    python benchmarks/bodypart.py [--half building|heldout|phantom] [--misses] [--json FILE]

`phantom` draws header texts instead, by the phantom's own lists of words, which are not those of the resolver.

A row counts as answered when the answer is not empty; precision is the share of right ones among the answered, recall
the share of rows with a truth that are answered rightly. Rows are printed for the building half alone: whoever has
seen the other half has none any more.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import write

from osteon.dataset import bodypart
from osteon.dataset.bodypart import BodyPart
from osteon.phantom.free_text import LANGUAGES, draw_words

TAGS = Path(__file__).parents[1] / "tests" / "dataset" / "tags"
TEXTS = ("body_part_examined", "study_description", "series_description", "protocol_name")
FIELDS = ("part", "side", "view")
LIMITS = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)

PHANTOM_PARTS = {"leg": "lower leg"} | {
    part: part for part in ("wrist", "hand", "forearm", "elbow", "ankle", "knee", "foot", "chest", "shoulder", "finger")
}
"""What the phantom calls a part → what the resolver does. Its `hip` is left out: it speaks of the pelvis as well."""

Row = dict[str, str]
Score = dict[str, float | None]


def rows(half: str) -> list[Row]:
    """The rows of a half; for `phantom` 20,000 drawn texts, of which a quarter of the fields holds an error."""
    if half == "phantom":
        return list(drawn(20000))
    with (TAGS / f"{half}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def drawn(count: int) -> Iterator[Row]:
    for seed in range(count):
        rng = np.random.default_rng([33, seed])
        part, language = str(rng.choice([*PHANTOM_PARTS])), str(rng.choice(LANGUAGES))
        side, view = str(rng.choice(["L", "R"])), str(rng.choice(["PA", "AP", "LAT", "OBL"]))
        words = draw_words(rng, part=part, side=side, view=view, language=language)
        texts = (words.body_part, words.study, words.series, words.protocol)
        truth = {"part": PHANTOM_PARTS[part], "side": side, "view": view, "language": language}
        yield dict(zip(TEXTS, texts, strict=True)) | truth


def answers(table: list[Row], least: float) -> list[BodyPart]:
    return [bodypart.resolve(*(row[text] for text in TEXTS), least=least) for row in table]


def score(truth: list[str], given: list[str]) -> Score:
    """Precision, recall and the counts behind them; None where there is nothing to divide by."""
    answered = sum(bool(answer) for answer in given)
    stated = sum(bool(answer) for answer in truth)
    right = sum(bool(t) and t == g for t, g in zip(truth, given, strict=True))
    return {
        "rows": len(truth),
        "stated": stated,
        "answered": answered,
        "right": right,
        "precision": round(right / answered, 4) if answered else None,
        "recall": round(right / stated, 4) if stated else None,
    }


def by(table: list[Row], given: list[BodyPart], column: str) -> dict[str, Score]:
    """The score of the part for each value of a column of the truth."""
    split: dict[str, Score] = {}
    for value in sorted({row[column] for row in table}):
        chosen = [index for index, row in enumerate(table) if row[column] == value]
        split[value or "(none)"] = score([table[i]["part"] for i in chosen], [given[i].part for i in chosen])
    return split


def by_part(table: list[Row], given: list[BodyPart]) -> dict[str, Score]:
    """Precision over the rows given this part, recall over the rows that have it."""
    truth, parts = [row["part"] for row in table], [answer.part for answer in given]
    return {part: score(_only(truth, part), _only(parts, part)) for part in bodypart.PARTS}


def _only(values: list[str], part: str) -> list[str]:
    return [value if value == part else "" for value in values]


def speed(table: list[Row], repeats: int = 20) -> dict[str, float]:
    """Resolutions a second: the first time a text is seen, and from then on."""
    texts = [tuple(row[text] for text in TEXTS) for row in table]
    start = time.perf_counter()
    for row in texts:
        bodypart.resolve(*row)
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(repeats):
        for row in texts:
            bodypart.resolve(*row)
    again = (time.perf_counter() - start) / repeats
    return {"first_per_s": round(len(texts) / first), "again_per_s": round(len(texts) / again)}


def shown(name: str, figures: Score) -> str:
    counts = f"{figures['rows']:5.0f} {figures['stated']:7.0f} {figures['answered']:9.0f} {figures['right']:6.0f}"
    shares = ("-" if share is None else f"{share:.4f}" for share in (figures["precision"], figures["recall"]))
    return " ".join([f"{name:16s} {counts}", *(f"{share:>10s}" for share in shares)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("building", "heldout", "phantom"), default="building")
    parser.add_argument("--least", type=float, default=bodypart.LEAST)
    parser.add_argument("--misses", action="store_true", help="print the wrong rows (building half only)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = rows(given.half)
    pace = speed(table)
    found = answers(table, given.least)
    figures: dict[str, Any] = {"half": given.half, "least": given.least, "speed": pace}
    figures["fields"] = {
        name: score([row[name] for row in table], [getattr(answer, name) for answer in found])
        for name in (FIELDS if given.half != "phantom" else ("part",))  # its texts do not always state the others
    }
    figures["parts"], figures["languages"] = by_part(table, found), by(table, found, "language")
    if given.half == "building":  # a limit is chosen on this half, never on the other
        truth = [row["part"] for row in table]
        figures["curve"] = {str(at): score(truth, [a.part for a in answers(table, at)]) for at in LIMITS}
    print(f"{'':16s} {'rows':>5s} {'stated':>7s} {'answered':>9s} {'right':>6s} {'precision':>10s} {'recall':>10s}")
    for group in ("fields", "parts", "languages", "curve"):
        print(f"-- {group}")
        for name, values in figures.get(group, {}).items():
            print(shown(name, values))
    print(pace)
    if given.misses and given.half == "building":
        for row, answer in zip(table, found, strict=True):
            if any(row[name] != getattr(answer, name) for name in FIELDS):
                print([row[text] for text in TEXTS], [row[name] for name in FIELDS], "→", answer)
    write(given.json, "bodypart", figures)


if __name__ == "__main__":
    main()
