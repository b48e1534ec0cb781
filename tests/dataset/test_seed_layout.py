from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osteon.dataset.seed_layout import METADATA, export, folder_name, metadata_of, sizes_of
from osteon.errors import BadTable, CannotWrite, NotFound
from tests.make import some_cases


def a_prepared(folder: Path, **columns: list[object]) -> pd.DataFrame:
    """A manifest as `prepare` writes it, and its images, each of one grey value of its own."""
    manifest = some_cases(patients=4, fractured=0.5).assign(**columns)
    manifest = manifest.assign(prepared=manifest["image"] + ".png", steps="fit", part=0)
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate(manifest["prepared"]):
        Image.fromarray(np.full((20 + number, 30), number, np.uint8)).save(folder / "images" / name)
    return manifest


def test_every_radiograph_lies_in_the_folder_of_its_class_and_study(tmp_path: Path) -> None:
    manifest = a_prepared(tmp_path)
    done = export(manifest, tmp_path / "images", tmp_path / "out")
    whole = pd.read_csv(tmp_path / "out" / METADATA, dtype=str, keep_default_na=False)
    assert list(whole)[:3] == ["radiograph", "study", "class"]
    assert len(whole) == len(manifest) == sum(done.radiographs.values())
    assert done.studies == {"broken": 2, "not_broken": 2}
    pngs = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert pngs == {f"{row['class']}/{row.study}/{row.radiograph}.png" for _, row in whole.iterrows()}
    for number, row in enumerate(whole.itertuples()):
        kind = "broken" if manifest["target"][number] == 1 else "not_broken"
        with Image.open(tmp_path / "out" / kind / row.study / f"{row.radiograph}.png") as image:
            assert np.asarray(image)[0, 0] == number
    assert whole["age_years"].astype(float).tolist() == manifest["age_years"].tolist()
    assert "path" not in whole  # names of files may hold names of people


def test_the_tables_of_the_studies_together_are_the_table_of_all(tmp_path: Path) -> None:
    export(a_prepared(tmp_path), tmp_path / "images", tmp_path / "out")
    parts = [pd.read_csv(path, dtype=str) for path in (tmp_path / "out").glob("*/*/metadata.csv")]
    whole = pd.read_csv(tmp_path / "out" / METADATA, dtype=str)
    joined = pd.concat(parts).sort_values("radiograph").reset_index(drop=True)
    pd.testing.assert_frame_equal(joined, whole.sort_values("radiograph").reset_index(drop=True))


def test_a_study_is_broken_if_any_of_its_radiographs_is(tmp_path: Path) -> None:
    manifest = a_prepared(tmp_path, target=[1, 0, 0, 0, pd.NA, pd.NA, pd.NA, 1])
    manifest["target"] = manifest["target"].astype("Int8")
    classes = metadata_of(manifest)["class"].tolist()
    assert classes == ["broken"] * 2 + ["not_broken"] * 2 + ["unlabelled"] * 2 + ["broken"] * 2


@pytest.mark.parametrize("study", ["../../etc", "/abs", ".hidden", "a/b", "Müller", "a b", "", "x" * 300, "a\nb"])
def test_a_study_that_cannot_name_a_folder_gets_a_digest(study: str) -> None:
    assert folder_name(study).startswith("study-")
    assert folder_name(study).isascii()
    assert folder_name("1.2.840.113619") == "1.2.840.113619"


def test_an_export_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    manifest = a_prepared(tmp_path)
    export(manifest, tmp_path / "images", tmp_path / "out")
    export(manifest.iloc[:2].reset_index(drop=True), tmp_path / "images", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(CannotWrite, match="no earlier export"):
        export(manifest, tmp_path / "images", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_missing_image_or_a_name_twice_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    manifest = a_prepared(tmp_path)
    with pytest.raises(BadTable, match="twice"):
        export(pd.concat([manifest, manifest.iloc[:1]]), tmp_path / "images", tmp_path / "out")
    (tmp_path / "images" / manifest["prepared"][3]).unlink()
    with pytest.raises(NotFound, match="osteon prepare"):
        export(manifest, tmp_path / "images", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_sizes_of_prepared_images_are_counted(tmp_path: Path) -> None:
    a_prepared(tmp_path)
    told = sizes_of(sorted((tmp_path / "images").iterdir()))
    assert told["commonest"] == [[20 + number, 30, 1] for number in range(8)]
