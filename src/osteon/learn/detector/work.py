"""A detector to be trained, as a value: how, from what, and where its files lie. Processes hand it to one another.

The stages are those of `osteon.learn.detector.runs` with what comes before: copies and maps are made once and kept,
then one detector after the other is trained. What was cut off goes on when it is called again.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.learn.averaging import Averaging
from osteon.learn.backbones import Trunk
from osteon.learn.bank import FeatureBank
from osteon.learn.detector.box_targets import Floats
from osteon.learn.detector.bundle import DetectorBundle, Member
from osteon.learn.detector.crossval import DetectorCrossValidation
from osteon.learn.detector.kept import kept
from osteon.learn.detector.network import STRIDES, Detector, DetectorNetwork
from osteon.learn.detector.runs import Told, final_network, path_of, told, train_all
from osteon.learn.detector.training import DetectorOptions, Examples, examples_of
from osteon.learn.detector.views import Views, write_views
from osteon.learn.detector.watch import Watch, features_in, rate_for, watched_strides
from osteon.learn.features import extract, one_core_each
from osteon.learn.guarding import Guarded, guard_from
from osteon.learn.maps import channels_of
from osteon.learn.nested import Layout
from osteon.learn.optimisers import AdamW
from osteon.learn.origin import Origin
from osteon.types import Progress, Recipe, silent


@dataclass(frozen=True)
class Plan:
    """How one detector is made.

    Attributes:
        options: of its head and its training.
        strides: of the cached maps.
        copies: of each image, moved (`osteon.learn.detector.views`), to learn from besides.
        seed: of the training.
    """

    options: DetectorOptions = field(default_factory=DetectorOptions)
    strides: tuple[int, ...] = STRIDES
    copies: int = 0
    seed: int = 0


PLANS: Mapping[str, Plan] = {
    "frozen": Plan(DetectorOptions(bf16=True)),
    "copies": Plan(DetectorOptions(epochs=(8, 16, 24), bf16=True), copies=4),
    "trained": Plan(
        DetectorOptions(middle=16, epochs=(5, 8, 11), stages=AdamW(learning_rate=2e-4, weight_decay=0.05), bf16=True),
        copies=4,
    ),
    "brief": Plan(DetectorOptions(width=16, epochs=(5, 20), batch=8, optimiser=AdamW(1e-2), average=Averaging(0.9))),
}
"""Name → plan: minutes on a frozen trunk; the same with moved copies; hours with half of the trunk trained along; and
a brief one for a few hundred images or a look at the path."""

DETECTORS: Mapping[str, tuple[str, ...]] = {**{name: (name,) for name in PLANS}, "both": ("copies", "trained")}
"""What may be asked for → the plans of the detectors whose mean it is."""


@dataclass(frozen=True, eq=False)
class Material:
    """n images of one size to learn from.

    Attributes:
        images: id → prepared PNG.
        boxes: (k, 4) of each, in its pixels; (0, 4) where none were drawn.
        layout: of the same images.
        size: (height, width) of each in pixels.
    """

    images: Mapping[str, Path]
    boxes: Sequence[Floats]
    layout: Layout
    size: tuple[int, int]


@dataclass(frozen=True)
class Folders:
    """Where the files of a work lie; works of one trunk and one size may share maps and copies."""

    maps: Path
    copies: Path
    runs: Path


@dataclass(frozen=True, eq=False)
class Work:
    """A detector to be trained."""

    plan: Plan
    material: Material
    folders: Folders

    def compute_maps(self, trunk: Trunk, *, threads: int = 0, progress: Progress = silent) -> None:
        """Make the copies and maps that are not there yet; arguments and errors as `extract` and `write_views`."""
        views = self._views()
        every = {**self.material.images, **(views.images if views else {})}
        how: dict[str, Any] = {"maps": True, "strides": self.plan.strides, "threads": threads, "progress": progress}
        extract(trunk, every, self.folders.maps, **how)

    @property
    def missing(self) -> list[int]:
        """Numbers in the layout of the detectors that are not trained yet."""
        left_out = self.material.layout.left_out
        return [model for model, out in enumerate(left_out) if not path_of(self.folders.runs, out).exists()]

    def train(self, model: int, progress: Progress = silent) -> None:
        """Train the detector of a number, on one core; errors as `osteon.learn.detector.runs.train_all`."""
        with one_core_each():
            train_all(**self.run, models=[model], progress=progress)

    def told(self, models: Sequence[int] | None = None) -> Told:
        """What the detectors say; arguments and errors as `osteon.learn.detector.runs.told`."""
        return told(**self.run, models=models)

    def network(self, said: Told, place: int) -> DetectorNetwork:
        """The network of the detector that learnt from all folds, after the epoch at a place."""
        return final_network(self._trunk, self.fresh, said, place)

    def looks(self, images: Sequence[str], strides: Sequence[int]) -> NDArray[np.float32]:
        """(n, flips, d) what the guard of a bundle looks at, from the cached maps of images at these strides."""
        return features_in(self._bank, images, channels_of(self._trunk, self._bank.strides), strides)

    def fresh(self) -> Detector:
        """What every training starts from."""
        return self.plan.options.detector(self._trunk, self._bank.strides, seed=self.plan.seed)

    @property
    def run(self) -> dict[str, Any]:
        """What `train_all` and `told` take."""
        return {
            "fresh": self.fresh,
            "examples": self.examples,
            "layout": self.material.layout,
            "options": self.plan.options,
            "folder": self.folders.runs,
            "seed": self.plan.seed,
        }

    @cached_property
    def examples(self) -> Examples:
        """The images, as their maps."""
        views, own = self._views(), self.material
        moved = views.moved if views else None
        return examples_of(self._bank, list(own.images), own.layout.target, own.boxes, own.size, moved)

    @cached_property
    def _bank(self) -> FeatureBank:
        return FeatureBank.open(self.folders.maps)

    @cached_property
    def _trunk(self) -> Trunk:
        return self._bank.open_trunk()

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes what it is, and not what it has opened.
        return (Work, (self.plan, self.material, self.folders))

    def _views(self) -> Views | None:
        if not self.plan.copies:
            return None
        return write_views(self.material.images, self.folders.copies, copies=self.plan.copies, seed=0)


def train_together(works: Sequence[Work], *, workers: int, until: float, progress: Progress = silent) -> int:
    """Train the detectors that are missing, several at a time; the files are the same however many there are.

    Args:
        works: whose maps are there.
        workers: processes, each of one core.
        until: in seconds of `time.time`, after which no detector is begun.
        progress: told of detectors done, and of all.

    Returns:
        How many are still missing.

    Raises:
        Mismatch, TooFewCases, Diverged, CannotWrite: as `train_all`; what was finished is kept.
    """
    total = sum(len(work.material.layout.left_out) for work in works)
    tasks = [(work, model) for work in works for model in work.missing]

    def report() -> None:
        progress(total - sum(len(work.missing) for work in works), total)

    report()
    if min(workers, len(tasks)) <= 1:
        _train_share(tasks, until, report)
    else:
        with ProcessPoolExecutor(min(workers, len(tasks)), multiprocessing.get_context("spawn")) as pool:
            running = {pool.submit(_train_share, tasks[number::workers], until) for number in range(workers)}
            while running:
                done, running = wait(running, timeout=1)
                report()
                for future in done:
                    future.result()
    return sum(len(work.missing) for work in works)


def packed(
    parts: Sequence[tuple[Work, Told, Recipe]],
    done: DetectorCrossValidation,
    origin: Origin,
    *,
    task: str = "fracture",
    named: Sequence[str] = (),
) -> DetectorBundle:
    """The bundle of the final model of a cross-validation, with a guard that knows the images it learnt from.

    Args:
        parts: of each detector of the candidate that all folds chose (`done.final.candidate`), in its order, with the
            recipe of its images.
        done: what the folds chose.
        origin: where it comes from.
        task: a name in `osteon.tasks.TASKS`.
        named: body parts that the files name (`osteon.learn.guarding.parts_named`); () if most name none.
    """
    watch, limits = _watch_over([work for work, _, _ in parts], done.predictions, named)
    how = "fitted on the scores of the folds' models, which stand for this one"
    note = "; ".join(filter(None, (done.calibration.note, how)))
    return DetectorBundle(
        members=tuple(
            Member(kept(work.network(said, done.final.place)), recipe, said.size) for work, said, recipe in parts
        ),
        task=task,
        calibration=replace(done.calibration, note=note),
        rule=done.rule,
        thresholds=done.thresholds,
        origin=replace(origin, limits=(*origin.limits, *limits)),
        watch=watch,
    )


def _watch_over(
    works: Sequence[Work], predictions: pd.DataFrame, named: Sequence[str]
) -> tuple[Watch | None, tuple[str, ...]]:
    """The guard over the first detector that has maps as they came, or what the card says if there is none."""
    strides = [watched_strides(work.plan.strides, work.plan.options.middle) for work in works]
    member = max(range(len(works)), key=lambda number: len(strides[number]))
    if not strides[member]:
        return None, Guarded(None, "all maps that its detectors read were trained along").limits
    work = works[member]
    names = np.array(list(work.material.images))[work.material.layout.training[-1]]  # the last learns from all folds
    group = predictions.drop_duplicates("image").set_index("image")["group"]
    found = guard_from(
        work.looks(names.tolist(), strides[member]),
        [work.material.images[name] for name in names.tolist()],
        group.loc[names].to_numpy(str),
        parts=named,
        false_alarm=rate_for(group.loc[names].nunique()),
    )
    return (Watch(found.guard, member, strides[member]) if found.guard else None), found.limits


def _train_share(
    tasks: Sequence[tuple[Work, int]], until: float, after_each: Callable[[], None] = lambda: None
) -> None:
    for work, model in tasks:
        if time.time() < until:
            work.train(model, _while_the_parent_lives)
            after_each()


def _while_the_parent_lives(done: int, total: int) -> None:
    """Ends a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)
