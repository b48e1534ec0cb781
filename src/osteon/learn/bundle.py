"""The bundle: everything that turns a radiograph into a probability, in one folder, as safetensors and JSON.

`weights.safetensors` holds trunk and head, `bundle.json` the rest (task, recipe, trunk, calibration, thresholds,
origin), `README.md` the same for people. Nothing in it is code: a bundle from a stranger can be wrong, not harmful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from osteon import files
from osteon.dataset import steps
from osteon.errors import BadTable, Mismatch
from osteon.learn import answers, guarding, weights
from osteon.learn.backbones import Trunk, TrunkSpec, rebuild
from osteon.learn.guard import Guard
from osteon.learn.heads import Classifier, HeadForm
from osteon.learn.origin import LIMITS, Figure, Origin
from osteon.tasks import TASKS
from osteon.types import Calibration, Recipe

__all__ = ["Bundle", "Figure", "Origin", "card", "load", "save"]

FORMAT = 1
LINEAR = "linear"
"""The kind of head that a `bundle.json` has if it names none."""

FORM = "head_form"
"""Where `bundle.json` keeps the form of the head, if it is not osteon's own."""

EXPLANATIONS = "explanations"
"""Where it keeps the record of checked explanations, if there is one."""

DESCRIPTION, WEIGHTS, CARD = "bundle.json", "weights.safetensors", "README.md"

REMEDY = "train it again, or copy the bundle again from where it came from"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model with all that belongs to it.

    Attributes:
        classifier: the network.
        recipe: how an image is prepared for it.
        task: a name in `osteon.tasks.TASKS`.
        calibration: from its scores to probabilities.
        thresholds: operating point → cut-off on the probability.
        size: (height, width) in pixels of the prepared images that it was trained on.
        origin: where it comes from.
        operating_point: the one of `thresholds` that a reading decides by.
        digest: SHA-256 of `bundle.json`, which holds that of the weights; "" before it is saved.
        explanations: which methods of explanation may be shown to readers, and on what figures, as
            `osteon.explain.verdict.to_json` has it; None if nobody has checked.
        guard: what refuses images unlike those of training; None if there is none.
    """

    classifier: Classifier
    recipe: Recipe
    task: str
    calibration: Calibration
    thresholds: Mapping[str, float]
    size: tuple[int, int]
    origin: Origin = field(default_factory=Origin)
    operating_point: str = "youden"
    digest: str = ""
    explanations: Mapping[str, Any] | None = None
    guard: Guard | None = None

    def __post_init__(self) -> None:
        answers.check(self.task, self.calibration, self.thresholds, self.operating_point)
        if min(self.size) < 1:
            raise ValueError(f"a size is positive, not {self.size}")
        inputs = self.classifier.form.inputs(self.classifier.trunk.spec.d)
        if self.guard and len(self.guard.centre) != inputs:
            raise ValueError(f"the guard knows {len(self.guard.centre)} features, and the trunk has {inputs}")

    @property
    def calibration_note(self) -> str:
        """How far a probability of this bundle may be trusted, for people."""
        return answers.calibration_note(self.task, self.calibration)

    def describe(self) -> str:
        """The bundle in one sentence."""
        trunk = self.classifier.trunk.spec
        figure = next(iter(self.origin.figures), None)
        measured = f"{figure.name}: {figure.model}, best floor {figure.floor}" if figure else "nothing measured yet"
        size = f"{self.size[1]} × {self.size[0]} px"
        hidden = self.classifier.form.hidden
        head = f"a head with {len(hidden)} hidden layer{'s' * (len(hidden) > 1)}" if hidden else "a linear head"
        return f"Answers “{self.task}” with {trunk.name} and {head} on {size}; {measured}."


def save(bundle: Bundle, folder: Path) -> Bundle:
    """Write the bundle, whole or not at all; the same bundle gives the same bytes.

    Returns:
        The bundle with its digest.

    Raises:
        Mismatch: if the trunk's weights are not those that its spec names.
        CannotWrite: if the folder cannot be written; an earlier bundle in it is then as it was.
    """
    unchanged(bundle.classifier.trunk)
    digest = write(
        folder,
        bundle.classifier.state_dict() | guarding.stored(bundle.guard),
        describe=lambda digest: _to_json(bundle, digest),
        card_of=lambda digest: card(replace(bundle, digest=digest)),
    )
    return replace(bundle, digest=digest)


def unchanged(trunk: Trunk) -> None:
    """Nothing, if the weights of a trunk are those that its spec names.

    Raises:
        Mismatch: if they are not.
    """
    if weights.digest_of(trunk.net.state_dict()) != trunk.spec.digest:
        raise Mismatch(f"the weights of {trunk.spec} were changed", remedy="call trunk.mark_trained before saving")


def write(
    folder: Path,
    tensors: weights.State,
    *,
    describe: Callable[[str], dict[str, Any]],
    card_of: Callable[[str], str],
) -> str:
    """Write the files of a bundle of any kind, whole or not at all.

    Args:
        folder: of the bundle; an earlier one in it is replaced.
        tensors: its weights.
        describe: takes the digest of the weights to what `bundle.json` holds.
        card_of: takes the digest of `bundle.json`, which is the bundle's, to the card.

    Returns:
        The digest of the bundle.

    Raises:
        CannotWrite: as `save`.
    """
    with files.replacing_folder(folder) as temporary:
        weights.write(temporary / WEIGHTS, tensors)
        files.write_json(temporary / DESCRIPTION, describe(files.digest_of(temporary / WEIGHTS)))
        digest = files.digest_of(temporary / DESCRIPTION)
        (temporary / CARD).write_text(card_of(digest), encoding="utf-8")
    return digest


def load(folder: Path, task: str | None = None) -> Bundle:
    """The bundle in a folder, in evaluation mode, on the CPU; needs no network.

    Args:
        folder: that `save` wrote.
        task: the question that will be asked; None takes any.

    Raises:
        NotFound: if there is no bundle.
        Mismatch: if it answers another question, is of another format, or its weights are not those it names.
        BadTable: if `bundle.json` is damaged.
        UnknownName: if it names a step, task or architecture that is not installed.
    """
    content = described(folder, task)
    with understood(folder):
        return _from_json(content, folder, digest=files.digest_of(folder / DESCRIPTION))


def described(folder: Path, task: str | None = None, *, head: str = LINEAR) -> dict[str, Any]:
    """What the `bundle.json` of a folder says, if it is of this format, kind of head and task (None: any).

    Raises:
        NotFound, Mismatch, BadTable: as `load`.
    """
    path = files.must_exist(folder / DESCRIPTION, remedy="pass the folder that `osteon train` wrote")
    content = files.read_json(path)
    if not isinstance(content, dict) or "format" not in content:
        raise BadTable(f"{path} describes no bundle", remedy=REMEDY)
    if content["format"] != FORMAT:
        raise Mismatch(
            f"{folder} is a bundle of format {content['format']}, this osteon reads format {FORMAT}",
            remedy="read it with the version of osteon that wrote it, or train it again",
        )
    if task is not None and content.get("task") != task:
        raise Mismatch(
            f"the bundle {folder} answers “{content.get('task')}”, not “{task}”", remedy=f"pass a bundle for {task}"
        )
    if content.get("head", LINEAR) != head:
        raise Mismatch(
            f"the bundle {folder} has a head of the kind {content.get('head', LINEAR)!r}, not {head!r}",
            remedy="classifier, detector and healing score are three kinds of bundle: pass one of the kind asked for",
        )
    return content


def head_of(folder: Path) -> str:
    """The kind of head of the bundle in a folder: LINEAR, or that of another kind of bundle.

    Raises:
        NotFound: if there is no bundle.
    """
    content = files.read_json(
        files.must_exist(folder / DESCRIPTION, remedy="pass the folder that `osteon train` wrote")
    )
    return str(content.get("head", LINEAR)) if isinstance(content, dict) else LINEAR


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Inside, what cannot be understood of a `bundle.json` is an error that says so."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadTable(f"{folder / DESCRIPTION} is damaged ({type(error).__name__}: {error})", remedy=REMEDY) from error


def _to_json(bundle: Bundle, digest: str) -> dict[str, Any]:
    form = bundle.classifier.form
    return {
        "format": FORMAT,
        "task": bundle.task,
        "recipe": steps.to_json(bundle.recipe),
        "size": list(bundle.size),
        "trunk": asdict(bundle.classifier.trunk.spec),
        # Left out where it is the usual one, so that bundles from before there were others stay what they were.
        **({} if form == HeadForm() else {FORM: form.to_json()}),
        **answers.to_json(bundle.calibration, bundle.thresholds, bundle.operating_point),
        "weights_sha256": digest,
        "origin": bundle.origin.to_json(),
        **({} if bundle.explanations is None else {EXPLANATIONS: dict(bundle.explanations)}),
        **({} if bundle.guard is None else {guarding.GUARD: bundle.guard.to_json()}),
    }


def _from_json(content: Mapping[str, Any], folder: Path, *, digest: str) -> Bundle:
    height, width = map(int, content["size"])
    form = HeadForm.from_json(content[FORM]) if FORM in content else HeadForm()
    spec = TrunkSpec.from_json(content["trunk"])
    path = files.must_exist(folder / WEIGHTS, remedy=REMEDY)
    tensors = weights.read(path, digest=str(content["weights_sha256"]))
    calibration, thresholds, operating_point = answers.from_json(content)
    return Bundle(
        classifier=_classifier(path, tensors, spec, form),
        recipe=steps.from_json(content["recipe"]),
        task=str(content["task"]),
        calibration=calibration,
        thresholds=thresholds,
        size=(height, width),
        origin=Origin.from_json(content["origin"]),
        operating_point=operating_point,
        digest=digest,
        explanations=_record(content),
        guard=guarding.restored(tensors, content[guarding.GUARD]) if guarding.GUARD in content else None,
    )


def _record(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    record = content.get(EXPLANATIONS)
    if record is not None and not isinstance(record, dict):
        raise TypeError(f"the record of checked explanations is a table, not {record!r}")
    return record


def _classifier(path: Path, tensors: weights.State, spec: TrunkSpec, form: HeadForm) -> Classifier:
    prefix = "trunk.net."
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    head = {name.removeprefix("head."): tensor for name, tensor in tensors.items() if name.startswith("head.")}
    trunk, where = rebuild(spec, state, str(path)), f"the head in {path}"
    with torch.device("meta"):  # takes no memory, whatever size a wrong form claims
        weights.fitting(form.layers(spec.d), head, classifier=(), where=where)
    classifier = Classifier(trunk, form=form)
    weights.fill(classifier.head, head, classifier=(), where=where)
    return classifier.eval()


def card(bundle: Bundle) -> str:
    """The bundle for people, as Markdown: what it answers, what was measured beside which floor, what it is not for."""
    task, trunk, origin = TASKS[bundle.task], bundle.classifier.trunk.spec, bundle.origin
    limits = (*LIMITS, bundle.calibration_note, *origin.limits)
    sections = (
        f"# {task.positive.capitalize()} or {task.negative}: an osteon bundle",
        bundle.describe(),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## What was measured",
        origin.measured(),
        "## What is inside",
        "\n".join(
            (
                f"- Input: {steps.describe(bundle.recipe)} Prepared images had {bundle.size[1]} × {bundle.size[0]} px.",
                f"- Trunk: {trunk}, {trunk.d} channels, weights {trunk.digest[:16]}…",
                f"- Head: {bundle.classifier.form}. {origin.how}".rstrip(),
                *([f"- Guard: {bundle.guard.describe()}"] if bundle.guard else []),
                f"- Data: {origin.data or 'not stated.'}",
                f"- Code: osteon, commit {origin.commit or 'not known'}.",
            )
        ),
        answers.cut_offs(bundle.thresholds, bundle.operating_point),
        f"Bundle {bundle.digest}",
    )
    return "\n\n".join(sections) + "\n"
