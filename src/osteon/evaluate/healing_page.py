"""report.html on the healing score: one file that needs no other, for a screen and for A4 paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from osteon import pages
from osteon.drawing import with_ids
from osteon.evaluate import healing_figures
from osteon.evaluate.page import figure, share

TEMPLATE = "healing.html.j2"

TITLES = {
    "macro_auroc": "macro AUROC",
    "macro_average_precision": "macro average precision",
    "micro_precision": "precision at 0.5 (micro)",
    "micro_recall": "recall at 0.5 (micro)",
    "macro_f1": "F1 at 0.5 (macro)",
}
"""The 18-label figures as readers see them."""


def page(report: Mapping[str, Any]) -> str:
    """The report as one HTML page; whatever comes from the data is escaped.

    Args:
        report: as `osteon.evaluate.healing_report.evaluate` returned it, or as it was read back from report.json.
    """
    environment = pages.environment("osteon.evaluate")
    environment.filters.update(figure=figure, share=share)
    parts = [("validation", report["validation"])]
    if report["test"]["state"] == "opened":
        parts.append(("test", report["test"]))
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    drawn = {
        name: {key: Markup(with_ids(svg, f"{name}-{key}")) for key, svg in pictures(part, report).items()}
        for name, part in parts
    }
    return environment.get_template(TEMPLATE).render(report=report, pictures=drawn, titles=TITLES) + "\n"


def pictures(part: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, str]:
    """Every figure that the part has numbers for: name → SVG text."""
    drawn = {
        "cortices": healing_figures.cortices(part["cortices"]),
        "confusion": healing_figures.confusion(part["cortices"], report["score"]["grades"]),
    }
    totals = part["totals"]
    if totals["judged"]:
        band = (report["humans"]["low"], report["humans"]["high"])
        drawn["floors"] = healing_figures.floors(totals["icc"], report["model"], "ICC(2,1) of the total", band)
        drawn["totals"] = healing_figures.totals(totals["points"], report["score"])
        drawn["differences"] = healing_figures.differences(totals["points"], totals["differences"], "rater", "model")
    return drawn
