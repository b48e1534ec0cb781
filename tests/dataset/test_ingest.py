from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import files, tables
from osteon.dataset import refusals as refusal_table
from osteon.dataset.ingest import Ingested, ingest
from osteon.dataset.labels import Columns
from osteon.dataset.sources import files_given
from osteon.errors import BadTable, NotFound, TooFewCases
from osteon.tasks import FRACTURE
from tests.make import SHARED, a_radiograph


class Here(Executor):
    """Runs each call at once, in this process."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *arguments, **named)


def a_folder(folder: Path, names: list[str]) -> Path:
    """PNG files, each another image."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = cv2.imencode(".png", a_radiograph(60, 40, seed=seed).pixels)[1].tobytes()
        path.write_bytes(data)
    return folder


def a_table(path: Path, /, **columns: list[Any]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def taken(source: Path, labels: Path | None = None, **named: Any) -> Ingested:
    return ingest(source, labels, task=FRACTURE, executor=Here(), **named)


def codes(done: Ingested) -> dict[str, str]:
    return {refusal.path: refusal.code for refusal in done.refusals}


def test_a_folder_becomes_a_manifest_in_the_order_of_paths(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["b.png", "a/z.png", "a/deep/x", "c.jpeg"])
    done = taken(source)
    assert done.manifest["path"].tolist() == ["a/deep/x", "a/z.png", "b.png", "c.jpeg"]
    assert done.manifest["image"].tolist() == [files.digest_of(source / p)[:32] for p in done.manifest["path"]]
    assert done.manifest["target"].isna().all()
    assert (done.manifest["rows"] == 60).all()
    assert (done.manifest["columns"] == 40).all()
    assert done.refusals == []
    tables.check(done.manifest, tables.MANIFEST, "test")


def test_an_image_that_names_no_patient_is_its_own_and_that_is_said(tmp_path: Path) -> None:
    done = taken(a_folder(tmp_path / "in", ["a.png", "b.png"]))
    assert done.manifest["patient"].tolist() == done.manifest["image"].tolist()
    assert done.manifest["study"].tolist() == done.manifest["image"].tolist()
    assert "2 of 2 images name no patient" in done.notes[0]


def test_every_given_file_ends_in_the_manifest_or_in_the_refusals(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png"])
    shutil.copy(source / "a.png", source / "copy of a.png")
    (source / "text.dcm").write_text("not an image")
    (source / "empty").touch()
    (source / "dangling.png").symlink_to(tmp_path / "nowhere")
    for ignored in ("DICOMDIR", "run.json", ".hidden.png", "truth.parquet", "notes.CSV"):
        (source / ignored).write_text("no image either")
    (source / ".cache").mkdir()
    shutil.copy(source / "a.png", source / ".cache" / "a.png")
    done = taken(source)
    assert codes(done) == {
        "copy of a.png": "duplicate_file",
        "dangling.png": "not_an_image",
        "empty": "not_an_image",
        "text.dcm": "not_an_image",
    }
    assert done.given == len(files_given(source)) == 6
    assert "a.png" in next(r.reason for r in done.refusals if r.code == "duplicate_file")


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    (source / b"h\xfcfte.png".decode("utf-8", "surrogateescape")).write_bytes((source / "a.png").read_bytes())
    done = taken(source)
    assert codes(done) == {"h\\udcfcfte.png": "not_an_image"}
    refusal_table.write(tmp_path / "refusals.parquet", done.refusals)


def test_labels_are_joined_by_file_name_and_other_columns_are_carried(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["x/a.png", "b.png"])
    table = a_table(
        tmp_path / "labels.csv",
        image=["b.png", "a.png"],
        fractured=["yes", "0"],
        group=["g1", "g2"],
        region=["hand", ""],
        view=["AP", "LAT"],
    )
    done = taken(source, table, columns=Columns(patient="group"))
    rows = done.manifest.set_index("path")
    assert rows["target"].to_dict() == {"b.png": 1, "x/a.png": 0}
    assert rows["patient"].to_dict() == {"b.png": "g1", "x/a.png": "g2"}
    assert rows["region"].to_dict() == {"b.png": "hand", "x/a.png": ""}
    # The file says nothing of its view; what the table says is not mixed up with what a file said.
    assert rows["view"].to_dict() == {"b.png": "", "x/a.png": ""}
    assert rows["label_view"].to_dict() == {"b.png": "AP", "x/a.png": "LAT"}
    assert any("label_view" in note for note in done.notes)
    assert "group" not in done.manifest
    assert "image" in done.manifest


def test_a_second_answer_is_not_carried_where_a_sealed_test_set_would_show_it(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png"])
    table = a_table(tmp_path / "labels.csv", image=["a.png", "b.png"], fractured=[1, 0], target=[1, 0], label=[1, 0])
    done = taken(source, table)
    assert done.manifest["target"].tolist() == [1, 0]
    assert not {"label", "label_target", "fractured"} & set(done.manifest)
    assert [note for note in done.notes if "fractured is the answer" in note and "left out" in note] == [
        f"column {column} of labels.csv is left out: fractured is the answer" for column in ("target", "label")
    ]


@pytest.mark.parametrize("key", ["path", "file"])
def test_a_relative_path_is_a_key_too(tmp_path: Path, key: str) -> None:
    source = a_folder(tmp_path / "in", ["1/a.png", "2/a.png"])
    table = a_table(tmp_path / "t.csv", **{key: ["1/a.png", "2/a.png"], "target": [0, 1]})
    assert taken(source, table).manifest["target"].tolist() == [0, 1]


def test_one_file_name_for_two_files_is_an_error(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["1/a.png", "2/a.png"])
    with pytest.raises(BadTable, match=r"names a\.png, and there are 1/a\.png and 2/a\.png"):
        taken(source, a_table(tmp_path / "t.csv", image=["a.png"], target=[0]))


def test_a_spreadsheet_as_people_make_it_is_understood(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["FA1.PNG", "sub/fa2.png", "fa3.jpeg", "1.2.840.3"])
    table = tmp_path / "Labels.CSV"
    lines = [
        "Image ; Fractured;GROUP",
        "fa1;Yes;g1",
        "sub\\fa2;no;g2",
        ";;",
        "FA3.jpeg; y ;g1",
        "1.2.840;no;g3",
        "fa1;Yes;g1",
    ]
    table.write_bytes("\ufeff".encode() + "\r\n".join([*lines, ";;", ""]).encode())
    done = taken(source, table, columns=Columns(patient="Group"))
    rows = done.manifest.set_index("path")
    assert rows["target"].to_dict() == {"FA1.PNG": 1, "fa3.jpeg": 1, "sub/fa2.png": 0}
    assert rows["patient"].to_dict() == {"FA1.PNG": "g1", "fa3.jpeg": "g1", "sub/fa2.png": "g2"}
    # A file called by a UID has no ending that could be left out.
    assert codes(done) == {"1.2.840.3": "no_label"}


def test_names_that_differ_in_capitals_alone_keep_their_own_rows(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["A.png", "a.png"])
    done = taken(source, a_table(tmp_path / "t.csv", image=["a.png", "A.png"], target=[0, 1]))
    assert done.manifest.set_index("path")["target"].to_dict() == {"A.png": 1, "a.png": 0}
    with pytest.raises(BadTable, match=r"names a\.png, and there are A\.png and a\.png"):
        taken(source, a_table(tmp_path / "t.csv", image=["a.png"], target=[0]))


def test_a_table_without_rows_says_so(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    with pytest.raises(BadTable, match=r"t\.csv has no rows below its header"):
        taken(source, a_table(tmp_path / "t.csv", image=[], target=[]))


def test_a_parquet_table_says_the_same_as_a_csv(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png", "c.png"])
    frame = pd.DataFrame({"image": ["a.png", "b.png", "c.png"], "label": [1, 0, 1], "patient": [7, 7, 8]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        taken(source, tmp_path / "t.csv").manifest, taken(source, tmp_path / "t.parquet").manifest
    )
    assert taken(source, tmp_path / "t.parquet").manifest["patient"].tolist() == ["7", "7", "8"]


def test_images_without_label_and_labels_without_image_are_reported(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png", "c.png", "d.png"])
    table = a_table(
        tmp_path / "t.csv", image=["a.png", "c.png", "d.png", "gone.png", ""], target=[1, "maybe", "", 0, 1]
    )
    done = taken(source, table)
    assert done.manifest["path"].tolist() == ["a.png"]
    assert codes(done) == {"b.png": "no_label", "c.png": "bad_label", "d.png": "bad_label"}
    assert done.labels_without_study.to_numpy().tolist() == [["gone.png", "0"]]
    assert any("1 rows of t.csv have no image" in note for note in done.notes)
    assert done.given == 4


@settings(max_examples=20)
@given(
    labelled=st.lists(st.sampled_from(["0", "1", "x", ""]), min_size=1, max_size=5),
    unlabelled=st.integers(0, 2),
    copies=st.integers(0, 2),
    broken=st.integers(0, 2),
)
def test_the_counts_add_up(
    tmp_path_factory: pytest.TempPathFactory, labelled: list[str], unlabelled: int, copies: int, broken: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("counts")
    names = [f"{number}.png" for number in range(len(labelled) + unlabelled)]
    source = a_folder(tmp_path / "in", names)
    for number in range(copies):
        shutil.copy(source / names[0], source / f"copy{number}.png")
    for number in range(broken):
        (source / f"broken{number}").write_text(str(number))
    done = taken(source, a_table(tmp_path / "t.csv", image=names[: len(labelled)], target=labelled))
    found = Counter(refusal.code for refusal in done.refusals)
    assert done.given == len(names) + copies + broken
    assert len(done.manifest) == sum(said in "01" and said != "" for said in labelled)
    assert found["bad_label"] == sum(said in ("x", "") for said in labelled)
    assert (found["no_label"], found["duplicate_file"], found["not_an_image"]) == (unlabelled, copies, broken)


def test_a_table_without_the_right_columns_says_which_it_has(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    with pytest.raises(BadTable, match="it has name, fractured"):
        taken(source, a_table(tmp_path / "t.csv", name=["a.png"], fractured=[1]))
    with pytest.raises(BadTable, match=r"holds the answer .* it has image, broken"):
        taken(source, a_table(tmp_path / "t.csv", image=["a.png"], broken=[1]))
    with pytest.raises(BadTable, match=r"column 'group' for the patient; it has image, target"):
        taken(source, a_table(tmp_path / "t.csv", image=["a.png"], target=[1]), columns=Columns(patient="group"))
    with pytest.raises(BadTable, match="'label_view' twice"):
        table = a_table(tmp_path / "t.csv", image=["a.png"], target=[1], view=["AP"], label_view=["AP"])
        taken(source, table)


def test_rows_that_contradict_each_other_are_named_and_equal_rows_are_not(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png", "b.png"])
    twice = a_table(tmp_path / "t.csv", image=["a.png", "b.png", "a.png"], target=[1, 0, 1])
    assert taken(source, twice).manifest["target"].tolist() == [1, 0]
    with pytest.raises(BadTable, match=r"rows 2 and 4 of t\.csv contradict each other about image a\.png"):
        taken(source, a_table(tmp_path / "t.csv", image=["a.png", "b.png", "a.png"], target=[1, 0, 0]))


def test_a_contradiction_about_a_patient_does_not_spell_the_patient(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    with pytest.raises(BadTable, match="about the same patient") as error:
        taken(source, a_table(tmp_path / "t.csv", patient=["Doe^Jane", "Doe^Jane"], target=[1, 0]))
    assert "Doe" not in str(error.value)


def test_a_table_of_another_folder_is_an_error(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    with pytest.raises(BadTable, match=r"no row of t\.csv is about an image in this folder"):
        taken(source, a_table(tmp_path / "t.csv", study=["1.2.3"], target=[1]))
    with pytest.raises(BadTable, match=r"it says b-1, and there is a\.png"):
        taken(source, a_table(tmp_path / "t.csv", image=["b-1"], target=[1]))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,"b\n1,2'])
def test_a_broken_table_is_an_error(tmp_path: Path, content: bytes) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    for name in ("t.csv", "t.parquet", "t.xlsx"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadTable):
            taken(source, tmp_path / name)


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone"):
        taken(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TooFewCases, match="holds no files"):
        taken(tmp_path / "empty")
    with pytest.raises(NotFound, match=r"no\.csv"):
        taken(a_folder(tmp_path / "in", ["a.png"]), tmp_path / "no.csv")


def test_a_folder_of_nothing_usable_gives_refusals_and_an_empty_manifest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.txt").write_text("Dear colleague")
    done = taken(tmp_path / "in")
    assert len(done.manifest) == 0
    assert codes(done) == {"letter.txt": "not_an_image"}
    tables.write(tmp_path / "manifest.parquet", done.manifest, tables.MANIFEST)
    assert len(tables.read(tmp_path / "manifest.parquet", tables.MANIFEST)) == 0


def test_progress_counts_every_file(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    source = a_folder(tmp_path / "in", ["a.png", "b.png", "c.png"])
    taken(source, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_worker_processes_find_the_same(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", [f"{number}.png" for number in range(9)])
    (source / "x").write_text("x")
    here, there = taken(source), ingest(source, None, task=FRACTURE, workers=2)
    pd.testing.assert_frame_equal(here.manifest, there.manifest)
    assert here.refusals == there.refusals


def test_refusals_come_back_from_their_table(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", ["a.png"])
    (source / "x").write_text("x")
    (source / "b").write_text("y")
    refused = taken(source).refusals
    refusal_table.write(tmp_path / "refusals.parquet", reversed(refused))
    assert refusal_table.read(tmp_path / "refusals.parquet") == refused
    refusal_table.write(tmp_path / "none.parquet", [])
    assert refusal_table.read(tmp_path / "none.parquet") == []


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["dicom", "dicom_bad", "bad_images"])
def test_every_file_of_the_development_data_is_accounted_for(folder: str) -> None:
    done = taken(SHARED / folder)
    assert done.given == len(files_given(SHARED / folder)) > 3
    assert all(refusal.reason and refusal.remedy for refusal in done.refusals)


@pytest.mark.shared
def test_studies_are_joined_by_their_uid(tmp_path: Path) -> None:
    source = SHARED / "dicom"
    studies = taken(source).manifest["study"].unique()
    done = taken(source, a_table(tmp_path / "t.csv", study=list(studies), fractured=[1] * len(studies)))
    assert done.labels_without_study.empty
    assert (done.manifest["target"] == 1).all()
    assert not {"no_label", "bad_label"} & {refusal.code for refusal in done.refusals}
