"""Results appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from osteon import files
from osteon.errors import BadTable, CannotWrite, NotFound


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_folder_leaves_the_earlier_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with files.replacing_folder(folder) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), files.replacing_folder(folder) as temporary:
        (temporary / "b").write_text("2")
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with files.replacing_folder(tmp_path / "out") as temporary:
            (temporary / name).write_text(name)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    # /dev/full is the kernel's own full disk: every write to it fails with ENOSPC.
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test needs /dev/full, which Linux provides")
    with pytest.raises(CannotWrite, match="No space left") as caught, files.replacing(tmp_path / "x"):
        full.write_text("x")
    assert caught.value.exit_code == 73


def test_a_missing_input_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "x"):
        (tmp_path / "absent").read_text()


def test_a_file_in_the_way_of_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite), files.replacing(tmp_path / "file" / "x") as temporary:
        temporary.write_text("x")


def test_json_comes_back_as_written_and_never_holds_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"knöchel": [1, 2.5, None]})
    assert files.read_json(tmp_path / "a.json") == {"knöchel": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert files.read_json(tmp_path / "a.json") == {"knöchel": [1, 2.5, None]}


def test_json_that_is_none_and_json_that_is_absent(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(BadTable):
        files.read_json(tmp_path / "bad.json")
    with pytest.raises(NotFound):
        files.read_json(tmp_path / "absent.json")


def test_a_folder_digest_sees_names_and_bytes_but_not_run_records(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = files.digest_of(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    assert files.digest_of(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert files.digest_of(tmp_path) != before


def test_whether_a_folder_can_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert files.must_be_writable(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    assert not (tmp_path / "new").exists()
    for inside in ("file", "file/deep"):
        with pytest.raises(CannotWrite, match="file is a file, and results need a folder"):
            files.must_be_writable(tmp_path / inside)


def test_a_read_only_folder_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, who often runs tests, may write everywhere
    with pytest.raises(CannotWrite, match=f"{tmp_path.name} is read-only"):
        files.must_be_writable(tmp_path / "new")
