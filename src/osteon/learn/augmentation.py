"""How far a training image is moved each time it is shown: a value says how far, one draw how, one resampling does it.

What is off draws no random number, so a run without it keeps its bytes when an augmentation learns something new.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far a training image is moved each time it is shown; what leaves the frame is lost, what enters is black.

    Attributes:
        flip: probability of exchanging left and right.
        shift: largest shift, as a share of the side.
        rotation_deg: largest rotation.
        upend: probability of exchanging top and bottom.
        crop: least share of the sides that is kept and enlarged to the whole frame; 1 crops nothing.
        shear_deg: largest angle by which upright lines lean; level lines stay level.
        zoom: largest change of scale, as a share, of height and width each for itself.
        contrast: largest change, as a share, of the distance from mid-grey; what leaves 0..1 is cut off.
        invert: probability of exchanging black and white, of what has entered the frame too.
    """

    flip: float = 0.5
    shift: float = 0.04
    rotation_deg: float = 5.0
    upend: float = 0.0
    crop: float = 1.0
    shear_deg: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    invert: float = 0.0

    def __post_init__(self) -> None:
        probabilities = (self.flip, self.upend, self.invert, self.contrast)
        if not (all(0 <= p <= 1 for p in probabilities) and 0 <= self.shift < 1 and 0 <= self.rotation_deg <= 180):
            raise ValueError(
                f"flip, upend, invert and contrast lie in 0..1, shift in 0..1 and rotation_deg in 0..180, not {self}"
            )
        if not (0 < self.crop <= 1 and 0 <= self.shear_deg <= 60 and 0 <= self.zoom < 1):
            raise ValueError(f"crop lies in 0..1 without 0, shear_deg in 0..60 and zoom in 0..1, not {self}")

    @property
    def resamples(self) -> bool:
        """Whether pixels come to lie between pixels; flips alone are exact."""
        return bool(self.shift or self.rotation_deg or self.crop < 1 or self.shear_deg or self.zoom)


SEED_DECID = Augmentation(flip=0.5, shift=0.0, rotation_deg=0.0, crop=0.9)
"""What de Cid 2021, chapter 4.4, does to every training image. Its experiment with inversion adds `invert=0.5`."""

KIM = Augmentation(flip=0.5, shift=0.15, rotation_deg=25.0, shear_deg=10.0, zoom=0.15)
"""The ranges of Kim and MacKinnon 2018, either way, as Keras draws them. The study wrote copies: `learn.copies`."""


@dataclass(frozen=True, eq=False)
class Moves:
    """What was drawn for n images.

    Attributes:
        affine: (n, 2, 3) from positions in the moved image to those in the given one, -1 to 1 over an image (x, y).
        upended: (n,) whether top and bottom were exchanged before; None if none were.
        contrast: (n,) factor of the distance from mid-grey; None if all keep theirs.
        inverted: (n,) whether black and white are exchanged after; None if none are.
    """

    affine: Tensor
    upended: Tensor | None
    contrast: Tensor | None
    inverted: Tensor | None

    def of(self, places: Tensor) -> Moves:
        """Those of the images at `places` (m,)."""
        rest = (None if drawn is None else drawn[places] for drawn in (self.upended, self.contrast, self.inverted))
        return Moves(self.affine[places], *rest)


def draw(count: int, augmentation: Augmentation, shape: tuple[int, int], generator: torch.Generator) -> Moves:
    """What is done to `count` images of `shape` (h, w).

    The options draw one after the other, and all but the oldest three only if they are on.
    """
    how = augmentation
    affine = _placed(count, how, shape, generator)
    upended = torch.rand(count, generator=generator) < how.upend if how.upend else None
    if how.shear_deg:
        affine = _composed(affine, _sheared(count, how, shape, generator))
    if how.zoom:
        affine = _composed(affine, _zoomed(count, how, generator))
    if how.crop < 1:
        affine = _composed(affine, _cropped(count, how, generator))
    contrast = 1 + how.contrast * (2 * torch.rand(count, generator=generator) - 1) if how.contrast else None
    inverted = torch.rand(count, generator=generator) < how.invert if how.invert else None
    return Moves(affine, upended, contrast, inverted)


def move(images: Tensor, moves: Moves, augmentation: Augmentation) -> Tensor:
    """Images (n, 1, h, w), float32 in 0..1, as they were drawn to be: all that moves them in one resampling."""
    if moves.upended is not None:
        images = torch.where(_each(moves.upended), images.flip(-2), images)
    if augmentation.resamples:
        grid = functional.affine_grid(moves.affine, list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    else:
        # Nothing but flips, told by the sign of the first number: exact, and far quicker than resampling.
        images = torch.where(_each(moves.affine[:, 0, 0] < 0), images.flip(-1), images)
    if moves.contrast is not None:
        images = ((images - 0.5) * _each(moves.contrast) + 0.5).clamp(0, 1)
    if moves.inverted is not None:
        images = torch.where(_each(moves.inverted), 1 - images, images)
    return images


def _placed(count: int, how: Augmentation, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(count, 2, 3): mirrored, turned and shifted."""
    mirror, turn, across, down = torch.rand(4, count, generator=generator)
    side = torch.where(mirror < how.flip, -1.0, 1.0)
    angle = torch.deg2rad((2 * turn - 1) * how.rotation_deg)
    # The two axes have different units unless the image is square; without the ratio a rotation would shear it.
    ratio = shape[0] / shape[1]
    # A side is 2 long in these units, so a shift by a share of the side is twice that share.
    x, y = 2 * how.shift * (2 * across - 1), 2 * how.shift * (2 * down - 1)
    top = torch.stack([side * angle.cos(), -ratio * angle.sin(), x], dim=1)
    bottom = torch.stack([side * angle.sin() / ratio, angle.cos(), y], dim=1)
    return torch.stack([top, bottom], dim=1)


def _sheared(count: int, how: Augmentation, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    lean = torch.deg2rad((2 * torch.rand(count, generator=generator) - 1) * how.shear_deg)
    sheared = _unmoved(count)
    sheared[:, 0, 1] = lean.tan() * shape[0] / shape[1]
    return sheared


def _zoomed(count: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    zoomed = _unmoved(count)
    zoomed[:, 0, 0], zoomed[:, 1, 1] = 1 + how.zoom * (2 * torch.rand(2, count, generator=generator) - 1)
    return zoomed


def _cropped(count: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """The part that is kept lies anywhere in the frame, and nowhere beyond it."""
    lost, across, down = torch.rand(3, count, generator=generator)
    room = lost * (1 - how.crop)
    cropped = _unmoved(count)
    cropped[:, 0, 0] = cropped[:, 1, 1] = 1 - room
    cropped[:, 0, 2], cropped[:, 1, 2] = room * (2 * across - 1), room * (2 * down - 1)
    return cropped


def _unmoved(count: int) -> Tensor:
    return torch.eye(2, 3).repeat(count, 1, 1)


def _composed(outer: Tensor, inner: Tensor) -> Tensor:
    """(n, 2, 3): a position goes through `inner`, and what comes of it through `outer`."""
    linear, shift = outer[:, :, :2], outer[:, :, 2:]
    return torch.cat([linear @ inner[:, :, :2], linear @ inner[:, :, 2:] + shift], dim=2)


def _each(values: Tensor) -> Tensor:
    """(n,) → (n, 1, 1, 1), one for each image."""
    return values[:, None, None, None]
