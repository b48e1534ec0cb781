from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from osteon import files
from osteon.dataset import statistics
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import IMAGES, prepare
from osteon.dataset.statistics import Moments, moments_of
from osteon.dataset.steps import FitSquare
from osteon.errors import BadTable, NotFound
from osteon.tasks import FRACTURE
from tests.make import a_radiograph

images = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(st.lists(images, min_size=1, max_size=5))
def test_they_are_mean_and_sd_of_all_pixels_taken_together(several: list[np.ndarray]) -> None:
    every = np.concatenate([image.ravel() for image in several]).astype(np.float64) / 255
    moments = sum(map(moments_of, several), Moments())
    assert moments.n == every.size
    assert moments.mean == pytest.approx(every.mean(), abs=1e-12)
    assert moments.sd == pytest.approx(every.std(), abs=1e-9)
    assert moments.m2 == pytest.approx(((every - every.mean()) ** 2).sum(), abs=1e-9)


@given(images, images, images)
def test_neither_order_nor_grouping_changes_a_bit(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    x, y, z = map(moments_of, (a, b, c))
    assert (x + y) + z == x + (y + z) == z + y + x
    assert x + Moments() == x


def test_large_images_are_summed_exactly() -> None:
    image = np.full((5000, 5000), 255, np.uint8)
    image[0, 0] = 254
    n = image.size
    assert moments_of(image) == Moments(n, 255 * n - 1, 255**2 * n - (255**2 - 254**2))
    # Sums of squares in floating point lose this difference.
    assert moments_of(image).sd == pytest.approx(math.sqrt((n - 1) / n**2) / 255, rel=1e-9)


def test_a_view_of_an_image_counts_its_own_pixels() -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert moments_of(image[::2, 3:9]) == moments_of(image[::2, 3:9].copy())


def test_sums_that_no_pixels_have_are_refused() -> None:
    for n, total, squares in ((-1, 0, 0), (1, 256, 65536), (1, -1, 1), (2, 4, 7), (0, 0, -1)):
        with pytest.raises(ValueError, match="grey values have the sum"):
            Moments(n, total, squares)
    assert math.isnan(Moments().mean) and math.isnan(Moments().sd) and math.isnan(Moments().m2)


def test_a_prepared_set_is_stored_with_the_statistics_of_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed in range(5):
        assert cv2.imwrite(str(tmp_path / "in" / f"{seed}.png"), a_radiograph(90 + seed, 70, seed=seed).pixels)
    with ThreadPoolExecutor(1) as pool:
        manifest = ingest(tmp_path / "in", None, task=FRACTURE, executor=pool).manifest
        made = prepare(manifest, tmp_path / "in", (FitSquare(64),), tmp_path / "out", executor=pool)
    shown = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "out" / IMAGES).iterdir()]
    every = np.stack([image for image in shown if image is not None]) / 255
    stored = files.read_json(tmp_path / "out" / statistics.STATISTICS)
    assert stored["images"] == 5
    assert stored["mean"] == made.moments.mean == pytest.approx(every.mean(), abs=1e-12)
    assert stored["sd"] == made.moments.sd == pytest.approx(every.std(), abs=1e-12)
    assert statistics.read(tmp_path / "out") == made.moments


def test_without_images_there_is_no_mean(tmp_path: Path) -> None:
    statistics.write(tmp_path, Moments(), 0)
    assert files.read_json(tmp_path / statistics.STATISTICS)["mean"] is None
    assert statistics.read(tmp_path) == Moments()


@pytest.mark.parametrize("content", ["[]", "{}", '{"moments": {"n": 1}}', '{"moments": {"n": 1, "m": 2}}'])
def test_a_file_that_holds_no_moments_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / statistics.STATISTICS).write_text(content)
    with pytest.raises(BadTable, match="osteon prepare"):
        statistics.read(tmp_path)
    with pytest.raises(NotFound):
        statistics.read(tmp_path / "nowhere")
