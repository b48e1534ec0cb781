"""What the experiment leaves on the disk: the page, figures as SVG, curves and tables as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from osteon.drawing import with_ids
from osteon.evaluate import figures
from osteon.evaluate import report as full_report
from osteon.experiments import pages
from osteon.experiments.kim2018 import pictures as draw
from osteon.experiments.kim2018.report import KEYS, Found
from osteon.experiments.pictures import added
from osteon.experiments.writing import ends, flat, write_csv, write_figures, write_page

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "kim2018.html.j2"

FULL = "by-patient"
"""Folder of the full report on the model that was split by patient."""


def write(content: Mapping[str, Any], full: Mapping[str, Any], found: Found, out: Path) -> None:
    """Write the page, the figures as SVG, the curves and tables as CSV, and the full report of the honest model.

    Raises:
        CannotWrite: if the folder cannot be written; an earlier page is then as it was.
    """
    full_report.write(full, out / FULL)
    drawn = pictures(content, found)
    write_figures(out, drawn)
    for protocol, outcome in found.done.items():
        write_csv(out / "curves" / f"{protocol}.csv", outcome.curves)
    write_csv(out / "tables" / "figures.csv", figures_beside(content))
    write_csv(out / "tables" / "compared.csv", pd.DataFrame(content["compared"]))
    write_csv(out / "tables" / "leak.csv", flat(content["leak"], ("leaky", "honest", "added")))
    write_csv(out / "tables" / "rates.csv", found.rates)
    write_page(out, page(content, drawn), content)


def page(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """The report as one HTML page; whatever comes from the data is escaped.

    Args:
        report: as `report.report_of` returned it.
        drawn: as `pictures` returned it.
    """
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    inline = {name: Markup(with_ids(svg, name)) for name, svg in drawn.items()}
    template = pages.environment("osteon.experiments.kim2018").get_template(TEMPLATE)
    return template.render(report=report, pictures=inline) + "\n"


def pictures(report: Mapping[str, Any], found: Found) -> dict[str, str]:
    """Every figure of the report: name → SVG text."""
    drawn = {}
    for protocol, key in KEYS.items():
        final = report[key]["final"]
        for figure in draw.AXES:
            name = f"{figure}-{protocol}"
            drawn[name] = draw.training(found.done[protocol].curves, figure, name)
        drawn[f"roc-{protocol}"] = draw.roc(final, f"roc-{protocol}")
        cut = final["chosen_here"]["cut"]
        drawn[f"histogram-{protocol}"] = figures.histogram(final["curves"], cut, "score: likelihood of a fracture")
    model = report["by_patient"]
    drawn["floors"] = figures.floors(model["final"]["discrimination"], model["name"])
    drawn["added"] = added(
        report["leak"], "What copies on both sides add", "split by copy less split by patient, 95 % interval"
    )
    return drawn


def figures_beside(content: Mapping[str, Any]) -> pd.DataFrame:
    """The study's figures and ours on the final set, under both protocols."""
    published = content["published"]
    rows = []
    for key in KEYS.values():
        final = content[key]["final"]
        lines = {
            "auroc": (final["discrimination"]["auroc"], published["auroc"]),
            "binormal_auroc": (final["curves"]["binormal"].get("area"), None),
            "gain_over_best_floor": (final["discrimination"]["gain"], None),
        }
        for chosen in ("chosen_here", "chosen_elsewhere"):
            if final[chosen]:
                for rate in ("sensitivity", "specificity"):
                    told = published[rate] if chosen == "chosen_here" else None
                    lines[f"{rate}_cut_off_{chosen}"] = (final[chosen][rate], told)
        nothing = {"value": None, "low": None, "high": None}
        for figure, (ours, theirs) in lines.items():
            row = {"protocol": content[key]["protocol"], "figure": figure, "study": theirs}
            rows.append(row | ends("here", ours or nothing))
    return pd.DataFrame(rows)
