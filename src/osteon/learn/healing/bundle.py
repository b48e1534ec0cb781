"""The bundle of a healing score: everything that turns the images of a visit into grades and a total with an interval.

A folder with the same files as every bundle (`osteon.learn.bundle`): `weights.safetensors` holds trunk and reader,
`bundle.json` the rest, `README.md` the same for people. Its head is named `cortices`, so that neither kind is taken for
the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from osteon import files
from osteon.dataset import steps
from osteon.errors import Mismatch, unknown_name
from osteon.learn import weights
from osteon.learn.backbones import TrunkSpec, rebuild
from osteon.learn.batches import as_input
from osteon.learn.bundle import DESCRIPTION, FORMAT, REMEDY, WEIGHTS, described, unchanged, understood, write
from osteon.learn.healing.cortex_reader import BATCH, CortexNetwork, CortexReader
from osteon.learn.multiview import COVERAGE, CortexScores, Fusion, Visits, visits_of
from osteon.learn.ordinal import CumulativeLink
from osteon.learn.origin import LIMITS, Origin
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, SCORES, Score
from osteon.types import Recipe

HEAD = "cortices"
"""What `bundle.json` calls this kind of head."""

_LINKS = ("alone", "together", "scoreable")


@dataclass(frozen=True, eq=False)
class HealingBundle:
    """A trained healing score with all that belongs to it.

    Attributes:
        network: trunk and reader.
        recipe: how an image is prepared for it.
        task: a name in `osteon.tasks.rust.SCORES`.
        fusion: from its scores to probabilities.
        level: nominal level of the intervals of totals.
        size: (height, width) in pixels of the prepared images that it was trained on.
        origin: where it comes from.
        digest: SHA-256 of `bundle.json`, which holds that of the weights; "" before it is saved.
    """

    network: CortexNetwork
    recipe: Recipe
    task: str
    fusion: Fusion
    level: float
    size: tuple[int, int]
    origin: Origin = field(default_factory=Origin)
    digest: str = ""

    def __post_init__(self) -> None:
        if self.task not in SCORES:
            raise unknown_name("healing score", self.task, SCORES)
        links = [link for name in _LINKS for link in getattr(self.fusion, name)]
        if len(links) != len(_LINKS) * len(CORTICES):
            raise ValueError(f"a fusion has {len(CORTICES)} links of each kind")
        grades = self.score.grades[-1]
        if {len(link.cuts) + 1 for link in links[: 2 * len(CORTICES)]} != {grades}:
            raise ValueError(f"the fusion is not one of the {grades} grades of {self.score.name}")
        if not (math.isfinite(self.level) and 0 <= self.level <= 1) or min(self.size) < 1:
            raise ValueError(f"a level lies in 0..1 and a size is positive, not {self.level} and {self.size}")

    @property
    def score(self) -> Score:
        """Which grades there are."""
        return SCORES[self.task]

    def describe(self) -> str:
        """The bundle in one sentence."""
        figure = next(iter(self.origin.figures), None)
        measured = f"{figure.name}: {figure.model}, best floor {figure.floor}" if figure else "nothing measured yet"
        size = f"{self.size[1]} × {self.size[0]} px"
        return f"Gives the {self.score.name} of a visit with {self.network.trunk.spec.name} on {size}; {measured}."

    def read(
        self,
        pixels: NDArray[np.uint8],
        views: Sequence[str],
        sides: Sequence[str],
        study: NDArray[np.intp],
    ) -> Visits:
        """Grades and totals of visits.

        Args:
            pixels: (n, height, width) prepared images.
            views: of each, as in `osteon.tasks.rust.SHOWN`; another shows no cortex.
            sides: of each, L or R; an image without a side is taken as left.
            study: (n,) 0-based number of each image's visit.

        Raises:
            Mismatch: for images of another size than the bundle's.
        """
        if pixels.shape[1:] != self.size:
            raise Mismatch(
                f"the images have {pixels.shape[1:]} pixels, the bundle was trained on {self.size}",
                remedy="prepare them with the bundle's recipe",
            )
        right = torch.from_numpy(np.array([side == "R" for side in sides], bool))[:, None, None, None]
        parts = [np.empty((0, len(CORTICES), 2))]
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH):
                grey = as_input(pixels[start : start + BATCH])
                left = torch.where(right[start : start + BATCH], grey.flip(-1), grey)
                parts.append(self.network(left).double().numpy())
        answers = np.concatenate(parts)
        scores = CortexScores(answers[..., 0], answers[..., 1])
        return visits_of(*self.fusion(scores, rust.shown(list(views)), study), study, self.score, level=self.level)


def save(bundle: HealingBundle, folder: Path) -> HealingBundle:
    """Write the bundle, whole or not at all; the same bundle gives the same bytes.

    Returns:
        The bundle with its digest.

    Raises:
        Mismatch: if the trunk's weights are not those that its spec names.
        CannotWrite: if the folder cannot be written; an earlier bundle in it is then as it was.
    """
    unchanged(bundle.network.trunk)
    digest = write(
        folder,
        bundle.network.state_dict(),
        describe=lambda digest: _to_json(bundle, digest),
        card_of=lambda digest: card(replace(bundle, digest=digest)),
    )
    return replace(bundle, digest=digest)


def load(folder: Path, task: str | None = None) -> HealingBundle:
    """The bundle in a folder, in evaluation mode, on the CPU; needs no network.

    Args:
        folder: that `save` wrote.
        task: the score that will be asked for; None takes any.

    Raises:
        NotFound: if there is no bundle.
        Mismatch: if it is of another kind, task or format, or its weights are not those it names.
        BadTable: if `bundle.json` is damaged.
        UnknownName: if it names a step, score or architecture that is not installed.
    """
    content = described(folder, task, head=HEAD)
    with understood(folder):
        return _from_json(content, folder)


def _to_json(bundle: HealingBundle, digest: str) -> dict[str, Any]:
    reader = bundle.network.reader
    return {
        "format": FORMAT,
        "head": HEAD,
        "task": bundle.task,
        "recipe": steps.to_json(bundle.recipe),
        "size": list(bundle.size),
        "trunk": asdict(bundle.network.trunk.spec),
        "reader": {"channels": reader.narrow.in_channels, "width": reader.narrow.out_channels},
        "fusion": {
            name: [
                {"weight": link.weight.tolist(), "cuts": link.cuts.tolist()} for link in getattr(bundle.fusion, name)
            ]
            for name in _LINKS
        },
        "level": bundle.level,
        "weights_sha256": digest,
        "origin": bundle.origin.to_json(),
    }


def _from_json(content: Mapping[str, Any], folder: Path) -> HealingBundle:
    height, width = map(int, content["size"])
    task = str(content["task"])
    if task not in SCORES:
        raise unknown_name("healing score", task, SCORES)
    return HealingBundle(
        network=_network(folder / WEIGHTS, content, SCORES[task]),
        recipe=steps.from_json(content["recipe"]),
        task=task,
        fusion=Fusion(*(tuple(map(_link, content["fusion"][name])) for name in _LINKS)),
        level=float(content["level"]),
        size=(height, width),
        origin=Origin.from_json(content["origin"]),
        digest=files.digest_of(folder / DESCRIPTION),
    )


def _link(content: Mapping[str, Any]) -> CumulativeLink:
    return CumulativeLink(np.array(content["weight"], float), np.array(content["cuts"], float))


def _network(path: Path, content: Mapping[str, Any], score: Score) -> CortexNetwork:
    tensors = weights.read(files.must_exist(path, remedy=REMEDY), digest=str(content["weights_sha256"]))
    parts: dict[str, weights.State] = {"trunk.net.": {}, "reader.": {}}
    for prefix, state in parts.items():
        state.update({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    shape = content["reader"]
    with torch.random.fork_rng(devices=[]):
        reader = CortexReader(int(shape["channels"]), width=int(shape["width"]), grades=score.grades[-1])
    weights.fill(reader, parts["reader."], classifier=(), where=f"the reader in {path}")
    trunk = rebuild(TrunkSpec.from_json(content["trunk"]), parts["trunk.net."], str(path))
    return CortexNetwork(trunk, reader).eval()


def card(bundle: HealingBundle) -> str:
    """The bundle for people, as Markdown."""
    trunk, origin, score = bundle.network.trunk.spec, bundle.origin, bundle.score
    width = bundle.network.reader.narrow.out_channels
    limits = (
        *LIMITS,
        "It learnt from raters, and its probabilities are those of what a rater would say.",
        f"Its intervals are to hold {COVERAGE:.0%} of a rater's totals of visits like those it was trained on.",
        *origin.limits,
    )
    sections = (
        f"# {score.name}: an osteon bundle",
        bundle.describe(),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## What was measured",
        origin.measured(),
        "## What is inside",
        "\n".join(
            (
                f"- Input: {steps.describe(bundle.recipe)} Prepared images had {bundle.size[1]} × {bundle.size[0]} px.",
                f"- Trunk: {trunk}, weights {trunk.digest[:16]}…",
                f"- Head: a reader of cortices, {width} channels wide. {origin.how}".rstrip(),
                f"- Intervals of totals: central ones of nominal level {bundle.level:.4f}.",
                f"- Data: {origin.data or 'not stated.'}",
                f"- Code: osteon, commit {origin.commit or 'not known'}.",
            )
        ),
        f"Bundle {bundle.digest}",
    )
    return "\n\n".join(sections) + "\n"
