"""The examples on the page about training run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from osteon.learn.backbones import open_backbone
from osteon.learn.heads import Classifier

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "train.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("number", range(3))
def test_an_example_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(EXAMPLES) == 3
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], PAGE.name, "exec"), {})


def test_the_parts_that_the_page_thaws_are_there() -> None:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[1], PAGE.name, "exec"), names)
    names["options"].thawing.check(Classifier(open_backbone("resnet18", "random")))
