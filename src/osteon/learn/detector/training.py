"""Training a detector on cached maps: what is shown, how, and the loop.

An image teaches in two ways: its label, and, where somebody drew boxes, each cell of its lesion map, and each cell in a
box how far the box reaches. Images without a finding teach that all of their cells have none. Images with a finding but
without a box teach nothing about places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from osteon.errors import Diverged, NotFound, TooFewCases, unknown_name
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import Trunk
from osteon.learn.bank import FeatureBank
from osteon.learn.batches import generator_of
from osteon.learn.detector.box_targets import TARGETS, Cells, Floats, grid_of, reaches, seen_in
from osteon.learn.detector.network import POOLINGS, STRIDES, Detector, Laid, Lesions, detector_on, mean_of_flips
from osteon.learn.detector.views import copy_name
from osteon.learn.optimisers import AdamW
from osteon.types import Progress, silent

READ = 32
"""Images that are read together when nothing is learnt."""

Read = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.floating]]
"""Rows (m,) and the view (m,) wanted of each, the flips of the image first → cached maps (m, c, h, w)."""


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector is made and trained.

    Attributes:
        middle: stride behind which the trunk's stages are trained along, as `network.detector_on` takes it.
        width: channels of its description of a place.
        dropout: share of the trunk's channels that each training image lacks.
        pooling: a name of `detector.POOLINGS`.
        target: a name of `box_targets.TARGETS`.
        cells: how much the loss of the cells counts beside that of the image; 0 learns from labels alone.
        focus: power by which cells that are nearly right already count less.
        edges: how much the loss of the boxes' edges counts beside that of the image.
        epochs: after which of them the weights are kept, as candidates; the last ends the training.
        batch: images per step.
        optimiser: of the head.
        stages: of the trunk's stages, if any are trained.
        average: of the weights over the steps, which is what is kept.
        bf16: compute forward passes of the training in bfloat16.
    """

    middle: int = 0
    width: int = 64
    dropout: float = 0.2
    pooling: str = "attention"
    target: str = "covered"
    cells: float = 1.0
    focus: float = 2.0
    edges: float = 1.0
    epochs: tuple[int, ...] = (4, 8, 12)
    batch: int = 32
    optimiser: AdamW = field(default_factory=lambda: AdamW(learning_rate=2e-3, weight_decay=0.05))
    stages: AdamW = field(default_factory=lambda: AdamW(learning_rate=2e-4, weight_decay=0.05))
    average: Averaging = field(default_factory=lambda: Averaging(0.99))
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise unknown_name("pooling", self.pooling, POOLINGS)
        if self.target not in TARGETS:
            raise unknown_name("kind of target", self.target, TARGETS)
        if not self.epochs or list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] < 1:
            raise ValueError(f"epochs are numbers from 1 on, each larger than the one before, not {self.epochs}")
        if min(self.width, self.batch) < 1 or min(self.cells, self.focus, self.edges) < 0:
            raise ValueError(f"width and batch are 1 or more, cells, focus and edges 0 or more, not {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout lies in 0..1, 1 excluded, not {self}")

    def detector(self, trunk: Trunk, strides: Sequence[int], *, seed: int) -> Detector:
        """A new detector for maps of a trunk that were cached at these strides.

        Raises:
            Mismatch: as `network.detector_on`.
        """
        head = {"width": self.width, "dropout": self.dropout, "pooling": self.pooling}
        return detector_on(trunk, strides, middle=self.middle, seed=seed, **head)


class Wanted(NamedTuple):
    """What boxes teach of n images: `cells` (n, h, w) in 0..1, and `reaches` (n, 4, h, w), NaN in cells of no box."""

    cells: Tensor
    reaches: Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """n images to learn from or to be asked about, as cached maps.

    Attributes:
        key: what each image is known by; it changes when its maps do.
        read: their maps, row by row.
        target: (n,) 0 or 1; of rows that nobody learns from, anything.
        boxes: of each image, (k, 4) in its pixels; (0, 4) where none were drawn.
        size: (height, width) of the images in pixels.
        flips: of each image, in the order of a bank.
        moved: (n, copies, 2, 3) how its copies are moved, as `osteon.learn.detector.views` has it; None without copies.
    """

    key: Sequence[str]
    read: Read
    target: NDArray[np.floating]
    boxes: Sequence[Floats]
    size: tuple[int, int]
    flips: int = 2
    moved: Floats | None = None

    @property
    def views(self) -> int:
        """Of each image: the flips of itself, and of its copies."""
        return self.flips * (1 if self.moved is None else 1 + self.moved.shape[1])

    def __len__(self) -> int:
        return len(self.target)


def examples_of(
    bank: FeatureBank,
    images: Sequence[str],
    target: NDArray[np.floating],
    boxes: Sequence[Floats],
    size: tuple[int, int],
    moved: Floats | None = None,
) -> Examples:
    """Images whose maps a bank holds, as those of their copies; they are read from it when they are asked for.

    Raises:
        NotFound: if the bank lacks some of them.
    """
    copies = 0 if moved is None else moved.shape[1]
    names = [[image, *(copy_name(image, number) for number in range(1, copies + 1))] for image in images]
    missing = [name for every in names for name in every if name not in bank]
    if missing:
        raise NotFound(
            f"the bank of maps {bank.folder} lacks {len(missing)} of {len(images) * (1 + copies)} images, "
            f"e.g. {missing[0]}",
            remedy="compute the maps of the folder that holds them",
        )
    key = [" ".join(f"{name} {bank.content[name]}" for name in every) for every in names]

    def read(rows: NDArray[np.intp], views: NDArray[np.intp]) -> NDArray[np.floating]:
        copy, flip = np.divmod(views, bank.flips)
        return bank.maps_of([names[row][number] for row, number in zip(rows, copy, strict=True)], flip)

    return Examples(key, read, target, boxes, size, bank.flips, moved)


def fitted(
    fresh: Detector,
    examples: Examples,
    rows: NDArray[np.intp],
    options: DetectorOptions,
    *,
    seed: int,
    progress: Progress = silent,
) -> Iterator[tuple[int, Detector]]:
    """Train a detector, and give (epoch, averaged detector in evaluation mode) after each of `options.epochs`.

    Same seed and number of threads, same weights. What is given is overwritten as the training goes on.

    Args:
        fresh: is trained in place.
        examples: images.
        rows: (m,) those to learn from; nothing of any other row is looked at.
        options: how.
        seed: of the order, the flips and dropout.
        progress: called with the steps done and their number.

    Raises:
        TooFewCases: if all rows are of one class.
        Diverged: if the loss is no number any more.
    """
    if not 0 < examples.target[rows].sum() < len(rows):
        raise TooFewCases(f"all {len(rows)} images to learn from are of one class", remedy="label more images")
    place = np.full(len(examples), -1, np.intp)
    place[rows] = np.arange(len(rows))
    target = torch.from_numpy(examples.target[rows].astype(np.float32))
    _start_edges(fresh, examples, rows)
    trained = _Trained(fresh, options, steps=options.epochs[-1] * math.ceil(len(rows) / options.batch))
    averaged = options.average.start(fresh)
    step = 0
    for epoch in range(options.epochs[-1]):
        fresh.train()
        with _random_numbers(seed, epoch):
            for batch, views in _batches(rows, options.batch, examples.views, seed, epoch):
                own = place[batch]
                seen = torch.from_numpy(examples.read(batch, views).astype(np.float32))
                with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
                    said = fresh(seen)
                loss = loss_of(said, target[own], _wanted(examples, batch, views, options), options)
                if not math.isfinite(loss.item()):
                    raise Diverged(
                        f"the loss is no number any more in epoch {epoch + 1}",
                        remedy="train with smaller learning rates",
                    )
                trained.step(loss, step)
                options.average.follow(averaged, fresh, step)
                step += 1
                progress(step, trained.steps)
        if epoch + 1 in options.epochs:
            yield epoch + 1, averaged.eval()


def loss_of(said: Lesions, target: Tensor, wanted: Wanted, options: DetectorOptions) -> Tensor:
    """Cross-entropy of the image, the same of the cells of images that are taught them, and what the boxes miss.

    A cell whose probability p is to be t counts |t - p|^focus times its cross-entropy, and the sum is divided by the
    sum of the t, as in the quality focal loss (Li et al. 2020, equation 2): nearly all cells are empty, and easy. The
    edges of a box cost -ln of the overlap (intersection over union) with the true one (Yu et al. 2016, section 3.1).

    Args:
        said: of n images.
        target: (n,) 0 or 1.
        wanted: what their boxes teach.
        options: `cells`, `focus` and `edges`; with `cells` 0 boxes teach nothing.
    """
    image = cross_entropy(said.image.float(), target)
    if not options.cells:
        return image
    taught = (target == 0) | (wanted.cells > 0).flatten(1).any(dim=1)
    odds, cells = said.cells.float()[taught], wanted.cells[taught]
    distance = (cells - odds.sigmoid()).abs().pow(options.focus)
    of_cells = (distance * cross_entropy(odds, cells, reduction="none")).sum() / cells.sum().clamp(min=1)
    loss = image + options.cells * of_cells
    inside = ~wanted.reaches[:, 0].isnan()
    if options.edges and inside.any():
        ours, theirs = (maps.movedim(1, -1)[inside] for maps in (said.maps[:, 1:].float().exp(), wanted.reaches))
        loss = loss - options.edges * _overlap(ours, theirs).log().mean()
    return loss


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (k,) of boxes about one point; (k, 4) what they reach to the left, up, right, down."""
    shared, one, other = (
        (reach[:, 0] + reach[:, 2]) * (reach[:, 1] + reach[:, 3]) for reach in (first.minimum(second), first, second)
    )
    return shared / (one + other - shared)


def said_of(detector: Detector, examples: Examples, rows: NDArray[np.intp]) -> tuple[Floats, Cells]:
    """What a detector says of rows (m,): log odds (m,), and maps (m, 5, h, w) float32 as `Lesions` has them.

    Both are means over the image and its mirror image, whose maps are mirrored back.
    """
    images, maps = [np.empty(0)], [np.empty((0, 5, *grid_of(examples.size, STRIDES[0])), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(rows), READ):
            some = rows[start : start + READ]
            seen = [examples.read(some, np.full(len(some), flip, np.intp)) for flip in range(2)]
            said = mean_of_flips(*(detector(torch.from_numpy(cached.astype(np.float32))) for cached in seen))
            images.append(said.image.double().numpy())
            maps.append(said.maps.numpy())
    return np.concatenate(images), np.concatenate(maps)


class _Trained:
    """The optimisers of a detector's two parts: the head learns fast, the stages of the trunk slowly."""

    def __init__(self, detector: Detector, options: DetectorOptions, *, steps: int) -> None:
        self.steps = steps
        self.parts: list[tuple[nn.Module, AdamW, torch.optim.Optimizer]] = [
            (detector.head, options.optimiser, options.optimiser.start(detector.head))
        ]
        if not isinstance(detector.tail, Laid):
            self.parts.append((detector.tail, options.stages, options.stages.start(detector.tail)))

    def step(self, loss: Tensor, number: int) -> None:
        """Follow the gradient of a loss in the step of this number, 0-based."""
        torch.autograd.backward(loss)
        for module, optimiser, state in self.parts:
            for group in state.param_groups:
                group.update(optimiser.at(number, self.steps))
            nn.utils.clip_grad_norm_(module.parameters(), optimiser.longest_gradient)
            state.step()
            state.zero_grad()


def _start_edges(fresh: Detector, examples: Examples, rows: NDArray[np.intp]) -> None:
    """Let boxes reach at first as far as those of some rows (m,) do in the mean, so that few steps are enough."""
    drawn = [reaches(examples.boxes[row], examples.size, STRIDES[0]) for row in rows if len(examples.boxes[row])]
    if drawn:
        mean = np.nanmean(np.log(np.stack(drawn)), axis=(0, 2, 3))
        mean[[0, 2]] = mean[[0, 2]].mean()  # half of what is shown is mirrored
        with torch.no_grad():
            fresh.head.reach.bias.copy_(torch.from_numpy(mean))  # type: ignore[union-attr]  # it has one


def _wanted(examples: Examples, rows: NDArray[np.intp], views: NDArray[np.intp], options: DetectorOptions) -> Wanted:
    """What the boxes of rows (m,) teach in the view (m,) that is shown of each."""
    size, stride = examples.size, STRIDES[0]
    here = [
        seen_in(
            examples.boxes[row],
            size,
            view,
            flips=examples.flips,
            moved=None if examples.moved is None else examples.moved[row],
        )
        for row, view in zip(rows.tolist(), views.tolist(), strict=True)
    ]
    cells = np.stack([TARGETS[options.target](boxes, size, stride) for boxes in here])
    edges = np.stack([reaches(boxes, size, stride) for boxes in here])
    return Wanted(torch.from_numpy(cells), torch.from_numpy(edges))


def _batches(
    rows: NDArray[np.intp], size: int, views: int, seed: int, epoch: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The rows of each step of an epoch, in an order of its own, and the view of each."""
    generator = generator_of(seed, epoch)
    order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    view = torch.randint(views, (len(rows),), generator=generator).numpy()
    number = math.ceil(len(rows) / size)
    yield from zip(np.array_split(order, number), np.array_split(view, number), strict=True)


@contextmanager
def _random_numbers(seed: int, epoch: int) -> Iterator[None]:
    """Dropout draws from torch's global generator: give it the epoch's numbers, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(seed, epoch).initial_seed())
        yield
