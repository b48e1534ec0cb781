"""The bundle of a detector: everything that turns a radiograph into a probability and boxes with scores.

A folder with the same files as every bundle (`osteon.learn.bundle`): `weights.safetensors` holds one detector or
several, whose mean answers, `bundle.json` the rest, `README.md` the same for people. Its head is named `lesions`, so
that no kind of bundle is taken for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon import files
from osteon.dataset import steps
from osteon.errors import Mismatch, UnreadableImage
from osteon.learn import answers, guarding, weights
from osteon.learn.backbones import Trunk, TrunkSpec, rebuild
from osteon.learn.batches import as_input
from osteon.learn.bundle import DESCRIPTION, FORMAT, REMEDY, WEIGHTS, described, unchanged, understood, write
from osteon.learn.detector.box_targets import Cells, Floats
from osteon.learn.detector.kept import restored, stored
from osteon.learn.detector.lesions import BoxRule, boxes_of, on_grid
from osteon.learn.detector.network import STRIDES, DetectorNetwork, LesionHead, Lesions, mean_of_flips
from osteon.learn.detector.watch import Watch, looks
from osteon.learn.guard import Guard
from osteon.learn.heads import mirrored
from osteon.learn.maps import channels_of, cut_behind, maps_of
from osteon.learn.origin import LIMITS, Origin
from osteon.tasks import TASKS
from osteon.types import Calibration, Header, Recipe

HEAD = "lesions"
"""What `bundle.json` calls this kind of head."""

_MOST_MEMBERS = 64  # more are a slip, or a damaged file


@dataclass(frozen=True, eq=False)
class Member:
    """One detector of a bundle.

    Attributes:
        network: as `osteon.learn.detector.kept.kept` gives it.
        recipe: how an image is prepared for it.
        size: (height, width) in pixels of the prepared images that it was trained on.
    """

    network: DetectorNetwork
    recipe: Recipe
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Sight:
    """What a detector bundle says of an image.

    Attributes:
        probability: calibrated.
        corners: (k, 4) boxes x, y, width, height in pixels of the first member's prepared image.
        scores: (k,) of each: the height of its cell times the probability. They order boxes, and are not calibrated.
        cells: (h, w) lesion map on the first member's grid, log odds.
        looks: (flips, d) what the guard looks at; None for a bundle without one.
    """

    probability: float
    corners: Floats
    scores: Floats
    cells: Cells
    looks: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class DetectorBundle:
    """Trained detectors with all that belongs to them.

    Attributes:
        members: whose mean answers: of their log odds, and of their maps, brought to the grid of the first.
        task: a name in `osteon.tasks.TASKS`.
        calibration: from mean log odds to probabilities.
        rule: which boxes are kept.
        thresholds: operating point → cut-off on the probability.
        origin: where it comes from.
        operating_point: the one of `thresholds` that a reading decides by.
        digest: SHA-256 of `bundle.json`, which holds that of the weights; "" before it is saved.
        watch: what refuses images unlike those of training; None if there is no guard.
    """

    members: tuple[Member, ...]
    task: str
    calibration: Calibration
    rule: BoxRule
    thresholds: Mapping[str, float]
    origin: Origin = field(default_factory=Origin)
    operating_point: str = "youden"
    digest: str = ""
    watch: Watch | None = None

    def __post_init__(self) -> None:
        answers.check(self.task, self.calibration, self.thresholds, self.operating_point)
        if not 1 <= len(self.members) <= _MOST_MEMBERS:
            raise ValueError(f"a bundle holds 1 to {_MOST_MEMBERS} detectors, not {len(self.members)}")
        if any(min(member.size) < 1 for member in self.members):
            raise ValueError("the size of a prepared image is positive")
        if self.watch:
            self._channels(self.watch)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Those of the members, each once."""
        found = list[Recipe]()
        for member in self.members:
            if member.recipe not in found:
                found.append(member.recipe)
        return tuple(found)

    @property
    def calibration_note(self) -> str:
        """How far a probability of this bundle may be trusted, for people."""
        return answers.calibration_note(self.task, self.calibration)

    def describe(self) -> str:
        """The bundle in one sentence."""
        figures = "; ".join(f"{f.name}: {f.model}, best floor {f.floor}" for f in self.origin.figures[:1])
        trunks = " and ".join(
            dict.fromkeys(f"{m.network.trunk.spec.name} on {m.size[1]} × {m.size[0]} px" for m in self.members)
        )
        many = f"the mean of {len(self.members)} detectors" if len(self.members) > 1 else "one detector"
        return f"Answers “{self.task}”, and where, with {many} ({trunks}); {figures or 'nothing measured yet'}."

    def see(self, pixels: Sequence[NDArray[np.uint8]]) -> Sight:
        """What the bundle says of one image.

        Members of one recipe and one trunk read the same maps, which are computed once.

        Args:
            pixels: the image (height, width) as each of `recipes` prepares it.

        Raises:
            Mismatch: for an image of another size than the members'.
        """
        seen: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        said = list[Lesions]()
        with torch.inference_mode():
            for member in self.members:
                way, trunk = self.recipes.index(member.recipe), member.network.trunk
                if pixels[way].shape != member.size:
                    raise Mismatch(
                        f"the image has {pixels[way].shape} pixels, the detector was trained on {member.size}",
                        remedy="prepare it with the bundle's recipes",
                    )
                if (id(trunk), way) not in seen:
                    seen[id(trunk), way] = _both_flips(trunk, pixels[way])
                said.append(mean_of_flips(*map(member.network.detector, seen[id(trunk), way])))
        grid = (said[0].maps.shape[2], said[0].maps.shape[3])
        maps = np.mean([on_grid(one.maps.numpy(), grid)[0] for one in said], axis=0)
        score = np.mean([one.image.double().numpy() for one in said], axis=0)
        probability = float(self.calibration(score)[0])
        corners, heights = boxes_of(maps, STRIDES[0], self.members[0].size, self.rule)
        looked = self._looked(self.watch, seen) if self.watch else None
        return Sight(probability, corners, heights * probability, np.asarray(maps[0], np.float32), looked)

    def why_not(self, pixels: Sequence[NDArray[np.uint8]], sight: Sight, header: Header) -> UnreadableImage | None:
        """Why an image should not be answered on, or None if nothing speaks against it, or there is no guard.

        Args:
            pixels: as `see` was given them.
            sight: as it gave it.
            header: of the file.
        """
        if self.watch is None or sight.looks is None:
            return None
        way = self.recipes.index(self.members[self.watch.member].recipe)
        return self.watch.guard.why_not(pixels[way], sight.looks, header)

    def _looked(self, watch: Watch, seen: Mapping[tuple[int, int], tuple[Tensor, Tensor]]) -> NDArray[np.float32]:
        member = self.members[watch.member]
        both = torch.cat(seen[id(member.network.trunk), self.recipes.index(member.recipe)])
        return np.asarray(looks(both, STRIDES, self._channels(watch), watch.strides).numpy(), np.float32)

    def _channels(self, watch: Watch) -> list[int]:
        """Channels at each of STRIDES of the maps that a guard looks at, if they are those that it knows."""
        if watch.member >= len(self.members):
            raise ValueError(f"the guard looks at detector {watch.member}, of {len(self.members)}")
        channels = channels_of(self.members[watch.member].network.trunk, STRIDES)
        there = sum(2 * each for each, stride in zip(channels, STRIDES, strict=True) if stride in watch.strides)
        if there != len(watch.guard.centre):
            raise ValueError(f"the guard knows {len(watch.guard.centre)} features, and the maps have {there}")
        return channels


def _both_flips(trunk: Trunk, image: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    grey = as_input(image[None])
    return maps_of(trunk, grey, STRIDES), maps_of(trunk, mirrored(grey), STRIDES)


def save(bundle: DetectorBundle, folder: Path) -> DetectorBundle:
    """Write the bundle, whole or not at all; the same bundle gives the same bytes.

    Returns:
        The bundle with its digest.

    Raises:
        Mismatch: if a network is not as `kept` gives it, or its trunk's weights are not those that its spec names.
        CannotWrite: if the folder cannot be written; an earlier bundle in it is then as it was.
    """
    for member in bundle.members:
        unchanged(member.network.trunk)
    digest = write(
        folder,
        stored([member.network for member in bundle.members]) | guarding.stored(_guard_of(bundle)),
        describe=lambda digest: _to_json(bundle, digest),
        card_of=lambda digest: card(replace(bundle, digest=digest)),
    )
    return replace(bundle, digest=digest)


def load(folder: Path, task: str | None = None) -> DetectorBundle:
    """The bundle in a folder, in evaluation mode, on the CPU; needs no network.

    Args:
        folder: that `save` wrote.
        task: the question that will be asked; None takes any.

    Raises:
        NotFound: if there is no bundle.
        Mismatch: if it is of another kind, task or format, or its weights are not those it names.
        BadTable: if `bundle.json` is damaged.
        UnknownName: if it names a step, task, pooling or architecture that is not installed.
    """
    content = described(folder, task, head=HEAD)
    with understood(folder):
        return _from_json(content, folder)


def _guard_of(bundle: DetectorBundle) -> Guard | None:
    return bundle.watch.guard if bundle.watch else None


def _to_json(bundle: DetectorBundle, digest: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "head": HEAD,
        "task": bundle.task,
        "members": [
            {
                "recipe": steps.to_json(member.recipe),
                "size": list(member.size),
                "trunk": asdict(member.network.trunk.spec),
                "pooling": member.network.detector.head.pooling,
            }
            for member in bundle.members
        ],
        "rule": asdict(bundle.rule),
        **answers.to_json(bundle.calibration, bundle.thresholds, bundle.operating_point),
        "weights_sha256": digest,
        "origin": bundle.origin.to_json(),
        # Left out where there is none, so that bundles from before there were guards stay what they were.
        **({guarding.GUARD: bundle.watch.to_json()} if bundle.watch else {}),
    }


def _from_json(content: Mapping[str, Any], folder: Path) -> DetectorBundle:
    calibration, thresholds, operating_point = answers.from_json(content)
    path = files.must_exist(folder / WEIGHTS, remedy=REMEDY)
    tensors = weights.read(path, digest=str(content["weights_sha256"]))
    trunks: dict[str, Trunk] = {}
    members = [_member(one, restored(tensors, k), trunks, path) for k, one in enumerate(content["members"])]
    rule, kept = content["rule"], content.get(guarding.GUARD)
    return DetectorBundle(
        members=tuple(members),
        task=str(content["task"]),
        calibration=calibration,
        rule=BoxRule(least=float(rule["least"]), overlap=float(rule["overlap"]), most=int(rule["most"])),
        thresholds=thresholds,
        origin=Origin.from_json(content["origin"]),
        operating_point=operating_point,
        digest=files.digest_of(folder / DESCRIPTION),
        watch=Watch.of(guarding.restored(tensors, kept), kept) if kept is not None else None,
    )


def _member(content: Mapping[str, Any], state: weights.State, trunks: dict[str, Trunk], path: Path) -> Member:
    """A detector from its state; of trunks with the same weights there is one."""
    height, width = map(int, content["size"])
    spec = TrunkSpec.from_json(content["trunk"])
    prefixes = ("trunk.net.", "detector.head.")
    of_trunk, of_head = (
        {name.removeprefix(p): tensor for name, tensor in state.items() if name.startswith(p)} for p in prefixes
    )
    if repr(spec) not in trunks:
        trunks[repr(spec)] = rebuild(spec, of_trunk, str(path), shorten=lambda trunk: cut_behind(trunk, STRIDES))
    trunk = trunks[repr(spec)]
    with torch.random.fork_rng(devices=[]):
        # The file, whose digest was right, says how wide the head is: it cannot claim more than it holds.
        head = LesionHead(
            *channels_of(trunk, STRIDES), width=len(of_head["cell.weight"][0]), pooling=content["pooling"]
        )
    weights.fill(head, of_head, classifier=(), where=f"the head in {path}")
    return Member(DetectorNetwork(trunk, head).eval(), steps.from_json(content["recipe"]), (height, width))


def card(bundle: DetectorBundle) -> str:
    """The bundle for people, as Markdown: what it answers, what was measured beside which floor, what it is not for."""
    task, origin = TASKS[bundle.task], bundle.origin
    limits = (
        *LIMITS,
        bundle.calibration_note,
        "A box says where the network looks; boxes are ordered by their scores, which are no probabilities.",
        *origin.limits,
    )
    inside = [
        f"- Detector {number}: {member.network.trunk.spec}, weights {member.network.trunk.spec.digest[:16]}…; "
        f"{steps.describe(member.recipe)} Prepared images had {member.size[1]} × {member.size[0]} px."
        for number, member in enumerate(bundle.members, start=1)
    ]
    inside += [
        f"- Boxes: at the tops of the lesion map of {bundle.rule.least:g} or more, at most {bundle.rule.most} an "
        f"image, none that overlaps a higher one by more than {bundle.rule.overlap:g}.",
        *([f"- Guard: {bundle.watch.guard.describe()}"] if bundle.watch else []),
        f"- Training: {origin.how or 'not stated.'}",
        f"- Data: {origin.data or 'not stated.'}",
        f"- Code: osteon, commit {origin.commit or 'not known'}.",
    ]
    sections = (
        f"# {task.positive.capitalize()} or {task.negative}, and where: an osteon bundle",
        bundle.describe(),
        "## Intended use",
        "Research use only: to study how such a detector behaves, and as a baseline to compare others with. "
        "Somebody who reads radiographs must look at the image itself.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## What was measured",
        origin.measured(),
        "## What is inside",
        "\n".join(inside),
        answers.cut_offs(bundle.thresholds, bundle.operating_point),
        f"Bundle {bundle.digest}",
    )
    return "\n\n".join(sections) + "\n"
