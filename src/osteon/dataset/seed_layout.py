"""A prepared data set in the layout of de Cid 2021 (section 4.1): class folder → study folder → PNG, and CSV metadata.

```text
metadata.csv                     one row per radiograph
broken/<study>/metadata.csv      the rows of this study, so that studies can be worked on side by side
broken/<study>/<radiograph>.png
not_broken/<study>/…
```
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from osteon import files
from osteon.dataset.survey import sizes
from osteon.errors import BadTable, CannotWrite, NotFound
from osteon.types import Progress, silent

METADATA = "metadata.csv"

CLASSES: Mapping[int | None, str] = {1: "broken", 0: "not_broken", None: "unlabelled"}
"""Class folder of a study by its label."""

LEFT_OUT = ("image", "path", "prepared", "target")
"""Columns of the manifest that the metadata tell otherwise: by radiograph and class, or not at all."""

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")


@dataclass(frozen=True)
class Exported:
    """How many were written: class folder → studies, class folder → radiographs."""

    studies: Mapping[str, int]
    radiographs: Mapping[str, int]


def export(manifest: pd.DataFrame, images: Path, out: Path, *, progress: Progress = silent) -> Exported:
    """Write a prepared data set in that layout, whole or not at all; an earlier one in `out` is replaced.

    A study is broken if any of its radiographs is: the seed's label is one of the study. Names of folders are those of
    the studies where they can be one, else a digest; `study` of the metadata tells them whole.

    Args:
        manifest: as `prepare` wrote it.
        images: folder of the prepared images.
        out: the folder to write.
        progress: told of radiographs done.

    Raises:
        NotFound: if a prepared image is missing.
        BadTable: if the manifest names one twice.
        CannotWrite: if `out` holds something else than an earlier export.
    """
    if out.exists() and not (out / METADATA).exists() and any(out.iterdir()):
        raise CannotWrite(f"{out} holds files that are no earlier export", remedy="choose another --out")
    names = list(manifest["prepared"])
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BadTable(f"the manifest names {twice[0]} twice", remedy="prepare the data set again")
    metadata = metadata_of(manifest)
    done = 0
    with files.replacing_folder(out) as temporary:
        for (kind, study), rows in metadata.groupby(["class", "study"], sort=True):
            folder = temporary / str(kind) / folder_name(str(study))
            folder.mkdir(parents=True)
            for row, radiograph in zip(rows.index, rows["radiograph"], strict=True):
                _copy(images / names[row], folder / f"{radiograph}.png")
                done += 1
                progress(done, len(metadata))
            rows.to_csv(folder / METADATA, index=False, lineterminator="\n")
        metadata.to_csv(temporary / METADATA, index=False, lineterminator="\n")
    studies = metadata.drop_duplicates("study")["class"]
    return Exported(dict(Counter(studies)), dict(Counter(metadata["class"])))


def metadata_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per radiograph: `radiograph` and `study`, which name it, its `class`, and what else the manifest says."""
    worst = manifest.groupby("study", sort=False)["target"].transform("max")
    classes = [CLASSES[None if pd.isna(target) else int(target)] for target in worst]
    named = pd.DataFrame({"radiograph": manifest["prepared"].str.removesuffix(".png"), "study": manifest["study"]})
    rest = manifest.drop(columns=[name for name in (*LEFT_OUT, "study", "class", "radiograph") if name in manifest])
    return pd.concat([named.assign(**{"class": classes}), rest], axis=1).reset_index(drop=True)


def sizes_of(images: Iterable[Path]) -> dict[str, Any]:
    """How many prepared images have which size, as `osteon.dataset.survey.sizes`: figure 4.11 of de Cid 2021."""
    widths, heights = [], []
    for path in images:
        with Image.open(path) as image:  # reads the header alone
            widths.append(image.width)
            heights.append(image.height)
    return sizes(pd.Series(heights, dtype="Int32"), pd.Series(widths, dtype="Int32"))


def folder_name(study: str) -> str:
    """The name of a study as that of a folder: itself if it can be one, else the start of its digest."""
    if _SAFE.fullmatch(study):
        return study
    return f"study-{hashlib.sha256(study.encode()).hexdigest()[:32]}"


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise NotFound(f"{source} is not there", remedy="run `osteon prepare` again") from error
