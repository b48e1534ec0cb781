"""Samplers as values: which of the training images an epoch shows, and in which order.

What an epoch shows follows from the seed and the epoch alone, so a run that was cut off goes on without storing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from osteon.errors import Mismatch, TooFewCases

Target = NDArray[np.float32]
Places = NDArray[np.intp]


class Sampler(Protocol):
    """Which images an epoch shows. Implementations are frozen dataclasses: their `repr` says all."""

    def drawn(self, target: Target) -> int:
        """Images in an epoch.

        Args:
            target: (n,) or (n, k) of the training images.

        Raises:
            TooFewCases: if a class that the sampler needs is empty.
            Mismatch: if the sampler goes by class, and the targets are not one column of 0 and 1.
        """
        ...

    def order(self, target: Target, generator: torch.Generator, *, seed: int, epoch: int) -> Places:
        """Places (m,) among the training images, 0..n-1, none twice.

        Args:
            target: (n,) or (n, k) of the training images.
            generator: the random numbers of this epoch.
            seed: of the run. epoch: 0-based; for what goes on from epoch to epoch.

        Raises:
            TooFewCases, Mismatch: as `drawn`.
        """
        ...


@dataclass(frozen=True)
class Shuffled:
    """Every image once an epoch, in random order."""

    def drawn(self, target: Target) -> int:
        """As many as there are."""
        return len(target)

    def order(self, target: Target, generator: torch.Generator, *, seed: int, epoch: int) -> Places:
        """A permutation."""
        return _as_places(torch.randperm(len(target), generator=generator))


@dataclass(frozen=True)
class OppositeClass:
    """Draws without replacement, the weight of an image being the size of the other class (de Cid 2021, equation 4.3).

    An epoch draws twice as many images as the smaller class has. The study expects half of them from either class, but
    without replacement the smaller class runs dry while the epoch lasts. `expected_share` says what comes out.
    """

    def drawn(self, target: Target) -> int:
        """Twice the size of the smaller class."""
        return 2 * min(_counts(target, self))

    def order(self, target: Target, generator: torch.Generator, *, seed: int, epoch: int) -> Places:
        """In the order in which they are drawn."""
        negatives, positives = _counts(target, self)
        weight = torch.where(torch.from_numpy(target.reshape(-1)) == 1, float(negatives), float(positives))
        return _as_places(torch.multinomial(weight, self.drawn(target), replacement=False, generator=generator))


@dataclass(frozen=True)
class Balanced:
    """All images of the smaller class and as many of the larger one, in random order.

    The larger class comes round: after any number of epochs no two of its images were shown more than one time apart.
    """

    def drawn(self, target: Target) -> int:
        """Twice the size of the smaller class."""
        return 2 * min(_counts(target, self))

    def order(self, target: Target, generator: torch.Generator, *, seed: int, epoch: int) -> Places:
        """Both classes, mixed."""
        negatives, positives = _counts(target, self)
        smaller, larger = (1, 0) if positives <= negatives else (0, 1)
        flat = target.reshape(-1)
        all_of_one = np.flatnonzero(flat == smaller)
        some_of_other = _come_round(np.flatnonzero(flat == larger), len(all_of_one), seed, epoch)
        both = np.concatenate([all_of_one, some_of_other])
        mixed: Places = both[_as_places(torch.randperm(len(both), generator=generator))]
        return mixed


def expected_share(positives: int, negatives: int) -> float:
    """The share of positives that an epoch of `OppositeClass` shows on average, exactly.

    How many positives are among the draws follows Wallenius's noncentral hypergeometric distribution, whose odds are
    the ratio of the two weights.

    Raises:
        TooFewCases: if there are none of one class.
    """
    _both(negatives, positives, OppositeClass())
    draws = 2 * min(positives, negatives)
    urn = stats.nchypergeom_wallenius(positives + negatives, positives, draws, negatives / positives)
    return float(urn.mean()) / draws


def _come_round(members: Places, wanted: int, seed: int, epoch: int) -> Places:
    """So many of the members for this epoch, out of endless rounds of all of them, each round shuffled anew.

    A round that begins within an epoch puts off those that the end of the round before has shown in it.
    """
    rest, number = members[:0], 0
    for _ in range(epoch + 1):
        shown, rest = rest[:wanted], rest[wanted:]
        if len(shown) < wanted:
            # Three numbers, so that this is the stream of no epoch (`batches.generator_of`).
            fresh = np.random.default_rng([seed, number, 1]).permutation(members)
            now = fresh[~np.isin(fresh, shown)][: wanted - len(shown)]
            rest, number = fresh[~np.isin(fresh, now)], number + 1
            shown = np.concatenate([shown, now])
    return shown


def _counts(target: Target, sampler: object) -> tuple[int, int]:
    """How many negatives and positives there are."""
    if target.ndim > 1 and target.shape[1] > 1:
        raise Mismatch(
            f"{sampler} draws by class, and these targets have {target.shape[1]} columns",
            remedy="train with Shuffled()",
        )
    if not np.isin(target, (0, 1)).all():
        raise Mismatch(
            f"{sampler} draws by class, and these targets are not all 0 or 1", remedy="train with Shuffled()"
        )
    positives = int((target == 1).sum())
    return _both(target.size - positives, positives, sampler)


def _both(negatives: int, positives: int, sampler: object) -> tuple[int, int]:
    if not min(negatives, positives):
        kind = "positive" if negatives else "negative"
        raise TooFewCases(
            f"{sampler} draws by class, and none of {negatives + positives} training images is {kind}",
            remedy="label more, or use fewer folds",
        )
    return negatives, positives


def _as_places(places: Any) -> Places:
    return np.asarray(places.numpy(), np.intp)
