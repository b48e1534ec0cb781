"""Seeded damage to the bytes of a file, of the kinds that disks, networks and old writers do."""

from __future__ import annotations

import numpy as np

_LENGTHS = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xfe\xff\0\0", b"\x01\0\0\0", b"\xff\xff", b"\0\0")


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to three kinds of damage."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if len(damaged) < 8:
            break
        _DAMAGE[int(rng.integers(len(_DAMAGE)))](damaged, rng)
    return bytes(damaged)


def _somewhere(data: bytearray, rng: np.random.Generator) -> int:
    # Headers are short and decide most: half of the damage goes to the first kilobytes.
    end = len(data) - 4
    return int(rng.integers(0, min(end, 1500) if rng.random() < 0.5 else end))


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


_DAMAGE = (_flip_bits, _cut, _drop, _lengthen, _repeat, _swap, _noise)
