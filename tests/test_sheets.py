"""What a spreadsheet program writes is read; what could change its meaning is refused."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from osteon import sheets
from osteon.errors import BadTable, NotFound, UnknownName


def a_sheet(folder: Path, content: bytes | str) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_spreadsheet_programs_write_says_the_same(tmp_path: Path, separator: str, end: str, mark: str) -> None:
    rows = [" Image ", "FRACTURED", "Größe, cm"], ["a 1", " Yes", "3,5"], ["", "", ""], ["b", "no ", ""], ["", " ", ""]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    frame = sheets.read(a_sheet(tmp_path, mark + text.getvalue() + end))
    assert list(frame) == ["image", "fractured", "größe, cm"]
    assert frame.to_numpy().tolist() == [["a 1", "Yes", "3,5"], ["b", "no", ""]]
    assert frame.index.tolist() == [2, 4]


word = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6).map(str.strip)


@given(st.lists(st.tuples(word, word), max_size=8), st.sampled_from(sheets.SEPARATORS))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([("one", "two"), *rows])
    frame = sheets.read(a_sheet(tmp_path_factory.mktemp("sheet"), text.getvalue()))
    assert list(frame.itertuples(index=False, name=None)) == [row for row in rows if any(row)]


def test_short_rows_are_filled_and_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    frame = sheets.read(a_sheet(tmp_path, ",image,target,\n0,a,1,x,\n1,b\n"))
    assert frame.to_dict("list") == {"image": ["a", "b"], "target": ["1", ""]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "first row is empty"),
        ("\n\n", "first row is empty"),
        ("image;größe\na;1\n".encode("latin-1"), "not UTF-8 text; save it .* “CSV UTF-8”"),
        ("image,target\na,1\n".encode("utf-16"), "not UTF-8 text"),
        ("image,Image ,target\na,a,1\n", "more than one column named 'image'"),
        ("image,target\n\na,1\nb,1,2\n", "row 4 of t.csv has 3 values, the header has 2"),
        ('image,target\na,1\n"b,1\n', "its row 3 does not end"),
    ],
)
def test_what_could_change_the_meaning_is_refused(tmp_path: Path, content: bytes | str, said: str) -> None:
    with pytest.raises(BadTable, match=said):
        sheets.read(a_sheet(tmp_path, content))


def test_a_folder_and_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="is a folder"):
        sheets.read(tmp_path)
    with pytest.raises(NotFound):
        sheets.read(tmp_path / "absent.csv")


def a_workbook(path: Path, *rows: list[Any], sheets: Mapping[str, list[list[Any]]] | None = None) -> Path:
    book = Workbook()
    book.active.title = "cases"
    for row in rows:
        book.active.append(row)
    for name, content in (sheets or {}).items():
        further = book.create_sheet(name)
        for row in content:
            further.append(row)
    book.save(path)
    return path


def test_a_workbook_says_the_same_as_a_csv(tmp_path: Path) -> None:
    book = a_workbook(tmp_path / "t.xlsx", [" Accession", "Fractured", None], ["0012", "Yes ", "x"], [], [" 7", "no"])
    text = a_sheet(tmp_path, " Accession,Fractured,\n0012,Yes ,x\n,,\n 7,no,\n")
    frame, others = sheets.read_workbook(book)
    pd.testing.assert_frame_equal(frame, sheets.read(text))
    assert others == ()
    assert frame.index.tolist() == [2, 4]


def test_cells_are_spelt_as_the_sheet_shows_them(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    sheet.append([str(number) for number in range(9)])
    values = [1234, 12.0, 0.1 + 0.2, True, date(2021, 3, 4), datetime(2021, 3, 4), datetime(2021, 3, 4, 5, 6), "007"]
    sheet.append([*values, 123456789012345])
    sheet["A2"].number_format = "00000000"
    book.save(tmp_path / "t.xlsx")
    row = sheets.read_workbook(tmp_path / "t.xlsx")[0].iloc[0].tolist()
    dates = ["2021-03-04", "2021-03-04", "2021-03-04T05:06:00"]
    assert row == ["00001234", "12", "0.3", "true", *dates, "007", "123456789012345"]


def test_a_sheet_is_chosen_by_name_and_the_others_are_told(tmp_path: Path) -> None:
    book = a_workbook(tmp_path / "t.xlsx", ["a"], [1], sheets={"more": [["b"], [2]], "notes": [["read me"]]})
    assert sheets.read_workbook(book)[1] == ("more", "notes")
    frame, others = sheets.read_workbook(book, "more")
    assert (frame.to_dict("list"), others) == ({"b": ["2"]}, ("cases", "notes"))
    with pytest.raises(UnknownName, match="choose one of: cases, more, notes"):
        sheets.read_workbook(book, "gone")


def with_results(path: Path, cells: Mapping[str, str]) -> Path:
    """The workbook as a spreadsheet program saves it: with the stored result of each formula."""
    saved = path.with_name("saved.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(saved, "w") as new:
        for name in old.namelist():
            content = old.read(name).decode()
            for cell, value in cells.items():
                start = content.find(f'<c r="{cell}"')
                if name.endswith("sheet1.xml") and start >= 0:
                    end = content.index("</c>", start)
                    formula = content[content.index("<f>", start) : content.index("</f>", start) + 4]
                    content = f'{content[:start]}<c r="{cell}" t="str">{formula}<v>{value}</v>{content[end:]}'
            new.writestr(name, content)
    return saved


def test_of_a_formula_counts_its_result(tmp_path: Path) -> None:
    book = a_workbook(tmp_path / "t.xlsx", ["id", "label"], ["a", "=1+0"], ["b", '=IF(1,"","x")'])
    with pytest.raises(BadTable, match="no formula has a result, such as B2"):
        sheets.read_workbook(book)
    frame, _ = sheets.read_workbook(with_results(book, {"B2": "yes"}))
    assert frame["label"].tolist() == ["yes", ""]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["a", "#N/A"], "row 2 of sheet 'cases' of t.xlsx holds the error #N/A"),
        ([10**15, 1], "keeps 15 digits"),
    ],
)
def test_cells_that_lost_what_they_held_are_refused(tmp_path: Path, row: list[Any], said: str) -> None:
    with pytest.raises(BadTable, match=said) as error:
        sheets.read_workbook(a_workbook(tmp_path / "t.xlsx", ["id", "label"], row))
    assert error.value.remedy


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)])
def test_what_is_no_workbook_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(BadTable, match=r"not a readable workbook .*remove its password"):
        sheets.read_workbook(tmp_path / "t.xlsx")
    with pytest.raises(NotFound):
        sheets.read_workbook(tmp_path / "gone.xlsx")


def test_a_workbook_that_states_its_size_wrongly_is_read_whole(tmp_path: Path) -> None:
    book = a_workbook(tmp_path / "t.xlsx", ["id", "label"], ["a", 1], ["b", 0])
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(tmp_path / "u.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1"'))
    assert sheets.read_workbook(tmp_path / "u.xlsx")[0].to_dict("list") == {"id": ["a", "b"], "label": ["1", "0"]}
