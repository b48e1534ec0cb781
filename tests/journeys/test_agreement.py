"""`osteon agreement` from a spreadsheet to a report, and what it says of tables that it cannot read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from osteon.tasks.rust import CORTICES
from tests.evaluate.test_ratings import some_ratings

Osteon = Callable[..., tuple[int, str, str]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    some_ratings("AB", patients=12).to_csv(path, index=False)
    return path


def test_a_table_of_ratings_becomes_a_report(osteon: Osteon, table: Path, tmp_path: Path) -> None:
    code, out, err = osteon("agreement", str(table), "--out", str(tmp_path / "a"), "--seed", "3", "--json")
    assert code == 0, err
    told = json.loads(out)
    report = json.loads((tmp_path / "a" / "agreement.json").read_text(encoding="utf-8"))
    assert told["icc"] == report["total"]["icc"]["ICC(2,1)"]
    assert told["cases"] == 24 and told["patients"] == 12
    assert "ICC(2,1)" in (tmp_path / "a" / "agreement.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a" / "run.json").read_text(encoding="utf-8"))["command"] == "agreement"


def test_columns_can_be_named(osteon: Osteon, table: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.csv"
    names = dict(zip(CORTICES, ("k1", "k2", "k3", "k4"), strict=True))
    pd.read_csv(table).rename(columns=names).to_csv(renamed, index=False)
    told = [f"--column={k}={cortex}" for cortex, k in names.items()]
    results = []
    for path, options in ((table, []), (renamed, told)):
        code, out, err = osteon("agreement", str(path), "--out", str(tmp_path / path.stem), "--json", *options)
        assert code == 0, err
        results.append(json.loads(out)["icc"])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--column", "k1"], 65, "--column k1 does not say what the column means; write NAME=MEANING"),
        (["--column", "nowhere=anterior"], 65, "has no column 'nowhere'"),
        (["--score", "rust"], 65, "grades of RUST are 1 to 3"),
    ],
)
def test_what_cannot_be_read_is_said(
    osteon: Osteon, table: Path, tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    found, _, err = osteon("agreement", str(table), "--out", str(tmp_path / "a"), *options)
    assert found == code and says in err
    assert not (tmp_path / "a" / "agreement.json").exists()
