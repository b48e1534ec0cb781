"""Pseudonyms: the same for the same key, unrelated for another, of the form that DICOM allows."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from osteon.dicom.pseudonyms import KINDS, LONGEST_SHIFT_DAYS, PATTERN, Key, is_ours
from osteon.errors import BadTable, CannotWrite

KEY, OTHER = Key(b"k" * 32), Key(b"l" * 32)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64).filter(str.strip)


@given(texts)
def test_a_pseudonym_is_the_keyed_hash_of_its_kind_and_value(value: str) -> None:
    name = KEY.of("patient", value)
    digest = hmac.new(b"k" * 32, f"osteon\0patient\0{value.strip()}".encode(), hashlib.sha256).digest()
    assert PATTERN.fullmatch(name)
    assert b32decode(name[1:] + "====")[:7] == digest[:7]


@given(texts, texts)
def test_two_values_have_one_pseudonym_only_if_they_are_one(a: str, b: str) -> None:
    assert (KEY.of("patient", a) == KEY.of("patient", b)) == (a.strip() == b.strip())


@given(texts)
def test_another_key_and_another_kind_give_other_pseudonyms(value: str) -> None:
    assert len({KEY.of(kind, value)[1:] for kind in KINDS} | {OTHER.of("patient", value)[1:]}) == len(KINDS) + 1
    assert KEY.uid(value) != OTHER.uid(value)


@given(texts)
def test_uids_are_valid_and_recognised(value: str) -> None:
    uid = KEY.uid(value)
    assert UID(uid).is_valid
    assert is_ours(uid)
    assert len(uid) <= 64


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.1.2", "2.25.", "2.25.7", "2.25.x", f"2.25.{2**128 + (8 << 76 | 2 << 62)}"]
)
def test_other_uids_are_not(uid: str) -> None:
    assert not is_ours(uid)


def test_nothing_has_no_pseudonym() -> None:
    assert KEY.of("patient", " ") == KEY.uid("\0") == ""


@given(texts)
def test_dates_always_move_and_at_most_ten_years(value: str) -> None:
    assert 1 <= KEY.days(value) <= LONGEST_SHIFT_DAYS


def test_a_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "key"
    key = Key.open(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Key.open(path) == key
    assert Key.open(tmp_path / "second") != key


def test_a_key_never_shows(tmp_path: Path) -> None:
    key = Key.open(tmp_path / "key")
    assert key.secret.hex() not in repr(key) + str(key) + key.fingerprint
    assert key.secret.hex() == (tmp_path / "key").read_text().strip()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Key.open(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(BadTable, match="can be read by others; chmod 600"):
        Key.open(tmp_path / "key")


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BadTable, match="not a key"):
        Key.open(tmp_path / "key")
    with pytest.raises(ValueError, match="32 bytes"):
        Key(b"short")


def test_a_key_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="choose another place"):
        Key.open(tmp_path / "file" / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
