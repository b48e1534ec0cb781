"""Batches: every image once an epoch, the same again for the same seed, moved as far as said and no farther."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from osteon.dataset.frame import render
from osteon.dataset.preparation import write_png
from osteon.dataset.steps.placing import PadToAspect
from osteon.errors import Mismatch, TooFewCases
from osteon.learn.augmentation import KIM
from osteon.learn.batches import Augmentation, Batches, as_input, decode, generator_of
from osteon.learn.samplers import Balanced, OppositeClass, Sampler, Shuffled
from tests.make import a_radiograph

STILL = Augmentation(flip=0, shift=0, rotation_deg=0)


def some_batches(
    n: int = 10, size: int = 4, augmentation: Augmentation = STILL, side: tuple[int, int] = (8, 6)
) -> Batches:
    """Images of one grey value each, by which they are told apart; the target is its last bit."""
    grey = np.arange(n, dtype=np.uint8)
    pixels = np.broadcast_to(grey[:, None, None], (n, *side)).copy()
    return Batches(pixels, np.arange(n), (grey % 2).astype(np.float32), size, augmentation)


def shown(batches: Batches, epoch: int, seed: int = 0) -> list[int]:
    """The grey values of an epoch, in order."""
    return [round(float(v) * 255) for images, _ in batches.epoch(epoch, seed=seed) for v in images[:, 0, 4, 3]]


@given(n=st.integers(1, 60), size=st.integers(1, 20), epoch=st.integers(0, 5))
@settings(max_examples=40)
def test_an_epoch_shows_every_image_once_with_its_target(n: int, size: int, epoch: int) -> None:
    batches, seen, sizes = some_batches(n, size), [], []
    for images, target in batches.epoch(epoch, seed=3):
        grey = (images[:, 0, 4, 3] * 255).round().int()
        assert torch.equal(grey % 2, target.int())
        seen += grey.tolist()
        sizes.append(len(images))
    assert sorted(seen) == list(range(n))
    assert len(sizes) == len(batches) and max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_the_order_is_a_matter_of_seed_and_epoch_alone() -> None:
    batches = some_batches(40)
    assert shown(batches, 1) == shown(batches, 1)
    assert shown(batches, 0) != shown(batches, 1)
    assert shown(batches, 0, seed=0) != shown(batches, 0, seed=1)


def test_processes_share_a_batch_and_see_what_one_would() -> None:
    batches = some_batches(23, 6, Augmentation())
    alone = [images for images, _ in batches.epoch(2, seed=5)]
    parts = [list(batches.epoch(2, seed=5, share=(i, 3))) for i in range(3)]
    for number, whole in enumerate(alone):
        torch.testing.assert_close(torch.cat([part[number][0] for part in parts]), whole)


def test_a_flip_is_the_mirror_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 12), dtype=np.uint8)
    batches = Batches(pixels, np.array([0]), np.zeros(1, np.float32), 1, Augmentation(flip=1, shift=0, rotation_deg=0))
    (images, _) = next(batches.epoch(0, seed=0))
    torch.testing.assert_close(images, as_input(pixels).flip(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", [(64, 64), (96, 48)])
def test_moves_stay_within_what_was_said(side: tuple[int, int]) -> None:
    """A disc in the middle moves by the shift at most; a rotation leaves it and its roundness where they are."""
    yy, xx = np.mgrid[: side[0], : side[1]] + 0.5
    disc = (np.hypot(yy - side[0] / 2, xx - side[1] / 2) < 12).astype(np.uint8) * 255
    far = []
    for seed in range(30):
        turned = Augmentation(flip=0.5, shift=0, rotation_deg=45)
        batches = Batches(disc[None], np.array([0]), np.zeros(1, np.float32), 1, turned)
        (image, _) = next(batches.epoch(0, seed=seed))
        assert float((image[0, 0] - as_input(disc[None])[0, 0]).abs().mean()) < 0.01
        moved = Batches(disc[None], np.array([0]), np.zeros(1, np.float32), 1, Augmentation(0, 0.1, 0))
        (image, _) = next(moved.epoch(0, seed=seed))
        mass = image[0, 0].numpy()
        centre = np.array([(mass * yy).sum(), (mass * xx).sum()]) / mass.sum()
        far.append(np.abs(centre - np.array(side) / 2) / side)
    assert np.max(far) <= 0.1 + 1e-6
    assert np.max(far) > 0.07


def test_flips_of_both_axes_show_each_image_in_four_ways() -> None:
    n, corner = 400, np.zeros((9, 7), np.uint8)
    corner[0, 0] = 255
    pixels = np.broadcast_to(corner, (n, 9, 7))
    augmentation = Augmentation(flip=0.5, shift=0, rotation_deg=0, upend=0.5)
    batches = Batches(pixels, np.arange(n), np.zeros((n, 18), np.float32), 100, augmentation)
    shown = torch.cat([images for images, target in batches.epoch(0, seed=1) if target.shape == (100, 18)])
    ways = [torch.from_numpy(np.ascontiguousarray(way)) / 255 for way in (corner, corner[:, ::-1], corner[::-1])]
    ways.append(ways[0].flip(0, 1))
    counts = [sum(torch.equal(image[0], way) for image in shown) for way in ways]
    assert sum(counts) == n and min(counts) > 60  # 100 of each are expected
    parts = [list(batches.epoch(0, seed=1, share=(i, 3))) for i in range(3)]
    torch.testing.assert_close(torch.cat([part[0][0] for part in parts]), shown[:100])


def test_a_rotation_turns_by_no_more_than_its_angle() -> None:
    bar = np.zeros((80, 60), np.uint8)
    bar[:, 29:31] = 255
    angles = []
    for seed in range(30):
        batches = Batches(bar[None], np.array([0]), np.zeros(1, np.float32), 1, Augmentation(0, 0, 10))
        (image, _) = next(batches.epoch(0, seed=seed))
        x = (image[0, 0] * torch.arange(60)).sum(1)[[20, 60]] / image[0, 0].sum(1)[[20, 60]]
        angles.append(abs(float(torch.atan((x[1] - x[0]) / 40).rad2deg())))
    assert max(angles) <= 10.3 and max(angles) > 7


def test_the_digest_knows_images_and_targets() -> None:
    one = some_batches()
    assert one.digest() == some_batches().digest()
    other = some_batches()
    other.pixels[3, 2, 1] += 1
    assert other.digest() != one.digest()
    assert Batches(one.pixels, one.rows, 1 - one.target).digest() != one.digest()


def as_it_was(batches: Batches, epoch: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """An epoch as osteon made it before there were samplers, further augmentations and a thread, restated."""
    how, (height, width) = batches.augmentation, batches.pixels.shape[1:]
    generator = generator_of(seed, epoch)
    order = torch.randperm(len(batches.rows), generator=generator).numpy()
    made = []
    for batch in np.array_split(order, -(-len(order) // batches.size)):
        mirror, turn, across, down = torch.rand(4, len(batch), generator=generator)
        side = torch.where(mirror < how.flip, -1.0, 1.0)
        angle = torch.deg2rad((2 * turn - 1) * how.rotation_deg)
        ratio, x, y = height / width, 2 * how.shift * (2 * across - 1), 2 * how.shift * (2 * down - 1)
        top = torch.stack([side * angle.cos(), -ratio * angle.sin(), x], dim=1)
        moves = torch.stack([top, torch.stack([side * angle.sin() / ratio, angle.cos(), y], dim=1)], dim=1)
        images = as_input(batches.pixels[batches.rows[batch]])
        if how.upend:
            upended = torch.rand(len(batch), 1, 1, 1, generator=generator) < how.upend
            images = torch.where(upended, images.flip(-2), images)
        if how.shift or how.rotation_deg:
            grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
            images = functional.grid_sample(images, grid, align_corners=False)
        else:
            images = torch.where(moves[:, :1, :1, None] < 0, images.flip(-1), images)
        made.append((images, torch.from_numpy(batches.target[batch])))
    return made


@pytest.mark.parametrize("how", [Augmentation(), STILL, Augmentation(0.5, 0, 0, 0.5), Augmentation(0.3, 0, 20, 0.2)])
def test_runs_from_before_keep_their_bytes(how: Augmentation) -> None:
    batches = noise(21, how)
    for epoch in (0, 3):
        now = list(batches.epoch(epoch, seed=8))
        for (images, target), (wanted, of) in zip(now, as_it_was(batches, epoch, seed=8), strict=True):
            assert torch.equal(images, wanted) and torch.equal(target, of)


def noise(n: int, how: Augmentation, **options: Any) -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 16, 12), dtype=np.uint8)
    return Batches(pixels, np.arange(n), (np.arange(n) % 3 == 0).astype(np.float32), 6, how, **options)


@pytest.mark.parametrize("sampler", [Shuffled(), OppositeClass(), Balanced()])
def test_an_epoch_shows_what_the_sampler_says(sampler: Sampler) -> None:
    batches = replace(some_batches(30, 8), target=(np.arange(30) < 9).astype(np.float32), sampler=sampler)
    for epoch in range(3):
        order = batches.shown(epoch, seed=2)
        assert shown(batches, epoch, seed=2) == order.tolist()
        targets = torch.cat([target for _, target in batches.epoch(epoch, seed=2)])
        np.testing.assert_array_equal(targets, batches.target[order])
    assert len(batches) == (4 if sampler == Shuffled() else 3)  # 30 images, or 18
    parts = [list(batches.epoch(1, seed=2, share=(i, 2))) for i in range(2)]
    both = [torch.cat([part[k][1] for part in parts]) for k in range(len(batches))]
    assert [t.tolist() for t in both] == [target.tolist() for _, target in batches.epoch(1, seed=2)]


def test_what_a_sampler_cannot_draw_from_is_refused_before_training() -> None:
    batches = some_batches(6)
    with pytest.raises(TooFewCases, match="none of 6 training images is positive"):
        replace(batches, target=0 * batches.target, sampler=Balanced())
    with pytest.raises(Mismatch, match="2 columns"):
        replace(batches, target=np.zeros((6, 2), np.float32), sampler=OppositeClass())


def test_the_digest_knows_the_sampler() -> None:
    batches = some_batches()
    kinds = {replace(batches, sampler=sampler).digest() for sampler in (Shuffled(), OppositeClass(), Balanced())}
    assert len(kinds) == 3
    sha = hashlib.sha256(batches.target.tobytes() + batches.pixels.tobytes())
    assert batches.digest() == sha.hexdigest()  # as before there were samplers: old checkpoints are gone on from


def test_an_epoch_can_be_left_early_and_leaves_no_thread() -> None:
    before = threading.active_count()
    for _ in range(3):
        for number, _ in enumerate(noise(40, Augmentation()).epoch(0, seed=1, ahead=True)):
            if number == 2:
                break
    epoch = noise(40, Augmentation()).epoch(0, seed=1, ahead=True)
    next(epoch)
    epoch.close()
    assert threading.active_count() == before


def test_batches_that_a_thread_makes_ahead_are_the_same() -> None:
    batches = noise(40, Augmentation())
    for alone, ahead in zip(batches.epoch(1, seed=3), batches.epoch(1, seed=3, ahead=True), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, ahead, strict=True))


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_in_the_making_reaches_the_loop(ahead: bool) -> None:
    batches = replace(noise(12, Augmentation()), rows=np.arange(12) + 6)  # beyond the images
    with pytest.raises(IndexError):
        list(batches.epoch(0, seed=0, ahead=ahead))
    assert threading.active_count() == 1 or all("batches" not in thread.name for thread in threading.enumerate())


def test_images_of_several_ratios_come_at_one_size_once_padded(tmp_path: Path) -> None:
    paths = []
    for number, shape in enumerate([(90, 60), (60, 90), (200, 40), (75, 50)]):
        (fitted,) = PadToAspect(height=96, width=64)(a_radiograph(*shape, seed=number))
        paths.append(tmp_path / f"{number}.png")
        write_png(paths[-1], render(fitted))
    pixels = decode(paths, tmp_path / "cache")
    target = np.array([0, 1, 0, 1], np.float32)
    batches = Batches(pixels, np.arange(4), target, 2, KIM, Balanced())
    assert [images.shape for images, _ in batches.epoch(0, seed=0)] == [(2, 1, 96, 64)] * 2
