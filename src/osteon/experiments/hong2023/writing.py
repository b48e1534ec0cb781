"""What the experiment leaves on the disk: the page, figures as SVG, curves and tables as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from osteon.evaluate import eighteen, healing_report
from osteon.experiments.hong2023 import story
from osteon.experiments.hong2023.outcomes import Outcome
from osteon.experiments.hong2023.page import page, pictures
from osteon.experiments.hong2023.report import KEYS, TOP, Found
from osteon.experiments.writing import ends, flat, write_csv, write_figures, write_page


def write(content: Mapping[str, Any], full: Mapping[str, Mapping[str, Any]], found: Found, out: Path) -> None:
    """Write the page, the figures as SVG, the curves and tables as CSV, and a full page on the healing score of each
    honestly judged model.

    Raises:
        CannotWrite: if the folder cannot be written; an earlier page is then as it was.
    """
    for name, told in full.items():
        healing_report.write(told, out / name)
    drawn = pictures(content, found)
    write_figures(out, drawn)
    for name, outcome in named(found).items():
        write_csv(out / "curves" / f"{name}.csv", outcome.curves)
    for name, searched in (("regime-1", found.one), ("regime-2", found.two)):
        write_csv(out / "curves" / f"{name}.csv", searched.curves)
        write_csv(out / "tables" / f"{name}.csv", searched.trials)
        write_csv(out / "tables" / f"{name}-top-ten.csv", searched.top(TOP))
    write_csv(out / "tables" / "models.csv", _models(content))
    write_csv(out / "tables" / "image-level-folds.csv", flat(content["leak"], ("leaky", "honest", "added")))
    if content["final"]["test"]:
        write_csv(out / "tables" / "final-test.csv", _final_test(content["final"]["test"]))
    write_page(out, page(content, drawn), content)


def named(found: Found) -> dict[str, Outcome]:
    """Every cross-validated model by the name of its stage."""
    whole = {KEYS[outcome.name]: outcome for outcome in found.baselines if outcome.name in KEYS}
    frozen = [outcome for outcome in found.baselines if outcome.name not in KEYS]
    numbered = {f"frozen-{number}": outcome for number, outcome in enumerate(frozen)}
    return {**whole, **numbered, "final": found.final, "final-by-patient": found.by_patient}


def _models(content: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for row in (*content["baselines"], content["final"]["kfold"], content["by_patient"]):
        line = {name: row[name] for name in ("name", "network", "protocol", "folds", "best_epoch")} | row["options"]
        line["auroc_at_best_epoch"] = row["at_best"]["mean"]
        for who in ("model", "view_only", "gain"):
            line |= ends(f"macro_auroc_{who}", row["eighteen"][who]["macro_auroc"])
        rows.append(line)
    return pd.DataFrame(rows)


def _final_test(test: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for figure in eighteen.FIGURES:
        line: dict[str, Any] = {"figure": figure, "study": story.TEST.get(figure)}
        for who in ("model", "view_only", "gain"):
            line |= ends(who, test[who][figure])
        rows.append(line)
    return pd.DataFrame(rows)
