"""All nouns of osteon on one page: frozen, checked at birth, and in need of numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Progress = Callable[[int, int], None]
"""`progress(done, total)`: how a long function reports; the command line turns it into a bar."""


def silent(done: int, total: int) -> None:
    """The `Progress` of callers who do not watch."""


VIEWS = ("AP", "PA", "LAT", "OBL")
"""View positions that osteon tells apart; DICOM (0018,5101) and view codes are mapped onto them. "" is unknown."""

LATERALITIES = ("L", "R", "B")
"""Sides, as in DICOM (0020,0062); "" is unknown or unpaired."""

REFUSAL_CODES: dict[str, str] = {
    "not_an_image": "neither DICOM, nor PNG, nor JPEG",
    "archive": "a zip archive, or a member of one, that is broken, encrypted, nested or grows like a bomb",
    "not_dicom": "a DICOM file whose header cannot be parsed",
    "no_transfer_syntax": "a DICOM file that does not say how its pixels are encoded",
    "no_pixels": "a DICOM object without pixel data (report, plan, waveform)",
    "not_a_radiograph": "a DICOM image of another modality than CR, DX, RF or RG",
    "multi_frame": "a DICOM image of several frames",
    "not_grey": "a colour image",
    "bad_attributes": "pixel attributes that contradict each other or the data",
    "undecodable": "pixel data that no decoder reads whole",
    "blank": "an image of one grey value, or of hardly more",
    "too_small": "an image of fewer than 32 pixels a side",
    "too_large": "an image of more than 100 million pixels, or a file of more than 256 MiB, packed or unpacked",
    "duplicate_file": "the same bytes as a file already taken",
    "duplicate_instance": "another file of an instance (SOP instance UID) already taken, with the same stored pixels",
    "duplicate_pixels": "the same stored pixels as a file already taken, under another instance",
    "changed": "a file that is gone, or is no longer the one that was ingested",
    "no_label": "no row of the label table names this image or its study",
    "bad_label": "a label that is neither yes nor no",
    "excluded": "left out by a rule that was given with --exclude",
    "body_part": "an image of another body part than those that the recipe keeps or the model learnt from, or of none "
    "that its header names",
    "inverted": "an image that still shows bone dark on a light ground after the recipe",
    "unfamiliar": "an image unlike those that the model learnt from: another part, a photograph, noise",
    "outlier": "an image of a study with more instances than --max-instances",
    "step_refused": "a step of the recipe could not use this image",
    "crashed": "the process that held this image ended, failed or ran out of memory",
    "timeout": "an image that took longer than it was allowed to",
}
"""Every reason for which a file is left out: code → meaning. Documented in `docs/reference/refusals.md`."""


@dataclass(frozen=True)
class Header:
    """What a file says about its image, besides the pixels; "" or None where it says nothing.

    Sources are DICOM attributes (PS3.3): PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID,
    AccessionNumber, StudyDate, Modality, BodyPartExamined, StudyDescription, SeriesDescription, ProtocolName,
    ViewPosition or ViewCodeSequence, ImageLaterality or Laterality, PatientSex, PatientAge, Manufacturer and
    ManufacturerModelName. PNG and JPEG files leave nearly all of it empty.
    """

    patient: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    accession: str = ""
    date: str = ""  # of the study, YYYYMMDD; months between visits follow from it, and no table holds it
    modality: str = ""
    body_part: str = ""  # the tag as it stands: free text
    study_description: str = ""  # free text, as are the next two; they may hold names
    series_description: str = ""
    protocol_name: str = ""
    view: str = ""  # one of VIEWS
    laterality: str = ""  # one of LATERALITIES
    sex: str = ""  # "F", "M" or "O"
    age_years: float | None = None
    device: str = ""  # manufacturer and model
    photometric: str = ""  # PhotometricInterpretation as stored
    transfer_syntax: str = ""  # UID; "" for PNG and JPEG
    bits: int = 8  # bits stored per pixel in the file
    spacing_mm: tuple[float, float] | None = None  # (between rows, between columns)
    spacing_source: str = ""  # the attribute that spacing_mm was read from
    notes: tuple[str, ...] = ()  # what the reader had to decide, one sentence each

    def __post_init__(self) -> None:
        _one_of("view", self.view, ("", *VIEWS))
        _one_of("laterality", self.laterality, ("", *LATERALITIES))


@dataclass(frozen=True, eq=False)
class Cover:
    """A patch that hides something in an image.

    Attributes:
        points: (n, 2) float64, corners (x, y) of a polygon, in source pixels.
        value: the source value that it shows, 0..white.
    """

    points: NDArray[np.float64]
    value: int

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 2 or len(self.points) < 3:
            raise ValueError(f"a cover has at least three corners (n, 2), not {self.points.shape}")


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a recipe has placed an image so far: one affine, one grey table and patches, applied once by
    `dataset.frame.render`.

    Attributes:
        matrix: (2, 3) float64. Takes an output pixel centre (x, y, 1) to source coordinates (x, y), in pixels.
        size: (height, width) of the output.
        grey: (white + 1,) uint8. Output grey value of each source value; 0 is black.
        covers: patches that hide what lies under them, painted in this order.
    """

    matrix: NDArray[np.float64]
    size: tuple[int, int]
    grey: NDArray[np.uint8]
    covers: tuple[Cover, ...] = ()

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3):
            raise ValueError(f"a frame's matrix is (2, 3), not {self.matrix.shape}")
        if min(self.size) < 1:
            raise ValueError(f"a frame's size is positive, not {self.size}")


@dataclass(frozen=True, eq=False)
class Limb:
    """Where a limb lies, as the step saw it that looked for it.

    Attributes:
        mask: (h, w) bool.
        matrix: (2, 3) float64. Takes a pixel centre (x, y, 1) of the mask to source coordinates (x, y), in pixels.
    """

    mask: NDArray[np.bool_]
    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3):
            raise ValueError(f"a limb's matrix is (2, 3), not {self.matrix.shape}")


@dataclass(frozen=True, eq=False)
class Look:
    """What `dataset.frame.seen` showed of a radiograph.

    Attributes:
        image: (h, w) uint8.
        frame: the very frame, and not one that equals it, in which it was seen.
    """

    image: NDArray[np.uint8]
    frame: Frame


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph: presentation values at full size, what its file said, and where a recipe has placed it.

    Attributes:
        pixels: (height, width) uint8 or uint16, presentation values: 0 is shown black, `white` is shown white.
        white: the value shown white, 2**bits - 1.
        header: what the file said.
        frame: where the steps so far have placed it; None before the first step.
        proxy: (h, w) uint8, the whole source at ≤ 512 px, on which steps look; None until the first step needs it.
        notes: one sentence per step that changed something.
        limb: the limb that it shows, found by one step for those after it; None if none has looked.
        look: what a step saw of it, for one after it that looks at the same frame; None if none has left it.
    """

    pixels: Pixels
    white: int
    header: Header = field(default_factory=Header)
    frame: Frame | None = None
    proxy: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    limb: Limb | None = None
    look: Look | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2:
            raise ValueError(f"a radiograph has two dimensions, not {self.pixels.ndim}")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a radiograph is uint8 or uint16, not {self.pixels.dtype}")


class Step(Protocol):
    """One stage of a recipe: a small frozen dataclass that takes a radiograph and returns one, several or none.

    A step looks at the proxy and returns radiographs with a new `frame`; it never touches the full-size pixels.
    """

    def __call__(self, radiograph: Radiograph, /) -> Sequence[Radiograph]: ...


Recipe = tuple[Step, ...]
"""A recipe is the tuple of its steps: a value to print, compare and store."""


@dataclass(frozen=True)
class Refusal:
    """A file that is left out, why, and what would mend it."""

    path: str
    code: str
    reason: str
    remedy: str = ""

    def __post_init__(self) -> None:
        _one_of("code", self.code, tuple(REFUSAL_CODES))


@dataclass(frozen=True)
class Case:
    """One image that can be taken, as ingest first sees it: what is known without its label and its pixels."""

    image: str  # first 32 hexadecimal digits of the SHA-256 of the file's bytes
    path: str  # relative to the folder that was ingested, with forward slashes
    rows: int
    columns: int
    header: Header
    pixels: str = ""  # digest of the stored pixels (osteon.dicom.stored), "" where there is none


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a cross-validation, as row numbers of the manifest.

    Attributes:
        index: 0-based.
        train: (n,) row numbers.
        validation: (m,) row numbers; no patient of `train` is among them.
    """

    index: int
    train: NDArray[np.intp]
    validation: NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval. `value` is NaN, with `note` saying why, where it is not defined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0  # cases behind it
    note: str = ""

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"not available ({self.note})" if self.note else "not available"
        interval = "" if np.isnan(self.low) else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


@dataclass(frozen=True)
class Calibration:
    """Platt scaling: probability = 1 / (1 + exp(-(slope · score + intercept))). Slope > 0 keeps the order of scores."""

    slope: float
    intercept: float
    n: int  # cases it was fitted on
    prevalence: float  # share of positives among them
    note: str = ""

    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):  # exp overflows to inf for a hopeless score; 1 / inf is the right 0
            return 1.0 / (1.0 + np.exp(-(self.slope * np.asarray(score, float) + self.intercept)))


@dataclass(frozen=True)
class Box:
    """A place in an image: a rectangle with upright sides, and how strongly something was seen in it.

    Attributes:
        x, y: of its top left corner, in pixels of the source image; x to the right, y down, 0 at the outer corner of
            the first pixel, so that a box over that pixel alone is (0, 0, 1, 1).
        width, height: in pixels of the source image.
        score: on the scale of the model that found it; larger = more likely.
    """

    x: float
    y: float
    width: float
    height: float
    score: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.x, self.y, self.width, self.height, self.score]).all():
            raise ValueError(f"a box is five finite numbers, not {self}")
        if min(self.x, self.y) < 0 or min(self.width, self.height) <= 0:
            raise ValueError(f"a box begins inside its image and has a width and a height, not {self}")


@dataclass(frozen=True)
class Finding:
    """Something seen: what, how probable, and where, if that is known. The finding of a study has no boxes."""

    label: str
    probability: float
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability lies in 0..1, not {self.probability}")


@dataclass(frozen=True)
class ImageReading:
    """What a bundle says of one image."""

    path: str
    image: str
    findings: tuple[Finding, ...]
    overlay: str = ""  # file name of the explanation map, "" if none was asked for
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a bundle says of one study: the images, the study's finding, the decision, and on what authority."""

    study: str
    images: tuple[ImageReading, ...]
    refusals: tuple[Refusal, ...]
    finding: Finding | None  # None if no image could be read
    decision: str
    threshold: float
    bundle: str  # digest of the bundle
    note: str  # how far the probability may be trusted


@dataclass(frozen=True)
class CortexReading:
    """What a bundle says of one cortex at one visit.

    Attributes:
        cortex: anterior, posterior, medial or lateral.
        grade: the expected grade, rounded; None if no image shows the cortex, or it probably cannot be graded.
        probabilities: of the grades 1, 2, …; () if no image shows the cortex.
        scoreable: probability that it can be graded; None likewise.
    """

    cortex: str
    grade: int | None
    probabilities: tuple[float, ...]
    scoreable: float | None


@dataclass(frozen=True)
class VisitReading:
    """What a bundle says of one visit: its cortices and their total, which is never guessed.

    Attributes:
        study, patient: as the files say.
        month: since the injury if its date was given, else since the first of the visits read together; None undated.
        cortices: all four.
        total: the expected one. low, high: its interval. None for a visit without one of its views, or with a cortex
            that probably cannot be graded.
        images: those that were read. refusals: those that were not.
        bundle: digest.
        note: on what authority.
    """

    study: str
    patient: str
    month: float | None
    cortices: tuple[CortexReading, ...]
    total: float | None
    low: float | None
    high: float | None
    images: tuple[ImageReading, ...]
    refusals: tuple[Refusal, ...]
    bundle: str
    note: str


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(repr(a) for a in allowed)}, not {value!r}")
