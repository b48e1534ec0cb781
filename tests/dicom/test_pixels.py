"""The grey-value chain against the formulas of PS3.3 C.11, written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.dicom.pixels import Chain, Encoding, Lut, Rescale, Window, check_size, present
from osteon.errors import UnreadableImage


def by_the_standard(x: float, centre: float, width: float, function: str, top: int) -> float:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.2 (LINEAR_EXACT), C.11.2.1.3.1 (SIGMOID), output range 0..top."""
    if function == "SIGMOID":
        return top / (1 + math.exp(min(-4 * (x - centre) / width, 700)))
    if function == "LINEAR_EXACT":
        if x <= centre - width / 2:
            return 0
        if x > centre + width / 2:
            return top
        return ((x - centre) / width + 0.5) * top
    if x <= centre - 0.5 - (width - 1) / 2:
        return 0
    if x > centre - 0.5 + (width - 1) / 2:
        return top
    return ((x - (centre - 0.5)) / (width - 1) + 0.5) * top


def an_encoding(*, allocated: int = 16, stored: int = 12, high: int | None = None, signed: bool = False) -> Encoding:
    return Encoding(40, 40, allocated, stored, stored - 1 if high is None else high, signed, "MONOCHROME2")


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (511, 1024), (100.5, 1), (-20, 7.5), (300, 200), (1, 2)])
def test_a_window_is_the_formula_of_the_standard(function: str, centre: float, width: float) -> None:
    x = np.arange(-100, 4100, 7, dtype=float)
    expected = [by_the_standard(v, centre, width, function, 1) for v in x]
    np.testing.assert_allclose(Window(centre, width, function).share(x), expected, atol=1e-12)


_numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    centre=_numbers,
    width=st.floats(1, 1e6),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.floats(1e-3, 1e3),
    intercept=_numbers,
    inverted=st.booleans(),
    stored=st.integers(1, 16),
    signed=st.booleans(),
)
def test_every_window_keeps_or_turns_the_order_and_the_range(
    centre: float,
    width: float,
    function: str,
    slope: float,
    intercept: float,
    inverted: bool,
    stored: int,
    signed: bool,
) -> None:
    encoding = an_encoding(stored=stored, signed=signed)
    values = np.arange(encoding.lowest, encoding.highest + 1, dtype=np.int32)
    chain = Chain(Rescale(slope, intercept), Window(centre, width, function), inverted)
    white = 2**stored - 1
    table = chain.table(values, np.ones(len(values), bool), white).astype(int)
    assert table.min() >= 0
    assert table.max() <= white
    steps = np.diff(table)
    assert (steps <= 0).all() if inverted else (steps >= 0).all()
    upright = Chain(chain.modality, chain.voi, inverted=False).table(values, np.ones(len(values), bool), white)
    assert (table == (white - upright.astype(int) if inverted else upright)).all()


@pytest.mark.parametrize("width", [0, -1, 0.5])
def test_a_linear_window_narrower_than_one_is_no_window(width: float) -> None:
    with pytest.raises(ValueError, match="no meaning"):
        Window(10, width)


def test_extreme_windows_do_not_overflow() -> None:
    x = np.array([0.0, 1.0, 4095.0])
    assert Window(1, 1e-300, "SIGMOID").share(x).tolist() == [0, 0.5, 1]
    assert Window(1e308, 1e308, "LINEAR_EXACT").share(x).tolist() == [0, 0, 0]


def test_a_lut_holds_its_ends_and_counts_from_its_first_value() -> None:
    lut = Lut(first=-2, entries=np.array([7, 5, 9, 1], np.uint16), bits=4)
    assert lut(np.array([-50.0, -2, -1, 0, 1, 2, 99])).tolist() == [7, 7, 5, 9, 1, 1, 1]
    assert lut.share(np.array([0.0])).tolist() == [9 / 15]


@given(
    allocated=st.sampled_from([8, 16]),
    data=st.data(),
    signed=st.booleans(),
)
def test_stored_values_are_read_bit_by_bit(allocated: int, data: st.DataObject, signed: bool) -> None:
    stored = data.draw(st.integers(1, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    word = data.draw(st.integers(0, 2**allocated - 1))
    bits = [(word >> (high - stored + 1 + i)) & 1 for i in range(stored)]
    expected = sum(bit << i for i, bit in enumerate(bits[:-1]))
    expected += (-bits[-1] if signed else bits[-1]) << (stored - 1)
    encoding = an_encoding(allocated=allocated, stored=stored, high=high, signed=signed)
    assert encoding.values()[word] == expected
    assert encoding.lowest <= expected <= encoding.highest


def test_without_voi_the_range_of_the_image_is_spread_and_padding_does_not_count() -> None:
    words = np.array([[100, 150], [200, 4095]], np.uint16)
    chain = Chain(Rescale(), None, inverted=False, padding=(4095, 4095))
    pixels, white = present(words, an_encoding(), chain)
    assert white == 4095
    assert pixels.tolist() == [[0, 2048], [4095, 0]]  # 2047.5 is rounded to even


def test_padding_is_black_whatever_the_presentation() -> None:
    words = np.array([[0, 1], [2, 4095]], np.uint16)
    chain = Chain(Rescale(), Window(2048, 4096), inverted=True, padding=(0, 1))
    pixels, _ = present(words, an_encoding(), chain)
    assert pixels[0].tolist() == [0, 0]
    assert pixels[1, 0] > 4000


@pytest.mark.parametrize(
    ("modality", "voi", "bits"),
    [
        (Rescale(), None, 10),
        (Rescale(), Lut(0, np.arange(4, dtype=np.uint16), 8), 10),
        (Lut(0, np.arange(4, dtype=np.uint16), 16), None, 16),
        (Rescale(), Lut(0, np.arange(4, dtype=np.uint16), 12), 12),
    ],
)
def test_presentation_values_have_the_bits_of_the_finest_step(
    modality: Rescale | Lut, voi: Lut | None, bits: int
) -> None:
    assert Chain(modality, voi, inverted=False).bits(10) == bits


def test_eight_bits_give_uint8_and_more_give_uint16() -> None:
    chain = Chain(Rescale(), Window(128, 256), inverted=False)
    words = np.array([[3, 200]], np.uint8)
    assert present(words, an_encoding(allocated=8, stored=8), chain)[0].dtype == np.uint8
    assert present(words.astype(np.uint16), an_encoding(stored=9), chain)[0].dtype == np.uint16


@pytest.mark.parametrize(
    ("rows", "columns", "code"),
    [(31, 4000, "too_small"), (4000, 31, "too_small"), (10_001, 10_000, "too_large"), (65535, 65535, "too_large")],
)
def test_sizes_of_no_radiograph_are_refused(rows: int, columns: int, code: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        check_size(rows, columns)
    assert caught.value.code == code


def test_sizes_at_the_border_are_taken() -> None:
    check_size(32, 32)
    check_size(10_000, 10_000)
