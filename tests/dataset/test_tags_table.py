"""The tables of body-part tags are whole. Nothing here prints a row: the held-out half stays unread."""

from __future__ import annotations

import csv
from pathlib import Path

TAGS = Path(__file__).parent / "tags"
TEXTS = ("body_part_examined", "study_description", "series_description", "protocol_name")
ANSWERS = ("part", "side", "view", "language", "note")


def table(half: str) -> list[dict[str, str]]:
    with (TAGS / f"{half}.csv").open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        assert tuple(reader.fieldnames or ()) == TEXTS + ANSWERS
        return list(reader)


def texts(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[column].strip().casefold() for column in TEXTS)


def canonical_parts() -> set[str]:
    lines = (TAGS / "README.md").read_text(encoding="utf-8").splitlines()
    return {line.split("`")[1] for line in lines if line.startswith("| `")}


def test_both_halves_hold_allowed_values_only() -> None:
    parts = canonical_parts()
    assert len(parts) == 22
    for half in ("building", "heldout"):
        rows = table(half)
        assert len(rows) >= 450
        assert {row["part"] for row in rows} == parts | {""}
        assert {row["side"] for row in rows} == {"L", "R", "B", ""}
        assert {row["view"] for row in rows} == {"AP", "PA", "LAT", "OBL", ""}
        assert {row["language"] for row in rows} == {"en", "de", "fr", "es", "ca", "pt", "it", ""}


def test_the_spellings_are_many_and_no_row_stands_twice() -> None:
    rows = [texts(row) for half in ("building", "heldout") for row in table(half)]
    spellings, distinct = len({text for row in rows for text in row if text}), len(set(rows))
    assert spellings >= 400
    assert distinct == len(rows)
