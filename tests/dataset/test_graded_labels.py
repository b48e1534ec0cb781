"""Tables of RUST grades as label tables: the grades come along, the answer deals the folds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from osteon import tables, verbs
from osteon.dataset import grades, labels, splits
from osteon.dataset.ingest import ingest
from osteon.dataset.labels import Columns
from osteon.errors import BadTable, UnknownName
from osteon.tasks import TASKS, rust
from tests.dataset.test_ingest import a_folder
from tests.make import some_cases

TASK = TASKS["modified-rust"]
TABLE = """image,patient,visit,month,view,anterior,posterior,medial,lateral
a.png,p1,v1,3,AP,,,3,4
b.png,p1,v1,3,LAT,3,2,,
c.png,p2,v2,0,AP,,,0,3
d.png,p2,v2,0,LAT,0,0,,
e.png,p3,v3,6,AP,,,,
"""


def a_graded_folder(tmp_path: Path) -> tuple[Path, Path]:
    source = a_folder(tmp_path / "in", [f"{name}.png" for name in "abcde"])
    (tmp_path / "labels.csv").write_text(TABLE)
    return source, tmp_path / "labels.csv"


def test_grades_come_along_and_bridged_cortices_are_the_answer(tmp_path: Path) -> None:
    source, path = a_graded_folder(tmp_path)
    taken = ingest(source, path, task=TASK)
    manifest = taken.manifest.set_index("path")
    assert manifest["target"].to_dict() == {"a.png": 1, "b.png": 0, "c.png": 1, "d.png": 0}
    assert [(refusal.path, refusal.code) for refusal in taken.refusals] == [("e.png", "bad_label")]
    given, views = grades.arrays(taken.manifest.assign(view=taken.manifest["label_view"]))
    asked = labels.read(path, TASK, Columns(answer="view"))  # the same rows, without any reading of grades
    assert sorted(views) == sorted(asked.rows[labels.ANSWER][:4])
    assert rust.shown(views)[given > rust.NOT_VISIBLE].all() and (given == rust.NOT_SCOREABLE).sum() == 3
    assert manifest["month"].astype(float).to_dict() == {"a.png": 3, "b.png": 3, "c.png": 0, "d.png": 0}
    assert manifest["study"].nunique() == manifest["patient"].nunique() == 2


def test_a_swapped_naming_is_understood_and_a_wrong_one_refused(tmp_path: Path) -> None:
    source, path = a_graded_folder(tmp_path)
    text = TABLE.replace("LAT", "X").replace("AP", "LAT").replace(",X,", ",AP,")
    path.write_text(text)
    with pytest.raises(BadTable, match="named the other way round"):
        ingest(source, path, task=TASK)
    taken = ingest(source, path, task=TASK, columns=Columns(naming="views-swapped"))
    assert taken.manifest.set_index("path")["label_view"]["a.png"] == "AP"
    with pytest.raises(UnknownName, match="views-swapped"):
        ingest(source, path, task=TASK, columns=Columns(naming="mirrored"))


def test_the_grades_of_the_test_set_are_sealed_with_its_answers() -> None:
    cases = some_cases(patients=30).assign(medial=pd.array([3] * 30 * 2, "Int8")[: len(some_cases(patients=30))])
    whole = splits.split(cases, folds=3, test=0.2, seed=1)
    opened, sealed = splits.seal(whole)
    hidden = opened["fold"] == splits.SEALED
    assert opened.loc[hidden, "medial"].isna().all() and opened.loc[~hidden, "medial"].notna().all()
    assert sealed["medial"].eq(3).all() and len(sealed) == hidden.sum() > 0


def test_a_split_of_graded_images_keeps_no_grade_of_the_test_set(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "in", [f"{n}.png" for n in range(24)])
    rows = [f"{n}.png,p{n // 2},v{n // 2},0,{'AP' if n % 2 else 'LAT'}," for n in range(24)]
    rows = [row + (f",,{1 + n % 4},3" if n % 2 else f"{1 + n % 3},3,,") for n, row in enumerate(rows)]
    (tmp_path / "labels.csv").write_text("\n".join([TABLE.splitlines()[0], *rows]) + "\n")
    verbs.ingest(source, tmp_path / "i", labels=tmp_path / "labels.csv", task="modified-rust")
    verbs.prepare(tmp_path / "i", tmp_path / "p")
    verbs.split(tmp_path / "p", tmp_path / "s", folds=2, test=0.25, duplicates=False)
    manifest = tables.read(tmp_path / "s" / "manifest.parquet", tables.MANIFEST)
    given, _ = grades.arrays(manifest[manifest["fold"] == splits.SEALED])
    assert len(given) and (given == rust.NOT_VISIBLE).all()
