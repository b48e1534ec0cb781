"""A guard from what a training leaves behind, and its way into the files of a bundle and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from osteon.dataset.prepared import pixels_of
from osteon.dataset.steps.polarity import whiteness
from osteon.errors import TooFewCases
from osteon.learn.batches import as_input
from osteon.learn.guard import FALSE_ALARM, Features, Guard, fit_guard
from osteon.learn.heads import Classifier, mirrored
from osteon.learn.weights import State

GUARD = "guard"
"""Where `bundle.json` keeps the numbers of a guard; before the dot, the names of its tensors."""

NAMED = 0.9
"""Share of the images of training that must name their part; with fewer, none is refused for the part that it names,
since the model may have learnt that very part from images that name none."""


class Guarded(NamedTuple):
    """A guard, or why there is none; "" with one."""

    guard: Guard | None
    why: str = ""

    @property
    def limits(self) -> tuple[str, ...]:
        """What the card of a bundle says if there is none."""
        return (f"Nothing keeps it from answering on images of another kind: {self.why}.",) if self.why else ()


def guard_from(
    features: Features,
    images: Sequence[Path],
    group: NDArray[Any],
    *,
    parts: Sequence[str] = (),
    taught: bool = False,
    false_alarm: float = FALSE_ALARM,
) -> Guarded:
    """The guard that stands before a model.

    Args:
        features: (n, flips, d) of the training images, as a reading will compute them.
        images: n prepared files.
        group: (n,) patient of each.
        parts: body parts among them (`parts_named`).
        taught, false_alarm: as `Guard` has them.

    Raises:
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    white = np.array([whiteness(pixels_of(path)) for path in images])
    try:
        return Guarded(fit_guard(features, white, group, parts=parts, taught=taught, false_alarm=false_alarm))
    except TooFewCases as error:
        return Guarded(None, error.message)


def features_by(classifier: Classifier, images: Sequence[Path]) -> NDArray[np.float32]:
    """(n, flips, d) features of prepared images by a network in evaluation mode, as a reading has them.

    Raises:
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    was_training, device = classifier.training, next(classifier.parameters()).device
    classifier.eval()
    rows = []
    with torch.inference_mode():
        for path in images:
            grey = as_input(pixels_of(path)[None]).to(device)
            rows.append(torch.cat([classifier.features(grey), classifier.features(mirrored(grey))]).cpu())
    classifier.train(was_training)
    return np.asarray(torch.stack(rows).numpy(), np.float32)


def parts_named(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Body parts that the files of a manifest name, in order; () if fewer than NAMED of them name one."""
    if "resolved_part" not in manifest:
        return ()
    named = manifest["resolved_part"].astype("string").fillna("")
    named = named[named != ""]
    return tuple(sorted(set(named))) if len(named) >= NAMED * len(manifest) else ()


def stored(guard: Guard | None) -> State:
    """Its tensors, as the weights file of a bundle has them; none without a guard."""
    if guard is None:
        return {}
    return {f"{GUARD}.{name}": torch.from_numpy(array) for name, array in guard.arrays().items()}


def restored(tensors: State, content: Mapping[str, Any]) -> Guard:
    """The guard whose tensors `stored` gave, and whose numbers are `content`.

    Raises:
        KeyError, TypeError, ValueError: if they are no such thing.
    """
    prefix = f"{GUARD}."
    own = {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
    return Guard.of(own, content)
