"""The folder of a feature bank: rows are only ever added, and each is named once it is on the disk.

`bank.json` and `trunk.safetensors` are the trunk, `features.npy` (rows, flips, 2d) float32 is memory-mapped, and line i
of `index.tsv` says which image row i is of, and the SHA-256 of the file that it was computed from. A line is written
once its row is on the disk, so an interrupted run loses nothing that a line names; an image prepared anew gets a new
row. A bank holds two flips of each image, or all four, and either pooled features or maps, which are (rows, flips, c,
h, w) float16; both are settled when it is begun.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.errors import BadTable, CannotWrite, Mismatch, NotFound
from osteon.learn import weights
from osteon.learn.backbones import Trunk, TrunkSpec, rebuild
from osteon.learn.heads import FLIPS
from osteon.learn.maps import STRIDES

FORMAT = 1
BANK, TRUNK, INDEX, FEATURES = "bank.json", "trunk.safetensors", "index.tsv", "features.npy"

_HEADER_BYTES = 128  # of a .npy file, with room for any number of rows


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """A feature bank, open for reading.

    Attributes:
        folder: where it is.
        trunk: what its features were computed with.
        rows: image → row; the latest, if an image was prepared anew.
        content: image → SHA-256 of the prepared file.
        flips: 2 (as it is, left and right exchanged), or 4 (also top and bottom exchanged, and both).
        maps: (c, h, w) of the maps of a flip; None for pooled features.
        strides: of the maps, as `osteon.learn.maps.maps_of` lays them side by side.
        computed, reused: of the call of `extract` that returned this bank, how many images were computed and how many
            were there already.
    """

    folder: Path
    trunk: TrunkSpec
    rows: Mapping[str, int]
    content: Mapping[str, str]
    flips: int = FLIPS
    maps: tuple[int, int, int] | None = None
    strides: tuple[int, ...] = STRIDES
    computed: int = 0
    reused: int = 0

    @classmethod
    def open(cls, folder: Path) -> FeatureBank:
        """The bank in a folder.

        Raises:
            NotFound: if there is none.
            BadTable: if its files contradict each other.
        """
        remedy = "compute it with `osteon features`"
        described = files.read_json(files.must_exist(folder / BANK, remedy=remedy))
        try:
            if described["format"] != FORMAT:
                raise ValueError(f"format {described['format']}")
            trunk = TrunkSpec.from_json(described["trunk"])
            # A bank of two flips does not name their number: it is written as it was before there were four.
            flips = int(described.get("flips", FLIPS))
            c, h, w = map(int, described.get("maps", (0, 0, 0)))
            strides = tuple(map(int, described.get("strides", STRIDES)))
        except (KeyError, TypeError, ValueError) as error:
            raise BadTable(
                f"{folder / BANK} describes no bank that this osteon knows ({error})", remedy=remedy
            ) from error
        lines = _lines(files.must_exist(folder / INDEX, remedy=remedy))
        rows = {name: i for i, (name, _) in enumerate(lines)}
        bank = cls(folder, trunk, rows, dict(lines), flips, (c, h, w) if c else None, strides)
        if lines and len(bank._memory()) < len(lines):
            raise BadTable(f"{folder / FEATURES} holds fewer rows than its index", remedy=f"delete it and {remedy}")
        return bank

    def open_trunk(self) -> Trunk:
        """The trunk that the features were computed with, in evaluation mode; needs neither network nor its origin.

        Raises:
            NotFound: if its weights were deleted.
            Mismatch: if they are others.
        """
        path = self.folder / TRUNK
        return rebuild(self.trunk, weights.read(files.must_exist(path, remedy="compute the bank again")), str(path))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row: (flips, 2d), or (flips, c, h, w) of maps."""
        return (self.flips, *(self.maps or (2 * self.trunk.d,)))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, image: object) -> bool:
        return image in self.rows

    def array(self, images: Sequence[str], *, flips: int = FLIPS) -> NDArray[np.float32]:
        """Features (n, flips, 2d) of n images, in their order; the second axis is (as it is, mirrored, …).

        Args:
            images: their ids.
            flips: the first so many flips of each image.

        Raises:
            NotFound: if the bank lacks some of the images.
            Mismatch: if it holds fewer flips.
        """
        if flips > self.flips:
            raise Mismatch(
                f"the feature bank {self.folder} holds {self.flips} flips of each image, not {flips}",
                remedy="compute a bank of four flips in another folder",
            )
        if self.maps:
            raise Mismatch(
                f"the feature bank {self.folder} holds maps, not pooled features",
                remedy="compute a bank of pooled features in another folder",
            )
        rows = self._rows_of(images)
        if not len(rows):
            return np.empty((0, flips, 2 * self.trunk.d), np.float32)
        return np.asarray(self._memory()[rows, :flips])

    def maps_of(self, images: Sequence[str], flips: NDArray[np.intp]) -> NDArray[np.float16]:
        """Maps (n, c, h, w) of n images, each of the flip (n,) that is asked for.

        Raises:
            NotFound: if the bank lacks some of the images.
            Mismatch: if it holds pooled features.
        """
        if not self.maps:
            raise Mismatch(
                f"the feature bank {self.folder} holds pooled features, not maps",
                remedy="compute a bank of maps in another folder",
            )
        return np.asarray(self._memory()[self._rows_of(images), flips])

    def check_fresh(self, images: Mapping[str, Path]) -> None:
        """Checks that the features of these images were computed from the prepared files that are there now.

        Raises:
            NotFound: if a file is not there.
            Mismatch: if files were prepared anew since.
        """
        stale = [
            image for image, path in images.items() if files.digest_of(files.must_exist(path)) != self.content[image]
        ]
        if stale:
            raise Mismatch(
                f"{len(stale)} of {len(images)} images were prepared anew since the bank {self.folder} was computed",
                remedy="run `osteon features` again",
            )

    def _rows_of(self, images: Sequence[str]) -> NDArray[np.intp]:
        missing = [image for image in images if image not in self.rows]
        if missing:
            raise NotFound(
                f"the feature bank {self.folder} lacks {len(missing)} of {len(images)} images, e.g. {missing[0]}",
                remedy="run `osteon features` on the folder that holds them",
            )
        return np.array([self.rows[image] for image in images], np.intp)

    def _memory(self) -> NDArray[Any]:
        path = files.must_exist(self.folder / FEATURES)
        try:
            memory: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BadTable(f"{path} is damaged ({error})", remedy="delete the bank and compute it again") from error
        if memory.dtype != _type_of(self.maps) or memory.shape[1:] != self.shape:
            raise BadTable(
                f"{path} holds no features of {self.trunk.name}", remedy="delete the bank and compute it again"
            )
        return memory


@dataclass(frozen=True, eq=False)
class Row:
    """What is to be added: the image, the SHA-256 of its prepared file, and its features as `FeatureBank.shape`."""

    image: str
    content: str
    values: NDArray[np.floating]


def begin(
    folder: Path,
    trunk: Trunk,
    flips: int = FLIPS,
    maps: tuple[int, int, int] | None = None,
    strides: tuple[int, ...] = STRIDES,
) -> FeatureBank:
    """The bank in the folder, empty if there was none, ready to be added to.

    Raises:
        Mismatch: if it holds features of another trunk, another number of flips, or maps of another shape or stride.
        CannotWrite: if it cannot be made.
    """
    spec = trunk.spec
    if not (folder / BANK).exists():
        with _explaining(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / FEATURES).open("wb") as stream:
                _write_header(stream, 0, (flips, *(maps or (2 * spec.d,))), _type_of(maps))
            (folder / INDEX).write_bytes(b"")
            with files.replacing(folder / TRUNK) as temporary:
                weights.write(temporary, trunk.net.state_dict())
        described: dict[str, Any] = {"format": FORMAT, "trunk": asdict(spec)}
        described |= {} if flips == FLIPS else {"flips": flips}
        described |= {"maps": list(maps)} if maps else {}
        described |= {"strides": list(strides)} if maps and strides != STRIDES else {}
        files.write_json(folder / BANK, described)
    bank = FeatureBank.open(folder)
    if bank.trunk != spec:
        raise Mismatch(
            f"the bank {folder} holds features of {bank.trunk} ({bank.trunk.digest[:8]}), "
            f"not of {spec} ({spec.digest[:8]})",
            remedy="choose another folder for the features",
        )
    if bank.flips != flips:
        raise Mismatch(
            f"the bank {folder} holds {bank.flips} flips of each image, not {flips}",
            remedy="choose another folder for the features",
        )
    if bank.maps != maps or (maps and bank.strides != strides):
        held, wanted = (
            f"maps of {m[1]} × {m[2]} at strides of {' and '.join(map(str, s))} pixels" if m else "pooled features"
            for m, s in ((bank.maps, bank.strides), (maps, strides))
        )
        raise Mismatch(f"the bank {folder} holds {held}, not {wanted}", remedy="choose another folder for the features")
    return bank


@contextmanager
def appending(folder: Path) -> Iterator[Callable[[list[Row]], None]]:
    """A function that adds rows to the bank: values first, then their number, then the lines that name them."""
    lines = _lines(folder / INDEX)
    count = len(lines)
    with _explaining(folder), (folder / FEATURES).open("r+b") as values, (folder / INDEX).open("r+b") as index:
        # What follows the last whole line is from a run that was killed while it wrote.
        index.truncate(sum(len(_line(image, content)) for image, content in lines))
        index.seek(0, os.SEEK_END)

        def append(rows: list[Row]) -> None:
            nonlocal count
            if not rows:
                return
            block = np.stack([row.values for row in rows])
            values.seek(_HEADER_BYTES + count * block[0].nbytes)
            values.write(block.tobytes())
            count += len(rows)
            _write_header(values, count, block.shape[1:], block.dtype)
            _to_disk(values)
            index.writelines(_line(row.image, row.content) for row in rows)
            _to_disk(index)

        yield append


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"could not write the feature bank {folder} ({error.strerror or error})",
            remedy="free some space or choose another --out; the rows that it held are as they were",
        ) from error


def _type_of(maps: tuple[int, int, int] | None) -> np.dtype[Any]:
    """Maps are many: half precision holds a thousandth of each value, and half of the bytes."""
    return np.dtype("<f2" if maps else "<f4")


def _write_header(stream: BinaryIO, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """The header of a .npy file of (rows, *shape) numbers; numpy pads it so that more rows need no more room."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, *shape)}
    stream.seek(0)
    np.lib.format.write_array_header_1_0(stream, header)
    if stream.tell() != _HEADER_BYTES:
        raise RuntimeError(f"numpy wrote a header of {stream.tell()} bytes, not {_HEADER_BYTES}")


def _to_disk(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _line(image: str, content: str) -> bytes:
    if "\t" in image or "\n" in image:
        raise BadTable(f"the image id {image!r} holds a tab or a line break", remedy="use another id")
    return f"{image}\t{content}\n".encode()


def _lines(path: Path) -> list[tuple[str, str]]:
    """(image, SHA-256) of each row; a last line without its end is not counted."""
    whole = path.read_bytes().decode(errors="replace").split("\n")[:-1]
    split = [line.split("\t") for line in whole]
    if any(len(parts) != 2 for parts in split):
        raise BadTable(f"{path} is damaged", remedy="delete the bank and compute it again")
    return [(image, content) for image, content in split]
