from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from osteon.learn.backbones import BACKBONES
from osteon.learn.networks.architectures import OWN, build

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "networks.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(compile(example, "networks.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "rx_lite, means of 4 × 4 fields, hidden layers of 256 and 64 units, one linear layer",
        "torch.Size([2])",
        "(96, 128)",
    ]


def test_the_table_of_the_page_lists_every_network_with_its_size() -> None:
    table = PAGE[: PAGE.index("## An example")]
    listed: dict[str, list[str]] = {}
    for row in table.splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) > 3:
            listed |= dict.fromkeys(re.findall(r"`(\w+)`", cells[1]), cells)
    assert set(listed) == set(BACKBONES)
    for name in OWN:
        net = build(name)
        count = sum(p.numel() for p in net.parameters())
        stated = float(listed[name][3].removesuffix(" M"))
        assert stated == pytest.approx(count / 1e6, rel=0.005 if count > 1e6 else 0.03)
        if smallest := getattr(net, "smallest_side", 0):
            assert listed[name][4] == f"{smallest} px or more"


def test_the_gradients_on_the_page_are_those_that_were_measured() -> None:
    figures = json.loads((DOCS / "results" / "benchmarks" / "rx_gradients.json").read_text(encoding="utf-8"))["figures"]
    rows = {
        "Large as published, 768 px": "Large as published, 768 px",
        "`rx_large_padded`": "Large padded",
        "the same, begun as He 2015 says": "Large padded, He",
        "`rx_large_normalised`": "Large padded, normalised",
        "`rx_lite`": "Lite",
    }
    told = PAGE[PAGE.index("### Why Large hardly learns") :].splitlines()
    for label, name in rows.items():
        (row,) = [line for line in told if line.startswith(f"| {label} |")]
        cells, (seen,) = [cell.strip() for cell in row.split("|")[2:-1]], figures[name]
        wanted = (seen["gradients_first"][0], seen["gradients_first"][-1], seen["spread"][0])
        assert [float(cell) for cell in cells[:3]] == [pytest.approx(value, rel=0.06) for value in wanted]
        assert str(seen["learnt"] or "not in the 10 steps") in cells[3]
