"""report.html of the experiment: one file that tells the story, for a screen and for A4 paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from osteon.drawing import with_ids
from osteon.evaluate.healing import BAND
from osteon.evaluate.healing_figures import floors
from osteon.evaluate.healing_page import TITLES
from osteon.experiments import pages
from osteon.experiments.hong2023 import pictures as draw
from osteon.experiments.pictures import added

if TYPE_CHECKING:
    from osteon.experiments.hong2023.report import Found

TEMPLATE = "hong2023.html.j2"


def page(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """The report as one HTML page; whatever comes from the data is escaped.

    Args:
        report: as `report.report_of` returned it.
        drawn: as `pictures` returned it.
    """
    environment = pages.environment("osteon.experiments.hong2023")
    environment.filters.update(small=_small)
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    inline = {name: Markup(with_ids(svg, name)) for name, svg in drawn.items()}
    return environment.get_template(TEMPLATE).render(report=report, pictures=inline, titles=TITLES, band=BAND) + "\n"


def pictures(report: Mapping[str, Any], found: Found) -> dict[str, str]:
    """Every figure of the report: name → SVG text."""
    rows = [*report["baselines"], report["final"]["kfold"], report["by_patient"]]
    drawn = {}
    for place, (row, outcome) in enumerate(zip(rows, found.outcomes, strict=True)):
        floor = row["eighteen"]["view_only"]["macro_auroc"]["value"]
        drawn[f"curves-{place}"] = draw.curves(outcome.curves, f"model-{place}", view_only=floor)
    drawn["beside-view"] = draw.beside_view(rows)
    drawn["scatter"] = draw.scatter(found.one.trials)
    drawn["examples"] = draw.examples(found.one)
    drawn["heat-map"] = draw.heat_map(found.two.trials)
    drawn["added"] = added(
        report["leak"], "What image-level folds add", "folds by image less folds by patient, 95 % interval"
    )
    for name in ("nested", "ours"):
        told = report[name]
        if told["validation"]["totals"]["judged"]:
            line = told["validation"]["totals"]["icc"]
            drawn[f"{name}-floors"] = floors(line, told["model"], "ICC(2,1) of the total", BAND)
    return drawn


def _small(value: float) -> str:
    """0.001 as 1e−3, 0.3 as it is."""
    return f"{value:.0e}".replace("e-0", "e−") if value < 0.01 else f"{value:g}"
