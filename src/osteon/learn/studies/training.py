"""Training an aggregator on the labels of studies: a step shows all views of some studies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from osteon.errors import Diverged, TooFewCases
from osteon.learn.averaging import Averaging
from osteon.learn.batches import generator_of
from osteon.learn.heads import FLIPS
from osteon.learn.objectives import BINARY, Objective
from osteon.learn.optimisers import AdamW, Optimiser
from osteon.learn.samplers import Sampler, Shuffled
from osteon.learn.studies.aggregator import Aggregator, Standard
from osteon.learn.studies.bags import Bags, Rows
from osteon.learn.studies.views import Views
from osteon.types import Progress, silent

JUDGED = 64
"""Studies that are scored together."""


@dataclass(frozen=True)
class StudyOptions:
    """How an aggregator is trained.

    Attributes:
        epochs: after which of them the weights are kept, as candidates; the last ends the training.
        batch: studies per step.
        optimiser: how the weights follow the gradient.
        objective: the loss, from logits (b,) and targets (b,).
        sampler: which studies an epoch shows.
        averaging: which weights are kept: those in training, or their moving average.
        flips: show each view as it is or mirrored, by chance; scores are always means over both.
        left_out: chance that a step does not show a view, 0 to less than 1; one view of each study is always shown.
    """

    epochs: tuple[int, ...] = (5, 10, 20)
    batch: int = 32
    optimiser: Optimiser = field(default_factory=lambda: AdamW(learning_rate=1e-3, weight_decay=0.1))
    objective: Objective = BINARY
    sampler: Sampler = field(default_factory=Shuffled)
    averaging: Averaging = field(default_factory=lambda: Averaging(0.98))
    flips: bool = True
    left_out: float = 0.0

    def __post_init__(self) -> None:
        if not self.epochs or list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] < 1:
            raise ValueError(f"epochs are numbers from 1 on, each larger than the one before, not {self.epochs}")
        if self.batch < 1:
            raise ValueError(f"a step shows one study at least, not {self.batch}")
        if not 0 <= self.left_out < 1:
            raise ValueError(f"the chance that a view is left out is 0 to less than 1, not {self.left_out}")


USUAL = StudyOptions(left_out=0.8)
"""What `osteon train --studies` takes, and what is measured in docs/results/study-level.md."""


@dataclass(frozen=True)
class Step:
    """What one step of the training came to: `loss`, and `gradient`, its length before it was shortened."""

    loss: float
    gradient: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """An aggregator after an epoch, 1-based, and the steps of the epochs since the candidate before.

    Its weights are overwritten as the training goes on.
    """

    epoch: int
    aggregator: Aggregator
    steps: tuple[Step, ...]


def train_aggregator(
    fresh: Aggregator,
    views: Views,
    bags: Bags,
    studies: Rows,
    options: StudyOptions,
    *,
    seed: int,
    progress: Progress = silent,
) -> Iterator[Candidate]:
    """Train an aggregator, and give it, in evaluation mode, after each of `options.epochs`.

    Same seed and number of threads, same weights.

    Args:
        fresh: is trained in place. Its `Standard`, if it has one, is set from the views of `studies` first.
        views: of all images of the manifest that the bags were made of.
        bags: which images make which study, and its label.
        studies: (m,) those to learn from, numbers of bags; nothing of any other is looked at.
        options: how.
        seed: of the order, the flips and dropout.
        progress: called with the steps done and their number.

    Raises:
        TooFewCases: if the studies to learn from are of one class, or one has no label.
        Diverged: if the loss is no number any more.
    """
    target = _targets(bags, studies)
    standardise(fresh, views, bags, studies)
    number = math.ceil(options.sampler.drawn(target) / options.batch)
    total = options.epochs[-1] * number
    kept, optimizer = options.averaging.start(fresh), options.optimiser.start(fresh)
    steps: list[Step] = []
    for epoch in range(options.epochs[-1]):
        generator = generator_of(seed, epoch)
        order = options.sampler.order(target, generator, seed=seed, epoch=epoch)
        fresh.train()
        with _random_numbers(generator):
            for place, batch in enumerate(np.array_split(order, number)):
                step = epoch * number + place
                for group in optimizer.param_groups:
                    group.update(options.optimiser.at(step, total))
                rows, study = laid_out(bags, studies[batch])
                if options.left_out:
                    shown = _shown(study, options.left_out, generator)
                    rows, study = rows[shown.numpy()], study[shown]
                flip = torch.randint(FLIPS if options.flips else 1, (len(rows),), generator=generator).numpy()
                logits = fresh(views.of(rows, flip), study)
                loss = options.objective.loss(logits, torch.from_numpy(target[batch]))
                if not math.isfinite(loss.item()):
                    raise Diverged(
                        f"the loss is no number any more in epoch {epoch + 1}",
                        remedy="train with a smaller learning rate",
                    )
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                length = clip_grad_norm_(fresh.parameters(), options.optimiser.longest_gradient)
                optimizer.step()
                options.averaging.follow(kept, fresh, step)
                steps.append(Step(loss.item(), length.item()))
                progress(step + 1, total)
        if epoch + 1 in options.epochs:
            yield Candidate(epoch + 1, kept.eval(), tuple(steps))
            steps = []


def study_scores(
    aggregator: Aggregator, views: Views, bags: Bags, studies: Rows, *, flips: Sequence[int] = range(FLIPS)
) -> NDArray[np.float64]:
    """Logits (m,) of studies (m,), numbers of bags: the mean over the flips, in evaluation mode."""
    was_training = aggregator.training
    aggregator.eval()
    scores = [np.empty(0)]
    with torch.inference_mode():
        for start in range(0, len(studies), JUDGED):
            rows, study = laid_out(bags, studies[start : start + JUDGED])
            said = [aggregator(views.of(rows, np.full(len(rows), flip, np.intp)), study) for flip in flips]
            scores.append(torch.stack(said).mean(dim=0).double().numpy())
    aggregator.train(was_training)
    return np.concatenate(scores)


def laid_out(bags: Bags, studies: Rows) -> tuple[Rows, Tensor]:
    """The rows (n,) of all images of studies (m,), and (n,) int64 which of the m each belongs to."""
    chosen = [bags.rows[study] for study in studies]
    return np.concatenate(chosen), torch.from_numpy(np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen]))


def standardise(aggregator: Aggregator, views: Views, bags: Bags, studies: Rows) -> None:
    """Set the `Standard` of an aggregator, if it has one, from the views of studies (m,) as they are."""
    if not isinstance(aggregator.each, torch.nn.Sequential):
        return
    parts = list(aggregator.each)
    place = next((i for i, part in enumerate(parts) if isinstance(part, Standard)), None)
    if place is None:
        return
    before, standard = torch.nn.Sequential(*parts[:place]), parts[place]
    seen = []
    aggregator.eval()
    with torch.inference_mode():
        for start in range(0, len(studies), JUDGED):
            rows, _ = laid_out(bags, studies[start : start + JUDGED])
            seen.append(before(aggregator.trunk(views.of(rows, np.zeros(len(rows), np.intp)))))
        standard.set_from(torch.cat(seen))  # type: ignore[operator]  # it is a Standard


def _shown(study: Tensor, left_out: float, generator: torch.Generator) -> Tensor:
    """(n,) whether a view is shown: by chance, but of each study the one that drew the highest number always is."""
    drawn = torch.rand(len(study), generator=generator)
    highest = drawn.new_zeros(int(study.max()) + 1).scatter_reduce(0, study, drawn, "amax")
    return (drawn >= left_out) | (drawn == highest[study])


def _targets(bags: Bags, studies: Rows) -> NDArray[np.float32]:
    given = bags.table["target"].iloc[studies]
    if given.isna().any():
        raise TooFewCases(
            f"{int(given.isna().sum())} of {len(studies)} studies to learn from have no label",
            remedy="learn from studies of which every image is labelled",
        )
    target: NDArray[np.float32] = given.to_numpy(np.float32)
    if not 0 < target.sum() < len(target):
        raise TooFewCases(
            f"all {len(target)} studies to learn from are of one class", remedy="label more, or use fewer folds"
        )
    return target


@contextmanager
def _random_numbers(generator: torch.Generator) -> Iterator[None]:
    """Dropout draws from torch's global generator: give it the epoch's numbers, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield
