"""What may leave the hospital: pseudonyms in place of ids, and nothing that a person typed into a header.

`ingest` writes pseudonyms into its manifest and keeps there, beside the originals, where each file lies; `prepare`
leaves that out too. So the prepared data set, and all that is made from it, name nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from osteon import tables
from osteon.dicom.pseudonyms import Key
from osteon.types import REFUSAL_CODES, Refusal

IDS = {name: name for name in ("patient", "study", "series", "instance", "accession")}
"""Column of the manifest → kind of pseudonym."""

PRIVATE = ("path", "body_part")
"""Columns that stay in the ingest folder: the name of the file, and free text."""

MOST_VALUES = 20
"""A column of the label table with more values than that, and one for every second patient or more, names people."""


def pseudonymised(manifest: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The manifest with pseudonyms for its ids. An image that is its own patient or study keeps its digest as name."""
    image = manifest["image"].astype(object)
    hidden = {}
    for column, kind in IDS.items():
        if column not in manifest:
            continue
        told = manifest[column].fillna("").astype(object)
        names = {name: key.of(kind, name) for name in told.unique()}
        hidden[column] = told.map(names).where(told != image, image).astype("string")
    return manifest.assign(**hidden)


def identifying(manifest: pd.DataFrame) -> list[str]:
    """Further columns of a manifest that tell patients apart, such as a name, a record number or a date of birth.

    That is a column with more than MOST_VALUES values and at least one for every second patient, fractions aside: a
    measurement has many values too.
    """
    patients = manifest["patient"].nunique()
    return [
        str(column)
        for column in manifest
        if column not in tables.MANIFEST
        and not _measured(manifest[column])
        and manifest[column].nunique() > max(MOST_VALUES, patients / 2)
    ]


def shareable(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest without the columns in PRIVATE."""
    return manifest.drop(columns=[column for column in PRIVATE if column in manifest])


def anonymous(refusals: Iterable[Refusal], key: Key) -> list[Refusal]:
    """The refusals of an ingest without names: pseudonyms for files, and for reasons, which may quote names, the
    meaning of their code. The full ones stay in the ingest folder.
    """
    return [
        Refusal(
            key.of("file", refusal.path), refusal.code, REFUSAL_CODES[refusal.code], "see the refusals of the ingest"
        )
        for refusal in refusals
    ]


def _measured(values: pd.Series) -> bool:
    told = values.astype("string").fillna("")
    numbers = pd.to_numeric(told[told != ""], errors="coerce")
    return bool(numbers.notna().all() and (numbers % 1 != 0).any())
