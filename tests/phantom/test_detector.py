"""Physics of the picture: less arrives behind more, and the noise is that of counted quanta."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng
from numpy.testing import assert_allclose
from scipy import ndimage

from osteon.phantom import detector
from osteon.phantom.detector import Exposure


def flat(value: float, side: int = 200) -> np.ndarray:
    return np.full((side, side), value, np.float32)


@given(low=st.floats(0, 4), more=st.floats(0.01, 2), scatter=st.floats(0, 2))
def test_more_depth_lets_less_through(low, more, scatter):
    exposure = Exposure(1e5, scatter)
    thin, thick = (detector.transmission(flat(d, 16), exposure, 0.15) for d in (low, low + more))
    assert (thick < thin).all() and (thin <= 1 + 1e-6).all()


def test_an_even_field_obeys_beer_and_lambert_whatever_the_scatter():
    for scatter in (0.0, 0.5):
        found = detector.transmission(flat(1.7, 64), Exposure(1e5, scatter), 0.15)
        assert_allclose(found, np.exp(-1.7), rtol=1e-4)


def test_scatter_veils_the_shadow_of_a_small_thing():
    depth = flat(0.5)
    depth[95:105, 95:105] = 3.0
    clear, veiled = (detector.transmission(depth, Exposure(1e5, s), 0.2)[100, 100] for s in (0.0, 0.5))
    assert clear == pytest.approx(np.exp(-3), rel=1e-4)
    assert veiled > 3 * clear


def test_the_coarse_spread_is_the_fine_one():
    image = default_rng(0).random((180, 211)).astype(np.float32)
    image[60:90, 100:180] += 2
    fine = ndimage.gaussian_filter(image, 30.0, mode="nearest")
    inside = np.s_[15:-15, 15:-15]  # at the border the coarse one continues blocks instead of pixels
    assert_allclose(detector._spread(image, 30.0)[inside], fine[inside], atol=0.02)
    assert np.ptp(fine) > 0.3


@pytest.mark.parametrize(("depth", "quanta"), [(0.0, 2e4), (1.0, 5e4), (2.0, 2e5)])
def test_noise_is_that_of_counted_quanta(depth, quanta):
    # Over blocks far wider than the blur, the relative deviation of the signal is 1 / √(quanta counted).
    spacing = 0.2
    logged = detector.expose(flat(depth, 600), flat(0, 600), Exposure(quanta, 0.3), spacing, default_rng(1))
    blocks = logged.reshape(30, 20, 30, 20).mean(axis=(1, 3), dtype=float)
    counted = quanta * spacing**2 * 400 * np.exp(-depth)
    assert blocks.mean() == pytest.approx(depth, abs=0.01)
    assert blocks.std() == pytest.approx(1 / np.sqrt(counted), rel=0.12)


def test_stored_values_keep_the_order_and_the_range():
    logged = np.linspace(-0.5, 8, 500, dtype=np.float32)[None]
    for bits in (10, 12, 14):
        values = detector.stored_values(logged, bits)[0].astype(int)
        assert (np.diff(values) >= 0).all() and values.min() >= 0 and values.max() == 2**bits - 1


def test_the_window_shows_bone_and_hides_the_empty_beam():
    values = np.full((400, 400), 200, np.uint16)
    values[:, 100:300] = 1200
    values[:, 180:220] = 2000
    centre, width = detector.window_of(values)
    low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    assert 200 < low < 1200 < 2000 <= high < 2100
