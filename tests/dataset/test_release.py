"""An export with names in every place becomes a tree without; killed and run again, it is the same tree."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from osteon.dataset.cleaning import Job, clean_one
from osteon.dataset.ingest import ingest
from osteon.dataset.proof import prove
from osteon.dataset.release import CROSSWALK, FILE_NAME, release
from osteon.dicom.pseudonyms import Key
from osteon.dicom.read import read
from osteon.errors import BadTable, CannotWrite, NotFound
from osteon.tasks import FRACTURE
from osteon.types import Refusal
from osteon.verbs import check, deidentify
from tests.dicom.making import a_file
from tests.dicom.planting import an_identifying_file

# Long numbers: among the digits of the new UIDs, four would be found by chance in one run of ten.
NAMES = ("Quux", "Zebedee", "QUUX", "quux", "47110815", "47120815", "ACC77", "Seaview", "1.2.3.77")


def a_picture(text: str = "") -> np.ndarray:
    y, x = np.mgrid[0:400, 0:320]
    image = 300 + 2500 * np.exp(-(((x - 150) / 40) ** 2)) + 40 * np.sin(y / 31)
    if text:
        stamp = np.zeros(image.shape, np.uint8)
        cv2.putText(stamp, text, (15, 380), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2, cv2.LINE_AA)
        image = np.where(stamp > 0, 4095 * (stamp / 255) + image * (1 - stamp / 255), image)
    return np.rint(image).astype(np.uint16)


def an_image(patient: str, number: int, *, text: str = "", **attributes: object) -> bytes:
    pixels = a_picture(text) + np.uint16(number)  # no two images are the same
    dataset = pydicom.dcmread(BytesIO(an_identifying_file()))
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsStored, dataset.HighBit = 13, 12
    dataset.PixelData = pixels.tobytes()
    told = {
        "PatientID": patient,
        "AccessionNumber": f"ACC77{patient}",
        "StudyInstanceUID": f"1.2.3.77{patient}",
        "SeriesInstanceUID": f"1.2.3.77{patient}.1",
        "SOPInstanceUID": f"1.2.3.77{patient}.1.{number}",
        "InstitutionName": "Seaview Hospital",
        "BodyPartExamined": "",
        "StudyDescription": "wrist of Quux",
    }
    for keyword, value in {**told, **attributes}.items():
        setattr(dataset, keyword, value)
    return a_file(dataset)


def an_export(place: Path) -> Path:
    """Two patients with three images, one with writing, and a file that cannot be read."""
    folder = place / "export"
    for path, data in {
        "Quux_47110815/1.dcm": an_image("47110815", 1, text="Quux, Z. 47110815"),
        "Quux_47110815/2.dcm": an_image("47110815", 2),
        "Quux_47120815/1.dcm": an_image("47120815", 3),
        "Quux_47120815/broken.dcm": an_image("47120815", 4)[:3000],
        "Quux_47120815/report.txt": b"Zebedee Quux",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (place / "labels.csv").write_text(
        "accession,fracture,machine,comment\nACC7747110815,1,old,Zebedee\nACC7747120815,0,new,\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return an_export(tmp_path)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """One warm worker for all tests of this module."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def clean(export: Path, pool: ThreadPoolExecutor) -> Callable[..., Path]:
    """What `osteon deidentify` does with the export, into a folder of that name."""

    def make(name: str = "clean", key: str = "key", **options: Any) -> Path:
        place = export.parent
        taken = ingest(export, place / "labels.csv", task=FRACTURE, executor=pool)
        secret, private = Key.open(place / key), place / f"{name}-private"
        options = {"label": "fractured", "refusals": taken.refusals, "executor": pool, **options}
        release(taken.manifest, export, place / name, private, secret, **options)
        return place / name

    return make


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves: `clean`, `clean-private`, `key`; read it, do not write into it."""
    place = tmp_path_factory.mktemp("released")
    deidentify(an_export(place), place / "clean", place / "key", labels=place / "labels.csv")
    return place


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: data for name, data in found.items() if name != "run.json"}


def test_nothing_that_leaves_names_anybody(released: Path) -> None:
    tree = released / "clean"
    everything = {**contents(tree), "run.json": (tree / "run.json").read_bytes()}
    for name, data in everything.items():
        for word in NAMES:
            assert word not in name
            assert word.encode() not in data, f"{word} in {name}"
    assert len([name for name in everything if FILE_NAME.fullmatch(name)]) == 3


def test_a_patient_is_called_by_the_keyed_hash_of_the_number(released: Path) -> None:
    key = Key.open(released / "key")
    folders = {path.name for path in (released / "clean" / "dicom").iterdir()}
    assert folders == {key.of("patient", number) for number in ("47110815", "47120815")}


def test_what_stays_holds_the_way_back(released: Path) -> None:
    tree = released / "clean"
    private = tree.with_name("clean-private")
    head, *lines = map(json.loads, (private / CROSSWALK).read_text().splitlines())
    assert {line["path"] for line in lines} == {"Quux_47110815/1.dcm", "Quux_47110815/2.dcm", "Quux_47120815/1.dcm"}
    assert all((tree / line["file"]).stat().st_size == line["size"] for line in lines)
    assert set(head) == {"key", "edition"}
    refused = pd.read_parquet(private / "refusals.parquet")
    assert set(refused["path"]) == {"Quux_47120815/broken.dcm", "Quux_47120815/report.txt"}
    assert private.stat().st_mode & 0o077 == 0
    assert (private / "studies_without_label.csv").exists()


def test_labels_leave_under_pseudonyms_and_other_columns_only_when_asked(clean: Callable[..., Path]) -> None:
    rows = rows_of(clean() / "labels.csv")
    assert list(rows[0]) == ["file", "patient", "study", "fractured"]
    assert sorted(row["fractured"] for row in rows) == ["0", "1", "1"]
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    kept = rows_of(clean("kept", keep_columns=["machine"]) / "labels.csv")
    assert sorted(row["machine"] for row in kept) == ["new", "old", "old"]
    with pytest.raises(BadTable, match="no column 'nothing' to keep"):
        clean("none", keep_columns=["nothing"])


def test_the_clean_tree_is_ingested_with_its_labels(released: Path, pool: ThreadPoolExecutor) -> None:
    tree = released / "clean"
    taken = ingest(tree, tree / "labels.csv", task=FRACTURE, executor=pool)
    assert (len(taken.manifest), taken.manifest["patient"].nunique(), taken.manifest["target"].sum()) == (3, 2, 2)
    assert taken.refusals == []


def test_what_the_description_said_of_the_body_part_is_kept(released: Path) -> None:
    for path in (released / "clean").rglob("*.dcm"):
        assert pydicom.dcmread(path).BodyPartExamined == "WRIST"


def test_writing_is_painted_over_and_the_rest_is_the_image_to_the_last_bit(released: Path) -> None:
    tree = released / "clean"
    lines = [json.loads(line) for line in (tree.with_name("clean-private") / CROSSWALK).read_text().splitlines()[1:]]
    made = {line["path"]: line for line in lines}
    assert {path: line["hidden"] > 0 for path, line in made.items()} == {
        "Quux_47110815/1.dcm": True,
        "Quux_47110815/2.dcm": False,
        "Quux_47120815/1.dcm": False,
    }
    after = pydicom.dcmread(tree / made["Quux_47110815/1.dcm"]["file"]).pixel_array
    before = a_picture("Quux, Z. 47110815") + 1
    ink = before > a_picture() + 100
    assert (after[ink] < 3000).all()
    assert np.array_equal(after[:340], before[:340])
    untouched = pydicom.dcmread(tree / made["Quux_47110815/2.dcm"]["file"]).pixel_array
    assert np.array_equal(untouched, a_picture() + 2)


def test_a_second_run_has_nothing_to_do_and_another_key_makes_all_anew(clean: Callable[..., Path]) -> None:
    tree = clean()
    first, times = contents(tree), {path: path.stat().st_mtime_ns for path in tree.rglob("*.dcm")}
    assert contents(clean()) == first
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*.dcm")} == times
    other = contents(clean(key="other"))
    assert len(other) == len(first)
    assert not set(other) & set(first) - {"labels.csv"}


def test_a_run_that_was_killed_goes_on_to_the_same_tree(export: Path, clean: Callable[..., Path]) -> None:
    whole, crosswalk = contents(clean()), (export.parent / "clean-private" / CROSSWALK).read_text()
    tree, private = export.parent / "clean", export.parent / "clean-private"
    # As a kill leaves it: one file there, a second half-written, the journal cut within a line.
    _, second, *rest = sorted(tree.rglob("*.dcm"))
    second.with_name(f".{second.name}.tmp-77").write_bytes(b"half")
    for path in (second, *rest, tree / "labels.csv"):
        path.unlink()
    (private / CROSSWALK).write_text(crosswalk[: len(crosswalk) * 2 // 3], encoding="utf-8")
    assert contents(clean()) == whole
    assert (private / CROSSWALK).read_text() == crosswalk


def test_files_that_left_the_export_leave_the_tree(export: Path, clean: Callable[..., Path]) -> None:
    clean()
    shutil.rmtree(export / "Quux_47120815")
    tree = clean()
    assert len(list(tree.rglob("*.dcm"))) == 2
    assert len(list((tree / "dicom").iterdir())) == 1


def test_the_key_and_what_stays_may_not_lie_in_what_leaves(export: Path) -> None:
    place = export.parent
    with pytest.raises(BadTable, match=r"--key .* lies in the clean folder"):
        deidentify(export, place / "clean", place / "clean" / "key")
    with pytest.raises(BadTable, match=r"--private .* lies in the clean folder"):
        deidentify(export, place / "clean", place / "key", private=place / "clean" / "private")
    with pytest.raises(BadTable, match=r"--out .* lies in the export"):
        deidentify(export, export / "clean", place / "key", private=place / "private")
    assert not (place / "clean").exists()
    assert not (place / "key").exists()


def test_pictures_are_refused_since_nothing_tells_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.rint(a_picture() / 4095 * 255).astype(np.uint8))
    job = Job("i", tmp_path, "x.png", "p", Key(b"k" * 32), tmp_path / "out")
    result = clean_one(job)
    assert isinstance(result, Refusal)
    assert (result.code, "PNG or JPEG" in result.reason) == ("not_dicom", True)
    gone = clean_one(Job("i", tmp_path, "y.dcm", "p", Key(b"k" * 32), tmp_path / "out"))
    assert isinstance(gone, Refusal)
    assert gone.code == "changed"


def test_a_disk_that_is_full_loses_nothing(export: Path, clean: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "full").write_text("")
    with pytest.raises(CannotWrite):
        deidentify(export, tmp_path / "full" / "clean", tmp_path / "key")


def test_the_proof_finds_nothing_in_the_tree_and_names_what_is_put_back(
    export: Path, clean: Callable[..., Path], pool: ThreadPoolExecutor
) -> None:
    tree, key = clean(), Key.open(export.parent / "key")
    proof = prove(tree, original=export, key=key, executor=pool)
    assert (proof.files, proof.compared, proof.found) == (4, 3, [])
    victim = next(tree.rglob("*.dcm"))
    dataset = pydicom.dcmread(victim)
    dataset.ManufacturerModelName = "Room of Seaview Hospital"
    dataset.save_as(victim)
    assert prove(tree, executor=pool).found == []  # nobody can know it without the original
    (found,) = prove(tree, original=export, key=key, executor=pool).found
    assert (found.violation.attribute, found.violation.reason) == (
        "ManufacturerModelName",
        "says what the original said",
    )


def test_the_proof_reads_names_of_files_labels_and_pixels(clean: Callable[..., Path], pool: ThreadPoolExecutor) -> None:
    tree = clean()
    first, second, third = sorted(tree.rglob("*.dcm"))
    first.rename(first.with_name("Quux.dcm"))
    dataset = pydicom.dcmread(second)
    dataset.PixelData = a_picture("Zebedee Quux").tobytes()
    dataset.save_as(second)
    third.write_bytes(third.read_bytes()[:-500])
    (tree / "notes.txt").write_text("Zebedee Quux")
    table = (tree / "labels.csv").read_text().replace(",P", ",47110815-", 1)
    (tree / "labels.csv").write_text(table)
    found = {(one.violation.attribute, one.violation.reason) for one in prove(tree, executor=pool).found}
    assert found >= {
        ("the name of the file", "is not made of pseudonyms"),
        ("the pixels", "hold what looks like writing"),
        ("the pixels", "cannot be searched for writing"),
        ("column patient", "holds something else than pseudonyms"),
        ("PatientIdentityRemoved", "is not YES"),  # of notes.txt
    }


def test_what_cannot_be_proven_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not a folder"):
        prove(tmp_path / "nothing")
    with pytest.raises(NotFound, match="holds no files"):
        prove(tmp_path)
    with pytest.raises(BadTable, match="give --key too"):
        prove(tmp_path, original=tmp_path)


def test_the_check_of_an_export_says_what_is_wrong_without_saying_it(export: Path) -> None:
    done = check(export)
    assert not done.figures["clean"]
    assert "PatientName is no pseudonym" in done.said
    assert "StudyInstanceUID is a UID from elsewhere" in done.said
    assert "Zebedee" not in done.said.replace("Quux_471", "")


def test_a_released_image_is_the_image(released: Path) -> None:
    shown = {read(path).pixels.tobytes() for path in (released / "clean").rglob("*.dcm")}
    before = {
        read(released / "export" / path).pixels.tobytes() for path in ("Quux_47110815/2.dcm", "Quux_47120815/1.dcm")
    }
    assert before < shown
