"""Pseudonyms by keyed hash: the same key gives the same person the same pseudonym, and nobody without it can tell.

Everything is HMAC-SHA256 (RFC 2104) of a kind and a value. Without the key a pseudonym cannot be computed from a
guessed id, which a plain hash of a hospital's short numbers would allow.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from pathlib import Path

from osteon.errors import BadTable, CannotWrite

KINDS = {"patient": "P", "study": "S", "series": "R", "instance": "I", "accession": "A", "file": "F"}
"""What pseudonyms stand for, and the letter that they begin with."""

PATTERN = re.compile(rf"[{''.join(KINDS.values())}][A-Z2-7]{{12}}")
"""How a pseudonym looks: the letter of its kind and 60 bits in base 32."""

UID_ROOT = "2.25."
"""Root of the UIDs made here: UUIDs as decimal numbers, which need no registration (PS3.5 section B.2)."""

LONGEST_SHIFT_DAYS = 3652
"""Dates move back by one day to ten years."""

_BYTES = 32


def is_ours(uid: str) -> bool:
    """Whether a UID has the form of those made here: under 2.25, a UUID of version 8."""
    digits = uid.removeprefix(UID_ROOT)
    if digits == uid or not digits.isdecimal() or int(digits) >> 128:
        return False
    return int(digits) >> 76 & 0xF == 8 and int(digits) >> 62 & 3 == 2


@dataclass(frozen=True)
class Key:
    """A secret that pseudonyms, UIDs and shifts of dates depend on. It never shows in a representation or a message."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _BYTES:
            raise ValueError(f"a key has {_BYTES} bytes, not {len(self.secret)}")

    @classmethod
    def open(cls, path: Path) -> Key:
        """The key in a file; a file that is not there is made, with a new random key, readable by its owner alone.

        Raises:
            BadTable: if the file is no key, or others than its owner may read it.
            CannotWrite: if it cannot be made.
        """
        if not path.exists():
            return cls._create(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise BadTable(f"the key {path.name} can be read by others", remedy=f"chmod 600 {path}")
        text = path.read_bytes().strip()
        if not re.fullmatch(rb"[0-9a-f]{64}", text):
            raise BadTable(
                f"{path.name} is not a key of osteon", remedy="give the key file, or a new name to make a new key"
            )
        return cls(bytes.fromhex(text.decode()))

    @classmethod
    def _create(cls, path: Path) -> Key:
        key = cls(secrets.token_bytes(_BYTES))
        key.save(path)
        return key

    def save(self, path: Path) -> None:
        """Write the key where none is, readable by its owner alone.

        Raises:
            CannotWrite: if something is there already, or the file cannot be made.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Its mode is right from the first moment, and a key that appeared meanwhile is not overwritten.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(self.secret.hex() + "\n")
        except OSError as error:
            raise CannotWrite(
                f"could not make the key {path.name} ({error.strerror})", remedy="choose another place for --key"
            ) from error

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value: 13 characters, e.g. `P4QZ2MXA7KLSD`; "" of an empty value.

        Args:
            kind: one of KINDS. The same value has unrelated pseudonyms as different kinds.
            value: an id as the files spell it; blanks around it do not count (PS3.5 section 6.2, LO).
        """
        value = value.strip()
        return KINDS[kind] + b32encode(self._digest(kind, value)).decode()[:12] if value else ""

    def uid(self, uid: str) -> str:
        """The UID that takes the place of `uid`, of the form 2.25.n (PS3.5 section B.2); "" of an empty one."""
        uid = uid.strip("\0 ")
        if not uid:
            return ""
        number = int.from_bytes(self._digest("uid", uid)[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76  # UUID version 8, custom (RFC 9562 section 5.8)
        number = number & ~(0x3 << 62) | 2 << 62  # variant of RFC 9562
        return f"{UID_ROOT}{number}"

    def days(self, patient: str) -> int:
        """How many days back the dates of a patient move: 1 to LONGEST_SHIFT_DAYS, the same for all of them."""
        return 1 + int.from_bytes(self._digest("days", patient.strip())[:8], "big") % LONGEST_SHIFT_DAYS

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without showing them: 12 hexadecimal digits."""
        return self._digest("fingerprint", "")[:6].hex()

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"osteon\0{kind}\0{value}".encode(errors="surrogatepass"), "sha256")
