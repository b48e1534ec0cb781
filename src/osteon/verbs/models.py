"""From folds to a model: the verbs `features` and `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import runs, tables
from osteon.errors import BadTable
from osteon.settings import Settings
from osteon.tasks import TASKS
from osteon.types import Calibration, Estimate, Progress, silent
from osteon.verbs.detecting import Detecting, train_detector
from osteon.verbs.doubting import THREE_ANSWERS, three_answers
from osteon.verbs.folders import BUNDLE, PREDICTIONS, Done, argument, estimate_of, manifest_of, pictures
from osteon.verbs.grading import train_healing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from osteon.learn.backbones import Trunk
    from osteon.learn.guarding import Guarded
    from osteon.learn.heads import Classifier
    from osteon.learn.origin import Origin


@dataclass(frozen=True)
class Tuning:
    """How `train` fine-tunes a whole network."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "default"
    epochs: int = 10
    batch: int = 16
    learning_rate: float = 3e-4


@dataclass(frozen=True, eq=False)
class Trained:
    """What either way of training gives."""

    predictions: pd.DataFrame
    classifier: Classifier
    calibration: Calibration
    thresholds: Mapping[str, float]
    notes: Mapping[str, str]
    how: str
    guarded: Guarded
    third: pd.DataFrame | None  # columns as `tables.THREE_ANSWERS`
    third_reason: str  # why there is none, "" if nobody called an image inconclusive


def features(
    prepared: Path,
    out: Path,
    *,
    backbone: str = "tf_efficientnet_lite0",
    weights: str = "default",
    digest: str = "",
    batch: int = 1,
    maps: bool = False,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Compute the features of a frozen backbone for every prepared image and its mirror image: a feature bank.

    With `maps` they are kept where they are, for what needs to know the place (`osteon.learn.maps`), not pooled.
    """
    from osteon.learn.features import extract

    settings = settings or Settings()
    manifest = manifest_of(prepared, "prepare", needs=["prepared"])
    arguments = {"prepared": prepared.resolve(), "backbone": backbone, "weights": weights, "digest": digest}
    arguments["maps"] = maps
    with runs.recording("features", out, arguments, inputs=[prepared]) as result:
        trunk = _trunk(backbone, weights, digest, settings)
        images = pictures(prepared, manifest)
        bank = extract(trunk, images, out, maps=maps, batch=batch, threads=settings.threads, progress=progress)
        result |= {"backbone": str(bank.trunk), "images": len(images), "computed": bank.computed, "reused": bank.reused}
    kept = f", {bank.reused} were there already" if bank.reused else ""
    return Done(f"{bank.computed} images through {bank.trunk}{kept}", result)


def train(
    split: Path,
    out: Path,
    *,
    bank: Path | None = None,
    images: Path | None = None,
    tuning: Tuning | None = None,
    boxes: Path | None = None,
    detecting: Detecting | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Cross-validate by patient beside the floors, and make the bundle: `predictions.parquet`, `bundle/`.

    Args:
        split: what `split` wrote.
        out: folder for the results.
        bank: what `features` wrote, to train a head on a frozen backbone, or a healing score if it holds maps; or
        images: what `prepare` wrote, to fine-tune the whole network as `tuning` says.
        tuning: how to fine-tune; of a detector, its backbone and weights.
        boxes: table of boxes, to train a detector (`train_detector`) on the images that were split.
        detecting: how to.
        seed: of fine-tuning, and of the bootstrap behind the bundle's figures.
        settings: of this machine.
        progress: told of steps done.

    Raises:
        BadTable: unless exactly one of `bank` and `images` is given, or boxes without a bank; if a detector is asked
            for without boxes; or if `tuning` says what nothing is tuned by.
    """
    from osteon.dataset import journal, steps
    from osteon.evaluate.report import evaluate
    from osteon.learn.bank import FeatureBank
    from osteon.learn.bundle import Bundle, save

    _unless_fine_tuned(tuning or Tuning(), bank=bank, boxes=boxes)
    if boxes is not None:
        if bank is not None:
            raise BadTable("a detector makes its own maps", remedy="leave --features out")
        chosen = tuning or Tuning()
        trunk = _trunk(chosen.backbone, chosen.weights, "", settings or Settings())
        how: dict[str, Any] = {"boxes": boxes, "trunk": trunk, "how": detecting, "images": images, "seed": seed}
        return train_detector(split, out, **how, settings=settings, progress=progress)
    if detecting is not None:
        raise BadTable(
            "a detector needs boxes", remedy="pass --boxes, or leave out --detector, --source, --limit and --minutes"
        )
    if (bank is None) == (images is None):
        raise BadTable("train needs a feature bank or prepared images", remedy="pass either --features or --images")
    if bank is not None and FeatureBank.open(bank).maps:
        return train_healing(split, out, bank=bank, seed=seed, progress=progress)
    settings = settings or Settings()
    manifest = manifest_of(split, "split", needs=["prepared", "group", "fold"])
    prepared = images or Path(argument(bank or out, "prepared", "features"))
    arguments = {"split": split, "features": bank, "images": images, "tuning": asdict(tuning) if tuning else None}
    inputs = [path for path in (split, bank, images) if path]
    with runs.recording("train", out, arguments, inputs=inputs, seeds={"seed": seed}) as result:
        # A bank may have been filled from several folders; its record names the last.
        shown = pictures(prepared, manifest, remedy="run `osteon prepare`, and `osteon features` on what was split")
        if bank is not None:
            trained = _head_on(bank, manifest, shown, progress)
        else:
            trained = _tuned(tuning or Tuning(), manifest, shown, out, seed, settings, progress)
        report = evaluate(trained.predictions, manifest, seed=seed)
        bundle = Bundle(
            classifier=trained.classifier,
            recipe=steps.from_json(journal.read(prepared).recipe),
            task="fracture",
            calibration=trained.calibration,
            thresholds=trained.thresholds,
            size=_size_of(next(iter(shown.values()))),
            origin=_origin(report, trained.how, trained.guarded.limits),
            guard=trained.guarded.guard,
        )
        saved = save(bundle, out / BUNDLE)
        tables.write(out / PREDICTIONS, trained.predictions, tables.PREDICTIONS)
        result |= _written(trained, out / THREE_ANSWERS)
        result |= {"model": report["model"], "auroc": report["validation"]["discrimination"]["auroc"]}
        result |= {"bundle": saved.digest, "notes": dict(trained.notes), "phantom": report["phantom"]}
    return Done(f"{report['sentence']} Bundle: {out / BUNDLE}", result)


def _written(trained: Trained, path: Path) -> dict[str, str]:
    """The third answer, written if there is one; and for the run record why not, if images are called inconclusive."""
    path.unlink(missing_ok=True)  # of an earlier run, whose labels were others
    if trained.third is not None:
        tables.write(path, trained.third, tables.THREE_ANSWERS)
    return {"three_answers": trained.third_reason} if trained.third is not None or trained.third_reason else {}


def _unless_fine_tuned(tuning: Tuning, *, bank: Path | None, boxes: Path | None) -> None:
    """Refuse options of fine-tuning that would be left unheard."""
    plain = Tuning() if bank is not None else Tuning(backbone=tuning.backbone, weights=tuning.weights)
    if (bank is not None or boxes is not None) and tuning != plain:
        names = [
            f"--{name.replace('_', '-')}" for name, value in asdict(plain).items() if asdict(tuning)[name] != value
        ]
        raise BadTable(
            f"{' and '.join(names)} would have no effect: nothing is fine-tuned that takes it",
            remedy="leave it out, or fine-tune a whole network with --images",
        )


def _head_on(bank: Path, manifest: pd.DataFrame, images: Mapping[str, Path], progress: Progress) -> Trained:
    from osteon.learn.crossval import cross_validate
    from osteon.learn.features import FeatureBank
    from osteon.learn.heads import Classifier

    features = FeatureBank.open(bank)
    trunk = features.open_trunk()
    rows = features.array(list(manifest["image"]))
    features.check_fresh(images)  # the bundle takes its recipe from the prepared images: the features must be theirs
    model = f"{trunk.spec.name}, frozen, + logistic regression"
    found = cross_validate(rows, manifest, model=model, images=images, progress=progress)
    known = _learnt_from(manifest)
    third, why_not = three_answers(rows, manifest, found, model)
    return Trained(
        predictions=found.predictions,
        classifier=Classifier.from_linear(trunk, found.head.weight, found.head.bias),
        calibration=_noted(found.calibration, "fitted on the scores of the folds' models, which stand for this one"),
        thresholds=found.thresholds,
        notes=found.notes,
        how=f"Logistic regression on frozen features, C = {found.regularisation:g}, chosen by inner folds.",
        guarded=_guard_over(features.array(list(known["image"])), known, images),
        third=third,
        third_reason=why_not,
    )


def _tuned(
    tuning: Tuning,
    manifest: pd.DataFrame,
    images: Mapping[str, Path],
    out: Path,
    seed: int,
    settings: Settings,
    progress: Progress,
) -> Trained:
    from osteon.learn.finetune import fine_tune
    from osteon.learn.guarding import features_by
    from osteon.learn.heads import Classifier
    from osteon.learn.optimisers import AdamW
    from osteon.learn.three_way import says_any
    from osteon.learn.train import TrainOptions

    def fresh() -> Classifier:
        return Classifier(_trunk(tuning.backbone, tuning.weights, "", settings))

    options = TrainOptions(epochs=tuning.epochs, batch=tuning.batch, optimiser=AdamW(tuning.learning_rate))
    model = f"{tuning.backbone}, fine-tuned"
    found = fine_tune(manifest, images, fresh, options, out / "checkpoints", seed=seed, model=model, progress=progress)
    known = _learnt_from(manifest)
    shown = [images[image] for image in known["image"]]
    return Trained(
        predictions=found.predictions,
        classifier=found.classifier,
        calibration=_noted(found.calibration, "the same images chose the epoch, so it may be too sure of itself"),
        thresholds=found.thresholds,
        notes=found.notes,
        how=f"Fine-tuned for at most {tuning.epochs} epochs; patients held out of training chose the epoch.",
        guarded=_guard_over(features_by(found.classifier, shown), known, images, taught=True),
        third=None,
        third_reason="three answers are learnt on frozen features alone: --features" if says_any(manifest) else "",
    )


def _guard_over(
    features: NDArray[np.floating], known: pd.DataFrame, images: Mapping[str, Path], *, taught: bool = False
) -> Guarded:
    """The guard that knows these images, by their features."""
    from osteon.learn.guarding import guard_from, parts_named

    paths, group = [images[image] for image in known["image"]], known["group"].to_numpy(str)
    return guard_from(features, paths, group, parts=parts_named(known), taught=taught)


def _learnt_from(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows that the final model learns from: those of the sealed part stay unknown to its guard, too."""
    from osteon.learn.nested import lay_out

    return manifest[lay_out(manifest).labelled]


def _noted(calibration: Calibration, how: str) -> Calibration:
    """The calibration with one more remark on what it was fitted on."""
    return replace(calibration, note="; ".join(filter(None, (calibration.note, how))))


def _trunk(name: str, weights: str, digest: str, settings: Settings) -> Trunk:
    from osteon.learn.backbones import open_backbone

    cache = Path(settings.weights) if settings.weights else None
    return open_backbone(name, weights, digest=digest, cache=cache)


def _size_of(path: Path) -> tuple[int, int]:
    from osteon.dataset.prepared import pixels_of

    height, width = pixels_of(path).shape
    return height, width


def _origin(report: Mapping[str, Any], how: str, limits: Sequence[str]) -> Origin:
    from osteon.learn.origin import Figure, Origin

    found = report["validation"]["discrimination"]
    cases = report["validation"]["cases"]
    best = found["best_floor"]
    floor = estimate_of(best["auroc"]) if best else Estimate(float("nan"), note="floor not available")
    label = f" ({report['label']})" if report["label"] else ""
    figure = Figure(
        name=f"AUROC, mean of {found['folds_counted']} folds by patient{label}",
        model=estimate_of(found["auroc"]),
        floor=floor,
        floor_name=best["title"] if best else "",
    )
    kind = "phantom radiographs, simulated" if report["phantom"] else "radiographs"
    positive = TASKS[report["task"]["name"]].positive
    data = (
        f"{cases['images']} {kind}, of {cases['groups']} patients or groups; "
        f"{cases['prevalence']:.0%} of the images with the finding “{positive}”."
    )
    known = (*(caution["text"] for caution in report["cautions"]), *limits)
    commit, changed = runs.git_state()
    code = f"{commit}, with changes that were not committed" if changed else commit
    return Origin(data=data, commit=code, how=how, figures=(figure,), limits=known)
