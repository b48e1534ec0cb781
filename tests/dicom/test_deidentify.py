"""Every attribute of the standard's table is planted, in any depth and any representation, and is gone afterwards."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections import Counter
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from osteon.dicom.attributes import Attributes
from osteon.dicom.blanking import trim
from osteon.dicom.chain import encoding_of
from osteon.dicom.dates import age_between, shifted
from osteon.dicom.deidentify import Findings, deidentify, file_of
from osteon.dicom.parsing import parse
from osteon.dicom.profile import Action, rule_of, rules
from osteon.dicom.pseudonyms import PATTERN, Key, is_ours
from osteon.dicom.read import read
from osteon.dicom.residue import Violation, left_of, violations_of
from osteon.dicom.values import vr_of
from osteon.errors import UnreadableImage
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_file, a_radiograph_file, stored_values
from tests.dicom.mutate import mutate
from tests.dicom.planting import (
    SECRET,
    SECRETS,
    STRUCTURE,
    a_planted_element,
    an_identifying_file,
    tags_of_the_table,
)
from tests.make import SHARED

KEY = Key(b"k" * 32)
TABLE = [tag for tag in tags_of_the_table() if tag not in STRUCTURE]
KEPT = {tag for tag in TABLE if (rule := rule_of(tag)) and rule.action is Action.KEEP}
MOVED = {tag for tag in TABLE if (rule := rule_of(tag)) and rule.action is Action.SHIFT}


def cleaned(data: bytes, findings: Findings = Findings(body_part="WRIST"), key: Key = KEY) -> bytes:  # noqa: B008
    dataset = deidentify(parse(data, whole=True)[0], key, findings)
    trim(dataset, encoding_of(Attributes(dataset)))
    return file_of(dataset)


def planted(*elements: pydicom.DataElement, within: str = "") -> bytes:
    """A file with further elements, at the top or in an item of a sequence that stays."""
    dataset = pydicom.dcmread(BytesIO(an_identifying_file()))
    place = dataset
    for keyword in filter(None, within.split(".")):
        setattr(place, keyword, Sequence([Dataset()]))
        place = place[keyword].value[0]
    for element in elements:
        place[element.tag] = element
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # planted values break the rules of their representation on purpose
        buffer = BytesIO()
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        dataset.save_as(buffer, enforce_file_format=True)
        pydicom.config.settings.writing_validation_mode = None
    return buffer.getvalue()


def everything(tags: list[int]) -> list[pydicom.DataElement]:
    return [a_planted_element(tag) for tag in tags]


@pytest.mark.parametrize("within", ["", "ViewCodeSequence", "ReferencedImageSequence.PurposeOfReferenceCodeSequence"])
def test_nothing_of_the_table_stays_but_what_the_options_keep(within: str) -> None:
    data = planted(*everything([tag for tag in TABLE if tag not in KEPT]), within=within)
    clean = cleaned(data)
    assert SECRET.encode() in data
    for secret in (SECRET, "Quux", "QUUX", "quux", "77777", "20190703", SECRETS["UI"]):
        assert secret.encode() not in clean, secret
    assert violations_of(clean) == []


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("vr", ["UT", "LO", "PN", "UN", "OB", "DA", "DS", "SQ"])
def test_nothing_of_the_table_stays_under_a_wrong_representation(vr: str) -> None:
    data = planted(*[a_planted_element(tag, vr) for tag in TABLE if vr_of(tag) != vr or tag not in KEPT])
    clean = cleaned(data)
    for secret in (SECRET, "Quux", "77777", "20190703"):
        assert secret.encode() not in clean, secret
    assert violations_of(clean) == []


@given(st.sampled_from([tag for tag in TABLE if tag not in KEPT and tag not in MOVED]), st.booleans())
@settings(max_examples=100)
def test_whatever_is_put_back_is_found(tag: int, nested: bool) -> None:
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file())))
    place = clean
    if nested:
        clean.ViewCodeSequence = Sequence([Dataset()])
        place = clean.ViewCodeSequence[0]
    place[tag] = a_planted_element(tag)
    found = violations_of(a_file_again(clean))
    assert any(violation.attribute.startswith("ViewCodeSequence.") == nested for violation in found), hex(tag)


def a_file_again(dataset: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_the_table_is_whole() -> None:
    assert len(rules()) == 655  # and the row of private attributes, which has no tag
    assert {rule.basic for rule in rules().values()} == {
        *("X", "Z", "D", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"),
    }


def test_what_is_moved_is_a_date_or_a_time() -> None:
    moved = [int(tag, 16) for tag, rule in rules().items() if rule.action is Action.SHIFT]
    assert len(moved) == 166
    assert {vr_of(tag) for tag in moved} == {"DA", "DT", "TM", ""}  # "" for those that pydicom does not know yet
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(TimezoneOffsetFromUTC="+0530"))))
    assert "TimezoneOffsetFromUTC" not in clean


UNLISTED = {
    "a private attribute": (0x00091001, "LO", SECRET),
    "a private creator": (0x00090010, "LO", SECRET),
    "an attribute of a retired group": (0x00204000, "LT", SECRET),
    "an attribute that the standard does not know": (0x00080FFE, "LO", SECRET),
    "free text that the table does not list": (0x00181065, "LT", SECRET),
    "an address": (0x0008010E, "UR", SECRETS["UR"]),
    "a code that is a sentence": (0x00185101, "CS", "Zebedee, lateral"),
    "text where a number belongs": (0x00280034, "LO", SECRET),
    "a model named after the patient": (0x00081090, "LO", "Room of Zebedee"),
}


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("case", UNLISTED)
def test_what_the_table_does_not_list_stays_only_if_it_names_nobody(case: str) -> None:
    tag, vr, value = UNLISTED[case]
    clean = cleaned(planted(pydicom.DataElement(tag, vr, value)))
    assert b"ebedee" not in clean
    assert violations_of(clean) == []


def test_what_the_image_needs_stays() -> None:
    kept = {"Manufacturer": "Phantom", "PixelSpacing": [0.2, 0.2], "WindowCenter": 100, "WindowWidth": 200, "KVP": 55}
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(**kept, PatientAge="034Y", PatientSex="F"))))
    assert {name: clean[name].value for name in kept} == kept
    assert (clean.PatientAge, clean.PatientSex, clean.BodyPartExamined) == ("034Y", "F", "WRIST")


def test_what_was_done_is_stated() -> None:
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file())))
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in clean.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113101", "DCM"), ("113107", "DCM"), ("113108", "DCM")]
    assert (clean.PatientIdentityRemoved, clean.BurnedInAnnotation) == ("YES", "NO")
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_file_around_is_new() -> None:
    data = bytearray(an_identifying_file())
    data[:20] = b"Zebedee Quux was her"
    dataset = pydicom.dcmread(BytesIO(bytes(data)))
    dataset.file_meta.SourceApplicationEntityTitle = "QUUX"
    clean = cleaned(a_file_again(dataset))
    assert clean[:128] == bytes(128)
    meta = pydicom.dcmread(BytesIO(clean)).file_meta
    assert "SourceApplicationEntityTitle" not in meta
    assert is_ours(meta.MediaStorageSOPInstanceUID)


def test_a_person_has_one_name_and_studies_stay_together() -> None:
    first, second, third = (
        pydicom.dcmread(BytesIO(cleaned(an_identifying_file(**attributes))))
        for attributes in ({}, {"SOPInstanceUID": "1.2.3.5"}, {"PatientID": "88888", "StudyInstanceUID": "1.2.9"})
    )
    assert first.PatientID == second.PatientID == first.PatientName == KEY.of("patient", "77777")
    assert first.StudyInstanceUID == second.StudyInstanceUID == KEY.uid("1.2.3")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert third.PatientID != first.PatientID
    assert third.StudyInstanceUID != first.StudyInstanceUID
    assert PATTERN.fullmatch(first.AccessionNumber)


def test_another_key_gives_another_file_and_the_same_key_the_same() -> None:
    data = an_identifying_file()
    assert cleaned(data) == cleaned(data)
    other = pydicom.dcmread(BytesIO(cleaned(data, key=Key(b"l" * 32))))
    first = pydicom.dcmread(BytesIO(cleaned(data)))
    for name in ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert first[name].value != other[name].value


def test_references_point_to_the_images_they_pointed_to() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3.4"
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(SourceImageSequence=[reference]))))
    item = clean.SourceImageSequence[0]
    assert item.ReferencedSOPInstanceUID == KEY.uid("1.2.3.4") == clean.SOPInstanceUID
    assert item.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.1"


days = st.dates(date(1925, 1, 1), date(2030, 12, 31))


@given(st.lists(days, min_size=2, max_size=4), st.text("0123456789", min_size=1, max_size=8))
@settings(max_examples=40)
def test_dates_keep_their_order_and_distance(when: list[date], patient: str) -> None:
    names = ["StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"][: len(when)]
    written = {name: day.strftime("%Y%m%d") for name, day in zip(names, when, strict=True)}
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(**written, PatientID=patient))))
    after = [date.fromisoformat(clean[name].value) for name in names]
    moved = {before - later for before, later in zip(when, after, strict=True)}
    assert moved == {timedelta(days=KEY.days(patient))}
    assert min(moved) > timedelta(0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("20200301", "20200229"),
        ("2020.03.01", "20200229"),
        ("202003", ""),
        ("March 1", ""),
        ("00010101", ""),
        ("20200231", ""),
    ],
)
def test_a_date_moves_by_the_calendar_or_goes(before: str, after: str) -> None:
    assert shifted(before, "DA", 1) == after


def test_a_date_with_a_time_moves_by_its_date_and_loses_its_region() -> None:
    assert shifted("20200301235959.5+0530", "DT", 1) == "20200229235959.5"
    assert shifted("2020", "DT", 1) == ""
    assert shifted("20200301250000", "DT", 1) == ""
    assert [shifted(t, "TM", 1) for t in ("101112.5", "10:11:12", "99", "noon")] == ["101112.5", "10:11:12", "", ""]


@pytest.mark.parametrize(
    ("age", "said"), [("089Y", "089Y"), ("090Y", "090Y"), ("103Y", "090Y"), ("011M", "011M"), ("old", None)]
)
def test_great_ages_are_not_told(age: str, said: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = planted(pydicom.DataElement(0x00101010, "AS", age))
    assert (pydicom.dcmread(BytesIO(cleaned(data))).PatientAge or None) == said


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_what_was_found_out_is_written_where_nothing_stood() -> None:
    findings = Findings(patient="p7", body_part="HAND", view="LAT", laterality="R")
    clean = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(BodyPartExamined="Hand Quux"), findings)))
    assert (clean.BodyPartExamined, clean.ViewPosition, clean.Laterality) == ("HAND", "LAT", "R")
    assert clean.PatientID == KEY.of("patient", "p7")
    sided = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(ImageLaterality="L"), findings)))
    assert (sided.ImageLaterality, "Laterality" in sided) == ("L", False)


@pytest.mark.parametrize("syntax", [*SYNTAXES_LOSSLESS, *SYNTAXES_LOSSY])
def test_pixels_come_through_in_their_transfer_syntax(syntax: str) -> None:
    bits = 8 if syntax == "1.2.840.10008.1.2.4.50" else 12
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [4096, 0, 12])
    lut.add_new("LUTData", "US", list(range(4095, -1, -1)))
    data = a_radiograph_file(stored_values(bits=bits), syntax=syntax, bits=bits, VOILUTSequence=[lut])
    clean = cleaned(data)
    assert pydicom.dcmread(BytesIO(clean)).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read(clean).pixels, read(data).pixels)
    assert violations_of(clean) == []


def test_text_of_any_script_is_read_and_its_names_are_known() -> None:
    data = a_file(dataset_in_cyrillic())
    clean = cleaned(data)
    assert "Зебеди".encode() not in clean
    assert pydicom.dcmread(BytesIO(clean)).SpecificCharacterSet == "ISO_IR 192"
    assert pydicom.dcmread(BytesIO(clean)).ManufacturerModelName == ""


def dataset_in_cyrillic() -> Any:
    dataset = pydicom.dcmread(BytesIO(an_identifying_file()))
    dataset.SpecificCharacterSet = "ISO_IR 144"
    dataset.PatientName, dataset.ManufacturerModelName = "Кукс^Зебеди", "Аппарат Кукс"
    return dataset


def test_a_file_without_an_instance_is_refused() -> None:
    dataset = pydicom.dcmread(BytesIO(an_identifying_file()))
    del dataset.SOPInstanceUID
    with pytest.raises(UnreadableImage, match="SOPInstanceUID or SOPClassUID is missing"):
        deidentify(dataset, KEY, Findings())


def test_what_is_left_of_an_original_is_found_by_its_own_values() -> None:
    original = parse(an_identifying_file(), whole=True)[0]
    clean = cleaned(an_identifying_file())
    assert left_of(original, clean) == []
    marked = pydicom.dcmread(BytesIO(clean))
    marked.Manufacturer, marked.StudyDate, marked.FrameOfReferenceUID = "made for Quux", "20190703", "1.2.3.4"
    assert {violation.attribute for violation in left_of(original, a_file_again(marked))} == {
        *("Manufacturer", "StudyDate", "FrameOfReferenceUID"),
    }


def test_what_stands_behind_the_pixels_is_gone_and_found() -> None:
    data = an_identifying_file()
    behind = bytes.fromhex("fcfffcff4f42000010000000") + b"Zebedee Quux 123"
    assert b"Zebedee Quux 123" not in cleaned(data + behind)
    for tail in (behind, b"Quux"):
        assert "the end of the file" in {found.attribute for found in violations_of(cleaned(data) + tail)}


def test_violations_tell_names_and_no_values() -> None:
    found = violations_of(an_identifying_file())
    assert Violation("PatientName", "is no pseudonym") in found
    assert "Quux" not in str(found)
    assert "77777" not in str(found)
    assert violations_of(b"no DICOM at all") != []


@pytest.mark.shared
def test_real_files_come_out_clean_and_whole() -> None:
    paths = [p for p in sorted((SHARED / "dicom").rglob("*.dcm")) if not p.name.startswith("BROKEN")]
    assert len(paths) == 23
    for path in paths:
        data = path.read_bytes()
        clean = cleaned(data)
        assert violations_of(clean) == [], path.name
        assert left_of(parse(data, whole=True)[0], clean) == [], path.name


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore")
def test_broken_files_are_refused_or_clean() -> None:
    paths: list[Path] = [p for p in sorted((SHARED / "dicom_bad").rglob("*")) if p.is_file() and p.suffix != ".txt"]
    assert len(paths) >= 20
    for path in paths:
        try:
            clean = cleaned(path.read_bytes())
        except UnreadableImage:
            continue
        assert violations_of(clean) == [], path.name


@pytest.mark.parametrize(
    ("birth", "then", "age"),
    [
        ("19800229", "20200228", "039Y"),
        ("19800229", "20200229", "040Y"),
        ("20200115", "20210114", "011M"),
        ("20180115", "20200115", "002Y"),
        ("20200115", "20200101", ""),
        ("", "20200101", ""),
        ("19800230", "20200101", ""),
    ],
)
def test_the_age_is_that_of_the_birthdays_passed(birth: str, then: str, age: str) -> None:
    assert age_between(birth, then) == age


def test_the_age_outlives_the_date_of_birth() -> None:
    data = an_identifying_file(PatientBirthDate="19250704", StudyDate="20190703")
    clean = pydicom.dcmread(BytesIO(cleaned(data, Findings(age="093Y"))))
    assert (clean.PatientAge, clean.PatientBirthDate) == ("090Y", "")
    told = pydicom.dcmread(BytesIO(cleaned(an_identifying_file(PatientAge="034Y"), Findings(age="093Y"))))
    assert told.PatientAge == "034Y"


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_or_clean() -> None:
    rng = np.random.default_rng(11)
    seeds = [planted(*everything([t for t in TABLE if t not in KEPT]), within=w) for w in ("", "ViewCodeSequence")]
    outcomes = Counter[str]()
    for number in range(300):
        damaged = mutate(seeds[number % 2], rng)
        try:
            clean = cleaned(damaged)
        except UnreadableImage as error:
            outcomes[error.code] += 1
            continue
        outcomes["clean"] += 1
        assert violations_of(clean) == []
        assert SECRET.encode() not in clean
    assert outcomes["clean"] > 100


def errors_of(data: bytes, folder: Path) -> Counter[str]:
    """What dciodvfy calls an error, without values."""
    path = folder / "file.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    return Counter(re.sub(r"(?<= = )?<[^>]*>|\(0x[^)]*\)|\d+", "", line) for line in lines)


@pytest.mark.shared
@pytest.mark.system("dicom3tools")
def test_a_second_program_finds_no_errors_that_were_not_there_before(tmp_path: Path) -> None:
    for path in sorted((SHARED / "dicom").rglob("*.dcm")):
        data = path.read_bytes()
        before, after = errors_of(data, tmp_path), errors_of(cleaned(data), tmp_path)
        assert not after - before, path.name
