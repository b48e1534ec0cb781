"""What the commands `ingest` and `export` leave on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook

from osteon import runs, tables, verbs
from osteon.dataset import refusals
from osteon.dataset.labels import Columns
from osteon.errors import TooFewCases
from osteon.verbs.intake import KEY
from tests.dataset.test_ingest import a_folder
from tests.dicom.making import a_radiograph_file, stored_values


def a_workbook(path: Path) -> Path:
    book = Workbook()
    book.active.append(["Petición", "Resultado"])
    for name, answer in (("a", "yes"), ("b", "no"), ("c", "no"), ("gone", "no")):
        book.active.append([name, answer])
    book.save(path)
    return path


def test_a_workbook_and_a_folder_become_a_clean_set_and_an_export(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png", "x/c.png", "d.png"])
    labels = a_workbook(tmp_path / "labels.xlsx")
    out, columns = tmp_path / "ingest", Columns(key="petición", answer="resultado")
    done = verbs.ingest(source, out, labels=labels, columns=columns)
    assert (done.figures["images"], done.figures["refused"]) == (3, {"no_label": 1})
    assert f"studies without a label: 1, in {out / 'studies_without_label.csv'}" in done.said
    assert pd.read_csv(out / "labels_without_study.csv").to_numpy().tolist() == [["gone", "no"]]
    assert json.loads((out / "survey.json").read_text())["cases"]["images"] == 3
    assert (out / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert pd.read_csv(out / "flow.csv")["files"].iloc[-1] == 3
    assert runs.read(out).arguments["columns"]["key"] == "petición"

    verbs.prepare(out, tmp_path / "prepared", size=64)
    exported = verbs.export(tmp_path / "prepared", tmp_path / "export")
    assert exported.figures["radiographs"] == {"broken": 1, "not_broken": 2}
    assert len(list((tmp_path / "export").glob("broken/*/*.png"))) == 1
    assert (tmp_path / "export" / "sizes.svg").read_text().startswith("<svg")


def test_the_same_ingest_twice_leaves_the_same_bytes(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png"])
    for name in ("one", "two"):
        verbs.ingest(source, tmp_path / name, key=tmp_path / "key")
    for path in (tmp_path / "one").iterdir():
        if path.name != runs.RECORD:
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


NAMES = (b"Doesworth", b"DOESWORTH", b"Roesworth")
"""Long enough not to be spelt by chance: three bytes are, in one run of some hundreds."""


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_only_pseudonyms_leave_the_ingest_folder(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["Doesworth^Jane.png", "Roesworth^Richard.png", "broken.png"])
    (source / "broken.png").write_bytes(b"Jane Doesworth wrote this")
    shifted = dict.fromkeys(("PatientAge", "VOILUTFunction", "PresentationLUTShape", "StudyInstanceUID"), "DOESWORTH")
    window = {"WindowCenter": 2000, "WindowWidth": 2000}
    (source / "Doesworth.dcm").write_bytes(a_radiograph_file(stored_values(), bits=12, **window, **shifted))
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "image,fracture,patient\n"
        "Doesworth^Jane,1,Jane Doesworth\n"
        "Roesworth^Richard,0,Richard Roesworth\n"
        "broken,1,Jane Doesworth\n"
        "Doesworth,1,J. Doesworth\n"
    )
    verbs.ingest(source, tmp_path / "out", labels=labels)
    first = (tmp_path / "out" / "manifest.parquet").read_bytes()
    verbs.ingest(source, tmp_path / "out", labels=labels)  # the key of the first time serves again
    assert (tmp_path / "out" / "manifest.parquet").read_bytes() == first
    assert (tmp_path / "out" / KEY).stat().st_mode & 0o077 == 0
    verbs.prepare(tmp_path / "out", tmp_path / "prepared")
    manifest = tables.read(tmp_path / "prepared" / "manifest.parquet", tables.MANIFEST)
    assert manifest["patient"].nunique() == 3
    for path in (tmp_path / "prepared").rglob("*"):
        if path.is_file() and path.name != runs.RECORD:
            assert not any(name in path.read_bytes() + path.name.encode() for name in NAMES), path.name


def test_an_ingest_that_takes_nothing_says_why_and_leaves_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("letter.txt", "list.doc"):
        (tmp_path / "in" / name).write_text(f"Dear colleague, {name}")
    (tmp_path / "in" / "scans.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(TooFewCases, match="none of the 3 files can be taken, 3 refused") as error:
        verbs.ingest(tmp_path / "in", tmp_path / "out")
    assert error.value.exit_code == 65
    assert "letter.txt is neither DICOM, nor PNG, nor JPEG" in str(error.value)
    assert "leave it out" in error.value.remedy
    assert len(refusals.read(tmp_path / "out" / "refusals.parquet")) == 3
    assert (tmp_path / "out" / "survey.html").exists()
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert not (tmp_path / "out" / runs.RECORD).exists()


def test_an_earlier_manifest_does_not_outlive_an_ingest_that_takes_nothing(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    verbs.ingest(source, tmp_path / "out")
    assert len(tables.read(tmp_path / "out" / "manifest.parquet", tables.MANIFEST)) == 1
    (source / "a.png").write_text("gone")
    with pytest.raises(TooFewCases):
        verbs.ingest(source, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.parquet").exists()
