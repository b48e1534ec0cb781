"""PNG and JPEG: grey, grey in disguise, coloured, turned, cut short and too large."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from osteon.dicom.read import peek, read
from osteon.errors import UnreadableImage
from tests.dicom.making import stored_values
from tests.make import SHARED

GREY = stored_values(50, 40, bits=8)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def refusal(data: bytes) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read(data)
    return caught.value


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_png_of_8_bits_keeps_its_values_in_every_mode(mode: str) -> None:
    radiograph = read(saved(Image.fromarray(GREY).convert(mode), "PNG"))
    assert (radiograph.pixels == GREY).all()
    assert (radiograph.white, radiograph.header.bits, radiograph.header.transfer_syntax) == (255, 8, "")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_its_values_in_every_mode(channels: int) -> None:
    grey = stored_values(50, 40, bits=16)
    alpha = np.full_like(grey, 65535)
    planes = {1: grey, 2: np.dstack([grey, alpha]), 3: np.dstack([grey] * 3), 4: np.dstack([grey] * 3 + [alpha])}
    radiograph = read(bytes(imagecodecs.png_encode(planes[channels])))
    assert (radiograph.pixels == grey).all()
    assert (radiograph.white, radiograph.header.bits) == (65535, 16)
    assert radiograph.pixels.dtype.isnative


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_grey_jpeg_keeps_its_values_nearly(mode: str) -> None:
    radiograph = read(saved(Image.fromarray(GREY).convert(mode), "JPEG", quality=98))
    assert np.abs(radiograph.pixels.astype(int) - GREY).max() <= 6
    assert radiograph.white == 255


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_colour_is_refused(form: str) -> None:
    coloured = np.dstack([GREY] * 3)
    coloured[10:20, 10:20, 0] = 255 - coloured[10:20, 10:20, 0] // 2
    assert refusal(saved(Image.fromarray(coloured), form)).code == "not_grey"


def test_transparency_is_shown_on_black_with_a_note() -> None:
    alpha = np.full_like(GREY, 255)
    alpha[:10] = 0
    radiograph = read(saved(Image.fromarray(np.dstack([GREY, GREY, GREY, alpha])), "PNG"))
    assert (radiograph.pixels[:10] == 0).all()
    assert (radiograph.pixels[10:] == GREY[10:]).all()
    assert "transparent" in radiograph.header.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_exif_orientation_is_honoured(form: str, orientation: int) -> None:
    image = Image.fromarray(GREY)
    image.getexif()[0x0112] = orientation
    data = saved(image, form, exif=image.getexif())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
    radiograph = read(data)
    assert (radiograph.pixels == expected).all()
    assert peek(data)[1:] == radiograph.pixels.shape
    assert bool(radiograph.header.notes) == (orientation != 1)


@pytest.mark.parametrize("part", [0.2, 0.7, 0.97])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_file_that_is_cut_short_is_refused(form: str, part: float) -> None:
    data = saved(Image.fromarray(GREY), form)
    assert refusal(data[: int(len(data) * part)]).code == "undecodable"


def a_png_header(rows: int, columns: int) -> bytes:
    """A few bytes that claim to be a large grey PNG."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_a_picture_of_absurd_size_is_refused_before_it_is_unpacked(side: int) -> None:
    # Pillow only warns from 89 million pixels on, and refuses from 179 million on: both are met here.
    data = a_png_header(side, side)
    assert refusal(data).code == "too_large"
    with pytest.raises(UnreadableImage):
        peek(data)


def test_a_peek_at_a_picture_decodes_nothing() -> None:
    assert peek(a_png_header(9_600, 10_000))[1:] == (9_600, 10_000)  # its pixels are missing


def test_small_and_blank_pictures_are_refused() -> None:
    assert refusal(saved(Image.fromarray(GREY[:31]), "PNG")).code == "too_small"
    assert refusal(saved(Image.fromarray(np.full((40, 40), 7, np.uint8)), "PNG")).code == "blank"


def test_a_picture_of_several_frames_is_refused() -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    assert refusal(saved(frames[0], "PNG", save_all=True, append_images=frames[1:])).code == "multi_frame"


@pytest.mark.shared
def test_the_truncated_photographs_are_refused() -> None:
    for path in sorted((SHARED / "bad_images").glob("*.jpg")):
        assert refusal(path.read_bytes()).code == "undecodable"


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["graz", "fracatlas"])
def test_real_pictures_are_read(folder: str) -> None:
    paths = sorted(p for p in (SHARED / folder).rglob("*") if p.suffix in (".png", ".jpg"))
    for path in paths[:: max(1, len(paths) // 20)]:
        radiograph = read(path)
        assert peek(path)[1:] == radiograph.pixels.shape
        assert radiograph.pixels.max() <= radiograph.white
