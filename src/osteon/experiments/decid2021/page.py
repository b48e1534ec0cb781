"""What the experiment leaves on the disk: the page, figures as SVG, curves and tables as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from osteon.drawing import with_ids
from osteon.evaluate import report as full_report
from osteon.evaluate.words import number
from osteon.experiments import pages
from osteon.experiments.decid2021 import pictures as draw
from osteon.experiments.decid2021.arms import BASELINE, BY_SIZE, INVERTED, PADDED, RX_LARGE, RX_LITE, RX_MENDED
from osteon.experiments.decid2021.levels import LEVELS
from osteon.experiments.decid2021.report import Found
from osteon.experiments.writing import ends, write_csv, write_figures, write_page

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "decid2021.html.j2"

FULL = "models"
"""Folder of the full reports on the main models."""


def write(content: Mapping[str, Any], full: Mapping[str, Mapping[str, Any]], found: Found, out: Path) -> None:
    """Write the page, the figures as SVG, the curves and tables as CSV, and the full reports of the main models.

    Raises:
        CannotWrite: if the folder cannot be written; an earlier page is then as it was.
    """
    for name, report in full.items():
        full_report.write(report, out / FULL / name)
    drawn = pictures(content, found)
    write_figures(out, drawn)
    for name, each in found.done.items():
        write_csv(out / "curves" / f"{name}.csv", each.kept.tables["epochs"])
        write_csv(out / "curves" / f"{name}-steps.csv", each.kept.tables["steps"])
    for name, table in tables(content).items():
        write_csv(out / "tables" / f"{name}.csv", table)
    if found.probe is not None:
        write_csv(out / "tables" / "probe.csv", _scored(found))
    write_page(out, page(content, drawn), content)


def page(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """The report as one HTML page; whatever comes from the data is escaped.

    Args:
        report: as `report.report_of` returned it.
        drawn: as `pictures` returned it.
    """
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    inline = {name: Markup(with_ids(svg, name)) for name, svg in drawn.items()}
    template = pages.environment("osteon.experiments.decid2021").get_template(TEMPLATE)
    return template.render(report=report, pictures=inline, levels=LEVELS, number=number) + "\n"


def pictures(report: Mapping[str, Any], found: Found) -> dict[str, str]:
    """Every figure of the report: name → SVG text."""
    by_table = {table["name"]: table["rows"] for table in report["tables"]}
    groups = {
        "curves-sizes": list(BY_SIZE),
        "curves-augmentation": [PADDED, INVERTED],
        "curves-batches": [row["arm"] for row in by_table["batches"]],
        "curves-optimisers": [row["arm"] for row in by_table["optimisers"]],
        "curves-models": [BASELINE, RX_LITE, RX_LARGE, RX_MENDED],
    }
    ours = [name for name in report["arms"] if name not in {arm for group in groups.values() for arm in group}]
    if ours:
        groups["curves-ours"] = ours
    drawn = {
        name: draw.training(
            [(_heading(report["arms"][arm]), found.done[arm].kept.tables["epochs"]) for arm in arms], name
        )
        for name, arms in groups.items()
    }
    drawn["protocols"] = draw.protocols(report)
    drawn["layers"] = draw.layers(report)
    drawn["floors"] = draw.floors(report)
    if not report["hairlines"]["reason"]:
        drawn["hairlines"] = draw.hairlines(report)
    if not report["pointing"]["reason"]:
        drawn["pointing"] = draw.pointing(report)
    return drawn


def _heading(arm: Mapping[str, Any]) -> str:
    """The label of an arm in lines that fit above a panel."""
    title, *rest = arm["label"].split(", ")
    lines = [title, ", ".join(rest[:2])] if len(rest) > 3 else [title, rest[0]]
    return "\n".join([*lines, ", ".join(rest[len(lines) - 1 if len(rest) <= 3 else 2 :])])


def tables(content: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Every table of the report as it is written: name → table."""
    made = {table["name"]: _of_arms(table["rows"], content) for table in content["tables"]}
    made["arms"] = _of_arms(
        [{"what": arm["label"], "arm": name, "study": {}} for name, arm in content["arms"].items()], content
    )
    made["compared"] = pd.DataFrame(content["compared"])
    made["layers"] = pd.DataFrame([{"arm": name, **row} for name, rows in content["layers"].items() for row in rows])
    made["hairlines"] = pd.DataFrame(
        [
            {
                "arm": name,
                "size": content["arms"][name]["size"],
                "mm": content["arms"][name]["mm"],
                "gap_mm": row["gap_mm"],
            }
            | ends("auroc", row["auroc"])
            for name, arm in content["hairlines"]["arms"].items()
            for row in arm["rows"]
        ]
    )
    made["hardware"] = pd.DataFrame(
        [
            {"arm": name, "level": level, "figure": figure}
            | ends("all", line["all"])
            | ends("without", line["without"])
            | ends("lost", line["lost"])
            for name, levels in content["hardware"].get("arms", {}).items()
            for level, lines in levels.items()
            for figure, line in lines.items()
        ]
    )
    made["pointing"] = pd.DataFrame(
        [
            {"arm": name} | ends("rate", found["pointing"]["rate"])
            for name, found in content["pointing"]["arms"].items()
            if not found["reason"]
        ]
    )
    return {name: table for name, table in made.items() if len(table)}


def _of_arms(rows: list[dict[str, Any]], content: Mapping[str, Any]) -> pd.DataFrame:
    lines = []
    for row in rows:
        arm, theirs = content["arms"][row["arm"]], row["study"]
        line = {"what": row["what"], "arm": row["arm"], "weights": arm["weights"], "seconds": arm["seconds"]}
        for level in LEVELS:
            line |= {f"study_{level}": theirs.get(level)}
            line |= ends(f"train_{level}", arm["study"]["train"][level])
            line |= ends(f"validation_{level}", arm["study"]["validation"][level])
            line |= ends(f"test_balanced_{level}", arm["honest"]["balanced_accuracy"][level])
            line |= ends(f"test_auroc_{level}", arm["honest"]["auroc"][level])
        lines.append(line)
    return pd.DataFrame(lines)


def _scored(found: Found) -> pd.DataFrame:
    """The probe with the logits of every arm that was asked."""
    assert found.probe is not None
    asked = {name: each.kept.arrays["hairlines"] for name, each in found.done.items() if each.arm.probed}
    return found.probe.assign(**asked)
