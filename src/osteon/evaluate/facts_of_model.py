"""What the records know of the model, its training and the code: each function makes one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from osteon.evaluate.facts_of_data import several
from osteon.evaluate.quotes import BUNDLE, Fact, Quotes

RUN = "train"
"""The run whose code, packages and machine are told: those of the report say nothing of the model."""


def network(q: Quotes) -> str:
    """Trunk, input size and head of every network in the bundle."""
    if q.known(BUNDLE, "members"):
        told = [_network(q, "members", k) for k in q.rows(BUNDLE, "members")]
        return f"{several(len(told), 'network')}: {'; '.join(told)}."
    return f"One network: {_network(q)}{_head(q)}."


def _network(q: Quotes, *at: str | int) -> str:
    name, width = q.text(BUNDLE, *at, "trunk", "name"), q.count(BUNDLE, *at, "trunk", "d")
    rows, columns = (q.count(BUNDLE, *at, "size", k) for k in (0, 1))
    return f"{name}, {several(width, 'channel')}, on prepared images of {rows} × {columns} px (height × width)"


def _head(q: Quotes) -> str:
    def hidden() -> str:
        sizes = [str(q.count(BUNDLE, "head_form", "hidden", k)) for k in q.rows(BUNDLE, "head_form", "hidden")]
        return f", with hidden layers of {', '.join(sizes)} in its head"

    return q.if_known(hidden)


def initial_weights(q: Quotes) -> str:
    """Where the weights of the trunk come from."""
    at = ("members", 0) if q.known(BUNDLE, "members") else ()
    weights, name = q.text(BUNDLE, *at, "trunk", "weights"), q.text(BUNDLE, *at, "trunk", "name")
    return f"The trunk {name} holds these weights: {weights}; SHA-256 {q.text(BUNDLE, *at, 'trunk', 'digest')}."


def members(q: Quotes) -> str:
    """How many networks answer, and how their answers are put together."""
    if q.known(BUNDLE, "members"):
        names = [q.text(BUNDLE, "members", k, "trunk", "name") for k in q.rows(BUNDLE, "members")]
        many = f"The mean of {several(len(names), 'network')} answers"
        return f"{many}: {', '.join(names)}." if len(names) > 1 else f"One network answers: {names[0]}."
    return f"One network answers: {q.text(BUNDLE, 'trunk', 'name')}; nothing is averaged over networks."


def training(q: Quotes) -> str:
    """How it was trained, in the words of the bundle, with the seed and the settings where the run tells them."""
    told = f"{q.text(BUNDLE, 'origin', 'how').rstrip('.')}."
    seed = q.if_known(lambda: f" Seed {q.count(RUN, 'seeds', 'seed')}.")
    return f"{told}{seed}{q.if_known(lambda: _settings(q))}"


def _settings(q: Quotes) -> str:
    at = ("train", "arguments", "tuning")
    told = f"{q.text(*at, 'backbone')}, weights {q.text(*at, 'weights')}, at most {q.count(*at, 'epochs')} epochs"
    return f" {told}, batch {q.count(*at, 'batch')}, learning rate {q.number(*at, 'learning_rate')}."


def selection(q: Quotes) -> str:
    """How the settings of the final model were chosen, in the words of the training run."""
    note = q.text("train", "result", "notes", q.text("train", "result", "model"))
    return f"{q.text('train', 'result', 'model')}: {note.rstrip('.')}."


def output(q: Quotes) -> str:
    """From the network's score to a probability and an answer."""
    at = (BUNDLE, "calibration")
    slope, intercept = q.number(*at, "slope", form=".3f"), q.number(*at, "intercept", form=".3f")
    fitted = f"{several(q.count(*at, 'n'), 'image')}, {q.share(*at, 'prevalence')} of them positive"
    used = q.text(BUNDLE, "operating_point")
    cut = q.number(BUNDLE, "thresholds", used, form=".4f")
    return (
        f"The score becomes a probability by a logistic curve (slope {slope}, intercept {intercept}) fitted on "
        f"{fitted}; an answer is positive from {cut} on ({used})."
    )


def answers(q: Quotes) -> str:
    """What the bundle answers, and its digest."""
    return f"The bundle answers “{q.text(BUNDLE, 'task')}”; its weights have the SHA-256 {_weights(q)}."


def _weights(q: Quotes) -> str:
    return q.text(BUNDLE, "weights_sha256")


def origin_data(q: Quotes) -> str:
    """What it learnt from, in the words of the bundle."""
    return q.text(BUNDLE, "origin", "data")


def origin_figures(q: Quotes) -> str:
    """What the bundle says was measured, each figure beside its floor."""
    return " ".join(_measured(q, k) for k in q.rows(BUNDLE, "origin", "figures"))


def _measured(q: Quotes, k: int) -> str:
    at = (BUNDLE, "origin", "figures", k)
    floor = q.if_known(lambda: f"best floor, {q.text(*at, 'floor_name')}, {q.figure(*at, 'floor')}")
    return f"{q.text(*at, 'name')}: {q.figure(*at, 'model')}; {floor or 'no floor is told'}."


def origin_limits(q: Quotes) -> str:
    """What the bundle knows not to work."""
    return " ".join(q.text(BUNDLE, "origin", "limits", k) for k in q.rows(BUNDLE, "origin", "limits"))


def origin_code(q: Quotes) -> str:
    """Commit of the code that made the bundle."""
    return f"It was made by osteon, commit {q.text(BUNDLE, 'origin', 'commit')}."


def packages(q: Quotes) -> str:
    """Version of osteon, Python and every package that results depend on."""
    told = [f"{name} {q.text(RUN, 'versions', name)}" for name in q.names(RUN, "versions")]
    return f"When it was trained: {', '.join(told)}."


def code(q: Quotes) -> str:
    """Commit of the code, and whether it had changes."""
    changed = "with changes that were not committed" if q.flag(RUN, "dirty") else "without uncommitted changes"
    return f"It was trained by osteon {q.text(RUN, 'versions', 'osteon')}, commit {q.text(RUN, 'commit')}, {changed}."


def machine(q: Quotes) -> str:
    """The machine."""
    names = {"processor": "{}", "cores": "{} cores", "memory_gb": "{} GB", "system": "{}"}
    told = [form.format(q.text(RUN, "machine", name)) for name, form in names.items()]
    return f"It was trained on {', '.join(told)}."


def traces(q: Quotes) -> str:
    """What is kept, so that the report can be checked: run, inputs and their digests."""
    inputs = [q.text("evaluate", "inputs", name) for name in q.names("evaluate", "inputs")]
    q.has("evaluate", "arguments", "predictions")
    told = f"The report is run {q.text('evaluate', 'id')}; it rests on {', '.join(inputs)}"
    return f"{told}. Its record names the table that holds every answer, image by image."


FACTS: Mapping[str, Fact] = {
    fact.__name__: fact
    for fact in (
        *(network, initial_weights, members, training, selection, output, answers),
        *(origin_data, origin_figures, origin_limits, origin_code, packages, code, machine, traces),
    )
}
"""Name, as the tables of items use it → fact."""
