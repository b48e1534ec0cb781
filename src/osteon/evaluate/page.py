"""report.html: one file that needs no other, for a screen and for A4 paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from osteon import pages
from osteon.drawing import with_ids
from osteon.evaluate import doubt_figures, figures, learned_answers
from osteon.evaluate.judge import title_of
from osteon.evaluate.words import number

TEMPLATE = "report.html.j2"
POINTS = {
    "youden": "Youden",
    "sensitivity_0.90": "Sensitivity 0.90",
    "specificity_0.90": "Specificity 0.90",
    "image_youden": "Images, Youden",
}


def page(report: Mapping[str, Any]) -> str:
    """The report as one HTML page; whatever comes from the data is escaped.

    Args:
        report: as `osteon.evaluate.report.evaluate` returned it, or as it was read back from report.json.
    """
    environment = pages.environment("osteon.evaluate")
    environment.filters.update(figure=figure, share=share, point=point_name, learned_sentence=learned_answers.sentence)
    parts = [("validation", report["validation"])]
    if report["test"]["state"] == "opened":
        parts.append(("test", report["test"]))
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    drawn = {
        name: {key: Markup(with_ids(svg, f"{name}-{key}")) for key, svg in pictures(part, report["model"]).items()}
        for name, part in parts
    }
    return environment.get_template(TEMPLATE).render(report=report, parts=parts, pictures=drawn) + "\n"


def pictures(part: Mapping[str, Any], model: str) -> dict[str, str]:
    """Every figure that the part has numbers for: name → SVG text."""
    curves, found = part["curves"], part["discrimination"]
    scale = "calibrated probability" if found["pooled_on"] == "probability" else "score"
    titles = {name: title_of(name) for name in curves["roc"]["lines"]}
    drawn = {
        "floors": figures.floors(found, model),
        "roc": figures.roc(curves, part["operating_points"]["rows"], titles),
        "precision_recall": figures.precision_recall(curves),
        "histogram": figures.histogram(curves, part["cut"]["youden"], scale),
    }
    if curves["reliability"]:
        drawn["reliability"] = figures.reliability(curves)
        drawn["decision"] = figures.decision(curves)
    if part["subgroups"]:
        drawn["subgroups"] = figures.subgroups(part["subgroups"], found["auroc_pooled"])
    if part["per_study"]["rules"]:
        drawn["studies"] = figures.studies(part["per_study"]["rules"], found["auroc"])
    if part["three_way"]["rows"]:
        drawn["limits"] = doubt_figures.limits(part["three_way"], curves["histogram"], scale)
        drawn["coverage"] = doubt_figures.coverage(part["three_way"])
    if part["three_way"].get("learned", {}).get("rows"):
        drawn["learned"] = doubt_figures.answers(part["three_way"]["learned"])
    drawn |= _of_places(part["places"], model)
    return drawn


def _of_places(places: Mapping[str, Any], model: str) -> dict[str, str]:
    drawn = {}
    if places.get("pointing"):
        drawn["pointing"] = figures.pointing(places["pointing"], model)
    if places.get("boxes"):
        drawn["free_response"] = figures.free_response(places["boxes"])
    return drawn


def figure(estimate: Mapping[str, Any] | None, digits: int = 3) -> Markup:
    """A figure with its interval, kept on one line: 0.881 (0.853 to 0.907)."""
    if estimate is None or estimate["value"] is None:
        return Markup('<span class="quiet">{}</span>').format((estimate or {}).get("note") or "not available")
    value = number(estimate["value"], digits)
    if estimate["low"] is None:
        return Markup('<b>{}</b> <span class="quiet">no interval</span>').format(value)
    ends = f"({number(estimate['low'], digits)} to {number(estimate['high'], digits)})"
    return Markup('<b>{}</b> <span class="interval">{}</span>').format(value, ends)


def share(value: float | None) -> str:
    """0.17 as 17 %."""
    return "" if value is None else f"{value * 100:.0f}\u202f%"


def point_name(name: str) -> str:
    """An operating point as readers see it."""
    return POINTS.get(name, name)
