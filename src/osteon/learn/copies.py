"""Copies of training images, moved and written ahead of training: the eightfold augmentation of Kim and MacKinnon 2018.

In the study the copies were dealt out to training, validation and test like images of their own, so copies of one
radiograph stood on both sides. Here the split comes first: a copy has the patient, group and fold of its original, none
is made of a sealed image, and `folds_with_copies` lets none into a validation part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from osteon import files, tables
from osteon.dataset.preparation import write_png
from osteon.dataset.prepared import pixels_of
from osteon.dataset.splits import SEALED, folds_of
from osteon.errors import BadTable, Leak, NotFound
from osteon.learn.augmentation import KIM, Augmentation, draw, move
from osteon.learn.batches import as_input
from osteon.types import Fold, Progress, silent

COPY_OF = "copy_of"
"""Column of a manifest: the image that a row is a copy of; missing for originals."""

EIGHT = 8
"""Images that the study made of one, itself included."""

_INHERITED = ("patient", "group", "fold", "target")


@dataclass(frozen=True, eq=False)
class WithCopies:
    """A manifest with the copies of its training images.

    Attributes:
        manifest: the rows given, then one for each copy; `copy_of` tells them apart.
        images: image id → PNG, of originals and copies.
    """

    manifest: pd.DataFrame
    images: dict[str, Path]


def write_copies(
    manifest: pd.DataFrame,
    images: Mapping[str, Path],
    out: Path,
    *,
    seed: int,
    folds: Collection[int] | None = None,
    each: int = EIGHT,
    augmentation: Augmentation = KIM,
    progress: Progress = silent,
) -> WithCopies:
    """Make of every labelled image of these folds `each` images: itself, its mirror image, and moved ones of both.

    A copy is named after its original, `<image>-copy1` and so on; the one that is the mirror image and nothing else is
    number `each / 2`. What is drawn for a copy depends on the seed, the image and its number alone. A second call with
    the same arguments finds the copies written, and reads them.

    Args:
        manifest: with the columns group and fold, as `osteon split` wrote it, and no copies yet.
        images: image id → prepared PNG.
        out: gets `images/`, `manifest.parquet` (the rows of the copies) and `copies.json`, all of them or none.
        seed: of the moves.
        folds: those whose images are copied; None copies all but the sealed part.
        each: images made of one, itself included; even.
        augmentation: how far the moved ones are moved; its `flip` does not count.
        progress: called with the originals done and their number.

    Raises:
        Leak: if `folds` has the sealed part, or as `dataset.splits.folds_of`.
        BadTable, TooFewCases: as `dataset.splits.folds_of`; BadTable also for copies of copies.
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
        CannotWrite: if the disk is full; an earlier result is then as it was.
    """
    if each < 2 or each % 2:
        raise ValueError(f"each is even, half of the images being mirrored, not {each}")
    refuse_copies(manifest)
    chosen = _chosen(manifest, folds)
    missing = [image for image in chosen["image"] if image not in images]
    if missing:
        raise NotFound(f"{len(missing)} images are not prepared (such as {missing[0]})", remedy="run osteon prepare")
    rows = _rows(chosen, each)
    made_of = {
        "seed": seed,
        "each": each,
        "augmentation": repr(augmentation),
        "originals": _digest("".join(files.digest_of(files.must_exist(images[image])) for image in chosen["image"])),
        "rows": _digest(rows.to_csv(index=False)),
    }
    if not _is_written(out, made_of, rows):
        with files.replacing_folder(out) as temporary:
            for done, image in enumerate(chosen["image"]):
                _write(images[image], temporary / "images", image, each, augmentation, seed)
                progress(done + 1, len(chosen))
            tables.write(temporary / "manifest.parquet", rows, tables.MANIFEST)
            files.write_json(temporary / "copies.json", made_of)
    places = {
        str(image): out / "images" / str(name) for image, name in zip(rows["image"], rows["prepared"], strict=True)
    }
    return WithCopies(
        pd.concat([manifest.assign(**{COPY_OF: pd.array([pd.NA] * len(manifest), "string")}), rows], ignore_index=True),
        dict(images) | places,
    )


def is_copy(manifest: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) which rows are copies."""
    if COPY_OF not in manifest:
        return np.zeros(len(manifest), bool)
    return np.asarray((manifest[COPY_OF].astype("string").fillna("") != "").to_numpy(bool))


def refuse_copies(manifest: pd.DataFrame) -> None:
    """For what would take every row for a case to report on.

    Raises:
        BadTable: if there are copies in the manifest.
    """
    count = int(is_copy(manifest).sum())
    if count:
        raise BadTable(
            f"{count} rows of the manifest are copies of others, and no cases of their own",
            remedy="pass the manifest without them, or take its folds by learn.copies.folds_with_copies",
        )


def folds_with_copies(manifest: pd.DataFrame) -> list[Fold]:
    """The folds of a manifest with copies: they train where their original trains, and are validated on nowhere.

    Raises:
        Leak: if a copy has another patient, group, fold or target than its original, or is sealed; as
            `dataset.splits.folds_of` besides.
        BadTable: if the original of a copy is not there, or as `dataset.splits.folds_of`.
        TooFewCases: as `dataset.splits.folds_of`.
    """
    copies = is_copy(manifest)
    _check_inherited(manifest, copies)
    return [replace(fold, validation=fold.validation[~copies[fold.validation]]) for fold in folds_of(manifest)]


def _check_inherited(manifest: pd.DataFrame, copies: NDArray[np.bool_]) -> None:
    if not copies.any():
        return
    own, originals = manifest[copies], manifest[~copies].set_index("image")
    lost = own.loc[~own[COPY_OF].isin(originals.index), "image"]
    if len(lost):
        raise BadTable(
            f"{len(lost)} copies have lost their original (such as {lost.iloc[0]})",
            remedy="leave rows out before the copies are made, not after",
        )
    of = originals.loc[own[COPY_OF]]
    for column in _INHERITED:
        here, there = (part[column].astype("string").fillna("").to_numpy(str) for part in (own, of))
        if (here != there).any():
            strayed = own["image"].to_numpy(str)[here != there]
            raise Leak(
                f"{len(strayed)} copies have another {column} than their original (such as {strayed[0]})",
                remedy="split first, then make the copies: write_copies",
            )
    if (own["fold"].astype(int) == SEALED).any():
        raise Leak("there are copies of sealed images", remedy="split first, then make the copies: write_copies")


def _chosen(manifest: pd.DataFrame, folds: Collection[int] | None) -> pd.DataFrame:
    """The labelled rows of these folds."""
    folds_of(manifest)
    fold = manifest["fold"].to_numpy(int)
    if folds is not None and SEALED in folds:
        raise Leak("images of the sealed part are not copied", remedy="name the folds that train")
    wanted = fold != SEALED if folds is None else np.isin(fold, list(folds))
    return manifest[wanted & manifest["target"].notna().to_numpy(bool)].reset_index(drop=True)


def _rows(chosen: pd.DataFrame, each: int) -> pd.DataFrame:
    """The rows of the copies: all that is known of the original, under a name of their own."""
    rows = chosen.loc[np.repeat(np.arange(len(chosen)), each - 1)].reset_index(drop=True)
    number = list(range(1, each)) * len(chosen)
    name = [f"{image}-copy{k}" for image, k in zip(rows["image"], number, strict=True)]
    said = pd.Series([_said(k, each) for k in number])
    steps = said if "steps" not in rows else rows["steps"].astype("string").fillna("").str.cat(said, sep="; ")
    rows = rows.assign(
        image=name,
        prepared=[f"{one}.png" for one in name],
        steps=steps.str.removeprefix("; "),
        **{COPY_OF: rows["image"].astype("string")},
    )
    if "placement" in rows:  # that of the original leads to other pixels
        rows = rows.assign(placement=pd.array([pd.NA] * len(rows), "string"))
    return tables.check(rows, tables.MANIFEST, "the table of copies")


def _kind(number: int, each: int) -> tuple[bool, bool]:
    """Whether the copy of this number is mirrored, and whether it is moved."""
    return number >= each // 2, number % (each // 2) > 0


def _said(number: int, each: int) -> str:
    mirrored, moved = _kind(number, each)
    return f"copy {number}: " + " and ".join(["mirrored"] * mirrored + ["moved"] * moved)


def _write(path: Path, folder: Path, image: str, each: int, augmentation: Augmentation, seed: int) -> None:
    pixels = pixels_of(path)
    for number in range(1, each):
        mirrored, moved = _kind(number, each)
        copy = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
        if moved:
            copy = _moved(copy, replace(augmentation, flip=0.0), _generator(seed, image, number))
        write_png(folder / f"{image}-copy{number}.png", copy)


def _moved(pixels: NDArray[np.uint8], augmentation: Augmentation, generator: torch.Generator) -> NDArray[np.uint8]:
    height, width = pixels.shape
    moved = move(as_input(pixels[None]), draw(1, augmentation, (height, width), generator), augmentation)
    return np.asarray(moved[0, 0].mul(255).round().to(torch.uint8).numpy(), np.uint8)


def _generator(seed: int, image: str, number: int) -> torch.Generator:
    """The random numbers of one copy, whatever other images there are."""
    digest = hashlib.sha256(f"{seed}\0{image}\0{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _is_written(out: Path, made_of: dict[str, object], rows: pd.DataFrame) -> bool:
    if not (out / "copies.json").exists() or files.read_json(out / "copies.json") != made_of:
        return False
    return all((out / "images" / str(name)).exists() for name in rows["prepared"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
