"""Explanations: time of a map by method and backbone beside captum, and which methods pass the checks on boxes.

    python benchmarks/explain.py [--json FILE]                                            time
    python benchmarks/explain.py --run FOLDER [--boxes CSV] [--minutes 30] [--json FILE]  and the checks
    python benchmarks/explain.py --figure docs/results/figures/explanations.png           the sheet of the page

`--run` is a folder in which `osteon ingest`, `prepare`, `split` and `features` left theirs, as it is made by
docs/results/fracatlas.sh. The network that is checked on the images of a fold has a head that was fitted on the other
folds, its penalty chosen inside them, so no image is explained by a network that has learnt from it. Rows are kept as
they are measured (`--rows`): a call that was cut off, or whose minutes are over, goes on when it is repeated. Methods
that run the network many times (COSTLY) are measured last, on the first images alone (`--costly`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from common import milliseconds, write
from numpy.typing import NDArray

from osteon.dataset import boxes as boxes_of
from osteon.dataset.frame import render
from osteon.dataset.steps import RECIPES, apply
from osteon.dicom.read import read
from osteon.evaluate.report import plain
from osteon.explain.checking import measured, rows_in
from osteon.explain.checks import Case, Row, summed_up
from osteon.explain.maps import EXPLAINERS, explain
from osteon.explain.pictures import explain_all, save_filters, save_sheet
from osteon.explain.pixels import AT_ONCE, COVERED, STEPS
from osteon.explain.verdict import passes, to_json
from osteon.learn.backbones import DEFAULT, open_backbone
from osteon.learn.bank import FeatureBank
from osteon.learn.features import features_of
from osteon.learn.heads import FLIPS, LINEAR, RX, Classifier
from osteon.learn.logistic import fit_path
from osteon.learn.nested import REGULARISATIONS, lay_out, linear_scores, nested
from osteon.phantom.cohort import Plan, even, make_cohort

BACKBONES = {
    DEFAULT: LINEAR,
    "resnet18": LINEAR,
    "inception_v3": LINEAR,
    "rx_lite": RX,
    "vit_small_patch16_224": LINEAR,
}
SIDE = 224

COSTLY = ("integrated-gradients", "occlusion")
CONSERVED = 20
"""Images on which relevance is added up."""

Image = NDArray[np.uint8]
Road = Callable[[Classifier, torch.Tensor], torch.Tensor]


def captum_grad_cam(network: Classifier, grey: torch.Tensor) -> torch.Tensor:
    return LayerGradCam(network, network.trunk).attribute(grey, relu_attributions=True)


def captum_integrated(network: Classifier, grey: torch.Tensor) -> torch.Tensor:
    return IntegratedGradients(network).attribute(grey, n_steps=STEPS, method="gausslegendre")


def captum_occlusion(network: Classifier, grey: torch.Tensor) -> torch.Tensor:
    side = -(-SIDE // COVERED)
    return Occlusion(network).attribute(
        grey,
        sliding_window_shapes=(1, side, side),
        strides=(1, side // 2, side // 2),
        baselines=float(grey.mean()),
        perturbations_per_eval=AT_ONCE // SIDE**2,
    )


def one_gradient(network: Classifier, grey: torch.Tensor) -> torch.Tensor:
    """Gradient × input by autograd: what a map costs at least that goes back to the pixels."""
    grey = grey.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(grey).sum(), grey)
    return gradient * grey


BESIDE: dict[str, tuple[str, Road]] = {
    "grad-cam": ("captum", captum_grad_cam),
    "integrated-gradients": ("captum", captum_integrated),
    "occlusion": ("captum", captum_occlusion),
    "lrp": ("one gradient", one_gradient),
}
"""Method → what it is timed beside. captum's LRP stops at timm's networks, so LRP stands beside one gradient."""


def times(rounds: int) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, object]]:
    """Backbone → method → median and largest processor time in ms of a map without mirror image, and the ratio; and
    backbone → how LRP adds up on the same images, which are noise."""
    images = [np.random.default_rng(i).integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for i in range(rounds)]
    found: dict[str, dict[str, dict[str, float]]] = {}
    told: dict[str, object] = {}
    for name, form in BACKBONES.items():
        torch.manual_seed(0)
        network = Classifier(open_backbone(name, None if name == DEFAULT else "random"), form=form).eval()
        for parameter in network.head.parameters():
            torch.nn.init.normal_(parameter)
        found[name] = {}
        told[name] = conserved([(network, image) for image in images])
        for method, explainer in EXPLAINERS.items():
            if explainer.missing(network):
                continue
            explain(network, images[0], method, flips=False)
            took = milliseconds(lambda image: explain(network, image, method, flips=False), images)  # noqa: B023
            line = f"{name:24s} {method:22s} {took['median']:9.1f} ms"
            if method in BESIDE:
                other, road = BESIDE[method]
                grey = [torch.from_numpy(image)[None, None].float() / 255 for image in images]
                theirs = milliseconds(lambda one: road(network, one), grey)  # noqa: B023
                took |= {"beside": theirs["median"], "ratio": round(theirs["median"] / max(took["median"], 0.01), 2)}
                line += f"   {other} {theirs['median']:9.1f} ms, {took['ratio']:.2f} times ours"
            found[name][method] = took
            print(line, flush=True)
    return found, told


def networks_of(run: Path, manifest: pd.DataFrame) -> dict[int, Classifier]:
    """Fold → the frozen trunk with a head fitted on the other folds."""
    bank = FeatureBank.open(run / "features")
    features = bank.array(manifest["image"].tolist())
    layout, strengths = lay_out(manifest), sorted(REGULARISATIONS)
    scores, weights, biases = linear_scores(features, layout, strengths)
    chosen = nested(layout, scores).chosen
    trunk = bank.open_trunk()
    left_out = {fold: layout.left_out.index((fold,)) for fold in layout.folds}
    found = {
        fold: Classifier.from_linear(trunk, weights[c, left_out[fold]], float(biases[c, left_out[fold]])).eval()
        for fold, c in zip(layout.folds, chosen, strict=True)
    }
    return {fold: network.to(memory_format=torch.channels_last) for fold, network in found.items()}


def drawn_on(run: Path, csv: Path | None) -> pd.DataFrame:
    """Boxes on the files of a run: from a table of people's, or from the truth of the phantoms that a demo reads."""
    ingested = pd.read_parquet(run / "ingest" / "manifest.parquet")
    if csv:
        return boxes_of.read(csv, ingested)
    truth = pd.read_parquet(run / "cohort" / "truth.parquet").merge(ingested[["path", "image", "rows", "columns"]])
    truth = truth[(truth["fractured"] == 1) & (truth["visible"] == 1)]
    low = truth[["box_x", "box_y"]].to_numpy(float) + 0.5  # there, pixel centres lie at whole numbers
    high = np.minimum(low + truth[["box_width", "box_height"]], truth[["columns", "rows"]].to_numpy())
    low = low.clip(0)
    sides = pd.DataFrame(np.hstack([low, high - low]), columns=list(boxes_of.SIDES)).assign(image=truth["image"].array)
    return sides[(sides[["width", "height"]] > 0).all(axis=1)]


def cases_of(run: Path, manifest: pd.DataFrame, boxes: pd.DataFrame, count: int) -> Iterator[tuple[int, Case]]:
    """Fold and case of images with boxes that are in a fold, in an order that does not depend on their names."""
    drawn = boxes_of.on_prepared(boxes, manifest)
    open_rows = manifest[(manifest["fold"] >= 0) & manifest["image"].isin(drawn["image"])]
    order = np.random.default_rng(0).permutation(len(open_rows))[:count]
    for row in open_rows.iloc[order].itertuples():
        image = cv2.imread(str(run / "prepared" / "images" / row.prepared), cv2.IMREAD_GRAYSCALE)
        (mine,) = boxes_of.by_image(drawn, [row.image])
        yield int(row.fold), Case(row.image, row.group, np.asarray(image, np.uint8), mine)


def checked(options: argparse.Namespace, kept: Path) -> tuple[list[Row], dict[str, object]]:
    """All rows that the file `kept` then holds, of this call and of earlier ones, and how LRP adds up."""
    manifest = pd.read_parquet(options.run / "split" / "manifest.parquet")
    networks, drawn = networks_of(options.run, manifest), drawn_on(options.run, options.boxes)
    cases = [(networks[fold], case) for fold, case in cases_of(options.run, manifest, drawn, options.images)]
    end = time.monotonic() + 60 * options.minutes

    def said(done: int, total: int) -> None:
        print(f"\r{done} of {total} images", end="", flush=True)

    for some, costly in ((cases, False), (cases[: options.costly], True)):
        methods = [method for method in options.methods if (method in COSTLY) == costly]
        done = measured(some, methods, kept, total=len(some), until=end, progress=said)
        if len(done) < len(some) * len(methods):
            print("\nthe time is over: call again to go on")
    return rows_in(kept), conserved([(network, case.image) for network, case in cases[:CONSERVED]])


def conserved(pairs: Sequence[tuple[Classifier, Image]]) -> dict[str, object]:
    """By which share of all relevance (sizes alone) what reached the pixels differs from the logit less its bias."""
    deviations, missing = [], []
    for network, image in pairs:
        found = explain(network, image, "lrp", flips=False)
        if found.missing:
            missing.append(found.missing)
            continue
        with torch.inference_mode():
            logit = float(network(torch.from_numpy(image)[None, None].float() / 255))
        last = [module for module in network.head.modules() if isinstance(module, torch.nn.Linear)][-1]
        wanted, arrived = logit - float(last.bias), found.evidence.astype(float)
        deviations.append(abs(arrived.sum() - wanted) / max(abs(wanted), np.abs(arrived).sum()))
    told = {"median": float(np.median(deviations)), "largest": max(deviations)} if deviations else {}
    return {"images": len(pairs), "without a map": len(missing), "why": missing[:1], **told}


def pointing_of_floors(rows: Sequence[Row]) -> dict[str, object]:
    """The pointing game of what knows nothing of the network: the centre of the image, and any place."""
    once = list({row.name: row for row in rows}.values())
    floors = [replace(row, method="the centre of the image", hit=row.centre) for row in once]
    floors += [replace(row, method="any place", hit=row.by_chance) for row in once]
    return {name: plain(check.pointing) for name, check in summed_up(floors).items()}


def phantoms(folder: Path, patients: int, seed: int) -> tuple[list[Image], pd.DataFrame]:
    """Prepared phantom wrists and their truth."""
    make_cohort(
        Plan(patients=patients, subtle=0.0, gap_mm=(2.0, 4.0), inverted=even(0), turned=even(0)), folder, seed=seed
    )
    truth = pd.read_parquet(folder / "truth.parquet")
    return [render(apply(RECIPES["ANY"], read(folder / path))[0]) for path in truth["path"]], truth


def draw(path: Path) -> None:
    """The sheet of one phantom wrist that the head has not seen, and the first filters beside it."""
    trunk = open_backbone()
    with tempfile.TemporaryDirectory() as scratch:
        images, truth = phantoms(Path(scratch) / "taught", 40, seed=1)
        shown, told = phantoms(Path(scratch) / "shown", 6, seed=2)
    features = np.concatenate([features_of(trunk, image[None])[0] for image in images])  # both flips are cases
    target = np.repeat(truth["fractured"].to_numpy(float), FLIPS)
    weights, biases = fit_path(features, target, np.ones((1, len(target))), [1e-3])
    network = Classifier.from_linear(trunk, weights[0, 0], float(biases[0, 0])).eval()
    with torch.inference_mode():
        grey = [torch.from_numpy(image)[None, None].float() / 255 for image in shown]
        scores = np.where(told["visible"] == 1, [float(network.score(each)) for each in grey], -np.inf)
    chosen = int(scores.argmax())
    save_sheet(path, shown[chosen], explain_all(network, shown[chosen]))
    save_filters(path.with_name(f"{path.stem}-filters.png"), network)
    print(told.iloc[chosen][["path", "view", "kind", "gap_mm", "box_centre_x", "box_centre_y"]].to_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="images per method and backbone")
    parser.add_argument("--run", type=Path, help="folder of a run, for the checks")
    parser.add_argument("--boxes", type=Path, help="boxes.csv of its images; without, phantoms' truth")
    parser.add_argument(
        "--rows", type=Path, help="JSON lines that keep what was measured; default: in the run's folder"
    )
    parser.add_argument("--images", type=int, default=150, help="cases of the checks")
    parser.add_argument("--costly", type=int, default=40, help="of these, cases of the costly methods")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the checks, in this call")
    parser.add_argument("--methods", nargs="+", default=[m for m in EXPLAINERS if not m.startswith("attention")])
    parser.add_argument("--figure", type=Path, help="draw the sheet of the page there, and nothing else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.figure:
        draw(options.figure)
        return
    figures: dict[str, object] = {}
    if options.run:
        kept = options.rows or options.run / "explanations.jsonl"
        rows, relevance = checked(options, kept)
        checks = summed_up(rows)
        for method, verdict in passes(checks).items():
            check = checks[method]
            print(f"{method:22s} {'shown' if verdict.shown else 'not shown'}  {check.images} images")
            print(f"    points {check.pointing}, gain {check.pointing_gain}; energy {check.energy_gain} over the area")
            print(f"    likeness {check.likeness}; deletion gain {check.deletion_gain}; {'; '.join(verdict.reasons)}")
        figures |= {"conservation": relevance, "floors": pointing_of_floors(rows)}
        print(f"LRP adds up: {relevance}\npointing of floors: {figures['floors']}")
        figures["checks"] = to_json(checks, "phantoms" if options.boxes is None else str(options.boxes.parent.name))
    if options.rounds:
        took, noise = times(options.rounds)
        figures |= {"side": SIDE, "rounds": options.rounds, "ms": took, "conservation on noise": noise}
    write(options.json, "explain", figures)


if __name__ == "__main__":
    main()
