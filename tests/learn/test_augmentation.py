"""Augmentation: each option by another road, exactly as far as said, and without a trace when it is off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from osteon.learn.augmentation import KIM, SEED_DECID, Augmentation, draw, move
from osteon.learn.batches import generator_of

STILL = Augmentation(flip=0, shift=0, rotation_deg=0)
SHAPE = (48, 80)


def moved(images: Tensor, how: Augmentation, seed: int = 0) -> Tensor:
    count, _, height, width = images.shape
    return move(images, draw(count, how, (height, width), generator_of(seed, 0)), how)


def ramps(shape: tuple[int, int] = SHAPE) -> Tensor:
    """(2, 1, h, w): what each pixel shows is where it lies, from left to right and from top to bottom, 0..1."""
    height, width = shape
    x = (torch.arange(width) + 0.5).repeat(height, 1) / width
    y = (torch.arange(height) + 0.5)[:, None].repeat(1, width) / height
    return torch.stack([x, y])[:, None]


def where(how: Augmentation, seed: int, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) each: from which position of the image, in pixels about its middle, a pixel of the moved one was taken."""
    moves = draw(1, how, shape, generator_of(seed, 0))
    x, y = (move(ramp[None], moves, how)[0, 0].double().numpy() for ramp in ramps(shape))
    return (x - 0.5) * shape[1], (y - 0.5) * shape[0]


def middle(shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) each: pixels about the middle of the image."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return x - shape[1] / 2, y - shape[0] / 2


@pytest.mark.parametrize("shape", [(64, 64), SHAPE])
@pytest.mark.parametrize("seed", range(6))
def test_all_that_moves_is_one_map_of_positions(seed: int, shape: tuple[int, int]) -> None:
    """Crop, then zoom, then shear, then turn and mirror, then shift: step by step in pixels, from the same numbers."""
    how = Augmentation(flip=0.5, shift=0.1, rotation_deg=20, crop=0.8, shear_deg=12, zoom=0.15)
    height, width = shape
    g = generator_of(seed, 0)
    mirror, turn, across, down = torch.rand(4, 1, generator=g).double().flatten().tolist()
    lean = np.deg2rad((2 * float(torch.rand(1, generator=g)) - 1) * how.shear_deg)
    zoom_x, zoom_y = (1 + how.zoom * (2 * torch.rand(2, 1, generator=g) - 1)).flatten().tolist()
    lost, left, top = torch.rand(3, 1, generator=g).flatten().tolist()

    x, y = middle(shape)
    room = lost * (1 - how.crop)
    x, y = (1 - room) * x + room * (left - 0.5) * width, (1 - room) * y + room * (top - 0.5) * height
    x, y = zoom_x * x, zoom_y * y
    x = x + np.tan(lean) * y
    angle = np.deg2rad((2 * turn - 1) * how.rotation_deg)
    x = -x if mirror < how.flip else x
    x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    x, y = x + how.shift * (2 * across - 1) * width, y + how.shift * (2 * down - 1) * height

    got_x, got_y = where(how, seed, shape)
    inside = (np.abs(x) < width / 2 - 1) & (np.abs(y) < height / 2 - 1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(got_x[inside], x[inside], atol=2e-3)
    np.testing.assert_allclose(got_y[inside], y[inside], atol=2e-3)
    outside = (np.abs(x) > width / 2 + 1) | (np.abs(y) > height / 2 + 1)
    images = torch.ones(1, 1, *shape)
    assert (move(images, draw(1, how, shape, generator_of(seed, 0)), how)[0, 0].numpy()[outside] == 0).all()


def test_a_crop_keeps_its_share_of_both_sides_and_stays_in_the_frame() -> None:
    how, shares = replace(STILL, crop=0.9), []
    for seed in range(40):
        x, y = where(how, seed)
        across, down = np.diff(x[20, 5:-5]).mean(), np.diff(y[5:-5, 20]).mean()
        assert across == pytest.approx(down, abs=1e-3)  # the sides keep their ratio
        shares.append(across)
        shown = moved(torch.ones(1, 1, *SHAPE), how, seed)[0, 0]
        assert float(shown[1:-1, 1:-1].min()) > 0.999  # nothing enters
        assert float(shown.min()) > 0.95**2  # but for bilinear neighbours of the outermost pixels
    assert 0.9 - 1e-3 <= min(shares) < 0.915 and 0.985 < max(shares) <= 1 + 1e-3


def test_a_shear_leans_upright_lines_and_leaves_level_ones() -> None:
    how, leans = replace(STILL, shear_deg=10), []
    for seed in range(40):
        x, y = where(how, seed)
        here = (slice(10, -10), slice(20, -20))
        np.testing.assert_allclose(y[here], middle()[1][here], atol=1e-3)
        leans.append(np.rad2deg(np.arctan(np.diff(x[here], axis=0).mean())))
    assert -10.01 < min(leans) < -8 and 8 < max(leans) < 10.01


def test_a_zoom_scales_each_axis_for_itself() -> None:
    how, scales = replace(STILL, zoom=0.15), []
    for seed in range(60):
        x, y = where(how, seed)
        scales.append((np.diff(x[24, 15:-15]).mean(), np.diff(y[10:-10, 40]).mean()))
    assert np.min(scales) >= 0.85 - 1e-3 and np.max(scales) <= 1.15 + 1e-3
    assert (np.min(scales, axis=0) < 0.88).all() and (np.max(scales, axis=0) > 1.12).all()
    assert abs(np.corrcoef(np.transpose(scales))[0, 1]) < 0.4


def test_contrast_moves_grey_values_about_the_middle_and_stays_in_range() -> None:
    how, factors = replace(STILL, contrast=0.4), []
    greys = torch.linspace(0, 1, 101)[None, None, :, None].repeat(1, 1, 1, 3)
    for seed in range(40):
        shown = moved(greys, how, seed)[0, 0, :, 0]
        factors.append(float(shown[60] - shown[40]) / 0.2)
        wanted = np.clip((np.linspace(0, 1, 101) - 0.5) * factors[-1] + 0.5, 0, 1)
        np.testing.assert_allclose(shown.numpy(), wanted, atol=1e-5)
    assert 0.6 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.4


def test_inversion_exchanges_black_and_white_of_some_images_and_of_what_entered() -> None:
    images = torch.rand(400, 1, 6, 5, generator=generator_of(1, 0))
    shown = moved(images, replace(STILL, invert=0.5))
    same, inverted = ((shown == wanted).flatten(1).all(dim=1) for wanted in (images, 1 - images))
    assert (same ^ inverted).all() and 150 < int(inverted.sum()) < 250
    black = torch.zeros(1, 1, 20, 20)
    assert (moved(black, replace(STILL, shift=0.4, invert=1.0)) == 1).all()


OPTIONS = {"upend": 0.5, "crop": 0.9, "shear_deg": 5.0, "zoom": 0.1, "contrast": 0.2, "invert": 0.5}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_is_off_draws_nothing_and_one_that_is_on_leaves_the_older_ones_alone(option: str) -> None:
    how = Augmentation()
    off, on = generator_of(4, 0), generator_of(4, 0)
    plain, more = draw(5, how, SHAPE, off), draw(5, replace(how, **{option: OPTIONS[option]}), SHAPE, on)
    alone = generator_of(4, 0)
    torch.rand(4, 5, generator=alone)  # flip, rotation and two shifts, which have always been drawn
    assert torch.equal(off.get_state(), alone.get_state()) and not torch.equal(on.get_state(), off.get_state())
    assert (plain.upended, plain.contrast, plain.inverted) == (None, None, None)
    if option in ("upend", "contrast", "invert"):
        assert torch.equal(plain.affine, more.affine)


@given(count=st.integers(1, 6), height=st.integers(8, 40), width=st.integers(8, 40), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_images_keep_their_size_and_range_whatever_is_done(count: int, height: int, width: int, seed: int) -> None:
    images = torch.rand(count, 1, height, width, generator=generator_of(seed, 1))
    for how in (KIM, SEED_DECID, replace(KIM, upend=0.5, crop=0.7, contrast=0.5, invert=0.5)):
        shown = moved(images, how, seed)
        assert shown.shape == images.shape and shown.dtype == torch.float32
        assert float(shown.min()) >= 0 and float(shown.max()) <= 1 + 1e-6


def test_what_was_drawn_for_a_batch_can_be_shared_out() -> None:
    how = replace(KIM, upend=0.5, contrast=0.5, invert=0.5)
    images = torch.rand(7, 1, *SHAPE, generator=generator_of(0, 1))
    moves = draw(7, how, SHAPE, generator_of(0, 0))
    mine = torch.tensor([1, 4, 6])
    torch.testing.assert_close(move(images[mine], moves.of(mine), how), move(images, moves, how)[mine])


def test_bilinear_values_are_those_of_the_neighbours() -> None:
    """A shift by a third of a pixel, by hand."""
    image = torch.rand(1, 1, 5, 9, generator=generator_of(0, 1))
    moves = draw(1, STILL, (5, 9), generator_of(0, 0))
    moves.affine[0, 0, 2] = 2 / 9 / 3
    wanted = 2 / 3 * image + 1 / 3 * functional.pad(image, (0, 1))[..., 1:]
    torch.testing.assert_close(move(image, moves, replace(STILL, shift=0.1)), wanted, atol=1e-5, rtol=0)


def test_impossible_augmentation_is_refused_at_birth() -> None:
    wrong = [{"flip": 2}, {"upend": -1}, {"invert": 1.1}, {"contrast": 2}, {"shift": 1}, {"rotation_deg": 200}]
    for options in (*wrong, {"crop": 0}, {"crop": 1.1}, {"shear_deg": 80}, {"zoom": 1}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}.* in .*, not Augmentation"):
            Augmentation(**options)
