from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset import duplicates
from osteon.errors import NotFound, UnreadableImage
from tests.make import SHARED

FRACATLAS = SHARED / "fracatlas" / "images"


def a_picture(seed: int, side: int = 224) -> NDArray[np.uint8]:
    """Structure at many scales on a dark ground, another for each seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    for cells in (4, 9, 20, 45):
        image += cv2.resize(rng.normal(size=(cells, cells)).astype(np.float32), (side, side)) / cells**0.5
    return np.clip(90 + 60 * image, 0, 255).astype(np.uint8)


def write(folder: Path, pictures: list[NDArray[np.uint8]]) -> dict[str, Path]:
    paths = {}
    for number, picture in enumerate(pictures):
        paths[f"i{number}"] = folder / f"{number}.png"
        assert cv2.imwrite(str(paths[f"i{number}"]), picture)
    return paths


def variants(image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Copies of an image as they occur in archives."""
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE)
    assert jpeg is not None
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return {
        "scaled": half.astype(np.uint8),
        "re-encoded": jpeg.astype(np.uint8),
        "brighter": (255 * (image / 255.0) ** 0.85).astype(np.uint8),
        "noisy": np.clip(image + noise, 0, 255).astype(np.uint8),
    }


def test_copies_are_found_and_other_images_are_not_joined(tmp_path: Path) -> None:
    first, second, third = (a_picture(seed) for seed in (1, 2, 3))
    copies = list(variants(first).values())
    groups = duplicates.find_duplicates(write(tmp_path, [first, second, *copies, third, second]))
    assert groups.tolist() == [0, 1, 0, 0, 0, 0, 2, 1]


def test_dark_and_flat_images_are_joined_by_identical_pixels_alone(tmp_path: Path) -> None:
    black = np.zeros((96, 96), np.uint8)
    rng = np.random.default_rng(0)
    nearly = [(rng.random((96, 96)) < 0.02).astype(np.uint8) for _ in range(3)]
    groups = duplicates.find_duplicates(write(tmp_path, [black, *nearly, black, nearly[1]]))
    assert groups.tolist() == [0, 1, 2, 3, 0, 2]


@settings(max_examples=30)
@given(data=st.data())
def test_near_pairs_are_all_pairs_within_the_distance(data: st.DataObject) -> None:
    n, distance = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    hashes = rng.integers(0, 2**64, 3, np.uint64)[rng.integers(0, 3, n)] ^ rng.integers(0, 2**12, n).astype(np.uint64)
    expected = {
        (a, b) for a in range(n) for b in range(a + 1, n) if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= distance
    }
    got = duplicates.near_pairs(hashes, distance)
    assert {(int(a), int(b)) for a, b in got} == expected
    assert len(got) == len(expected)


def test_near_pairs_are_found_across_blocks() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    hashes[900] = hashes[3] ^ np.uint64(5)
    assert duplicates.near_pairs(hashes, 4).tolist() == [[3, 900]]


def test_a_missing_or_broken_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.png"):
        duplicates.find_duplicates({"a": tmp_path / "gone.png"})
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        duplicates.find_duplicates({"a": tmp_path / "broken.png"})


def test_no_images_have_no_duplicates() -> None:
    assert duplicates.find_duplicates({}).shape == (0,)


@pytest.mark.shared
def test_real_radiographs_are_found_again_and_not_mixed_up() -> None:
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(FRACATLAS.iterdir())[::40]]
    originals = [image.astype(np.uint8) for image in images if image is not None]
    prints = [duplicates.fingerprint(image) for image in originals]
    hashes = np.array([one.hash for one in prints], np.uint64)
    false = [
        (a, b)
        for a, b in duplicates.near_pairs(hashes, duplicates.DISTANCE)
        if duplicates.likeness_of(prints[a], prints[b]) >= duplicates.LIKENESS
    ]
    assert false == []
    for name in ("scaled", "re-encoded", "brighter", "noisy"):
        found = []
        for image, original in zip(originals, prints, strict=True):
            copy = duplicates.fingerprint(variants(image)[name])
            near = (copy.hash ^ original.hash).bit_count() <= duplicates.DISTANCE
            found.append(near and duplicates.likeness_of(copy, original) >= duplicates.LIKENESS)
        assert np.mean(found) >= 0.98, name
