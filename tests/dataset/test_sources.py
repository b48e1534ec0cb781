from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.dataset import sources
from osteon.dataset.sources import files_given, read_bytes
from osteon.errors import NotFound, UnreadableImage
from tests.make import SHARED, a_radiograph


def a_png(seed: int = 0) -> bytes:
    return cv2.imencode(".png", a_radiograph(60, 40, seed=seed).pixels)[1].tobytes()


def an_archive(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def refused(source: Path, path: str) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as error:
        read_bytes(source, path)
    assert error.value.remedy
    return error.value


def test_the_members_of_archives_stand_beside_the_files_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_bytes(a_png(1))
    an_archive(tmp_path / "a" / "Export.ZIP", {"st/ser/2": a_png(2), "3.png": a_png(3)})
    assert files_given(tmp_path) == ["a/1", "a/Export.ZIP!/3.png", "a/Export.ZIP!/st/ser/2"]
    assert [read_bytes(tmp_path, path) for path in files_given(tmp_path)] == [a_png(1), a_png(3), a_png(2)]


def test_an_archive_may_be_the_whole_source(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "export.zip", {"1.png": a_png()})
    (tmp_path / "other.png").write_bytes(a_png(1))
    assert files_given(archive) == ["export.zip!/1.png"]
    assert read_bytes(archive, "export.zip!/1.png") == a_png()


def test_what_is_no_image_by_name_is_not_given_inside_an_archive_either(tmp_path: Path) -> None:
    names = ["DICOMDIR", "CD/DICOMDIR", ".x.png", "__MACOSX/._1.png", "labels.csv", ".git/a", "t.xlsx", "w\\DICOMDIR"]
    kept = {"1.png": a_png(), "t.csv/2.png": a_png(2)}
    an_archive(tmp_path / "e.zip", {**dict.fromkeys(names, b"x"), "folder/": b"", **kept})
    assert files_given(tmp_path) == ["e.zip!/1.png", "e.zip!/t.csv/2.png"]
    # In a tree the same names count the same.
    for name, content in kept.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    assert files_given(tmp_path / "tree") == list(kept)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../up.png", "a/../../b.png", "C:\\x.png", "ö n.png"])
def test_a_name_that_points_elsewhere_is_only_a_name(tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.parent.iterdir())
    an_archive(tmp_path / "e.zip", {name: a_png()})
    assert files_given(tmp_path) == [f"e.zip!/{name}"]
    assert read_bytes(tmp_path, f"e.zip!/{name}") == a_png()
    assert sorted(tmp_path.parent.iterdir()) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.zip"]


def test_a_dicom_file_is_known_by_its_bytes_whatever_it_is_called(tmp_path: Path) -> None:
    content = b"PK\x03\x04".ljust(128, b"\0") + b"DICM" + b"\2\0\0\0UL\4\0"
    (tmp_path / "image.zip").write_bytes(content)
    assert files_given(tmp_path) == ["image.zip"]
    assert read_bytes(tmp_path, "image.zip") == content


def test_a_folder_may_be_called_like_the_inside_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "e.zip!").mkdir()
    (tmp_path / "e.zip!" / "1.png").write_bytes(a_png())
    assert files_given(tmp_path) == ["e.zip!/1.png"]
    assert read_bytes(tmp_path, "e.zip!/1.png") == a_png()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not an archive at all"])
def test_a_broken_archive_is_one_file_that_says_why(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.zip").write_bytes(content)
    assert files_given(tmp_path) == ["e.zip"]
    assert refused(tmp_path, "e.zip").code == "archive"


def test_an_archive_without_images_is_not_lost(tmp_path: Path) -> None:
    an_archive(tmp_path / "e.zip", {"DICOMDIR": b"x", "folder/": b""})
    assert files_given(tmp_path) == ["e.zip"]
    assert "holds no files" in refused(tmp_path, "e.zip").message


def test_an_archive_within_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = an_archive(tmp_path / "inner", {"1.png": a_png()}).read_bytes()
    (tmp_path / "inner").unlink()
    an_archive(tmp_path / "e.zip", {"any name": inner, "2.png": a_png()})
    assert files_given(tmp_path) == ["e.zip!/2.png", "e.zip!/any name"]
    error = refused(tmp_path, "e.zip!/any name")
    assert (error.code, "within an archive" in error.message) == ("archive", True)


def test_an_encrypted_archive_is_refused_whole(tmp_path: Path) -> None:
    path = an_archive(tmp_path / "e.zip", {"1.png": a_png(), "2.png": a_png(1)})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert files_given(tmp_path) == ["e.zip"]
    assert "encrypted" in refused(tmp_path, "e.zip").message


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = a_png() + bytes(60_000_000)
    an_archive(tmp_path / "e.zip", {"1.png": bomb})
    assert (tmp_path / "e.zip").stat().st_size < 200_000
    assert files_given(tmp_path) == ["e.zip"]
    assert "like a zip bomb" in refused(tmp_path, "e.zip").message


def test_a_bomb_among_ordinary_files_is_refused_alone(tmp_path: Path) -> None:
    plain = {f"{n}.png": a_png(n) for n in range(300)}
    an_archive(tmp_path / "e.zip", {**plain, "bomb.png": a_png() + bytes(60_000_000)})
    assert len(files_given(tmp_path)) == 301
    assert "claim to unpack" in refused(tmp_path, "e.zip!/bomb.png").message
    assert read_bytes(tmp_path, "e.zip!/7.png") == a_png(7)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_MEMBERS", 3)
    an_archive(tmp_path / "three.zip", {f"{n}.png": a_png(n) for n in range(3)})
    an_archive(tmp_path / "four.zip", {f"{n}.png": a_png(n) for n in range(4)})
    assert [path.partition("!")[0] for path in files_given(tmp_path)] == ["four.zip", *["three.zip"] * 3]
    assert "4 members" in refused(tmp_path, "four.zip").message


def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_DIRECTORY", 4_000)
    an_archive(tmp_path / "e.zip", {f"{n}.png": b"x" for n in range(100)})
    assert files_given(tmp_path) == ["e.zip"]
    assert "directory is larger" in refused(tmp_path, "e.zip").message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_bounded_are_refused(tmp_path: Path, method: int) -> None:
    an_archive(tmp_path / "e.zip", {"1.png": a_png()}, method)
    assert f"method {method}" in refused(tmp_path, "e.zip!/1.png").message


@pytest.mark.parametrize("claimed", [10, 1000, 10_000_000])
@pytest.mark.parametrize("checksum", ["kept", "forged"])
def test_a_member_that_lies_about_its_size_is_caught(tmp_path: Path, claimed: int, checksum: str) -> None:
    content = a_png() + bytes(5_000)
    path = an_archive(tmp_path / "e.zip", {"1.png": content})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, claimed)
    if checksum == "forged":
        struct.pack_into("<I", data, at + 16, zlib.crc32(content[:claimed]))
    path.write_bytes(data)
    assert refused(tmp_path, "e.zip!/1.png").code == "archive"


def test_a_name_that_an_archive_holds_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("1.png", a_png())
        archive.writestr("1.png", a_png(1))
    assert files_given(tmp_path) == ["e.zip"]
    assert "1.png twice" in refused(tmp_path, "e.zip").message


def test_a_member_that_is_no_image_or_too_large_says_so_as_a_file_would(tmp_path: Path) -> None:
    an_archive(tmp_path / "e.zip", {"letter.txt": b"Dear colleague", "empty": b""})
    assert refused(tmp_path, "e.zip!/letter.txt").code == "not_an_image"
    assert refused(tmp_path, "e.zip!/empty").code == "not_an_image"
    with pytest.raises(NotFound, match="holds no gone"):
        read_bytes(tmp_path, "e.zip!/gone")
    with pytest.raises(NotFound):
        read_bytes(tmp_path, "gone.png")


def test_an_archive_that_changed_is_read_anew(tmp_path: Path) -> None:
    an_archive(tmp_path / "e.zip", {"1.png": a_png()})
    assert read_bytes(tmp_path, "e.zip!/1.png") == a_png()
    an_archive(tmp_path / "e.zip", {"1.png": a_png(), "2.png": a_png(2)})
    assert read_bytes(tmp_path, "e.zip!/2.png") == a_png(2)


@settings(max_examples=150)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=6), cut=st.booleans()
)
def test_no_damage_to_an_archive_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = an_archive(folder / "e.zip", {"a/1.png": a_png(), "2.dcm": b"x" * 300})
    data = bytearray(path.read_bytes())
    for place, change in flips:
        # Most of an archive is its members; half of the damage goes to the directory, which tells how to read them.
        at = place % len(data) if place % 2 else len(data) - 1 - place % 200
        data[at] ^= change
    path.write_bytes(data[: -flips[0][0] % len(data)] if cut else data)
    given_files = files_given(folder)
    assert given_files
    for name in given_files:
        try:
            assert len(read_bytes(folder, name)) > 0
        except UnreadableImage as error:
            assert error.code in ("archive", "not_an_image", "too_large")


@pytest.mark.shared
def test_packed_or_not_the_same_files_are_given(tmp_path: Path) -> None:
    folder = SHARED / "dicom_bad"
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files_given(folder):
            archive.write(folder / path, path)
    assert files_given(tmp_path) == [f"all.zip!/{path}" for path in files_given(folder)]
    for path in files_given(folder):
        try:
            loose = read_bytes(folder, path)
        except UnreadableImage as error:
            assert refused(tmp_path, f"all.zip!/{path}").code == error.code
        else:
            assert read_bytes(tmp_path, f"all.zip!/{path}") == loose
