"""Bad input gets one clear sentence, the right exit code, and leaves earlier results as they were."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from osteon import tables
from tests.journeys.test_path import contents

Osteon = Callable[..., tuple[int, str, str]]


def one_sentence(err: str) -> bool:
    return err.startswith("osteon: ") and ";" in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


def labels_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path / "cohort" / "labels.csv", dtype=str)


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "absent", "-o", "out"),
        ("prepare", "absent", "-o", "out"),
        ("split", "absent", "-o", "out"),
        ("features", "absent", "-o", "out"),
        ("train", "absent", "--features", "absent", "-o", "out"),
        ("evaluate", "absent", "-o", "out"),
        ("read", "absent.dcm", "--bundle", "absent", "-o", "out"),
    ],
)
def test_a_wrong_path_is_not_found(words: tuple[str, ...], osteon: Osteon, in_tmp: Path) -> None:
    code, _, err = osteon(*words)
    assert code == 66
    assert one_sentence(err)
    assert not (in_tmp / "out" / "run.json").exists()


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_empty_folder(osteon: Osteon, in_tmp: Path) -> None:
    (in_tmp / "empty").mkdir()
    code, _, err = osteon("ingest", "empty", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def test_a_label_table_about_other_images(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    labels_of(path).assign(study="1.2.3").drop_duplicates("study").to_csv("labels.csv", index=False)
    code, _, err = osteon("ingest", path / "cohort", "--labels", "labels.csv", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def test_a_label_table_with_some_unknown_studies(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    table = labels_of(path)
    table.loc[0, "study"] = "1.2.3"
    table.to_csv("labels.csv", index=False)
    code, out, _ = osteon("ingest", path / "cohort", "--labels", "labels.csv", "-o", "out")
    assert code == 0
    assert "2 no_label" in out
    assert "no_label, for example" in out
    assert "labels about no image that could be read: 1, in" in out


@pytest.mark.parametrize("lost", ["study", "fractured"])
def test_a_label_table_without_a_column_it_needs(path: Path, lost: str, osteon: Osteon, in_tmp: Path) -> None:
    labels_of(path).drop(columns=lost).to_csv("labels.csv", index=False)
    code, _, err = osteon("ingest", path / "cohort", "--labels", "labels.csv", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def prepared_with(path: Path, out: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """A prepared folder whose manifest was changed."""
    shutil.copytree(path / "prepared", out)
    manifest = tables.read(out / "manifest.parquet", tables.MANIFEST)
    tables.write(out / "manifest.parquet", change(manifest), tables.MANIFEST)
    return out


def test_one_class_only(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    prepared = prepared_with(path, in_tmp / "p", lambda m: m.assign(target=1))
    code, _, err = osteon("split", prepared, "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def test_fewer_patients_than_folds(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    code, _, err = osteon("split", path / "prepared", "--folds", "40", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def test_a_bundle_of_another_task(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    shutil.copytree(path / "model" / "bundle", in_tmp / "bundle")
    description = json.loads((in_tmp / "bundle" / "bundle.json").read_text())
    (in_tmp / "bundle" / "bundle.json").write_text(json.dumps(description | {"task": "rust"}))
    code, _, err = osteon("read", path / "unseen", "--bundle", "bundle", "-o", "out")
    assert (code, one_sentence(err)) == (78, True)
    assert "rust" in err


def test_weights_with_the_wrong_digest(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    weights = path / "model" / "bundle" / "weights.safetensors"
    code, _, err = osteon("features", path / "prepared", "--weights", weights, "--digest", "0" * 64, "-o", "out")
    assert (code, one_sentence(err)) == (78, True)
    assert "0000" in err


def test_an_unknown_backbone_suggests_others(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    code, _, err = osteon("features", path / "prepared", "--backbone", "resnet19", "-o", "out")
    assert (code, one_sentence(err)) == (64, True)
    assert "resnet18" in err


def test_a_file_that_is_no_radiograph(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    (in_tmp / "notes.txt").write_text("no radiograph")
    code, _, err = osteon("read", "notes.txt", "--bundle", path / "model" / "bundle", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


def test_one_unreadable_file_does_not_hide_the_others(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    (in_tmp / "notes.txt").write_text("no radiograph")
    good = path / "unseen" / "dicom" / "PH0001" / "1.dcm"
    code, out, _ = osteon("read", "notes.txt", good, "--bundle", path / "model" / "bundle", "-o", "out")
    assert code == 0
    assert "not read: notes.txt" in out
    assert "probability" in out


def test_unsealing_what_was_never_sealed(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    assert osteon("split", path / "prepared", "-o", "s")[0] == 0
    code, _, err = osteon("evaluate", path / "model", "--manifest", "s", "--unseal", "-o", "out")
    assert (code, one_sentence(err)) == (66, True)
    assert not (in_tmp / "s" / "openings.json").exists()


def test_predictions_with_a_patient_in_two_folds(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    table = tables.read(path / "model" / "predictions.parquet", tables.PREDICTIONS)
    fold = np.arange(len(table)) % 5
    tables.write(
        in_tmp / "p.parquet",
        table[table["part"] == "validation"].assign(fold=fold[: (table["part"] == "validation").sum()]),
        tables.PREDICTIONS,
    )
    code, _, err = osteon("evaluate", "p.parquet", "-o", "out")
    assert (code, one_sentence(err)) == (65, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("prepare", "prepared"), 65),
        (("prepare", "cohort"), 66),
        (("split", "ingest"), 65),
        (("split", "split"), 66),
        (("features", "ingest"), 65),
        (("train", "ingest", "--features", "features"), 65),
        (("train", "prepared", "--features", "features"), 65),
        (("train", "split", "--features", "prepared"), 66),
        (("train", "split", "--images", "ingest"), 66),
        (("evaluate", "prepared"), 66),
        (("evaluate", "model", "--manifest", "features"), 66),
        (("read", "cohort", "--bundle", "features"), 66),
    ],
)
def test_a_folder_of_another_command(path: Path, words: tuple[str, ...], expected: int, osteon: Osteon) -> None:
    given = [word if word.startswith("--") else path / word for word in words[1:]]
    code, _, err = osteon(words[0], *given, "-o", path.parent / "elsewhere")
    assert (code, one_sentence(err)) == (expected, True)
    assert "osteon" in err.partition(";")[2]  # the remedy names the command whose folder is wanted
    assert not (path.parent / "elsewhere" / "run.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("split", "prepared", "-o", "prepared"),
        ("ingest", "cohort", "-o", "prepared"),
        ("evaluate", "model", "-o", "model"),
    ],
)
def test_results_of_another_command_are_not_written_over(path: Path, words: tuple[str, ...], osteon: Osteon) -> None:
    before = contents(path / words[-1])
    verb, given, _, out = words
    code, _, err = osteon(verb, path / given, "-o", path / out)
    assert (code, one_sentence(err)) == (73, True)
    assert contents(path / words[-1]) == before


def test_an_out_that_is_a_file_is_known_before_the_work(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    (in_tmp / "out").write_text("mine")
    assert osteon("split", path / "prepared", "--test", "0.2", "-o", "s")[0] == 0
    code, _, err = osteon("evaluate", path / "model", "--manifest", "s", "--unseal", "-o", "out")
    assert (code, one_sentence(err)) == (73, True)
    assert not (in_tmp / "s" / "openings.json").exists()  # what nobody saw was not opened
    assert (in_tmp / "out").read_text() == "mine"


def test_a_bank_that_was_last_filled_from_other_images(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    shutil.copytree(path / "features", in_tmp / "bank")
    first = sorted((path / "cohort").rglob("*.dcm"))[0]
    (in_tmp / "one").mkdir()
    shutil.copy(first, in_tmp / "one")
    assert osteon("ingest", "one", "-o", "i", "--workers", "1")[0] == 0
    assert osteon("prepare", "i", "-o", "p", "--workers", "1")[0] == 0
    assert osteon("features", "p", "-o", "bank")[0] == 0
    code, _, err = osteon("train", path / "split", "--features", "bank", "-o", "out")
    assert (code, one_sentence(err)) == (66, True)
    assert "osteon features" in err


def test_junk_among_the_files_to_read(path: Path, osteon: Osteon, in_tmp: Path) -> None:
    (in_tmp / "study").mkdir()
    shutil.copy(path / "unseen" / "dicom" / "PH0001" / "1.dcm", in_tmp / "study" / "A.DCM")
    (in_tmp / "study" / "gone.dcm").symlink_to(in_tmp / "nowhere")
    (in_tmp / "study" / "Thumbs.db").write_bytes(b"\0" * 600)
    (in_tmp / "study" / "table.csv").write_text("a,b")
    # The folder that `train` wrote stands for the bundle in it.
    code, out, _ = osteon("read", "study", "--bundle", path / "model", "--no-overlays", "-o", "out")
    assert code == 0
    assert out.count("not read: ") == 2
    assert "gone.dcm is a link to nothing" in out
    assert "probability" in out


@pytest.mark.parametrize("verb", ["phantom", "ingest", "prepare", "split", "features", "train", "evaluate", "read"])
def test_a_full_disk_leaves_earlier_results(path: Path, verb: str, tmp_path: Path) -> None:
    # No file may grow beyond 100 bytes: to a program this is a disk that fills up, in every library and at every write.
    out = tmp_path / "out"
    words = {
        "phantom": [out, "--patients", "1", "--workers", "1"],
        "ingest": [path / "cohort", "--labels", path / "cohort" / "labels.csv", "-o", out, "--workers", "1"],
        "prepare": [path / "ingest", "-o", out, "--workers", "1"],
        "split": [path / "prepared", "-o", out, "--no-duplicates"],
        "features": [path / "prepared", "-o", out],
        "train": [path / "split", "--features", path / "features", "-o", out],
        "evaluate": [path / "model", "-o", out],
        "read": [path / "unseen" / "dicom" / "PH0001", "--bundle", path / "model" / "bundle", "-o", out],
    }[verb]
    if verb != "features":  # a bank only grows: what is there is tested in the learn room
        out.mkdir()
        (out / "earlier.txt").write_text("an earlier result")
    before = contents(tmp_path)

    def fill_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    command = [sys.executable, "-m", "osteon", verb, *map(str, words)]
    # Python itself would fail to write its byte code; that is not what is tested.
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=fill_disk, check=False, env=environment)
    assert done.returncode == 73, done.stderr
    assert "Traceback" not in done.stderr
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not (out / "run.json").exists()
