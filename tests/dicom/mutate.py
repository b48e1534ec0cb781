"""Seeded damage to a file: what disks, networks and old writers do, and what an adversary would do.

Damage to the first bytes would only show that a file is no longer taken for an image, so it is kept rare: nearly all
mutants get past the preamble and have to be refused, or read, by what lies behind.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from pydicom import uid

from osteon.dicom.codecs import CODECS
from osteon.dicom.decoders import NATIVE

_LENGTHS = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xfe\xff\0\0", b"\x01\0\0\0", b"\xff\xff", b"\0\0")
_WORDS = (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 4096, 10_000, 32_767, 32_768, 65_534, 65_535)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SYNTAX = b"\x02\0\x10\0UI"
_PREAMBLE = 132
_PIXEL_DATA = b"\xe0\x7f\x10\0"
_SIZES = (  # little-endian tags of what says how large and of what kind the pixels are
    b"\x28\0\x02\0",  # SamplesPerPixel
    b"\x28\0\x10\0",  # Rows
    b"\x28\0\x11\0",  # Columns
    b"\x28\0\x00\x01",  # BitsAllocated
    b"\x28\0\x01\x01",  # BitsStored
    b"\x28\0\x02\x01",  # HighBit
    b"\x28\0\x03\x01",  # PixelRepresentation
)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to three kinds of damage."""
    if data[128:132] == b"DICM" and rng.random() < 0.005:
        return bomb(data, rng)
    damaged = bytearray(data)
    kinds = _ANYWHERE + _IN_DICOM if data[128:132] == b"DICM" else _ANYWHERE
    for _ in range(int(rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))):
        if len(damaged) < 8:
            break
        kinds[int(rng.integers(len(kinds)))](damaged, rng)
    return bytes(damaged)


def bomb(data: bytes, rng: np.random.Generator) -> bytes:
    """A deflated data set of a few hundred kilobytes that unpacks to hundreds of megabytes, with or without an end."""
    plain = with_syntax(data[: _first_of(data, 0x0008) + 2000], uid.DeflatedExplicitVRLittleEndian)
    start = _first_of(plain, 0x0008)
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = deflate.compress(plain[start:]) + deflate.flush(zlib.Z_FULL_FLUSH)
    zeros = deflate.compress(bytes(2**24)) + deflate.flush(zlib.Z_FULL_FLUSH)  # can be repeated as it is
    return plain[:start] + packed + zeros * int(rng.integers(8, 40)) + deflate.flush() * int(rng.integers(2))


def with_syntax(data: bytes, syntax: str) -> bytes:
    """The file with another transfer syntax in its meta information, and all else as it is."""
    at = data.find(_SYNTAX)
    if at < 0:
        return data
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    changed = bytearray(data[:at] + _SYNTAX + len(value).to_bytes(2, "little") + value + data[at + 8 + length :])
    group = changed.find(b"\x02\0\0\0UL\x04\0")
    if group >= 0:
        total = int.from_bytes(changed[group + 8 : group + 12], "little") + len(value) - length
        changed[group + 8 : group + 12] = max(total, 0).to_bytes(4, "little")
    return bytes(changed)


@dataclass(frozen=True)
class Element:
    """Where an element of a data set lies: its tag, its length field, its value."""

    start: int
    length_at: int
    value: int
    end: int


def elements(data: bytes | bytearray) -> list[Element]:
    """The elements on the top level of a little-endian file with preamble, up to what cannot be followed."""
    found, at = [], _PREAMBLE
    while at + 12 <= len(data):
        vr = bytes(data[at + 4 : at + 6])
        if not (vr.isalpha() and vr.isupper()):
            length_at, width = at + 4, 4
        else:
            length_at, width = (at + 8, 4) if vr in _LONG else (at + 6, 2)
        length = int.from_bytes(data[length_at : length_at + width], "little")
        value = length_at + width
        if value + length > len(data):
            break
        found.append(Element(at, length_at, value, value + length))
        at = value + length
    return found


def _first_of(data: bytes, group: int) -> int:
    """Where the first element from a group on begins."""
    for element in elements(data):
        if int.from_bytes(data[element.start : element.start + 2], "little") >= group:
            return element.start
    return len(data)


def _somewhere(data: bytearray, rng: np.random.Generator) -> int:
    # Headers are short and decide most: half of the damage goes to the first kilobytes.
    end = len(data) - 4
    first = _PREAMBLE if data[128:132] == b"DICM" else 4
    first = first if rng.random() < 0.97 and first < end else 0
    return int(rng.integers(first, max(first + 1, min(end, 1500)) if rng.random() < 0.5 else end))


def _flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 20))):
        data[_somewhere(data, rng)] ^= 1 << int(rng.integers(8))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_somewhere(data, rng) :]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    at = _somewhere(data, rng)
    del data[at : at + int(rng.integers(1, 64))]


def _lengthen(data: bytearray, rng: np.random.Generator) -> None:
    at = _somewhere(data, rng)
    value = _LENGTHS[int(rng.integers(len(_LENGTHS)))]
    data[at : at + len(value)] = value


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    at = _somewhere(data, rng)
    data[at:at] = data[at : at + int(rng.integers(1, 200))] * int(rng.integers(1, 5))


def _swap(data: bytearray, rng: np.random.Generator) -> None:
    a, b = sorted(_somewhere(data, rng) for _ in range(2))
    data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]


def _noise(data: bytearray, rng: np.random.Generator) -> None:
    at = _somewhere(data, rng)
    length = min(int(rng.integers(1, 40)), len(data) - at)
    data[at : at + length] = rng.bytes(length)


def _damage_stream(data: bytearray, rng: np.random.Generator) -> None:
    """Bits and bytes of the pixel data, where they can be found: the header stays whole."""
    first = min(max(data.find(_PIXEL_DATA), len(data) // 3), len(data) - 1)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(first, len(data)))
        what = rng.random()
        if what < 0.4:
            data[at] ^= 1 << int(rng.integers(8))
        elif what < 0.7:
            length = min(int(rng.integers(1, 9)), len(data) - at)
            data[at : at + length] = rng.bytes(length)
        elif what < 0.85:
            data[at : at + 2] = (b"\xff\xd9", b"\xff\x90", b"\xff\xda", b"\xff\xff")[int(rng.integers(4))]
        else:
            source = int(rng.integers(first, len(data)))
            length = min(int(rng.integers(1, 65)), len(data) - max(at, source))
            data[at : at + length] = data[source : source + length]


def _swap_tags(data: bytearray, rng: np.random.Generator) -> None:
    """Two elements get each other's tag, or each other's place."""
    found = elements(data)
    if len(found) < 2:
        return
    a, b = (found[i] for i in sorted(rng.choice(len(found), 2, replace=False)))
    if rng.random() < 0.5:
        data[a.start : a.start + 4], data[b.start : b.start + 4] = (
            data[b.start : b.start + 4],
            data[a.start : a.start + 4],
        )
    else:
        first, between, second = data[a.start : a.end], data[a.end : b.start], data[b.start : b.end]
        data[a.start : b.end] = second + between + first


def _declare_size(data: bytearray, rng: np.random.Generator) -> None:
    """Rows, columns or bits of a size that the pixels do not have."""
    sizes = [one for one in elements(data) if bytes(data[one.start : one.start + 4]) in _SIZES]
    for one in sizes:
        if one.end - one.value == 2 and rng.random() < 0.4:
            data[one.value : one.end] = int(rng.choice(_WORDS)).to_bytes(2, "little")


def _declare_length(data: bytearray, rng: np.random.Generator) -> None:
    """An element that claims to be of another length, up to 4 GB."""
    found = elements(data)
    if found:
        one = found[int(rng.integers(len(found)))]
        width = one.value - one.length_at
        value = int(rng.choice([0, 1, 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])) % 256**width
        data[one.length_at : one.value] = value.to_bytes(width, "little")


def _declare_stream(data: bytearray, rng: np.random.Generator) -> None:
    """A compressed stream that says it is huge; now and then the data set says so too."""
    rows, columns = (int(rng.choice([1, 64, 4096, 9999, 65_500])) for _ in range(2))
    if rng.random() < 0.5:
        for tag, size in ((b"\x28\0\x10\0", rows), (b"\x28\0\x11\0", columns)):
            for one in elements(data):
                if bytes(data[one.start : one.start + 4]) == tag and one.end - one.value == 2:
                    data[one.value : one.end] = size.to_bytes(2, "little")
    for marker in (b"\xff\xc0\0", b"\xff\xc1\0", b"\xff\xc3\0", b"\xff\xf7\0"):  # SOF of JPEG and JPEG-LS
        if (at := data.find(marker)) >= 0:
            data[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    if (at := data.find(b"\xff\x4f\xff\x51")) >= 0:  # SIZ of JPEG 2000: the image, and half of the time its tiles
        size = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
        data[at + 8 : at + 16] = size
        if rng.random() < 0.5:
            data[at + 24 : at + 32] = size


def _swap_syntax(data: bytearray, rng: np.random.Generator) -> None:
    """The file says that it is in another transfer syntax than it is."""
    syntaxes = [*CODECS, *NATIVE, uid.MPEG2MPML, "1.2.840.10008.1.2.4.110", "1.2.3", ""]
    data[:] = with_syntax(bytes(data), syntaxes[int(rng.integers(len(syntaxes)))])


_ANYWHERE = (_flip_bits, _cut, _drop, _lengthen, _repeat, _swap, _noise)
_IN_DICOM = (_damage_stream, _damage_stream, _swap_tags, _declare_size, _declare_length, _declare_stream, _swap_syntax)
