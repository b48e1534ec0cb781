"""Copies: eight images of one, the same for the same seed, and never where their original is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import tables
from osteon.errors import BadTable, CannotWrite, Leak, NotFound, UnreadableImage
from osteon.learn.augmentation import KIM
from osteon.learn.copies import COPY_OF, WithCopies, folds_with_copies, is_copy, write_copies
from osteon.learn.nested import lay_out
from tests.learn.nets import grey_image, largest_file
from tests.make import some_split_cases


def a_data_set(folder: Path, patients: int = 12, **options: int) -> tuple[pd.DataFrame, dict[str, Path]]:
    cases = some_split_cases(patients, folds=3, **options).assign(steps="scaled")
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for number, image in enumerate(cases["image"]):
        images[image] = folder / f"{image}.png"
        cv2.imwrite(str(images[image]), grey_image(40, 32, seed=number))
    return cases, images


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_of_every_training_image_there_are_eight(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images", sealed=3)
    told: list[tuple[int, int]] = []
    done = write_copies(cases, images, tmp_path / "copies", seed=1, progress=lambda *step: told.append(step))
    training = cases[cases["fold"] >= 0]
    assert is_copy(done.manifest).sum() == 7 * len(training) and told[-1] == (len(training), len(training))
    pd.testing.assert_frame_equal(
        done.manifest.iloc[: len(cases)][list(cases)].astype(cases.dtypes), cases.reset_index(drop=True)
    )
    copies = done.manifest[is_copy(done.manifest)]
    assert copies.groupby(COPY_OF).size().to_dict() == dict.fromkeys(training["image"], 7)
    first = training.iloc[0]
    own = copies[copies[COPY_OF] == first["image"]].reset_index(drop=True)
    assert own["image"].tolist() == [f"{first['image']}-copy{k}" for k in range(1, 8)]
    assert own["steps"].tolist()[2:5] == [
        "scaled; copy 3: moved",
        "scaled; copy 4: mirrored",
        "scaled; copy 5: mirrored and moved",
    ]
    for column in ("patient", "study", "group", "fold", "target", "view"):
        assert (own[column] == first[column]).all()
    stored = tables.read(tmp_path / "copies" / "manifest.parquet", tables.MANIFEST)
    assert stored["image"].tolist() == copies["image"].tolist()
    assert set(done.images) == set(done.manifest["image"]) and all(path.exists() for path in done.images.values())


def test_a_copy_is_the_image_moved_within_the_ranges(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images")
    image = cases["image"].iloc[0]
    original = read(images[image])
    still = replace(KIM, shift=0, rotation_deg=0, shear_deg=0, zoom=0)
    unmoved = write_copies(cases, images, tmp_path / "still", seed=1, augmentation=still)
    for number in range(1, 8):
        wanted = original[:, ::-1] if number >= 4 else original
        np.testing.assert_array_equal(read(unmoved.images[f"{image}-copy{number}"]), wanted)
    moved = write_copies(cases, images, tmp_path / "moved", seed=1)
    shown = [read(moved.images[f"{image}-copy{number}"]) for number in range(1, 8)]
    np.testing.assert_array_equal(shown[3], original[:, ::-1])
    assert len({picture.tobytes() for picture in (original, *shown)}) == 8
    assert {picture.shape for picture in shown} == {original.shape}


def test_same_seed_same_bytes_whatever_other_images_there_are(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images")
    write_copies(cases, images, tmp_path / "one", seed=1)
    write_copies(cases, images, tmp_path / "two", seed=1)
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    write_copies(cases, images, tmp_path / "fewer", seed=1, folds=[2])
    fewer, all_of_them = bytes_in(tmp_path / "fewer" / "images"), bytes_in(tmp_path / "one" / "images")
    assert fewer.items() < all_of_them.items()
    write_copies(cases, images, tmp_path / "other", seed=2)
    other = bytes_in(tmp_path / "other" / "images")
    same = [name for name, content in other.items() if content == all_of_them[name]]
    assert same == [name for name in other if name.endswith("-copy4.png")]  # mirrored alone: nothing is drawn


def test_copies_are_written_once_and_anew_when_anything_changed(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images", patients=3)
    out = tmp_path / "copies"

    def written(**options: object) -> bool:
        told: list[int] = []
        arguments = {"manifest": cases, "images": images, "out": out, "seed": 1} | options
        done: WithCopies = write_copies(**arguments, progress=lambda done, _: told.append(done))
        anew = tmp_path / f"anew-{len(list(tmp_path.iterdir()))}"
        fresh = write_copies(**arguments | {"out": anew})
        assert bytes_in(out) == bytes_in(anew)
        pd.testing.assert_frame_equal(done.manifest, fresh.manifest)
        return bool(told)

    assert written() and not written()
    assert written(seed=2) and written(seed=1) and written(each=4) and written(augmentation=replace(KIM, zoom=0.1))
    assert written() and not written()
    assert written(manifest=cases.assign(view="LAT"))
    assert written()
    next((out / "images").iterdir()).unlink()
    assert written()
    cv2.imwrite(str(images[cases["image"].iloc[0]]), grey_image(40, 32, seed=99))
    assert written() and not written()


@given(patients=st.integers(9, 16), sealed=st.integers(0, 3), seed=st.integers(0, 9), some=st.booleans())
@settings(max_examples=8)
def test_a_copy_never_stands_on_the_other_side_of_a_split(
    tmp_path_factory: pytest.TempPathFactory, patients: int, sealed: int, seed: int, some: bool
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    cases, images = a_data_set(folder / "images", patients, sealed=sealed, seed=seed)
    done = write_copies(cases, images, folder / "out", seed=seed, each=2, folds=[1, 2] if some else None).manifest
    copies = is_copy(done)
    assert copies.any() and not (done["fold"][copies] == -1).any()
    folds = folds_with_copies(done)
    assert (
        sorted(i for fold in folds for i in fold.validation) == np.flatnonzero(~copies & (done["fold"] >= 0)).tolist()
    )
    for fold in folds:
        assert not copies[fold.validation].any()
        seen, unseen = done.iloc[fold.train], done.iloc[fold.validation]
        assert not set(seen["patient"]) & set(unseen["patient"])
        shown = set(seen["image"]) | set(seen[COPY_OF].dropna())
        assert not shown & set(unseen["image"])
        held_back = copies & ~np.isin(np.arange(len(done)), fold.train)
        assert (done["fold"][held_back] == fold.index).all()  # and all other copies train


def test_a_copy_that_was_put_elsewhere_is_a_leak(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images", sealed=3)
    done = write_copies(cases, images, tmp_path / "copies", seed=1, each=2).manifest
    last = len(done) - 1
    elsewhere = {"fold": (done["fold"].iloc[last] + 1) % 3, "patient": "p000", "group": "p000", "target": None}
    for column, value in elsewhere.items():
        strayed = done.copy()
        strayed.loc[last, column] = value
        with pytest.raises(Leak, match=f"1 copies have another {column}"):
            folds_with_copies(strayed)
    sealed = done.copy()
    of = done["image"] == done[COPY_OF].iloc[last]
    sealed.loc[of | (done.index == last), "fold"] = -1  # with its original
    with pytest.raises(Leak, match="copies of sealed images"):
        folds_with_copies(sealed)
    with pytest.raises(BadTable, match="lost their original"):
        folds_with_copies(done[~of])
    with pytest.raises(Leak, match="sealed part"):
        write_copies(cases, images, tmp_path / "copies", seed=1, folds=[0, -1])


def test_what_reports_on_every_row_refuses_copies(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images")
    done = write_copies(cases, images, tmp_path / "copies", seed=1, each=2)
    with pytest.raises(BadTable, match="24 rows of the manifest are copies"):
        lay_out(done.manifest)
    with pytest.raises(BadTable, match="are copies"):
        write_copies(done.manifest, done.images, tmp_path / "again", seed=1)
    originals = done.manifest[~is_copy(done.manifest)]
    assert len(lay_out(originals).folds) == 3  # the column alone does no harm


def test_all_or_none_are_written(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images")
    write_copies(cases, images, tmp_path / "copies", seed=1, each=2)
    before = bytes_in(tmp_path / "copies")
    last = images[cases["image"].iloc[-1]]
    whole = last.read_bytes()
    last.write_bytes(whole[:100])
    with pytest.raises(UnreadableImage):
        write_copies(cases, images, tmp_path / "copies", seed=1, each=2)
    last.write_bytes(whole)
    with largest_file(500), pytest.raises(CannotWrite):
        write_copies(cases, images, tmp_path / "copies", seed=2, each=2)
    with pytest.raises(NotFound, match="1 images are not prepared"):
        write_copies(cases, {k: v for k, v in images.items() if v != last}, tmp_path / "copies", seed=1)
    with pytest.raises(NotFound, match=r"none\.png does not exist"):
        write_copies(cases, images | {cases["image"].iloc[-1]: tmp_path / "none.png"}, tmp_path / "copies", seed=1)
    with pytest.raises(ValueError, match="even"):
        write_copies(cases, images, tmp_path / "copies", seed=1, each=3)
    assert bytes_in(tmp_path / "copies") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_copy_does_not_claim_to_know_where_it_lies_in_the_file(tmp_path: Path) -> None:
    cases, images = a_data_set(tmp_path / "images")
    placed = cases.assign(placement="40 32 1 0 0 0 1 0")
    done = write_copies(placed, images, tmp_path / "copies", seed=1, each=2).manifest
    assert (done["placement"].isna() == is_copy(done)).all()
