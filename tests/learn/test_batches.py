"""Batches: every image once an epoch, the same again for the same seed, moved as far as said and no farther."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import BadTable, NotFound, UnreadableImage
from osteon.learn.batches import Augmentation, Batches, as_input, decode

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


def test_decoding_gives_the_pixels_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 9, 7), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, image in zip(paths, pixels, strict=True):
        cv2.imwrite(str(path), image)
    np.testing.assert_array_equal(decode(paths, tmp_path / "work"), pixels)
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["pixels.npy"]


def test_what_cannot_be_decoded_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    whole, cut, colour, small = (tmp_path / f"{name}.png" for name in ("whole", "cut", "colour", "small"))
    cv2.imwrite(str(whole), noise)
    cut.write_bytes(whole.read_bytes()[:900])
    cv2.imwrite(str(colour), np.dstack([noise, noise // 2, noise]))
    cv2.imwrite(str(small), noise[:30])
    with pytest.raises(UnreadableImage, match="cut"):
        decode([whole, cut], tmp_path / "work")
    with pytest.raises(UnreadableImage, match="grey"):
        decode([whole, colour], tmp_path / "work")
    with pytest.raises(BadTable, match=r"30×40 pixels and whole\.png has 40×40"):
        decode([whole, small], tmp_path / "work")
    with pytest.raises(NotFound):
        decode([whole, tmp_path / "none.png"], tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())


def test_impossible_augmentation_is_refused_at_birth() -> None:
    with pytest.raises(ValueError, match="flip and upend lie in"):
        Augmentation(flip=2)
