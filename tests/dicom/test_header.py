"""Spacing, side, view, age and the rest of the header, by the rules that the page states."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from osteon.dicom.attributes import Attributes
from osteon.dicom.header import (
    _VIEW_CODES,
    RADIOGRAPHS,
    age_of,
    header_of,
    laterality_of,
    modality_of,
    spacing_of,
    view_of,
)
from osteon.types import VIEWS


def some_attributes(**values: Any) -> Attributes:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return Attributes(dataset)


def raw(keyword: str, vr: str, value: bytes) -> Attributes:
    """An attribute with bytes that its VR does not allow, as they come from a file."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    dataset = Dataset()
    tag = Tag(tag_for_keyword(keyword) or 0)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return Attributes(dataset)


IMAGER = {"ImagerPixelSpacing": [0.15, 0.16]}
FILM = {"NominalScannedPixelSpacing": [0.1, 0.1]}
FACTOR = {"EstimatedRadiographicMagnificationFactor": 1.25}


@pytest.mark.parametrize(
    ("values", "spacing", "source"),
    [
        ({}, None, ""),
        ({"PixelSpacing": [0.2, 0.3]}, (0.2, 0.3), "PixelSpacing"),
        (IMAGER, (0.15, 0.16), "ImagerPixelSpacing"),
        (IMAGER | {"PixelSpacing": [0.15, 0.16]}, (0.15, 0.16), "ImagerPixelSpacing"),
        (IMAGER | {"PixelSpacing": [0.14, 0.15]}, (0.14, 0.15), "PixelSpacing (calibrated)"),
        (
            IMAGER | {"PixelSpacing": [0.15, 0.16], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.15, 0.16),
            "PixelSpacing (FIDUCIAL)",
        ),
        (IMAGER | FACTOR, (0.12, 0.128), "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"),
        (IMAGER | FACTOR | {"PixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "PixelSpacing (calibrated)"),
        (IMAGER | {"EstimatedRadiographicMagnificationFactor": 0}, (0.15, 0.16), "ImagerPixelSpacing"),
        (FILM, (0.1, 0.1), "NominalScannedPixelSpacing"),
        (FILM | {"PixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "NominalScannedPixelSpacing"),
        (FILM | IMAGER, (0.15, 0.16), "ImagerPixelSpacing"),
    ],
)
def test_spacing_comes_from_the_plane_nearest_to_the_patient(
    values: dict[str, Any], spacing: tuple[float, float] | None, source: str
) -> None:
    found, where = spacing_of(some_attributes(**values))
    assert where == source
    assert found == (None if spacing is None else pytest.approx(spacing))


@pytest.mark.parametrize("value", [[0, 0], [-0.1, 0.1], [0.1], [0.1, 0.1, 0.1], [1e9, 1]])
def test_an_impossible_spacing_is_noted_and_ignored(value: list[float]) -> None:
    attributes = some_attributes(PixelSpacing=value)
    assert spacing_of(attributes) == (None, "")
    assert any(note.startswith("PixelSpacing is") for note in attributes.notes)


def test_a_damaged_spacing_is_noted_and_ignored() -> None:
    attributes = raw("PixelSpacing", "DS", b"0.1\\wide")
    assert spacing_of(attributes) == (None, "")
    assert attributes.notes


@pytest.mark.parametrize(
    ("text", "years"),
    [("034Y", 34), ("006M", 0.5), ("052W", 52 * 7 / 365.25), ("010D", 10 / 365.25), ("000Y", 0), ("7Y", 7)],
)
def test_ages_are_years(text: str, years: float) -> None:
    attributes = raw("PatientAge", "AS", text.encode())
    assert age_of(attributes) == pytest.approx(years)
    assert not attributes.notes


@pytest.mark.parametrize("text", ["34", "Y034", "03 Y", "-34Y", "٣٤Y", "0345Y"])
def test_malformed_ages_are_noted_and_ignored(text: str) -> None:
    attributes = Attributes(Dataset())
    attributes.dataset.add_new("PatientAge", "LO", text)
    assert age_of(attributes) is None
    assert "PatientAge" in attributes.notes[0]


@pytest.mark.parametrize(
    ("position", "view"),
    [
        *[("AP", "AP"), ("pa", "PA"), ("A P", "AP"), ("LL", "LAT"), ("RL", "LAT"), ("LATERAL", "LAT")],
        *[("RLO", "OBL"), ("OBLIQUE", "OBL"), ("LLD", ""), ("", ""), ("XTABLE", "")],
    ],
)
def test_view_positions_are_mapped(position: str, view: str) -> None:
    assert view_of(some_attributes(ViewPosition=position)) == view


def a_view_code(value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", ""
    return [item]


def test_view_codes_mean_what_the_context_group_says() -> None:
    """The table against CID 4010 as pydicom carries it: by the words of each code's meaning."""
    expected = {"antero-posterior": "AP", "postero-anterior": "PA"}
    for name in codes.cid4010.dir():
        code = getattr(codes.cid4010, name)
        meaning = code.meaning.lower()
        if "oblique" in meaning and not any(word in meaning for word in ("axial", "caudo", "cranio")):
            view = "OBL"
        elif "oblique" not in meaning and ("lateral" in meaning):
            view = "LAT"
        else:
            view = expected.get(meaning, "")
        assert view_of(some_attributes(ViewCodeSequence=a_view_code(code.value))) == view, meaning


def test_old_and_new_view_codes_agree() -> None:
    from pydicom.sr._snomed_dict import mapping

    for code, view in _VIEW_CODES.items():
        assert view in VIEWS
        translated = mapping["SRT"].get(code) or mapping["SCT"].get(code)
        if translated in _VIEW_CODES:
            assert _VIEW_CODES[translated] == view
    assert sum(code.startswith("R-") for code in _VIEW_CODES) >= 20


def test_a_view_position_is_preferred_to_a_code_and_a_contradiction_noted() -> None:
    attributes = some_attributes(ViewPosition="AP", ViewCodeSequence=a_view_code("399067008"))
    assert view_of(attributes) == "AP"
    assert "contradicts" in attributes.notes[0]
    assert view_of(some_attributes(ViewPosition="?", ViewCodeSequence=a_view_code("399067008"))) == "LAT"


@pytest.mark.parametrize(
    ("image", "series", "side", "noted"),
    [
        ("L", "", "L", False),
        ("", "R", "R", False),
        ("B", "", "B", False),
        ("U", "R", "R", False),
        ("U", "", "", False),
        ("L", "R", "L", True),
        ("RIGHT", "", "R", False),
        ("?", "?", "", False),
    ],
)
def test_the_side_of_the_image_goes_before_that_of_the_series(image: str, series: str, side: str, noted: bool) -> None:
    attributes = some_attributes(ImageLaterality=image, Laterality=series)
    assert laterality_of(attributes) == side
    assert bool(attributes.notes) == noted


def test_a_header_holds_what_the_file_says() -> None:
    attributes = some_attributes(
        PatientID=" p7 ",
        StudyInstanceUID="1.2",
        Modality="dx",
        BodyPartExamined="WRIST",
        PatientSex="F",
        Manufacturer="Maker",
        ManufacturerModelName="One",
        PhotometricInterpretation="MONOCHROME1",
        PresentationIntentType="FOR PROCESSING",
    )
    header = header_of(attributes, bits=12, transfer_syntax="1.2.840.10008.1.2")
    assert (header.patient, header.study, header.modality, header.body_part) == ("p7", "1.2", "DX", "WRIST")
    assert (header.sex, header.device, header.bits, header.photometric) == ("F", "Maker One", 12, "MONOCHROME1")
    assert any("FOR PROCESSING" in note for note in attributes.notes)


def test_a_sex_beyond_the_standard_is_noted_and_ignored() -> None:
    attributes = some_attributes(PatientSex="W")
    assert header_of(attributes, bits=8, transfer_syntax="").sex == ""
    assert attributes.notes


def test_text_is_printable_bounded_and_never_lost_by_multiplicity() -> None:
    attributes = some_attributes(BodyPartExamined="A\0B\n", PatientID="x" * 300, StudyDescription="a\\b")
    assert attributes.text("BodyPartExamined") == "AB"
    assert len(attributes.text("PatientID")) == 256
    assert attributes.text("StudyDescription") == "a\\b"


def test_a_missing_modality_is_taken_from_the_sop_class() -> None:
    assert modality_of(some_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1")) == "DX"
    assert modality_of(some_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")) == ""
    assert modality_of(some_attributes(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.1")) == "CT"
    assert RADIOGRAPHS == ("CR", "DX", "RF", "RG")
