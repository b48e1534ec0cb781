"""A small network that looks for each cortex in the maps of a frozen trunk, and grades what it finds there.

Two local convolutions describe every place; each cortex has a gaze of its own, a softmax over places, and what it sees
there becomes two numbers: how far the cortex has healed, and whether it can be graded. It learns from noisy grades of
visible cortices alone; those of the other view get no gradient. Images show a left leg (`osteon.learn.maps.flips_of`),
so that a cortex is always on the same side of the bone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from osteon.errors import Diverged, TooFewCases
from osteon.learn.backbones import Trunk
from osteon.learn.batches import generator_of
from osteon.learn.heads import Network
from osteon.learn.maps import maps_of
from osteon.learn.multiview import CortexScores
from osteon.learn.optimisers import AdamW
from osteon.tasks.rust import CORTICES, MODIFIED_RUST, NOT_SCOREABLE, NOT_VISIBLE, Grades, Score
from osteon.types import Progress, silent

Maps = NDArray[np.floating]

SCOREABLE_COUNTS = 0.5
"""How much the loss of 'can it be graded' counts beside that of the grades."""

BATCH = 64
"""Images that are read together when nothing is learnt."""


@dataclass(frozen=True)
class ReaderOptions:
    """How a reader is made and trained.

    Attributes:
        width: channels of its description of a place.
        dropout: share of the trunk's channels that each training image lacks.
        epochs: times that every training image is shown.
        steps: of training at least: few images are shown more often.
        batch: images per step.
        shift: places by which a batch is moved up or down at most; what leaves on one side enters on the other.
        optimiser: how the weights follow the gradient.
    """

    width: int = 48
    dropout: float = 0.2
    epochs: int = 8
    steps: int = 200
    batch: int = 32
    shift: int = 2
    optimiser: AdamW = field(default_factory=lambda: AdamW(learning_rate=3e-3, weight_decay=0.02))

    def __post_init__(self) -> None:
        if min(self.width, self.epochs, self.batch) < 1 or min(self.steps, self.shift) < 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"width, epochs and batch are 1 or more, steps and shift 0 or more, dropout in 0..1, not {self}"
            )


class CortexReader(nn.Module):
    """Maps (n, c, h, w) → (n, 4, 2): for each of CORTICES how far it has healed, and log odds that it can be graded.

    `mean` and `deviation` (c, 1, 1) standardise the maps; `cuts` (4, g − 1) part the grades of a cortex on its scale.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, *, width: int = 48, dropout: float = 0.0, grades: int = 4) -> None:
        super().__init__()
        seen, four = width * len(CORTICES), len(CORTICES)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.dropout = nn.Dropout2d(dropout)
        self.narrow = nn.Conv2d(channels, width, 1)
        self.local = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.gaze = nn.Conv2d(width, four, 1)
        self.hidden = nn.Conv1d(seen, 32 * four, 1, groups=four)
        self.answer = nn.Conv1d(32 * four, 2 * four, 1, groups=four)
        self.cuts = nn.Parameter(torch.linspace(-1.5, 1.5, grades - 1).repeat(four, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Answers (n, 4, 2) to maps (n, c, h, w)."""
        place = torch.relu(self.narrow(self.dropout((maps - self.mean) / self.deviation)))
        for local in self.local:
            place = place + torch.relu(local(place))
        looked = torch.einsum("nkp,nwp->nkw", self.gazes(place).flatten(2), place.flatten(2))
        hidden = torch.relu(self.hidden(looked.flatten(1)[..., None]))
        answers: Tensor = self.answer(hidden).reshape(len(maps), len(CORTICES), 2)
        return answers

    def gazes(self, place: Tensor) -> Tensor:
        """Where each cortex is looked for: (n, 4, h, w), each sum over places 1."""
        wanted: Tensor = self.gaze(place)
        return wanted.flatten(2).softmax(dim=-1).reshape(wanted.shape)

    def loss(self, answers: Tensor, grades: Tensor) -> Tensor:
        """Masked loss of answers (n, 4, 2) to grades (n, 4), NOT_SCOREABLE or NOT_VISIBLE among them.

        The grade is asked as g − 1 questions, is it above 1, 2, …, which share one score (Cao et al. 2020).
        """
        steps = torch.arange(1, self.cuts.shape[1] + 1, device=grades.device)
        above = (grades[..., None] > steps).float()
        graded, visible = (grades > NOT_SCOREABLE).float(), (grades > NOT_VISIBLE).float()
        per_cell = cross_entropy(answers[..., :1] - self.cuts, above, reduction="none").sum(-1)
        can = cross_entropy(answers[..., 1], graded, reduction="none")
        of_grades = (per_cell * graded).sum() / graded.sum().clamp(min=1)
        return of_grades + SCOREABLE_COUNTS * (can * visible).sum() / visible.sum().clamp(min=1)


class CortexNetwork(Network):
    """Trunk and reader as one network, from grey images (n, 1, h, w) of left legs to answers (n, 4, 2)."""

    def __init__(self, trunk: Trunk, reader: CortexReader) -> None:
        super().__init__()
        self.trunk = trunk
        self.reader = reader

    @property
    def name(self) -> str:
        """The trunk, and what stands on it."""
        return f"{self.trunk.spec}, + cortex reader"

    def forward(self, images: Tensor) -> Tensor:
        """Answers (n, 4, 2) to grey images (n, 1, h, w), float in 0..1."""
        answers: Tensor = self.reader(maps_of(self.trunk, images))
        return answers


def fit_reader(
    maps: Maps,
    grades: Grades,
    rows: NDArray[np.intp],
    options: ReaderOptions,
    *,
    score: Score = MODIFIED_RUST,
    seed: int,
    progress: Progress = silent,
) -> CortexReader:
    """Train a reader on some of n images. Same seed and number of threads, same weights.

    Args:
        maps: (n, c, h, w) of a frozen trunk.
        grades: (n, 4) int8; cortices that are NOT_VISIBLE teach nothing, those NOT_SCOREABLE only that they are that.
        rows: (m,) the images to learn from.
        options: how.
        score: which grades there are.
        seed: of the first weights, the order, dropout and shifts.
        progress: called with the steps done and their number.

    Raises:
        TooFewCases: if none of the rows has a grade.
        Diverged: if the maps hold values that are no numbers, or the loss becomes none.
    """
    rows = rows[(grades[rows] > NOT_VISIBLE).any(axis=1)]
    if not (grades[rows] > NOT_SCOREABLE).any():
        raise TooFewCases("no image to learn from has a graded cortex", remedy="grade more images, or use fewer folds")
    target = torch.from_numpy(grades.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = CortexReader(
            maps.shape[1], width=options.width, dropout=options.dropout, grades=score.grades[-1]
        ).train()
        _standardise(reader, maps, rows)
        optimizer = options.optimiser.start(reader)
        steps = _epochs(rows, options) * _steps_each(rows, options)
        for step, (batch, shift) in enumerate(_batches(rows, options, seed)):
            for group in optimizer.param_groups:
                group.update(options.optimiser.at(step, steps))
            seen = torch.from_numpy(maps[batch].astype(np.float32)).roll(shift, dims=2)
            loss = reader.loss(reader(seen), target[batch])
            if not torch.isfinite(loss):
                raise Diverged(
                    f"the loss is no number any more in step {step + 1}", remedy="train with a smaller learning rate"
                )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(reader.parameters(), options.optimiser.longest_gradient)
            optimizer.step()
            progress(step + 1, steps)
    return reader.eval()


def read(reader: CortexReader, maps: Maps, rows: NDArray[np.intp]) -> CortexScores:
    """What a reader, in evaluation mode, says of some rows (m,) of maps (n, c, h, w)."""
    parts = [np.empty((0, len(CORTICES), 2))]
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            seen = torch.from_numpy(maps[rows[start : start + BATCH]].astype(np.float32))
            parts.append(reader(seen).double().numpy())
    answers = np.concatenate(parts)
    return CortexScores(answers[..., 0], answers[..., 1])


def _standardise(reader: CortexReader, maps: Maps, rows: NDArray[np.intp]) -> None:
    """Mean and deviation of each channel over the training images."""
    total, squares, count = np.zeros(maps.shape[1]), np.zeros(maps.shape[1]), 0
    for start in range(0, len(rows), BATCH):
        block = maps[rows[start : start + BATCH]].astype(np.float32)
        total += block.sum(axis=(0, 2, 3), dtype=float)
        squares += np.square(block).sum(axis=(0, 2, 3), dtype=float)
        count += block[:, 0].size
    if not np.isfinite(squares).all():
        raise Diverged("the maps hold values that are no numbers", remedy="compute the feature bank again")
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    deviation[deviation < 1e-3 * deviation.max(initial=1e-9)] = 1.0  # a channel that says nothing is not blown up
    reader.mean.copy_(torch.from_numpy(mean)[:, None, None])
    reader.deviation.copy_(torch.from_numpy(deviation)[:, None, None])


def _steps_each(rows: NDArray[np.intp], options: ReaderOptions) -> int:
    """Steps in an epoch."""
    return -(-len(rows) // options.batch)


def _epochs(rows: NDArray[np.intp], options: ReaderOptions) -> int:
    return max(options.epochs, -(-options.steps // _steps_each(rows, options)))


def _batches(rows: NDArray[np.intp], options: ReaderOptions, seed: int) -> Iterator[tuple[NDArray[np.intp], int]]:
    """The images of each step, and by how many places they are moved."""
    number = _steps_each(rows, options)
    for epoch in range(_epochs(rows, options)):
        generator = generator_of(seed, epoch)
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        shifts = torch.randint(-options.shift, options.shift + 1, (number,), generator=generator)
        yield from zip(np.array_split(order, number), shifts.tolist(), strict=True)
