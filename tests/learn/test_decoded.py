"""The cache of decoded images: one file for all runs on the same images, another for others, never a stale one."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon.errors import BadTable, CannotWrite, NotFound, TooFewCases, UnreadableImage
from osteon.learn.decoded import decode, decode_named, forget
from tests.learn.nets import largest_file


def some_images(folder: Path, count: int = 5, shape: tuple[int, int] = (9, 7)) -> tuple[list[Path], np.ndarray]:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    paths = [folder / f"{i}.png" for i in range(count)]
    for path, image in zip(paths, pixels, strict=True):
        cv2.imwrite(str(path), image)
    return paths, pixels


def written(folder: Path) -> dict[str, int]:
    """File name → when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_decoding_gives_the_pixels_in_order_and_cannot_be_written_to(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")
    given = decode(paths, tmp_path / "cache")
    np.testing.assert_array_equal(given, pixels)
    np.testing.assert_array_equal(decode(paths[::-1], tmp_path / "cache"), pixels[::-1])
    with pytest.raises(ValueError, match="read-only"):
        given[0] = 0


def test_the_same_images_are_decoded_once(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")
    told: list[int] = []
    decode(paths, tmp_path / "cache", progress=lambda done, _: told.append(done))
    before = written(tmp_path / "cache")
    again = decode(paths, tmp_path / "cache", progress=lambda done, _: told.append(done))
    np.testing.assert_array_equal(again, pixels)
    assert written(tmp_path / "cache") == before and len(before) == 1 and told == [1, 2, 3, 4, 5]

    named = {path.stem: path for path in paths}  # another run, by name
    np.testing.assert_array_equal(decode_named(["0", "1", "2", "3", "4"], named, tmp_path / "cache"), pixels)
    assert written(tmp_path / "cache") == before
    np.testing.assert_array_equal(decode_named(["3", "1"], named, tmp_path / "cache"), pixels[[3, 1]])
    assert len(written(tmp_path / "cache")) == 2


def test_a_changed_image_is_never_read_from_an_old_file(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")
    old = decode(paths, tmp_path / "cache")
    stat = paths[2].stat()
    cv2.imwrite(str(paths[2]), 255 - pixels[2])
    os.utime(paths[2], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its date tells nothing
    new = decode(paths, tmp_path / "cache")
    np.testing.assert_array_equal(new[2], 255 - pixels[2])
    np.testing.assert_array_equal(old, pixels)  # a run under way keeps what it began with
    assert len(written(tmp_path / "cache")) == 2


def test_an_image_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")

    def change(done: int, _: int) -> None:
        if done == 2:
            cv2.imwrite(str(paths[4]), 255 - pixels[4])

    with pytest.raises(UnreadableImage, match=r"4\.png changed while it was read"):
        decode(paths, tmp_path / "cache", progress=change)
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_that_was_cut_off_is_written_anew(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")
    decode(paths, tmp_path / "cache")
    (held,) = (tmp_path / "cache").iterdir()
    whole = held.read_bytes()
    for left in (whole[:-1], whole[:40], b""):
        held.write_bytes(left)
        np.testing.assert_array_equal(decode(paths, tmp_path / "cache"), pixels)
        assert held.read_bytes() == whole


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    paths, _ = some_images(tmp_path / "images", shape=(64, 64))
    with largest_file(9000), pytest.raises(CannotWrite):
        decode(paths, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_forgetting_removes_the_decoded_images_and_nothing_else(tmp_path: Path) -> None:
    paths, pixels = some_images(tmp_path / "images")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "checkpoint.safetensors").write_bytes(b"kept")
    held = decode(paths, tmp_path / "cache")
    forget(tmp_path / "cache")
    forget(tmp_path / "cache")
    assert list(written(tmp_path / "cache")) == ["checkpoint.safetensors"]
    np.testing.assert_array_equal(held, pixels)


def test_what_cannot_be_decoded_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    whole, cut, colour, small = (tmp_path / f"{name}.png" for name in ("whole", "cut", "colour", "small"))
    cv2.imwrite(str(whole), noise)
    cut.write_bytes(whole.read_bytes()[:900])
    cv2.imwrite(str(colour), np.dstack([noise, noise // 2, noise]))
    cv2.imwrite(str(small), noise[:30])
    work = tmp_path / "work"
    with pytest.raises(UnreadableImage, match="cut"):
        decode([whole, cut], work)
    with pytest.raises(UnreadableImage, match="grey"):
        decode([whole, colour], work)
    with pytest.raises(BadTable, match=r"30×40 pixels and whole\.png has 40×40"):
        decode([whole, small], work)
    with pytest.raises(NotFound):
        decode([whole, tmp_path / "none.png"], work)
    with pytest.raises(NotFound, match="1 images are not prepared"):
        decode_named(["whole", "nobody"], {"whole": whole}, work)
    with pytest.raises(TooFewCases):
        decode([], work)
    assert not work.exists() or not list(work.iterdir())
