"""The door: what comes in, what is refused, and with which code."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import FileMetaDataset

from osteon.dicom import read as door
from osteon.dicom.parsing import parse
from osteon.dicom.read import peek, read
from osteon.errors import NotFound, UnreadableImage
from osteon.types import REFUSAL_CODES, Radiograph
from tests.dicom.making import a_dataset, a_file, a_radiograph_file, stored_values
from tests.make import SHARED


def refusal(source: bytes | Path) -> UnreadableImage:
    """The error of `read`; `peek` must agree unless only the pixels are wrong."""
    with pytest.raises(UnreadableImage) as caught:
        read(source)
    assert caught.value.code in REFUSAL_CODES
    assert caught.value.remedy
    if caught.value.code not in ("undecodable", "blank"):
        with pytest.raises(UnreadableImage) as peeked:
            peek(source)
        assert peeked.value.code == caught.value.code
    return caught.value


def test_a_file_and_its_bytes_are_one(tmp_path: Path) -> None:
    data = a_radiograph_file(stored_values(), bits=12, ViewPosition="AP")
    path = tmp_path / "no-suffix"
    path.write_bytes(data)
    from_file, from_bytes = read(path), read(data)
    assert (from_file.pixels == from_bytes.pixels).all()
    assert from_file.header == from_bytes.header
    assert peek(path) == (from_file.header, 48, 40)


@pytest.mark.parametrize("modality", ["CR", "DX", "RF", "RG"])
def test_radiographs_of_four_modalities_are_read(modality: str) -> None:
    assert read(a_radiograph_file(stored_values(), Modality=modality)).header.modality == modality


@pytest.mark.parametrize("modality", ["CT", "MR", "PX", "MG", "XA", "OT", "IO"])
def test_other_modalities_are_refused_by_name(modality: str) -> None:
    error = refusal(a_radiograph_file(stored_values(), Modality=modality))
    assert error.code == "not_a_radiograph"
    assert modality in error.message


def test_things_that_are_no_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_text("Dear colleague, the film follows by post.")
    assert "empty" in refusal(tmp_path / "empty.dcm").message
    for source in (tmp_path, tmp_path / "empty.dcm", tmp_path / "text.dcm", b"", b"\0" * 1000, b"GIF89a" + b"x" * 99):
        assert refusal(source).code == "not_an_image"
    with pytest.raises(NotFound):
        read(tmp_path / "absent.dcm")


def test_a_file_that_may_not_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.dcm"
    path.write_bytes(a_radiograph_file(stored_values()))

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root, who runs containers, may open anything
    assert "Permission denied" in refusal(path).message


def test_a_file_larger_than_any_radiograph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.dcm"
    with path.open("wb") as stream:
        stream.write(a_radiograph_file(stored_values()))
        stream.truncate(door.MAX_BYTES + 1)  # sparse: takes no space
    assert refusal(path).code == "too_large"


def test_a_deflated_bomb_is_refused_before_it_unpacks() -> None:
    data = a_radiograph_file(stored_values(), syntax=uid.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(data[140:144], "little")
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = deflate.compress(bytes(2**24)) + deflate.flush(zlib.Z_FULL_FLUSH)  # can be repeated as it is
    bomb = data[:start] + block * (door.MAX_BYTES // 2**24 + 1)
    assert len(bomb) < 2**21
    with pytest.raises(UnreadableImage) as caught:
        read(bomb[132:])  # no preamble: the meta information comes first
    assert caught.value.code == "too_large"


def test_what_stands_behind_the_pixels_is_not_parsed() -> None:
    data = a_radiograph_file(stored_values(), bits=12) + b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0"
    for whole in (True, False):
        dataset, has_pixels = parse(data, whole=whole)
        assert (has_pixels, "PixelData" in dataset) == (True, whole)
        assert (0xFFFC, 0xFFFC) not in dataset


def test_empty_elements_by_the_million_keep_nobody_busy() -> None:
    data = a_radiograph_file(stored_values(), bits=12)
    empty = b"\x09\0\x01\0LO\0\0"
    behind = data + empty * 1_000_000
    assert (read(behind).pixels == read(data).pixels).all()
    at = data.index(b"\x08\0\x16\0UI")  # the first element behind the meta information
    before = data[:at] + empty * 1_000_000 + data[at:]
    within_meta = data[:at] + b"\x02\0\x01\0LO\0\0" * 1_000_000 + data[at:]
    for bad in (before, within_meta):
        for door_ in (read, door.peek):
            with pytest.raises(UnreadableImage) as caught:
                door_(bad)
            assert (caught.value.code, "more than 10000 elements" in caught.value.message) == ("not_dicom", True)


def test_dicom_without_preamble_is_read_if_it_says_how_it_is_encoded() -> None:
    data = a_radiograph_file(stored_values(), bits=12)
    assert (read(data[132:]).pixels == read(data).pixels).all()


def test_dicom_without_meta_information_is_refused_with_a_remedy() -> None:
    data = a_radiograph_file(stored_values(), bits=12)
    bare = data[144 + int.from_bytes(data[140:144], "little") :]
    error = refusal(bare)
    assert error.code == "no_transfer_syntax"
    assert "meta" in error.remedy


@pytest.mark.parametrize("frames", [2, 30])
def test_several_frames_are_refused(frames: int) -> None:
    assert refusal(a_radiograph_file(stored_values(), NumberOfFrames=frames)).code == "multi_frame"


def test_objects_without_pixels_are_refused() -> None:
    report = a_dataset(stored_values(), Modality="SR", Rows=None, Columns=None)
    del report.PixelData
    assert refusal(a_file(report)).code == "no_pixels"
    index = a_dataset(stored_values(), Modality=None, Rows=None, SOPClassUID="1.2.840.10008.1.3.10")
    del index.PixelData
    error = refusal(a_file(index))
    assert error.code == "no_pixels"
    assert "DICOMDIR" in error.message
    stripped = a_dataset(stored_values())
    del stripped.PixelData
    assert refusal(a_file(stripped)).code == "undecodable"


def test_blank_images_are_refused() -> None:
    assert refusal(a_radiograph_file(np.full((40, 40), 7, np.uint16), bits=12)).code == "blank"
    outside = a_radiograph_file(stored_values(), bits=12, WindowCenter=60000, WindowWidth=2)
    assert refusal(outside).code == "blank"


def test_a_header_that_cannot_be_parsed_is_refused() -> None:
    data = bytearray(a_radiograph_file(stored_values()))
    assert data[132:140] == b"\2\0\0\0UL\4\0"
    data[138] = 3  # three bytes do not make an unsigned long
    assert refusal(bytes(data)).code == "not_dicom"


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless, uid.RLELossless, uid.JPEG2000])
def test_a_file_that_ends_within_its_pixels_is_cut_short_not_nameless(syntax: str) -> None:
    data = a_radiograph_file(stored_values(), syntax=syntax, bits=12, ViewPosition="AP")
    for missing in (9, 100, 200):
        assert refusal(data[:-missing]).code == "undecodable"
        assert peek(data[:-missing])[0].view == "AP"


def test_warnings_of_pydicom_are_counted_in_a_note() -> None:
    data = a_radiograph_file(stored_values(), bits=12, SOPInstanceUID="1.2.3")
    header = read(data.replace(b"1.2.3\0", b"x.2.3\0")).header
    assert any(note.startswith("2 warning(s) while reading") for note in header.notes)


NAMED = ("ViewPosition", "VOILUTFunction", "PresentationLUTShape", "PatientAge", "ImageLaterality", "StudyInstanceUID")


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("keywords", [*((keyword,) for keyword in NAMED), NAMED])
def test_no_note_and_no_log_repeats_a_name_that_a_damaged_file_holds(
    keywords: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    damaged = dict.fromkeys(keywords, "QUUX")
    data = a_radiograph_file(stored_values(), bits=12, WindowCenter=9, WindowWidth=9, **damaged)
    caplog.clear()
    header = read(data).header
    assert "QUUX" not in " ".join(header.notes).upper() + caplog.text
    assert bool(header.notes) == (keywords not in [("ViewPosition",), ("ImageLaterality",)])


def test_no_note_is_given_twice() -> None:
    notes = read(a_radiograph_file(stored_values(), bits=12, PixelSpacing=[0, 0])).header.notes
    assert len(notes) == len(set(notes))


def test_a_refusal_survives_the_border_between_processes() -> None:
    error = refusal(b"nothing")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - as multiprocessing does
    assert (copy.code, copy.message, copy.remedy) == (error.code, error.message, error.remedy)


def test_meta_information_of_another_object_is_no_reason_to_fail() -> None:
    dataset = a_dataset(stored_values(), bits=12)
    dataset.file_meta = FileMetaDataset()
    assert isinstance(read(a_file(dataset)), Radiograph)


EXPECTED_OF_BAD = {
    "BROKEN_CHEST_DX_Canon_966.dcm": "undecodable",
    "ExplVR_BigEndNoMeta.dcm": "no_pixels",
    "ExplVR_LitEndNoMeta.dcm": "no_pixels",
    "JPEG-lossy.dcm": "not_a_radiograph",
    "JPEG2000-embedded-sequence-delimiter.dcm": "not_a_radiograph",
    "MR_truncated.dcm": "not_a_radiograph",
    "UN_sequence.dcm": "no_pixels",
    "badVR.dcm": "not_a_radiograph",
    "bad_sequence.dcm": "not_a_radiograph",
    "empty_charset_LEI.dcm": "no_pixels",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "not_a_radiograph",
    "meta_missing_tsyntax.dcm": "no_transfer_syntax",
    "nested_priv_SQ.dcm": "not_a_radiograph",
    "no_meta.dcm": "not_an_image",  # a stray byte before its first element
    "no_meta_group_length.dcm": "no_pixels",
    "priv_SQ.dcm": "no_pixels",
    "reportsi.dcm": "no_pixels",
    "reportsi_with_empty_number_tags.dcm": "no_pixels",
    "rtplan.dcm": "no_pixels",
    "rtplan_truncated.dcm": "no_pixels",
    "rtstruct.dcm": "no_pixels",
    "test-SR.dcm": "no_pixels",
    "waveform_ecg.dcm": "no_pixels",
}


@pytest.mark.shared
def test_every_bad_file_is_refused_with_its_code() -> None:
    found = {path.name: refusal(path).code for path in (SHARED / "dicom_bad").glob("*.dcm")}
    assert found == EXPECTED_OF_BAD


@pytest.mark.shared
def test_every_real_file_is_read_but_the_broken_chest() -> None:
    read_files = 0
    for path in sorted((SHARED / "dicom").rglob("*.dcm")):
        if path.name.startswith("BROKEN"):
            assert refusal(path).code == "undecodable"
            continue
        radiograph = read(path)
        assert peek(path)[1:] == radiograph.pixels.shape
        assert radiograph.pixels.max() <= radiograph.white
        read_files += 1
    assert read_files == 23


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "bright", "dark"),
    [
        # (rows, columns) slices: bone or mediastinum, and air, as seen by eye in the rendered image
        ("nema_wg04/RG3_UNC.dcm", np.s_[1500:1620, 780:900], np.s_[200:1300, 480:620]),
        ("nema_wg04/RG2_UNC.dcm", np.s_[760:860, 960:1060], np.s_[1700:2000, 500:1200]),
        ("nema_wg04/RG1_J2KI.dcm", np.s_[1200:1500, 900:1100], np.s_[500:600, 600:700]),
        ("other_real/CHEST_DX_Canon_966_fixed.dcm", np.s_[1500:1800, 950:1100], np.s_[500:800, 500:700]),
        (
            "other_real/HAND_CR_Kodak_NM_Kakadu44_SOTmarkerincons.dcm",
            np.s_[1500:1600, 990:1030],
            np.s_[900:1100, 60:300],
        ),
        ("other_real/TEETH_CR_ModalitySequenceLUT.dcm", np.s_[900:1150, 920:1010], np.s_[0:500, 100:1800]),
        ("other_real/THORAX_DX_small_highdicom.dcm", np.s_[40:52, 60:150], np.s_[0:10, 0:50]),
    ],
)
def test_bone_is_white_in_real_images(name: str, bright: tuple[slice, slice], dark: tuple[slice, slice]) -> None:
    pixels = read(SHARED / "dicom" / name).pixels
    assert np.median(pixels[bright]) > 1.3 * np.median(pixels[dark])
