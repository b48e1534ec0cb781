"""Damaged bytes end as a radiograph or as a refusal with code and remedy, and as nothing else.

`benchmarks/fuzz.py` does the same with thousands of mutants of real files.
"""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

from osteon.dicom.read import MAX_BYTES, peek, read
from osteon.dicom.stored import stored_pixels
from osteon.errors import UnreadableImage
from osteon.types import REFUSAL_CODES
from tests.dicom.fuzzing import as_it_is, cropped, led_through, mutants
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values
from tests.dicom.mutate import bomb, mutate, with_syntax


def _lut() -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "US", list(range(4096)))
    return item


def _dicom(syntax: str) -> bytes:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    return a_radiograph_file(
        stored_values(bits=bits),
        syntax=syntax,
        bits=bits,
        WindowCenter=100,
        WindowWidth=200,
        RescaleSlope=1,
        RescaleIntercept=-3,
        PatientAge="034Y",
        PixelSpacing=[0.2, 0.2],
        PresentationLUTShape="IDENTITY",
        PixelPaddingValue=0,
        NumberOfFrames=1,
    )


def _picture(mode: str, form: str) -> bytes:
    buffer = BytesIO()
    image = Image.fromarray(stored_values(bits=8)).convert(mode)
    image.getexif()[0x0112] = 6
    image.save(buffer, form, exif=image.getexif())
    return buffer.getvalue()


SEEDS = {
    **{uid.UID(syntax).keyword: _dicom(syntax) for syntax in {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}},
    "LUTs": a_radiograph_file(stored_values(), bits=12, ModalityLUTSequence=[_lut()], VOILUTSequence=[_lut()]),
    **{f"{form} {mode}": _picture(mode, form) for form, mode in [("PNG", "L"), ("PNG", "RGB"), ("JPEG", "L")]},
}


@pytest.mark.parametrize("name", SEEDS)
def test_damage_is_refused_or_harmless(name: str) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    for _ in range(30):
        damaged = mutate(SEEDS[name], rng)
        for door in (read, peek, stored_pixels):
            try:
                door(damaged)
            except UnreadableImage as error:
                assert error.code in REFUSAL_CODES
                assert error.remedy
                assert str(error).isprintable()


def test_the_seeds_themselves_are_read() -> None:
    for data in SEEDS.values():
        read(data)


MUTANTS = 150


def test_a_folder_of_mutants_is_ingested_and_prepared(tmp_path: Path) -> None:
    image = stored_values(300, 260, bits=12)
    file = a_radiograph_file(
        image, bits=12, SOPInstanceUID="1.2.826.0.1.3680043.10.1", WindowCenter=2000, WindowWidth=4000
    )
    crops = [cropped(file, syntax) for syntax in {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}]
    pictures = [as_it_is(_picture(mode, form)) for form, mode in [("PNG", "L"), ("JPEG", "L")]]
    outcome = led_through(mutants([*crops, *pictures], MUTANTS, seed=3), tmp_path)
    assert outcome.past_preamble >= 0.9 * MUTANTS
    assert not outcome.missing
    assert not outcome.twice
    assert not outcome.wrong
    assert outcome.prepared + len(outcome.refusals) == MUTANTS
    assert not {"crashed", "timeout"} & set(outcome.codes), outcome.codes
    assert outcome.prepared > 10  # damage that leaves an image is part of the test
    assert len(outcome.codes) > 5


def test_a_mutant_is_the_same_whatever_the_count() -> None:
    crop = [cropped(a_radiograph_file(stored_values(100, 100), bits=12))]
    assert list(mutants(crop, 5, seed=1)) == list(mutants(crop, 9, seed=1))[:5]
    assert list(mutants(crop, 5, seed=1)) != list(mutants(crop, 5, seed=2))


@pytest.mark.parametrize("seed", [1, 13])
def test_bombs_stay_within_bounded_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bomb(cropped(a_radiograph_file(stored_values(100, 100), bits=12))(rng), rng)
    tracemalloc.start()
    try:
        read(data)
    except UnreadableImage as error:
        assert error.code in ("too_large", "not_dicom")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2**26 < peak < 3 * MAX_BYTES


def test_pixel_data_of_an_unknown_kind_have_no_digest() -> None:
    data = a_radiograph_file(stored_values(), bits=12).replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0MB")
    assert stored_pixels(data) == ""
    with pytest.raises(UnreadableImage):
        read(data)


def test_the_transfer_syntax_of_a_file_can_be_swapped() -> None:
    data = a_radiograph_file(stored_values(), bits=12)
    for syntax in (uid.JPEG2000, uid.RLELossless, "1.2.3"):
        assert dcmread(BytesIO(with_syntax(data, syntax))).file_meta.TransferSyntaxUID == syntax
    assert with_syntax(with_syntax(data, uid.JPEG2000), uid.ExplicitVRLittleEndian) == data
