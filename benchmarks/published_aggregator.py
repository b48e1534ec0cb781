"""Why the aggregator of de Cid 2021 stayed at 50 %: one choice after the other, on studies whose truth is known.

    python benchmarks/published_aggregator.py [--studies 800] [--epochs 6] [--seeds 2] [--json FILE] [--figure FILE.svg]

The study (sections 5.3 and 6.2.4) leads every view through Model Rx, takes the maximum of the maps over the views, and
puts three new linear layers behind it; from nothing and from a trained trunk, training and validation accuracy stay at
50 %. What it does not state is tried both ways here: how many studies a step shows, and whether the trunk learns ("each
view is passed through the view model without doing the back-propagation step"). All else is the study's: Adam with a
learning rate of 1e-3, torch's initialisation, no normalisation, balanced classes.

The studies are of one to four pictures of a bar, whole or with a gap; it shows in all, half or a third of the views as
in the study's audit, and a tenth of the labels is wrong. They are easy on purpose, so that what fails does not fail
for want of images: `Model Rx` on single images, with labels inherited from the study, says what can be learnt.
Held-out studies are judged by the truth. `spread` is the standard deviation of the logits over them, `dead` the share
of units of the first new layer that are 0 for all of them, `gradient` the median length of the gradient over the first
hundred steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import write
from torch import nn
from torch.nn.functional import interpolate

from osteon.drawing import BLUE, GREEN, GREY_BLUE, ORANGE, QUIET, drawing
from osteon.evaluate.metrics import auroc
from osteon.evaluate.report import plain
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.optimisers import AdamW, Optimiser, TorchAdam
from osteon.learn.samplers import Balanced
from osteon.learn.studies.aggregator import Aggregator, aggregator, published
from osteon.learn.studies.bags import Bags
from osteon.learn.studies.training import StudyOptions, study_scores, train_aggregator
from osteon.learn.studies.views import Pictures
from osteon.phantom.plan import AS_READ

SIDE = 64
SHARES = (0.4, 0.4, 0.1, 0.1)
WRONG = 0.1


@dataclass(frozen=True, eq=False)
class Made:
    """Studies, their pictures, and what is true of them: (k,) broken or not."""

    bags: Bags
    pictures: Pictures
    truth: np.ndarray

    @property
    def singles(self) -> Bags:
        """Every picture as a study of its own, with the label of its study."""
        target = np.repeat(self.bags.table["target"].to_numpy(int), self.bags.sizes)
        return Bags(_table(target), tuple(rows[i : i + 1] for rows in self.bags.rows for i in range(len(rows))))


def bars(studies: int, gap: int, seed: int, *, wrong: float = WRONG) -> Made:
    """Studies of pictures (SIDE, SIDE) of a bar; half of the studies are broken."""
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.choice(len(SHARES), studies, p=SHARES)
    broken = np.arange(studies) % 2 == 1
    shows = np.concatenate([_shows(rng, int(n)) & b for n, b in zip(sizes, broken, strict=True)])
    noise = torch.from_numpy(rng.random((len(shows), 1, 8, 8), dtype=np.float32))
    images = (0.1 + 0.2 * interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False))[:, 0].numpy()
    for image, gapped in zip(images, shows, strict=True):
        width, light = int(rng.integers(10, 20)), float(rng.uniform(0.3, 0.5))
        left, top = int(rng.integers(3, SIDE - 3 - width)), int(rng.integers(10, SIDE - 10 - gap))
        image[:, left : left + width] += light
        if gapped:
            image[top : top + gap, left : left + width] -= light
    pixels = (images.clip(0, 1) * 255).round().astype(np.uint8)
    label = broken ^ (rng.permutation(studies) < round(wrong * studies))
    ends = np.cumsum(sizes)
    rows = tuple(np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True))
    return Made(Bags(_table(label.astype(int)), rows), Pictures(pixels), broken)


def _shows(rng: np.random.Generator, views: int) -> np.ndarray:
    """(views,) which views show the gap, as in `osteon.phantom.patient.views_showing`."""
    kind = int(rng.choice(3, p=AS_READ))
    return np.asarray(rng.permutation(views) < max(1, round(views / (1 + kind))))


def _table(target: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"target": pd.array(target, dtype="Int8")})


def rx(seed: int) -> Trunk:
    """Model Rx Lite as it begins."""
    return open_backbone("rx_lite", "random", seed=seed)


@dataclass(frozen=True)
class Arm:
    """One way to train: the aggregator for a trunk, whether that is a trained one, and studies per step."""

    name: str
    make: Callable[[Trunk, int], Aggregator]
    batch: int = 32
    transfer: bool = False
    singles: bool = False
    optimiser: Optimiser = TorchAdam(1e-3)  # noqa: RUF009  # frozen itself
    colour: str = QUIET
    dash: str = "-"


def _as_published(trunk: Trunk, seed: int) -> Aggregator:
    return published(trunk.spec.d, trunk=trunk, seed=seed)


def _without_gradient(trunk: Trunk, seed: int) -> Aggregator:
    return published(trunk.spec.d, trunk=trunk, frozen=True, seed=seed)


def _ours(trunk: Trunk, seed: int) -> Aggregator:
    return aggregator(2 * trunk.spec.d, "max", trunk=trunk, frozen=False, dropout=0.0, seed=seed)


SINGLE = Arm("Model Rx, single images", _as_published, singles=True, colour=QUIET, dash="--")
ARMS = (
    SINGLE,
    Arm("published, from nothing", _as_published, colour=ORANGE),
    Arm("… one study a step", _as_published, batch=1, colour=ORANGE, dash=":"),
    Arm("… trunk without gradient", _without_gradient, colour=ORANGE, dash="--"),
    Arm("… trunk without gradient, one study a step", _without_gradient, batch=1, colour=ORANGE, dash="-."),
    Arm("published, from a trained trunk", _as_published, transfer=True, colour=BLUE),
    Arm("… one study a step, transfer", _as_published, batch=1, transfer=True, colour=BLUE, dash=":"),
    Arm("… trunk without gradient, transfer", _without_gradient, transfer=True, colour=BLUE, dash="--"),
    Arm("pooled and standardised, from nothing", _ours, optimiser=AdamW(1e-3), colour=GREEN),
)


@dataclass(frozen=True, eq=False)
class Seen:
    """What came of an arm: after each epoch the loss, and accuracy and AUROC against the truth; and the rest."""

    losses: list[float]
    training: list[float]
    accuracy: list[float]
    area: list[float]
    spread: tuple[float, float]
    gradient: float
    dead: float
    trunk: dict[str, torch.Tensor]


def look_at(arm: Arm, learnt: Made, held_out: Made, epochs: int, seed: int, trained: dict[str, torch.Tensor]) -> Seen:
    """Train an arm and judge it after every epoch."""
    trunk = rx(seed)
    if arm.transfer:
        trunk.load_state_dict(trained)
    network = arm.make(trunk, seed)
    bags = learnt.singles if arm.singles else learnt.bags
    unseen, truth = (
        (held_out.singles, np.repeat(held_out.truth, held_out.bags.sizes))
        if arm.singles
        else (
            held_out.bags,
            held_out.truth,
        )
    )
    options = StudyOptions(
        tuple(range(1, epochs + 1)), arm.batch, arm.optimiser, sampler=Balanced(), averaging=Averaging(0.0)
    )
    begun = float(_scores(network, held_out.pictures, unseen).std())
    losses, training, accuracy, area, lengths = [], [], [], [], []
    for candidate in train_aggregator(network, learnt.pictures, bags, np.arange(len(bags)), options, seed=seed):
        score = _scores(candidate.aggregator, held_out.pictures, unseen)
        known = _scores(candidate.aggregator, learnt.pictures, bags)
        losses.append(float(np.mean([step.loss for step in candidate.steps])))
        training.append(float(((known > 0) == (bags.table["target"] == 1)).mean()))
        accuracy.append(float(((score > 0) == truth).mean()))
        area.append(auroc(score, truth))
        lengths += [step.gradient for step in candidate.steps]
    dead = _dead(network, held_out.pictures, unseen)
    spread = (begun, float(score.std()))
    return Seen(losses, training, accuracy, area, spread, float(np.median(lengths[:100])), dead, trunk.state_dict())


def _scores(network: Aggregator, pictures: Pictures, bags: Bags) -> np.ndarray:
    return study_scores(network, pictures, bags, np.arange(len(bags)), flips=(0,))


def _dead(network: Aggregator, pictures: Pictures, bags: Bags) -> float:
    """Share of the units of the first linear layer that no study moves; NaN where there is one layer alone."""
    largest: list[torch.Tensor] = []
    relu = next((layer for layer in network.whole.modules() if isinstance(layer, nn.ReLU)), None)
    if relu is None:
        return float("nan")
    handle = relu.register_forward_hook(lambda module, given, result: largest.append(result.amax(dim=0)))
    try:
        _scores(network, pictures, bags)
    finally:
        handle.remove()
    return float((torch.stack(largest).amax(dim=0) == 0).double().mean())


def line(name: str, seen: list[Seen]) -> str:
    """An arm for the table: means over seeds, and the least and largest AUROC."""
    mean = lambda of: float(np.mean([of(one) for one in seen]))  # noqa: E731
    areas = [one.area[-1] for one in seen]
    return (
        f"{name:<44}{mean(lambda s: s.losses[-1]):>7.3f}{mean(lambda s: s.training[-1]):>9.3f}"
        f"{mean(lambda s: s.accuracy[-1]):>9.3f}{np.mean(areas):>8.3f} ({min(areas):.3f} to {max(areas):.3f})"
        f"{mean(lambda s: s.spread[0]):>10.1e}{mean(lambda s: s.spread[1]):>10.1e}{mean(lambda s: s.dead):>7.2f}"
        f"{mean(lambda s: s.gradient):>10.1e}"
    )


def draw(found: dict[str, list[Seen]]) -> str:
    """Loss and AUROC over the epochs, of the first seed."""
    says = "Training loss and held-out AUROC of the published aggregator, one choice after the other"
    with drawing("published-aggregator", (9.0, 3.6), says) as (page, svg):
        course, areas = page.subplots(1, 2)
        for arm in ARMS:
            seen, style = found[arm.name][0], {"color": arm.colour, "linestyle": arm.dash}
            epochs = np.arange(1, len(seen.losses) + 1)
            course.plot(epochs, seen.losses, label=arm.name, **style)
            areas.plot(epochs, seen.area, **style)
        course.axhline(np.log(2), color=GREY_BLUE, linewidth=0.8)
        course.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy", ylim=(0, 1))
        areas.set(title="Held-out studies, against the truth", xlabel="epoch", ylabel="AUROC", ylim=(0.4, 1.02))
        page.legend(*course.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return svg.text


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=800)
    options.add_argument("--gap", type=int, default=4)
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--json", type=Path)
    options.add_argument("--figure", type=Path)
    given = options.parse_args()
    found: dict[str, list[Seen]] = {arm.name: [] for arm in ARMS}
    heading = f"{'':<44}{'loss':>7}{'trained':>9}{'held out':>9}{'AUROC':>8}{'':>17}{'spread 0':>10}{'spread':>10}"
    print(f"{heading}{'dead':>7}{'gradient':>10}", flush=True)
    for arm in ARMS:
        for seed in range(given.seeds):
            learnt, held_out = (
                bars(given.studies // k, given.gap, 2 * seed + k, wrong=w) for k, w in ((1, WRONG), (2, 0.0))
            )
            trained = found[SINGLE.name][seed].trunk if arm is not SINGLE else {}
            found[arm.name].append(look_at(arm, learnt, held_out, given.epochs, seed, trained))
        print(line(arm.name, found[arm.name]), flush=True)
    if given.figure:
        given.figure.write_text(draw(found) + "\n", encoding="utf-8")
    figures: dict[str, Any] = {name: [_plain(one) for one in seen] for name, seen in found.items()}
    about = {key: value for key, value in vars(given).items() if key not in ("json", "figure")}
    write(given.json, "published_aggregator", plain(about | {"arms": figures}))


def _plain(seen: Seen) -> dict[str, Any]:
    return {name: value for name, value in vars(seen).items() if name != "trunk"}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
