"""The examples of the page on models of whole studies run, and print what such studies allow."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "studies.md"


def test_the_examples_on_studies_run(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(examples) == 3
    namespace: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), namespace)
    studies, weights, smooth, pooled = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r"120 studies, AUROC (0\.\d+|1\.0)", studies)
    assert found, studies
    assert float(found[1]) > 0.75
    told = [float(share) for share in weights.strip("[]").split()]
    assert sum(told) == pytest.approx(2, abs=0.03)  # two studies
    sharpnesses, area = re.fullmatch(r"\((.*)\) (0\.\d+|1\.0)", smooth).groups()  # type: ignore[union-attr]
    assert len(sharpnesses.split(", ")) == 4  # folds
    assert float(area) > 0.75
    assert pooled == f"[{math.log(math.cosh(1)):.2f} 2.  ]"  # log of the mean of 1/e and e
    assert namespace["whole"].trunk is namespace["trunk"]
