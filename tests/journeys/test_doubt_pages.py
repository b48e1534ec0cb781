"""The pages on doubt and triage: their examples run and print what stands there, and they list what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from osteon.evaluate.calibrations import CALIBRATIONS
from osteon.evaluate.triage import ORDERS, Worklist

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
DOUBT, TRIAGE = ((REFERENCE / name).read_text(encoding="utf-8") for name in ("doubt.md", "triage.md"))


def said_by(page: str, capsys: pytest.CaptureFixture[str]) -> str:
    for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(compile(code, "page", "exec"), {})
    return capsys.readouterr().out


def test_the_example_of_doubt_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = re.findall(r"^```text\n(.*?)^```", DOUBT, re.M | re.S)
    assert said_by(DOUBT, capsys) == told


def test_the_example_of_triage_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = said_by(TRIAGE, capsys)
    assert re.search(r"fractures, median saved: \d+\.\d+ \(\d", said), said
    assert re.search(r"ninth decile saved: -\d+", said), said
    assert {path.name for path in (tmp_path / "triage").iterdir()} == {"triage.json", "triage.svg", "triage.md"}


def test_the_pages_list_every_curve_order_and_assumption() -> None:
    for name in CALIBRATIONS:
        assert f"\n| `{name}` |" in DOUBT
    for name in ORDERS:
        assert f"\n| `{name}` |" in TRIAGE
    for name in Worklist.__dataclass_fields__:
        assert f"`{name}`" in TRIAGE
