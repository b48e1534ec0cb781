"""Damaged bytes end as a radiograph or as a refusal with code and remedy, and as nothing else."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from osteon.dicom.read import peek, read
from osteon.errors import UnreadableImage
from osteon.types import REFUSAL_CODES
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values
from tests.dicom.mutate import mutate


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
        for door in (read, peek):
            try:
                door(damaged)
            except UnreadableImage as error:
                assert error.code in REFUSAL_CODES
                assert error.remedy
                assert str(error).isprintable()


def test_the_seeds_themselves_are_read() -> None:
    for data in SEEDS.values():
        read(data)
