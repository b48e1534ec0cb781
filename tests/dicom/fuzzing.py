"""Mutants of real and made files, led through ingest and prepare, and what must be true of the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate

from osteon.dataset.guard import Limits
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import prepare
from osteon.dataset.steps import RECIPES
from osteon.dataset.steps.bodyparts import BodyPartFilter
from osteon.dicom.attributes import Attributes
from osteon.dicom.chain import encoding_of
from osteon.dicom.decoders import words_of
from osteon.dicom.read import bytes_of
from osteon.errors import UnreadableImage
from osteon.tasks.fracture import FRACTURE
from osteon.types import REFUSAL_CODES, Progress, Recipe, Refusal, silent
from tests.dicom.making import SYNTAXES_LOSSLESS, SYNTAXES_LOSSY, a_file
from tests.dicom.mutate import mutate

Specimen = Callable[[np.random.Generator], bytes]
"""Makes a file to be damaged; no two are alike, so that none is left out as a copy of another."""

SIDE = 72
"""Rows and columns of a crop: small enough that thousands are read in minutes."""


def as_it_is(data: bytes) -> Specimen:
    """The whole file; a UID of its own if it has one."""
    return lambda rng: _as_another(data, rng)


def cropped(data: bytes, syntax: str = "") -> Specimen:
    """A square of a DICOM image, elsewhere each time, with all of its header.

    Args:
        data: a radiograph that can be read.
        syntax: another transfer syntax for the crops; "" keeps that of the file.
    """
    dataset = dcmread(BytesIO(data))
    encoding = encoding_of(Attributes(dataset))
    words = words_of(dataset, encoding, dataset.file_meta.TransferSyntaxUID)
    syntax = syntax or dataset.file_meta.TransferSyntaxUID
    bits = 8 if syntax == uid.JPEGBaseline8Bit else encoding.stored
    words = words >> (encoding.stored - bits)

    def cut(rng: np.random.Generator) -> bytes:
        square = np.zeros((1, 1), words.dtype)
        while len(np.unique(square)) < 16:  # not the background, which would be refused as blank, or as a copy
            y, x = (int(rng.integers(max(1, side - SIDE))) for side in words.shape)
            square = np.ascontiguousarray(words[y : y + SIDE, x : x + SIDE])
        return _as_another(_encoded(dataset, square, syntax, bits), rng)

    return cut


def _encoded(original: Dataset, stored: np.ndarray, syntax: str, bits: int) -> bytes:
    dataset = Dataset()
    dataset.update(original)
    dataset.Rows, dataset.Columns = stored.shape
    stored = stored.astype(np.uint8) if bits <= 8 else stored
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.dtype.itemsize * 8, bits, bits - 1
    encode = {**SYNTAXES_LOSSLESS, **SYNTAXES_LOSSY}[syntax]
    if syntax == uid.RLELossless:
        dataset.file_meta = original.file_meta.__class__()
        dataset.compress(uid.RLELossless, stored, encoding_plugin="pydicom", generate_instance_uid=False)
    elif encode is None:
        big = syntax == uid.ExplicitVRBigEndian and bits > 8
        dataset.PixelData = (stored.byteswap() if big else stored).tobytes()
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
        dataset["PixelData"].is_undefined_length = False
    else:
        dataset.PixelData = encapsulate([encode(stored, bits)])
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    return a_file(dataset, syntax)


def _as_another(data: bytes, rng: np.random.Generator) -> bytes:
    """The same file with other digits at the end of its instance UID, in the data set and in the meta information."""
    try:
        instance = str(dcmread(BytesIO(data), stop_before_pixels=True, force=True).get("SOPInstanceUID") or "")
    except Exception:  # noqa: BLE001  (broken files are meant to break)
        return data
    if len(instance) < 12:
        return data
    digits = "".join(map(str, rng.integers(1, 10, 9)))
    return data.replace(instance.encode(), f"{instance[:-9]}{digits}".encode())


def mutants(specimens: Sequence[Specimen], count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged files; mutant i is the same whatever the count."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield mutate(specimens[int(rng.integers(len(specimens)))](rng), rng)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of the mutants.

    Attributes:
        count: mutants; `past_preamble`: those that are taken for DICOM, PNG or JPEG by their first bytes.
        prepared: those that ended as a prepared image.
        refusals: all others, with why.
        missing: paths in neither list; `twice`: paths in both, or more than once.
        codes: code → how many.
        wrong: what is wrong with a refusal: an unknown code, no path, no reason or no remedy.
    """

    count: int
    past_preamble: int
    prepared: int
    refusals: list[Refusal]
    missing: list[str]
    twice: list[str]
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def led_through(
    damaged: Iterator[bytes],
    folder: Path,
    *,
    seconds: float = 10,
    workers: int = 1,
    progress: Progress = silent,
) -> Outcome:
    """Write mutants into `folder`/export, ingest and prepare them, and count.

    Args:
        damaged: the files.
        folder: takes the export and the prepared set.
        seconds: what one image may take.
        workers: processes.
        progress: of both passes, one after the other.
    """
    export, past, paths = folder / "export", 0, []
    for number, data in enumerate(damaged):
        path = f"{number // 500:02d}/{number:05d}"
        (export / path).parent.mkdir(parents=True, exist_ok=True)
        (export / path).write_bytes(data)
        paths.append(path)
        past += _is_past_preamble(data)
    found = ingest(export, None, task=FRACTURE, workers=workers, progress=progress)
    limits = Limits(seconds=seconds)
    done = prepare(
        found.manifest,
        export,
        most_steps(),
        folder / "prepared",
        refusals=found.refusals,
        workers=workers,
        limits=limits,
        progress=progress,
    )
    # The prepared set names no file: a mutant is told by its image, of which a step may have made several.
    path_of = dict(zip(found.manifest["image"], found.manifest["path"], strict=True))
    kept = list(dict.fromkeys(path_of[image[:32]] for image in done.manifest["image"]))
    refusals = [replace(refusal, path=path_of.get(refusal.path, refusal.path)) for refusal in done.refusals]
    seen = Counter([*kept, *(refusal.path for refusal in refusals)])
    return Outcome(
        count=len(paths),
        past_preamble=past,
        prepared=len(kept),
        refusals=refusals,
        missing=sorted(set(paths) - set(seen)),
        twice=sorted(path for path, times in seen.items() if times > 1 or path not in set(paths)),
        codes=Counter(refusal.code for refusal in refusals),
        wrong=[str(refusal) for refusal in refusals if not _is_in_order(refusal)],
    )


def most_steps() -> Recipe:
    """The recipe with the most steps, without the filter that would leave out nearly all mutants by their body part."""
    return tuple(step for step in max(RECIPES.values(), key=len) if not isinstance(step, BodyPartFilter))


def _is_past_preamble(data: bytes) -> bool:
    try:
        bytes_of(data)
    except UnreadableImage:
        return False
    return True


def _is_in_order(refusal: Refusal) -> bool:
    texts = (refusal.path, refusal.reason, refusal.remedy)
    return refusal.code in REFUSAL_CODES and all(text.strip() and text.isprintable() for text in texts)
