"""What a spreadsheet program writes is read; what could change its meaning is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon import sheets
from osteon.errors import BadTable, NotFound


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
