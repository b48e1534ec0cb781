"""The pages on study rules and localisation: their examples run, and what they list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from osteon import tables
from osteon.evaluate.judge_places import FLOORS
from osteon.evaluate.per_study import POINTS
from osteon.evaluate.study_rules import STUDY_RULES

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
RULES, PLACES, TABLES = (
    (REFERENCE / name).read_text(encoding="utf-8") for name in ("study-rules.md", "localisation.md", "tables.md")
)


def said_by(page: str, capsys: pytest.CaptureFixture[str]) -> str:
    for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(compile(code, "page", "exec"), {})
    return capsys.readouterr().out


def test_the_example_of_the_rules_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = re.findall(r"^```text\n(.*?)^```", RULES, re.M | re.S)
    assert said_by(RULES, capsys) == told


def test_the_example_of_localisation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by(PLACES, capsys)
    assert re.search(r"points into a box: 0\.[89]\d+ \(0\.\d+ to [01]\.\d+\)", said), said
    assert "best floor: " in said
    assert "gain 0." in said


def test_the_pages_list_every_rule_cut_off_and_floor() -> None:
    for name in STUDY_RULES:
        assert f"\n| `{name}` |" in RULES
    for name in POINTS:
        assert f"`{name}`" in RULES
    for title in FLOORS.values():
        assert f"\n| {title.removesuffix(', always the same')} |" in PLACES


def test_the_page_of_tables_has_every_column_of_places() -> None:
    page = TABLES.partition("## Places")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \| ", page, re.M))))
    assert listed == {*tables.PREPARED, *tables.FOUND_BOXES, *tables.POINTS}
