"""`osteon triage` and `osteon checklist` from what the commands before them have left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Osteon = Callable[..., tuple[int, str, str]]


def test_a_worklist_by_score_reads_fractures_earlier(path: Path, osteon: Osteon, tmp_path: Path) -> None:
    rest = ("--per-day", 250, "--days", 6, "--seed", 4)
    code, said, _ = osteon("triage", path / "model", "--out", tmp_path / "a", *rest)
    assert code == 0 and "Simulated: 250 radiographs a day" in said
    found = json.loads((tmp_path / "a" / "triage.json").read_text())
    first, by_score, _ = (order["positive"]["median"]["value"] for order in found["orders"])
    assert by_score < first
    assert {"triage.json", "triage.svg", "triage.md", "run.json"} == {file.name for file in (tmp_path / "a").iterdir()}
    osteon("triage", path / "model", "--out", tmp_path / "b", *rest)
    assert (tmp_path / "a" / "triage.json").read_bytes() == (tmp_path / "b" / "triage.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--per-day", 400), "would never end"),
        (("--per-day", -1), "arrivals, readers and reading time are positive"),
        (("--prevalence", 0), "the prevalence lies in 0..1"),
        (("--model", "nobody"), "nobody"),
    ],
)
def test_a_worklist_that_cannot_be_is_refused(
    path: Path, osteon: Osteon, tmp_path: Path, options: tuple[object, ...], why: str
) -> None:
    code, _, error = osteon("triage", path / "model", "--out", tmp_path / "out", *options)
    assert code in (64, 65) and why in error
    assert not (tmp_path / "out" / "triage.json").exists()


def test_a_checklist_is_filled_from_the_records_behind_a_report(path: Path, osteon: Osteon, tmp_path: Path) -> None:
    code, said, _ = osteon("checklist", path / "report", "--out", tmp_path, "--guideline", "claim-2024")
    assert code == 0 and said.startswith("CLAIM: ") and "STARD" not in said
    assert (tmp_path / "checklist.html").exists() and (tmp_path / "model-card.md").exists()
    code, _, error = osteon("checklist", path / "report", "--out", tmp_path, "--guideline", "claim-1066")
    assert code == 64 and "claim-1066" in error and "tripod-ai-2024" in error
