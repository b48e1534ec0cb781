"""What the records know of the data: each function makes one sentence, or finds that a value it needs is not there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from osteon.evaluate.quotes import Absent, Fact, Quotes

DEMOGRAPHY = ("sex", "age_years")
TAGS = {"modality": "modality", "device": "device", "bits": "bits stored", "spacing_source": "source of the spacing"}
STATED = {"sex": "sex", "view": "view position", "laterality": "side", "device": "device", "modality": "modality"}


def several(count: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 image, 2 images."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def taken_in(q: Quotes) -> str:
    """How much was given and taken, and that it is simulated where it is."""
    given = several(q.count("ingest", "result", "files"), "file")
    taken = ", ".join(
        several(q.count("ingest", "result", name), one, name)
        for name, one in (("images", "image"), ("studies", "study"), ("patients", "patient"))
    )
    simulated = q.if_known(lambda: _simulated(q))
    return f"Of {given} given, these were taken: {taken}.{simulated}"


def _simulated(q: Quotes) -> str:
    return " All are phantoms: simulated radiographs, no patient was imaged." if q.flag("survey", "phantom") else ""


def label_table(q: Quotes) -> str:
    """Which table the labels came from, by its digest."""
    inputs = q.names("ingest", "inputs")
    if len(inputs) != 1:
        raise Absent
    return f"The labels come from one table, SHA-256 {q.text('ingest', 'inputs', inputs[0])}."


def question(q: Quotes) -> str:
    """What the labels answer."""
    return f"The label of an image says “{q.text('survey', 'positive')}” or “{q.text('survey', 'negative')}”."


def classes(q: Quotes) -> str:
    """How many of each class."""
    parts = []
    for unit in ("images", "studies", "patients"):
        parts.append(f"{q.count('survey', 'cases', f'positive_{unit}')} of {q.count('survey', 'cases', unit)} {unit}")
    told = f"{', '.join(parts)} show “{q.text('survey', 'positive')}”"
    return f"{told}; {q.count('survey', 'cases', 'negative_images')} images do not."


def flow(q: Quotes) -> str:
    """From all files given to the images taken, with what was left out at each stage."""
    stages = []
    for stage in q.rows("survey", "flow"):
        at = ("survey", "flow", stage)
        left = [] if q.is_empty(*at, "left_out") else [_left(q, stage, k) for k in q.rows(*at, "left_out")]
        counts = [several(q.count(*at, "files"), "file")]
        counts += filter(None, (_of(q, stage, unit) for unit in ("studies", "patients")))
        told = f"{q.text(*at, 'title')}: {', '.join(counts)}"
        stages.append(f"left out: {', '.join(left)} → {told}" if left else told)
    return f"Flow. {' → '.join(stages)}. The survey and flow.svg draw it."


def _of(q: Quotes, stage: int, unit: str) -> str:
    return q.if_known(lambda: f"{q.count('survey', 'flow', stage, unit)} {unit}")


def _left(q: Quotes, stage: int, k: int) -> str:
    at = ("survey", "flow", stage, "left_out", k)
    return f"{several(q.count(*at, 'files'), 'file')} ({q.text(*at, 'why')})"


def exclusions(q: Quotes) -> str:
    """What was left out on purpose, rule by rule."""
    at = ("ingest", "arguments", "rules")
    if q.is_empty(*at, "exclude"):
        told = "No case was left out by a rule on a column"
    else:
        rules = [q.text(*at, "exclude", k) for k in q.rows(*at, "exclude")]
        told = f"Left out by rule, in this order: {'; '.join(rules)}"
    limit = q.count(*at, "max_instances")
    fate = "left out" if q.flag(*at, "drop_outliers") else "kept, and listed"
    return f"{told}; studies of more than {several(limit, 'image')} were {fate}."


def refused(q: Quotes) -> str:
    """Files left out because they could not be used, by refusal code, in both commands that may refuse."""
    told = [_refused(q, command, of) for command, of in (("ingest", "files"), ("prepare", "images"))]
    known = [one for one in told if one]
    if not known:
        raise Absent
    return f"{'; '.join(known)}. refusals.parquet has a reason for each file."


def _refused(q: Quotes, command: str, of: str) -> str:
    def clause() -> str:
        at = (command, "result", "refused")
        if q.is_empty(*at):
            return f"{command} refused no {of}"
        codes = [f"{q.count(*at, code)} {code}" for code in q.names(*at)]
        return f"{command} refused {', '.join(codes)}"

    return q.if_known(clause)


def unmatched(q: Quotes) -> str:
    """Labels and studies that do not find each other."""
    at = ("survey", "mismatches")
    without = several(q.count(*at, "studies_without_label"), "study", "studies")
    unmet = several(q.count(*at, "labels_without_study"), "label")
    return f"{without} without a label; {unmet} about no image that could be read."


def not_stated(q: Quotes) -> str:
    """In how many images each tag says nothing."""
    empty = {name: q.count("survey", "tags", tag, "empty") for tag, name in STATED.items()}
    empty["age"] = q.count("survey", "ages", "empty")
    told = ", ".join(f"{name} {count}" for name, count in empty.items())
    return f"Not stated, in images: {told}. They stay empty in the manifest."


def devices(q: Quotes) -> str:
    """Modality, device and depth, as the files state them, where 5 patients or more share them."""
    parts = []
    for tag, title in TAGS.items():
        told = q.if_known(partial(_values, q, "tags", tag))
        parts += [f"{title}: {told}"] if told else []
    if not parts:
        raise Absent
    return f"As the files state it (images): {'; '.join(parts)}."


def _values(q: Quotes, *at: str) -> str:
    shown = [
        f"{q.text('survey', *at, 'shown', k, 'value')} ({q.count('survey', *at, 'shown', k, 'images')})"
        for k in q.rows("survey", *at, "shown")
    ]
    others = q.count("survey", *at, "others", "images")
    return ", ".join([*shown, *([f"{others} of rarer values"] if others else [])])


def sizes(q: Quotes) -> str:
    """Least, middle and largest height and width of the images as stored."""
    least, half, most = 0, 2, 4
    parts = []
    for name, title in (("rows", "height"), ("columns", "width")):
        ends = [q.count("survey", "sizes", "quartiles", name, k) for k in (least, half, most)]
        parts.append(f"{title} {ends[0]} to {ends[2]} px, median {ends[1]}")
    return f"Images as stored: {'; '.join(parts)}."


def demography(q: Quotes) -> str:
    """Sex and age of all that was taken in, in images."""
    decades = [(d, q.count("survey", "ages", "decades", d)) for d in q.names("survey", "ages", "decades")]
    ages = ", ".join(f"{decade} to {int(decade) + 9}: {images}" for decade, images in decades if decade.isdigit())
    return f"All images taken in. Sex: {_values(q, 'tags', 'sex')}. Age in years: {ages}."


def preparation(q: Quotes) -> str:
    """What was done to each image."""
    many = several(q.count("prepare", "result", "images"), "image")
    return f"Each of {many} was prepared alike: {q.text('prepare', 'result', 'recipe')}"


def pseudonyms(q: Quotes) -> str:
    """How identifiers are kept out of the tables, and what was done to the files where osteon did it."""
    q.has("ingest", "arguments", "key")
    told = "In all tables, patients, studies and instances have pseudonyms made with a secret key."
    return f"{told}{q.if_known(lambda: _clean(q))}"


def _clean(q: Quotes) -> str:
    cleaned = several(q.count("deidentify", "result", "files"), "file")
    hidden = q.count("deidentify", "result", "with_writing_hidden")
    edition = q.text("deidentify", "arguments", "edition")
    return f" {cleaned} were de-identified by {edition}; in {hidden} writing in the pixels was painted over."


def partitions(q: Quotes) -> str:
    """How cases came into folds and the sealed set."""
    groups, folds = q.count("split", "result", "groups"), q.count("split", "result", "folds")
    told = (
        f"{several(groups, 'patient or group', 'patients or groups')} were dealt into {folds} folds of like class "
        f"shares, seed {q.count('split', 'seeds', 'seed')}"
    )
    sealed = q.count("split", "result", "sealed_images")
    wanted = q.share("split", "arguments", "test")
    return f"{told}; {several(sealed, 'image')} ({wanted} asked for) were sealed for a test."


def disjoint(q: Quotes) -> str:
    """At which level partitions are disjoint."""
    groups = q.count("split", "result", "groups")
    if q.flag("split", "arguments", "duplicates"):
        joined = several(q.count("split", "result", "joined_patients"), "patient")
        twins = f"; near-duplicate images were looked for, and joined {joined} to another"
    else:
        twins = "; near-duplicate images were not looked for"
    return f"The patient: no patient lies in two of the parts, which are made of {several(groups, 'group')}{twins}."


FACTS: Mapping[str, Fact] = {
    fact.__name__: fact
    for fact in (
        *(taken_in, label_table, question, classes, flow, exclusions, refused, unmatched, not_stated),
        *(devices, sizes, demography, preparation, pseudonyms, partitions, disjoint),
    )
}
"""Name, as the tables of items use it → fact."""
