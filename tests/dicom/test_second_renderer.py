"""Every real file, and every syntax that DCMTK reads, shown as DCMTK shows it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid

from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_radiograph_file, stored_values
from tests.dicom.second_renderer import LOSSY, commands, levels_brighter, read_pgm
from tests.make import SHARED

FILES = (
    "nema_wg04/RG1_J2KI.dcm",
    "nema_wg04/RG1_JLSN.dcm",
    "nema_wg04/RG2_J2KI.dcm",
    "nema_wg04/RG2_J2KR.dcm",
    "nema_wg04/RG2_JLSL.dcm",
    "nema_wg04/RG2_JLSN.dcm",
    "nema_wg04/RG2_JPLL.dcm",
    "nema_wg04/RG2_JPLY.dcm",
    "nema_wg04/RG2_JPLY_fixed.dcm",
    "nema_wg04/RG2_RLE.dcm",
    "nema_wg04/RG2_UNC.dcm",
    "nema_wg04/RG3_J2KI.dcm",
    "nema_wg04/RG3_J2KR.dcm",
    "nema_wg04/RG3_JLSL.dcm",
    "nema_wg04/RG3_JLSN.dcm",
    "nema_wg04/RG3_JPLL.dcm",
    "nema_wg04/RG3_JPLY.dcm",
    "nema_wg04/RG3_RLE.dcm",
    "nema_wg04/RG3_UNC.dcm",
    "other_real/CHEST_DX_Canon_966_fixed.dcm",
    "other_real/HAND_CR_Kodak_NM_Kakadu44_SOTmarkerincons.dcm",
    "other_real/TEETH_CR_ModalitySequenceLUT.dcm",
    "other_real/THORAX_DX_small_highdicom.dcm",
)
CUT_SHORT = "other_real/BROKEN_CHEST_DX_Canon_966.dcm"

NOT_OF_DCMTK = (uid.JPEG2000, uid.JPEG2000Lossless, uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL)


@pytest.mark.shared
def test_no_real_file_is_left_out() -> None:
    found = {path.relative_to(SHARED / "dicom").as_posix() for path in (SHARED / "dicom").rglob("*.dcm")}
    assert found == {*FILES, CUT_SHORT}


@pytest.mark.shared
@pytest.mark.system("dcmtk", "libgdcm-tools")
@pytest.mark.parametrize("name", FILES)
def test_real_files_look_as_dcmtk_shows_them(name: str, tmp_path: Path) -> None:
    path = SHARED / "dicom" / name
    brighter = levels_brighter(path, tmp_path)
    if dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID in LOSSY:
        assert (np.abs(brighter) <= 1).mean() >= 0.999
    else:
        assert set(np.unique(brighter)) <= {0, 1}  # DCMTK cuts where osteon rounds


@pytest.mark.shared
@pytest.mark.system("dcmtk", "libgdcm-tools")
def test_both_refuse_the_file_that_is_cut_short(tmp_path: Path) -> None:
    path = SHARED / "dicom" / CUT_SHORT
    with pytest.raises(UnreadableImage) as caught:
        read(path)
    assert caught.value.code == "undecodable"
    first = commands(path, dcmread(path, stop_before_pixels=True), tmp_path)[0]
    assert subprocess.run(first, capture_output=True).returncode != 0


@pytest.mark.system("dcmtk", "libgdcm-tools")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", sorted({*SYNTAXES_LOSSLESS, *SYNTAXES_LOSSY} - {*NOT_OF_DCMTK}))
def test_made_files_look_as_dcmtk_shows_them(syntax: str, photometric: str, tmp_path: Path) -> None:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    # DCMTK cuts the upper bits of values that a lossy codec overshoots; these stay within the range.
    stored = stored_values(123, 77, bits=bits) // 2 + 2 ** (bits - 2)
    window = {"WindowCenter": 2 ** (bits - 1) + 3, "WindowWidth": 2 ** (bits - 2)}
    path = tmp_path / "made.dcm"
    path.write_bytes(
        a_radiograph_file(stored, syntax=syntax, bits=bits, PhotometricInterpretation=photometric, **window)
    )
    apart = np.abs(levels_brighter(path, tmp_path))
    assert apart.max() <= (1 if syntax in SYNTAXES_LOSSLESS else 2)
    assert (apart <= 1).mean() >= 0.999


def test_a_pgm_may_have_a_comment() -> None:
    pixels = np.frombuffer(b"\n#0\n12", np.uint8).reshape(2, 3)
    for comment in (b"", b"# made by\n"):
        assert (read_pgm(b"P5\n" + comment + b"3 2\n255\n" + pixels.tobytes()) == pixels).all()
