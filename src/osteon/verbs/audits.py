"""What data and models hide: the verb `audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs
from osteon.settings import Settings
from osteon.types import Progress, silent
from osteon.verbs.evidence import evidence_of, sample_of
from osteon.verbs.folders import Done

if TYPE_CHECKING:
    from osteon.audit.audit import Evidence

JSON, PAGE = "audit.json", "audit.html"
REREADING, DUPLICATES = "rereading.csv", "duplicates.csv"
PROBES = "probes"


# One keyword for each thing that an audit may be given; none but the first two is needed.
def audit(
    subject: Path,
    out: Path,
    *,
    manifest: Path | None = None,
    bank: Path | None = None,
    images: Path | None = None,
    model: str = "",
    allowed: Sequence[str] = (),
    threshold: float | None = None,
    reference: Path | None = None,
    readings: Path | None = None,
    probes: bool = True,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Look for copies, wrong labels, shortcuts and drift.

    Writes `audit.html`, `audit.json`, `rereading.csv` and `duplicates.csv`.

    Args:
        subject: what `train` wrote, or a table of predictions, or what `split` or `prepare` wrote.
        out: folder for the results.
        manifest: what `split` wrote; default: what the run record of `subject` names.
        bank: what `features` wrote; default: likewise.
        images: what `prepare` wrote; default: likewise, of the bank if need be.
        model: which model of the predictions, if they are of several besides floors.
        allowed: attributes that do not fail the gate.
        threshold: AUROC that an attribute may carry; None takes `osteon.audit.gate.THRESHOLD`.
        reference: an earlier run, of which the same is known, to compare with.
        readings: what `read` said of these studies: the scores that are compared with the reference's.
        probes: change some images, if the features are at hand.
        seed: of the bootstrap, and of what is changed.
        settings: of this machine.
        progress: told of stages done.

    Returns:
        The verdict in words; under `passed`, whether it passed: None if there was nothing to decide on.

    Raises:
        NotFound: if what was named is not there.
        BadTable, Leak: as `osteon.audit.audit.audit`.
    """
    from osteon.audit import audit as auditing
    from osteon.audit.gate import THRESHOLD
    from osteon.audit.page import page
    from osteon.evaluate.report import plain

    given = {"manifest": manifest, "bank": bank, "images": images}
    limit = THRESHOLD if threshold is None else threshold
    options = auditing.Options(
        seed, tuple(allowed), limit, probes=out / PROBES if probes else None, threads=(settings or Settings()).threads
    )
    evidence = evidence_of(subject, model=model, **given)
    arguments = {"subject": subject, **given, "model": model, "allowed": list(allowed), "threshold": limit}
    arguments |= {"drift": reference, "readings": readings, "probes": probes}
    inputs = [path for path in (subject, manifest, bank, images, reference, readings) if path]
    with runs.recording("audit", out, arguments, inputs=inputs, seeds={"seed": seed}) as result:
        found = auditing.audit(evidence, options, progress=progress)
        drift = _drift(reference, evidence, subject, readings, seed)
        content = {**found.content, "drift": plain(drift)}
        again = found.rereading[found.rereading["read_again"] == "yes"]
        text = page(content, again.to_dict("records"), evidence.images)
        for name, table in ((REREADING, found.rereading), (DUPLICATES, found.duplicates)):
            with files.replacing(out / name) as temporary:
                table.to_csv(temporary, index=False, lineterminator="\n")
        with files.replacing(out / PAGE) as temporary:
            temporary.write_text(text, encoding="utf-8")
        files.write_json(out / JSON, content)
        gate, noise = content["gate"], content["label_noise"]
        result |= {"passed": gate["passed"], "said": gate["said"], "findings": gate["findings"]}
        result |= {"wrong_labels": noise.get("wrong"), "copies": content["duplicates"].get("images")}
        result |= {"drift": drift.get("found", []), "phantom": content["phantom"]}
    said = [gate["said"], _of_labels(noise), drift.get("sentence", "") if reference else "", f"Audit: {out / PAGE}"]
    return Done("\n".join(filter(None, said)), result)


def _of_labels(noise: Mapping[str, Any]) -> str:
    if noise["reason"]:
        return f"Label noise not available: {noise['reason']}."
    share = noise["wrong"]
    ends = f" ({100 * share['low']:.1f} to {100 * share['high']:.1f})" if share["low"] is not None else ""
    return f"Labels estimated to be wrong: {100 * share['value']:.1f} %{ends}; {noise['read_again']} to be read again."


def _drift(
    reference: Path | None, evidence: Evidence, subject: Path, readings: Path | None, seed: int
) -> dict[str, Any]:
    """The comparison with a reference run, or why there is none."""
    from osteon.audit.drift import drift

    if reference is None:
        return {"reason": "no reference was given"}
    earlier = evidence_of(reference)
    if evidence.manifest is None or earlier.manifest is None:
        whose = "the new studies" if evidence.manifest is None else "the reference"
        which = evidence if evidence.manifest is None else earlier
        return {"reason": f"of {whose}: {which.why_not('manifest')}"}
    theirs = sample_of(earlier, earlier.manifest, reference)
    mine = sample_of(evidence, evidence.manifest, subject, readings=readings)
    return {"reason": "", **drift(theirs, mine, seed=seed)}
