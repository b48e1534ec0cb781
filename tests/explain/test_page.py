from __future__ import annotations

import re
from pathlib import Path

import pytest

from osteon.explain.maps import EXPLAINERS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "explain.md").read_text(encoding="utf-8")


def test_the_examples_run_and_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(block, names)
    printed = capsys.readouterr().out.splitlines()
    wanted = re.findall(r"^print\(.*\)  # (.*?)(?:; take .*)?$", PAGE, re.M)
    assert [line.split()[:2] for line in printed] == [line.split()[:2] for line in wanted]
    assert (tmp_path / "overlay.png").exists() and (tmp_path / "sheet.png").exists()


def test_every_method_is_on_the_page() -> None:
    assert all(f"| `{method}` |" in PAGE for method in EXPLAINERS)
