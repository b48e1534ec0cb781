"""The two tables keep their contract, on the way out and on the way in."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from osteon import tables
from osteon.errors import BadTable, NotFound
from tests.make import some_cases, some_predictions


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    cases = some_cases(5, hardware=[0, 1] * 5)
    tables.write(tmp_path / "m.parquet", cases, tables.MANIFEST)
    back = tables.read(tmp_path / "m.parquet", tables.MANIFEST)
    assert list(back.columns)[-1] == "hardware"
    pd.testing.assert_frame_equal(back[cases.columns], cases, check_dtype=False)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tables.write(tmp_path / name, some_predictions(), tables.PREDICTIONS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_predictions_of_anyone_enter_as_csv(tmp_path: Path) -> None:
    wanted = some_predictions(6)
    wanted.drop(columns=["study", "probability"]).to_csv(tmp_path / "p.csv", index=False)
    back = tables.read(tmp_path / "p.csv", tables.PREDICTIONS)
    assert back["score"].to_list() == pytest.approx(wanted["score"].to_list())
    assert str(back["target"].dtype) == "Int8"


def test_a_table_of_predictions_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    wanted = some_predictions(6)
    text = wanted.rename(columns=str.title).to_csv(index=False, sep=";", lineterminator="\r\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text("\ufeff" + text + ";;;\r\n", encoding="utf-8", newline="")
    back = tables.read(tmp_path / "p.csv", tables.PREDICTIONS)
    pd.testing.assert_frame_equal(back[wanted.columns], wanted, check_dtype=False)


@pytest.mark.parametrize("content", ["", 'model,image\n"a'])
def test_a_csv_without_a_table_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(BadTable, match="not a readable table"):
        tables.read(tmp_path / "p.csv", tables.PREDICTIONS)


def test_decimals_with_a_comma_are_named(tmp_path: Path) -> None:
    text = some_predictions(3).to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(BadTable, match=r"column score .* decimals are written with a point"):
        tables.read(tmp_path / "p.csv", tables.PREDICTIONS)


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(BadTable, match=r"predictions lacks the columns part, score; it has model") as caught:
        tables.check(some_predictions().drop(columns=["part", "score"]), tables.PREDICTIONS, "predictions")
    assert caught.value.exit_code == 65


def test_a_value_of_the_wrong_type_is_named() -> None:
    with pytest.raises(BadTable, match="column score"):
        tables.check(some_predictions().assign(score="high"), tables.PREDICTIONS, "predictions")


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else", b"\x00" * 100])
def test_a_broken_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.parquet").write_bytes(content)
    with pytest.raises(BadTable, match="not a readable table"):
        tables.read(tmp_path / "m.parquet", tables.MANIFEST)


def test_an_absent_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        tables.read(tmp_path / "m.parquet", tables.MANIFEST)


def test_some_columns_can_be_read_alone(tmp_path: Path) -> None:
    tables.write(tmp_path / "m.parquet", some_cases(4), tables.MANIFEST)
    assert list(tables.read(tmp_path / "m.parquet", tables.MANIFEST, only=["image", "target"])) == ["image", "target"]
