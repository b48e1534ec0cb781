from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.types import Cover, Frame, Radiograph
from tests.make import a_radiograph


def smooth(height: int, width: int, white: int = 255) -> Radiograph:
    """A gentle hill and slope: two correct ways of resampling it hardly differ."""
    y, x = np.mgrid[0:height, 0:width]
    hill = np.exp(-(((y - 0.4 * height) / (0.3 * height)) ** 2) - ((x - 0.6 * width) / (0.35 * width)) ** 2)
    values = white * (0.15 + 0.5 * hill + 0.3 * x / width)
    return Radiograph(values.astype(np.uint8 if white < 256 else np.uint16), white)


def by_definition(radiograph: Radiograph, samples: int = 8) -> NDArray[np.float64]:
    """Each output pixel as the mean of many points of its own square, each looked up in the nearest source pixel."""
    placed = frame.frame_of(radiograph)
    height, width = radiograph.pixels.shape
    grey = placed.grey.astype(float)
    out = np.zeros(placed.size)
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    for row, column in np.ndindex(*placed.size):
        x, y = np.meshgrid(column + offsets, row + offsets)
        source = placed.matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        at_x, at_y = np.floor(source + 0.5).astype(int)
        inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
        values = np.full(x.size, grey.min())
        values[inside] = grey[radiograph.pixels[at_y[inside], at_x[inside]]]
        out[row, column] = values.mean()
    return out


def turned(radiograph: Radiograph, *, degrees: float, scale: float, size: tuple[int, int]) -> Radiograph:
    """The radiograph turned about its centre; `scale` source pixels per output pixel."""
    height, width = radiograph.pixels.shape
    cosine, sine = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    linear = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) - linear @ [(size[1] - 1) / 2, (size[0] - 1) / 2]
    return replace(
        radiograph, frame=Frame(np.column_stack([linear, middle]), size, frame.linear_grey(radiograph.white))
    )


@settings(max_examples=40)
@given(data=st.data())
def test_windows_and_scalings_are_area_averages(data: st.DataObject) -> None:
    size = st.integers(32, 60)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    noise = rng.integers(0, 256, (data.draw(size), data.draw(size))).astype(np.uint8)
    image = Radiograph(noise, 255)
    height, width = 4 * data.draw(st.integers(2, 20)), 4 * data.draw(st.integers(2, 20))
    cut = frame.window(
        image, top=data.draw(st.integers(-9, 40)), left=data.draw(st.integers(-70, 40)), height=height, width=width
    )
    small = frame.scaled(cut, height=height // 4, width=width // 2)
    # 8 points a side hit every source pixel of a 4 × 2 block equally often: the definition is exact here.
    assert np.abs(frame.render(small) - by_definition(small)).max() <= 0.51


@pytest.mark.parametrize("size", [(21, 30), (40, 17), (33, 33)])
def test_shrinking_by_any_factor_weighs_pixels_by_their_area(size: tuple[int, int]) -> None:
    image = Radiograph(np.random.default_rng(1).integers(0, 256, (47, 61)).astype(np.uint8), 255)
    got = frame.render(frame.scaled(image, height=size[0], width=size[1]))

    def weights(new: int, old: int) -> NDArray[np.float64]:
        edges = np.arange(new + 1) * old / new
        overlap = np.minimum(edges[1:, None], np.arange(1, old + 1)) - np.maximum(edges[:-1, None], np.arange(old))
        return np.clip(overlap, 0, None) * new / old

    expected = weights(size[0], 47) @ image.pixels @ weights(size[1], 61).T
    assert np.abs(got - expected).max() <= 0.51


@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0, -135.0])
@pytest.mark.parametrize("scale", [0.6, 1.0, 2.7])
def test_any_affine_agrees_with_the_definition_up_to_interpolation(degrees: float, scale: float) -> None:
    image = turned(smooth(90, 70), degrees=degrees, scale=scale, size=(24, 20))
    difference = np.abs(frame.render(image) - by_definition(image))
    inside = by_definition(replace(image, pixels=np.full_like(image.pixels, 255))) > 254
    assert difference[inside].max() < 2.5
    assert difference.mean() < 1.5


@pytest.mark.parametrize("size", [(300, 260), (301, 261)])
@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_a_strong_shrink_agrees_with_the_definition(size: tuple[int, int], degrees: float) -> None:
    image = smooth(*size, white=4095)
    placed = turned(image, degrees=degrees, scale=5.3, size=(30, 26)) if degrees else image
    placed = placed if degrees else frame.scaled(image, height=57, width=49)
    difference = frame.render(placed) - by_definition(placed)
    assert np.abs(difference).max() < 1.2
    assert abs(difference.mean()) < 0.2


def test_turning_by_ninety_degrees_moves_every_pixel_to_its_place() -> None:
    image = Radiograph(np.random.default_rng(0).integers(0, 256, (40, 33)).astype(np.uint8), 255)
    got = frame.render(turned(image, degrees=90, scale=1, size=(33, 40)))
    assert (got == np.rot90(image.pixels, 1)).all()


def test_an_unplaced_image_is_shown_pixel_for_pixel() -> None:
    image = a_radiograph(57, 41)
    assert (frame.render(image) == image.pixels).all()
    deep = a_radiograph(57, 41, bits=12)
    assert (frame.render(deep) == np.round(deep.pixels * (255 / 4095))).all()


def test_crops_of_crops_are_the_crop_and_padding_is_black_under_any_grey_table() -> None:
    image = a_radiograph(50, 60)
    inner = frame.window(image, top=5, left=7, height=30, width=40)
    again = frame.window(inner, top=2, left=-9, height=31, width=20)
    # Column 0 of the inner window is column 7 of the image: the window begins 2 columns before the image.
    assert (frame.render(again)[:, 2:] == image.pixels[7:38, 0:18]).all()
    assert not frame.render(again)[:, :2].any()
    negative = frame.render(frame.inverted(again))
    assert (negative[:, 2:] == 255 - image.pixels[7:38, 0:18]).all()
    assert not negative[:, :2].any()


def test_a_window_outside_the_image_is_black() -> None:
    away = frame.window(a_radiograph(40, 40), top=100, left=0, height=10, width=12)
    assert frame.render(away).shape == (10, 12)
    assert not frame.render(away).any()


def test_composed_geometry_is_resampled_once() -> None:
    image = Radiograph(np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16), 4095)
    there = frame.scaled(image, height=16, width=12)
    back = frame.scaled(there, height=64, width=48)
    assert (frame.render(back) == frame.render(image)).all()


def test_steps_see_at_a_glance_what_render_will_show() -> None:
    image = smooth(900, 700, white=4095)
    placed = frame.scaled(
        frame.inverted(frame.window(image, top=-100, left=50, height=1000, width=500)), height=800, width=400
    )
    glance = frame.seen(placed)
    assert glance.shape == (512, 256)
    shrunk = frame.render(frame.scaled(placed, height=512, width=256))
    assert np.abs(glance.astype(int) - shrunk).mean() < 1.0


def test_the_proxy_holds_the_means_of_blocks_and_is_made_once() -> None:
    image = smooth(1003, 801, white=65535)
    with_proxy = frame.proxy_of(image)
    assert with_proxy.proxy is not None
    blocks = image.pixels[:1002, :800].reshape(501, 2, 400, 2).mean(axis=(1, 3))
    assert np.abs(with_proxy.proxy - blocks / 257).max() < 0.51
    assert frame.proxy_of(with_proxy) is with_proxy


@pytest.mark.parametrize("shape", [(100, 80), (513, 300), (32, 5000), (2500, 2048)])
def test_the_proxy_is_never_larger_than_it_may_be(shape: tuple[int, int]) -> None:
    proxy = frame.proxy_of(Radiograph(np.zeros(shape, np.uint8), 255)).proxy
    assert proxy is not None
    assert max(proxy.shape) <= frame.PROXY


def test_a_value_above_white_is_shown_white() -> None:
    image = Radiograph(np.full((40, 40), 5000, np.uint16), 4095)
    assert (frame.render(image) == 255).all()


@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, 270.0, -90.0])
def test_quarter_turns_move_whole_pixels_counter_clockwise(degrees: float) -> None:
    image = Radiograph(np.random.default_rng(3).integers(0, 256, (40, 33)).astype(np.uint8), 255)
    shown = frame.render(frame.turned(image, degrees))
    assert np.array_equal(shown, np.rot90(image.pixels, round(degrees / 90)))


@settings(max_examples=25)
@given(degrees=st.floats(-180, 180))
def test_a_turn_keeps_every_corner_and_agrees_with_the_definition(degrees: float) -> None:
    image = smooth(40, 56)
    placed = frame.turned(image, degrees)
    assert np.abs(frame.render(placed).astype(float) - by_definition(placed, 4))[2:-2, 2:-2].mean() < 3
    bright = Radiograph(np.full((40, 56), 255, np.uint8), 255)
    assert abs(float(frame.render(frame.turned(bright, degrees)).sum()) / 255 - 40 * 56) < 100


@pytest.mark.parametrize("size", [(700, 900), (60, 48)])
def test_a_cover_hides_its_polygon_alone_however_the_image_is_placed_afterwards(size: tuple[int, int]) -> None:
    height, width = size
    image = Radiograph(np.full(size, 200, np.uint8), 255)
    corners = np.array([[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5]]) * [width, height]
    hidden = frame.covered(image, [Cover(corners, 30)])
    for placed, dark in ((frame.render(hidden), 30), (frame.render(frame.inverted(hidden)), 225)):
        rows, columns = np.nonzero(placed == dark)
        # A pixel that the outline touches may belong to either side.
        assert abs(len(rows) - height * width / 16) <= (height + width) / 2
        assert (rows.min() / height, columns.max() / width) == pytest.approx((0.25, 0.5), abs=0.03)
    turned_over = frame.render(frame.turned(hidden, 180))
    assert np.abs(turned_over.astype(int) - np.rot90(frame.render(hidden), 2)).mean() < 3
    assert (frame.seen(hidden) == 30).mean() == pytest.approx(1 / 16, rel=0.2)


def test_points_of_what_is_seen_are_found_in_the_source() -> None:
    pixels = np.zeros((1500, 1000), np.uint8)
    pixels[900:930, 300:330] = 255
    cut = frame.window(Radiograph(pixels, 255), top=600, left=100, height=600, width=700)
    y, x = np.argwhere(frame.seen(cut) > 200).mean(axis=0)
    assert frame.to_source(cut, np.array([[x, y]]))[0] == pytest.approx([314.5, 914.5], abs=2)


@given(degrees=st.floats(-180, 180), top=st.integers(-20, 60), left=st.integers(-20, 60))
@settings(max_examples=30)
def test_a_limb_that_was_found_moves_with_the_image(degrees: float, top: int, left: int) -> None:
    pixels = np.zeros((160, 120), np.uint8)
    pixels[30:110, 40:90] = 255
    image = frame.proxy_of(Radiograph(pixels, 255))
    image = frame.with_limb(image, pixels[::2, ::2] > 0, image)
    moved = frame.window(frame.turned(image, degrees), top=top, left=left, height=100, width=90)
    mask = frame.seen_limb(moved, 100)
    assert mask is not None
    # Up to the edge of the mask, whose pixels are two wide, the limb lies where its white is shown.
    assert np.mean(mask == (frame.seen(moved, 100) > 127)) > 0.96


def test_a_limb_found_on_the_negative_is_forgotten() -> None:
    image = a_radiograph(64, 48)
    found = frame.with_limb(image, np.ones((64, 48), bool), image)
    assert frame.seen_limb(image, 64) is None
    assert frame.seen_limb(found, 64) is not None
    assert frame.seen_limb(frame.inverted(found), 64) is None


def test_a_plate_as_filed_is_the_whole_source_in_its_present_grey_values() -> None:
    whole = smooth(600, 400, 4095)
    placed = frame.inverted(frame.window(whole, top=40, left=50, height=300, width=200))
    patch = Cover(np.array([(60.0, 60.0), (90.0, 60.0), (90.0, 90.0)]), 0)
    plate = frame.as_filed(frame.covered(placed, [patch]))
    assert (frame.render(plate) == 255 - frame.render(whole)).all()


def test_a_plate_that_lies_as_filed_stays_what_it_is() -> None:
    plate = frame.proxy_of(smooth(600, 400, 4095))
    assert frame.as_filed(plate) is plate


def test_what_was_seen_is_carried_as_long_as_the_frame_stays() -> None:
    plain = frame.proxy_of(smooth(900, 700, 4095))
    carrying = frame.with_look(plain, frame.seen(plain), plain)
    assert frame.seen(carrying) is frame.seen(carrying)
    assert frame.seen(frame.noted(carrying, "told")) is frame.seen(carrying)
    patch = Cover(np.array([(60.0, 60.0), (90.0, 60.0), (90.0, 90.0)]), 4095)
    for change in (
        lambda image: image,
        frame.inverted,
        lambda image: frame.window(image, top=40, left=50, height=300, width=200),
        lambda image: frame.turned(image, 12),
        lambda image: frame.covered(image, [patch]),
    ):
        for longest in (frame.PROXY, 256):
            assert (frame.seen(change(carrying), longest) == frame.seen(change(plain), longest)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("length", [1, 40, 256, 5000, 65536])
def test_grey_values_are_looked_up_and_those_beyond_the_table_are_its_last(dtype: type, length: int) -> None:
    rng = np.random.default_rng(length)
    grey = rng.integers(0, 256, length).astype(np.uint8)
    pixels = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), (37, 53)).astype(dtype)
    assert (frame.looked_up(pixels[2:, 5:], grey) == grey[np.minimum(pixels[2:, 5:].astype(int), length - 1)]).all()
    assert frame.looked_up(pixels[:, :0], grey).shape == (37, 0)


def test_a_turned_window_shows_what_it_shows_of_the_whole() -> None:
    turned_one = frame.scaled(frame.turned(smooth(900, 700, 4095), 20), height=330, width=270)
    whole = frame.render(turned_one)
    part = frame.render(frame.window(turned_one, top=100, left=80, height=60, width=90))
    assert np.abs(part.astype(int) - whole[100:160, 80:170]).max() <= 1
