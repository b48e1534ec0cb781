from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from osteon.dataset import privacy
from osteon.dicom.pseudonyms import PATTERN, Key
from osteon.types import REFUSAL_CODES, Refusal
from tests.make import some_cases

KEY, OTHER = Key(bytes(range(32))), Key(bytes(32))


def test_no_id_is_left_and_equal_ids_stay_equal() -> None:
    cases = some_cases(30, images_each=3).assign(accession=lambda c: "00" + c["patient"])
    hidden = privacy.pseudonymised(cases, KEY)
    for column in set(privacy.IDS) & set(cases):
        known = cases[column].fillna("") != ""
        assert hidden.loc[known, column].str.fullmatch(PATTERN.pattern).all()
        assert (hidden.loc[~known, column] == "").all()
        pairs = set(zip(cases.loc[known, column], hidden.loc[known, column], strict=True))
        assert len(pairs) == cases.loc[known, column].nunique() == hidden.loc[known, column].nunique()
    unchanged = [column for column in cases if column not in privacy.IDS]
    pd.testing.assert_frame_equal(hidden[unchanged], cases[unchanged])


def test_another_key_gives_other_pseudonyms() -> None:
    cases = some_cases(5)
    assert not set(privacy.pseudonymised(cases, KEY)["patient"]) & set(privacy.pseudonymised(cases, OTHER)["patient"])


def test_an_image_that_is_its_own_patient_keeps_its_digest() -> None:
    cases = some_cases(4)
    alone = cases.assign(patient=cases["image"], study=cases["image"])
    hidden = privacy.pseudonymised(alone, KEY)
    assert (hidden["patient"] == cases["image"]).all()
    assert (hidden["study"] == cases["image"]).all()


def test_columns_that_name_people_are_found_and_measurements_and_groups_are_not() -> None:
    cases = some_cases(60)
    n, rng = len(cases), np.random.default_rng(0)
    told = cases.assign(
        name=[f"Doe, J. {i}" for i in range(n)],
        record=[str(100_000 + i) for i in range(n)],
        born=[f"19{i % 99:02d}-0{1 + i % 9}-11" for i in range(n)],
        height_cm=rng.normal(170, 9, n).round(1).astype(str),
        age=rng.integers(20, 40, n).astype(str),
        region=rng.choice(["hand", "foot"], n),
        empty="",
    )
    assert privacy.identifying(told) == ["name", "record", "born"]


def test_a_shareable_manifest_says_neither_where_files_lie_nor_what_was_typed() -> None:
    cases = some_cases(4)
    assert set(cases) - set(privacy.shareable(cases)) == {"path", "body_part"} & set(cases)


def test_refusals_that_name_no_file_still_name_each_file() -> None:
    refusals = [
        Refusal("Doe^John/1.dcm", "undecodable", "bad stream", "export it again"),
        Refusal("Doe^John/2.dcm", "duplicate_file", "the same bytes as Doe^John/1.dcm", "nothing to do"),
    ]
    first, second = privacy.anonymous(refusals, KEY)
    assert first.path == KEY.of("file", "Doe^John/1.dcm") != second.path
    assert [first.code, second.code] == ["undecodable", "duplicate_file"]
    assert second.reason == REFUSAL_CODES["duplicate_file"]
    assert "Doe" not in repr((first, second))


@pytest.mark.parametrize("column", ["patient", "study"])
def test_a_manifest_needs_no_series_or_accession(column: str) -> None:
    bare = some_cases(3)[["image", column]]
    assert list(privacy.pseudonymised(bare, KEY)) == ["image", column]
