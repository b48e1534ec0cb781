"""The examples of the page on sampling run, one after the other, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from osteon.learn.samplers import expected_share

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "sampling.md"


def test_the_examples_on_sampling_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert len(blocks) == 2
    assert said.count("(15, 1, 96, 64)") == 4 and "0.405 expected" in said
    validated = re.findall(r"and is validated on (\d+)$", said, re.M)
    assert "100 images, 560 copies" in said and len(validated) == 5 and sum(map(int, validated)) == 80


def test_the_shares_on_the_page_are_those_that_are_expected() -> None:
    rows = re.findall(
        r"^\| ([\d,]+) \| ([\d,]+)[^|]*\| [\d,]+ \| (\d\.\d{3}) \|$", PAGE.read_text(encoding="utf-8"), re.M
    )
    assert len(rows) == 3
    for positives, negatives, share in rows:
        found = expected_share(int(positives.replace(",", "")), int(negatives.replace(",", "")))
        assert f"{found:.3f}" == share
