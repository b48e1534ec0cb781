"""Geometry once: steps compose an affine, a grey table and patches; `render` warps the full-size pixels one time.

Coordinates are (x, y) in pixels with the centre of the top left pixel at (0, 0), so that an image of width w spans
-0.5 to w - 0.5. A frame's matrix takes an output pixel centre to the source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.types import Cover, Frame, Limb, Look, Pixels, Radiograph

PROXY = 512
"""Longer side in pixels of the copy on which steps look."""

_WHOLE = 1e-6  # a window edge this close to a pixel edge lies on it
_SUBPIXEL = 4  # bits of a fraction of a pixel in the corners that OpenCV fills
_MUCH = 3  # an image that is turned and shrunk so many times is averaged in blocks of whole pixels
_LARGEST = 2**27  # pixels; a larger window (a long strip padded to a square) is not cut out at full size


def proxy_of(radiograph: Radiograph) -> Radiograph:
    """The radiograph with its proxy and with a frame; no-op if it has both."""
    if radiograph.proxy is not None and radiograph.frame is not None:
        return radiograph
    return replace(radiograph, proxy=proxy_pixels(radiograph), frame=frame_of(radiograph))


def proxy_pixels(radiograph: Radiograph) -> NDArray[np.uint8]:
    """Its proxy, (h, w) uint8 with both sides ≤ PROXY, made now if it has none.

    A proxy pixel is the mean of a block of k × k pixels, k being the least whole number that makes it small enough:
    whole blocks are six times as fast as any other area average. Up to k - 1 pixels at the right and lower edge that
    fill no block are not seen.
    """
    if radiograph.proxy is not None:
        return radiograph.proxy
    block = _block(radiograph)
    height, width = (max(1, side // block) for side in _size(radiograph.pixels))
    means = _resized(radiograph.pixels[: height * block, : width * block], (height, width))
    return looked_up(means, linear_grey(radiograph.white))


def frame_of(radiograph: Radiograph) -> Frame:
    """Its frame; before the first step the one that changes nothing but 16 to 8 bits."""
    if radiograph.frame is not None:
        return radiograph.frame
    return Frame(np.eye(2, 3), _size(radiograph.pixels), linear_grey(radiograph.white))


@lru_cache(maxsize=16)  # images have so many depths of bits
def linear_grey(white: int) -> NDArray[np.uint8]:
    """(white + 1,) uint8, not to be written to: the grey table that maps 0..white straight onto 0..255."""
    grey = np.round(np.arange(white + 1) * (255.0 / white)).astype(np.uint8)
    grey.flags.writeable = False
    return grey


def proxy_grey(radiograph: Radiograph) -> NDArray[np.uint8]:
    """(256,) uint8: the grey table of its frame, for the values of its proxy."""
    places = np.round(np.arange(256) * (radiograph.white / 255.0)).astype(int)
    return np.take(frame_of(radiograph).grey, places)


def looked_up(pixels: Pixels, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) uint8: the grey value of each pixel; the table's last one for what lies beyond the table."""
    if not pixels.size:  # OpenCV makes nothing of it
        return np.zeros(pixels.shape, np.uint8)
    words = 2 ** (8 * pixels.dtype.itemsize)
    if len(grey) < words:
        grey = np.r_[grey, np.full(words - len(grey), grey[-1])]
    # OpenCV takes no shorter table, but is several times as fast as NumPy.
    return np.asarray(cv2.LUT(pixels, grey[:words]), np.uint8)


def window(radiograph: Radiograph, *, top: int, left: int, height: int, width: int) -> Radiograph:
    """Crop or pad: the output becomes this window of the present output, in its pixels; what lies outside is black."""
    move = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return _reframed(radiograph, move, (height, width))


def scaled(radiograph: Radiograph, *, height: int, width: int) -> Radiograph:
    """Scale the present output to this size, edge upon edge."""
    return _reframed(radiograph, _scaling(frame_of(radiograph).size, (height, width)), (height, width))


def inverted(radiograph: Radiograph) -> Radiograph:
    """Show black what is shown white, and the reverse; what lies outside the source stays black.

    A limb that was found on the negative is forgotten.
    """
    frame = frame_of(radiograph)
    return replace(radiograph, frame=replace(frame, grey=255 - frame.grey), limb=None)


def turned(radiograph: Radiograph, degrees: float) -> Radiograph:
    """Turn the present output counter-clockwise, as shown, about its centre; it grows to hold its turned corners."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if degrees % 90 == 0:  # quarter turns are exact: the sine of 180° in floating point is not
        cosine, sine = float(round(cosine)), float(round(sine))
    height, width = frame_of(radiograph).size
    # Ceiling of a hair less: rounding errors must not add a line.
    new_width = math.ceil(abs(width * cosine) + abs(height * sine) - _WHOLE)
    new_height = math.ceil(abs(width * sine) + abs(height * cosine) - _WHOLE)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) - linear @ [(new_width - 1) / 2, (new_height - 1) / 2]
    return _reframed(radiograph, np.column_stack([linear, middle]), (new_height, new_width))


def covered(radiograph: Radiograph, covers: Sequence[Cover]) -> Radiograph:
    """Hide what lies under these patches, whose corners are in source pixels (see `to_source`)."""
    frame = frame_of(radiograph)
    return replace(radiograph, frame=replace(frame, covers=(*frame.covers, *covers)))


def as_filed(radiograph: Radiograph) -> Radiograph:
    """The whole source, uncovered, in the grey values of the present frame."""
    radiograph = proxy_of(radiograph)
    size, present = _size(radiograph.pixels), frame_of(radiograph)
    if present.size == size and not present.covers and np.array_equal(present.matrix, np.eye(2, 3)):
        return radiograph
    return replace(radiograph, frame=Frame(np.eye(2, 3), size, present.grey))


def with_limb(radiograph: Radiograph, mask: NDArray[np.bool_], seen_by: Radiograph) -> Radiograph:
    """The radiograph, carrying a limb that was found on what `seen` shows of another frame of it.

    Args:
        radiograph: to carry it.
        mask: (h, w), the limb, edge upon edge with what is seen.
        seen_by: the radiograph in the frame in which it was looked at.
    """
    matrix = _after(frame_of(seen_by).matrix, _scaling(frame_of(seen_by).size, (mask.shape[0], mask.shape[1])))
    return replace(radiograph, limb=Limb(mask, matrix))


def with_look(radiograph: Radiograph, image: NDArray[np.uint8], seen_by: Radiograph) -> Radiograph:
    """The radiograph, carrying what `seen` shows in the frame of another, for steps that look at that very frame."""
    return replace(radiograph, look=Look(image, frame_of(seen_by)))


def seen_limb(radiograph: Radiograph, longest: int) -> NDArray[np.bool_] | None:
    """The limb that the radiograph carries, as a mask of the size of `seen`; None if it carries none."""
    if radiograph.limb is None:
        return None
    back = np.asarray(cv2.invertAffineTransform(radiograph.limb.matrix), np.float64)
    height, width = _within(frame_of(radiograph).size, longest)
    matrix, flags = _after(back, _seen_matrix(radiograph, longest)), cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(radiograph.limb.mask.view(np.uint8), matrix, (width, height), None, flags)
    return np.asarray(shown).view(bool)


def to_source(radiograph: Radiograph, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points (x, y) of what `seen` shows, in its pixels, as source pixels."""
    matrix = _seen_matrix(radiograph, PROXY)
    moved: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def noted(radiograph: Radiograph, note: str) -> Radiograph:
    """The radiograph with one more sentence on what was done to it."""
    return replace(radiograph, notes=(*radiograph.notes, note))


def render(radiograph: Radiograph) -> NDArray[np.uint8]:
    """The radiograph as its frame places it, from the full-size pixels in one warp.

    Where an upright frame cuts the source at whole pixels, the window is resized by area averaging (or linearly, to
    enlarge), and not resampled at all at scale one. Any other frame, or a window of more than 2²⁷ pixels, is first
    area-averaged to the scale of the output (if it shrinks threefold or more, in blocks of a whole number of pixels a
    side, the largest that is no larger than that scale) and then interpolated linearly. Grey values are looked up after
    the warp, at the depth of the source.

    Returns:
        (height, width) uint8 of the frame's size; 0 is black, and so is what lies outside the source.
    """
    frame = frame_of(radiograph)
    shown = _shown(radiograph.pixels, frame.matrix, frame.size, frame.grey)
    return _painted(shown, frame.matrix, frame)


def seen(radiograph: Radiograph, longest: int = PROXY) -> NDArray[np.uint8]:
    """What `render` would show, from the proxy and at no more than `longest` pixels a side: what steps look at.

    Returns:
        (h, w) uint8, the frame's output shrunk to fit, never enlarged.
    """
    frame, look = frame_of(radiograph), radiograph.look
    if look is not None and look.frame is frame and longest == PROXY:
        return look.image
    proxy = proxy_pixels(radiograph)
    small = _within(frame.size, longest)
    to_proxy = _scaling((1, 1), (_block(radiograph), _block(radiograph)))
    matrix = _seen_matrix(radiograph, longest)
    shown = _shown(proxy, _after(to_proxy, matrix), small, proxy_grey(radiograph))
    return _painted(shown, matrix, frame)


def _seen_matrix(radiograph: Radiograph, longest: int) -> NDArray[np.float64]:
    """The affine from the pixels of what `seen` shows to source pixels."""
    frame = frame_of(radiograph)
    return _after(frame.matrix, _scaling(frame.size, _within(frame.size, longest)))


def _painted(shown: NDArray[np.uint8], matrix: NDArray[np.float64], frame: Frame) -> NDArray[np.uint8]:
    """The image, whose pixels `matrix` takes to the source, with the frame's covers."""
    if not frame.covers:
        return shown
    back = np.linalg.inv(matrix[:, :2])
    painted = np.ascontiguousarray(shown).copy()
    for cover in frame.covers:
        corners = (cover.points - matrix[:, 2]) @ back.T
        fixed = np.round(corners * 2**_SUBPIXEL).astype(np.int32)
        cv2.fillPoly(painted, [fixed], int(frame.grey[cover.value]), cv2.LINE_8, _SUBPIXEL)
    return painted


def _block(radiograph: Radiograph) -> int:
    return math.ceil(max(_size(radiograph.pixels)) / PROXY)


def _reframed(radiograph: Radiograph, to_present: NDArray[np.float64], size: tuple[int, int]) -> Radiograph:
    frame = frame_of(radiograph)
    return replace(radiograph, frame=replace(frame, matrix=_after(frame.matrix, to_present), size=size))


def _shown(
    pixels: Pixels, matrix: NDArray[np.float64], size: tuple[int, int], grey: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    # Outside the source lies the value that is shown darkest, so that padding is black after an inversion too.
    fill = int(np.argmin(grey))
    box = _whole_window(matrix, size)
    if box and (box[2] - box[0]) * (box[3] - box[1]) > _LARGEST:
        box = None
    warped = _resized(_cut(pixels, box, fill), size) if box else _turned(pixels, matrix, size, fill)
    return looked_up(warped, grey)


def _whole_window(matrix: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) in source pixels if the matrix is an upright scaling of whole pixels, else None."""
    (scale_x, shear_x, x), (shear_y, scale_y, y) = matrix
    if max(abs(shear_x), abs(shear_y)) > _WHOLE / max(size) or min(scale_x, scale_y) <= 0:
        return None
    top, left = y + 0.5 - scale_y / 2, x + 0.5 - scale_x / 2
    edges = np.array([top, left, top + scale_y * size[0], left + scale_x * size[1]])
    whole = np.round(edges)
    if np.abs(edges - whole).max() > _WHOLE * max(1.0, np.abs(edges).max()):
        return None
    top, left, bottom, right = (int(edge) for edge in whole)
    return top, left, bottom, right


def _cut(pixels: Pixels, box: tuple[int, int, int, int], fill: int) -> Pixels:
    """The window of the pixels, padded with `fill` where it reaches beyond them."""
    (top, left, bottom, right), (height, width) = box, _size(pixels)
    if bottom <= 0 or right <= 0 or top >= height or left >= width:
        return np.full((bottom - top, right - left), fill, pixels.dtype)
    inside = pixels[max(top, 0) : bottom, max(left, 0) : right]
    beyond = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    if not any(beyond):
        return inside
    # Here and below: OpenCV keeps the dtype, which its hints do not say.
    return cast(Pixels, cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_CONSTANT, value=fill))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The pixels at this size, edge upon edge: averaged by area to shrink, linear to enlarge, untouched if equal."""
    (height, width), (new_height, new_width) = _size(pixels), size
    if (height, width) == size:
        return pixels
    shrinks = new_height <= height and new_width <= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Pixels, cv2.resize(pixels, (new_width, new_height), interpolation=method))


def _turned(pixels: Pixels, matrix: NDArray[np.float64], size: tuple[int, int], fill: int) -> Pixels:
    """The warp for any affine: area-average to the scale of the output, then interpolate linearly."""
    shrink = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    pixels, matrix = _about(pixels, matrix, size, math.ceil(2 * shrink))
    height, width = _size(pixels)
    if shrink >= _MUCH:
        # Means of whole blocks are quick, and leave less than a third of the shrinking to the interpolation.
        block = int(shrink)
        height, width = max(1, height // block), max(1, width // block)
        small = _resized(pixels[: height * block, : width * block], (height, width))
        to_small = _after(_scaling((1, 1), (block, block)), matrix)
    else:
        near = max(1, round(height / max(shrink, 1))), max(1, round(width / max(shrink, 1)))
        small = _resized(pixels, near)
        to_small = _after(_scaling(near, (height, width)), matrix)
    flags, outside = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_CONSTANT
    return cast(Pixels, cv2.warpAffine(small, to_small, size[::-1], None, flags, outside, fill))


def _about(
    pixels: Pixels, matrix: NDArray[np.float64], size: tuple[int, int], margin: int
) -> tuple[Pixels, NDArray[np.float64]]:
    """What of the pixels an output of this size shows, with a margin, and the matrix that takes the output there."""
    ends = np.array([(x, y, 1) for x in (-0.5, size[1] - 0.5) for y in (-0.5, size[0] - 0.5)]) @ matrix.T
    across, down = ends.T.tolist()
    (left, right), (top, bottom) = (
        _within_side(math.floor(min(along)) - margin, math.ceil(max(along)) + margin, side)
        for along, side in ((across, pixels.shape[1]), (down, pixels.shape[0]))
    )
    return pixels[top:bottom, left:right], _after(np.array([[1.0, 0, -left], [0, 1.0, -top]]), matrix)


def _within_side(first: int, last: int, side: int) -> tuple[int, int]:
    """What of the pixels from first to last lies on a side so long, at least one: first, and one past the last."""
    first = min(max(first, 0), side - 1)
    return first, max(min(last + 1, side), first + 1)


def _after(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine that applies `inner` first and `outer` then."""
    matrix: NDArray[np.float64] = outer[:, :2] @ inner
    matrix[:, 2] += outer[:, 2]
    return matrix


def _scaling(to_size: tuple[int, int], from_size: tuple[int, int]) -> NDArray[np.float64]:
    """The affine from pixel centres of an image of `from_size` to those of the same image at `to_size`."""
    y, x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The size shrunk, in proportion, so that its longer side is at most `longest`."""
    height, width = size
    shrink = min(1.0, longest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _size(pixels: Pixels) -> tuple[int, int]:
    return int(pixels.shape[0]), int(pixels.shape[1])
