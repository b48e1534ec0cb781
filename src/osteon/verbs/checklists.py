"""What a paper has to say, as far as it is recorded: the verb `checklist`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from osteon import runs
from osteon.errors import unknown_name
from osteon.verbs.folders import Done


def checklist(
    report: Path,
    out: Path,
    *,
    guidelines: Sequence[str] = (),
    answers: Path | None = None,
    bundle: Path | None = None,
    among: Sequence[Path] = (),
) -> Done:
    """Fill reporting checklists and a model card from the records behind a report.

    Writes `checklist.json`, `checklist.html`, `checklist.csv`, `model-card.json`, `model-card.md`, `model-card.html`.

    Args:
        report: what `evaluate` wrote; the runs behind it are found by their run records.
        out: folder for the results.
        guidelines: of `osteon.evaluate.checklists.GUIDELINES`; none named, all.
        answers: TOML file in which people answer what no record can know.
        bundle: of the model judged, if it does not lie where `train` writes it.
        among: further folders in which records of these runs may lie.

    Raises:
        UnknownName: for a guideline that is not there.
        NotFound, BadTable, Mismatch: as `osteon.evaluate.records.find` and `osteon.evaluate.checklists.read_answers`.
    """
    from osteon.evaluate import checklist_page, checklists, model_card, records

    keys = tuple(dict.fromkeys(guidelines)) or checklists.GUIDELINES
    for key in keys:
        if key not in checklists.GUIDELINES:
            raise unknown_name("guideline", key, checklists.GUIDELINES)
    arguments = {"report": report, "guidelines": list(keys), "answers": answers, "bundle": bundle}
    inputs = [path for path in (report, answers, bundle) if path]
    with runs.recording("checklist", out, {**arguments, "among": [str(one) for one in among]}, inputs=inputs) as result:
        found = records.find(report, among=among, bundle=bundle)
        given = checklists.read_answers(answers, card=model_card.NAMES) if answers else checklists.NO_ANSWERS
        filled = checklists.fill_all(keys, found, given)
        checklist_page.write(filled, out)
        model_card.write(model_card.card(found, given), out)
        result |= {"counts": {one["key"]: one["counts"] for one in filled["guidelines"]}, "unfound": filled["unfound"]}
    said = [f"{one['name']}: {_counted(one['counts'])}" for one in filled["guidelines"]]
    if filled["unfound"]:
        said.append(f"run records not found: {', '.join(filled['unfound'])}; name their folders with --among")
    return Done("\n".join(said), result)


def _counted(counts: dict[str, int]) -> str:
    names = {"authors": "by the authors"}
    return ", ".join(f"{count} {names.get(state, state)}" for state, count in counts.items())
