"""Drift on a page: its figure, its table and its sentences, for the audit's page and for one of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from osteon import __version__, pages
from osteon.audit import drift_figures
from osteon.audit.drift_words import name_of, share
from osteon.drawing import with_ids
from osteon.evaluate.page import figure


def probability(value: float) -> str:
    """A p-value: 0.0005, 0.012, 0.43."""
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "figure": figure,
    "drift_name": name_of,
    "drift_share": share,
    "probability": probability,
    "capitalize_first": lambda text: f"{text[:1].upper()}{text[1:]}",
}
"""Filters that the macro `drift` of drift.html.j2 needs."""


def pictures(told: Mapping[str, Any]) -> dict[str, Markup]:
    """Every figure that there are numbers for: name → SVG.

    Args:
        told: as `osteon.audit.drift.drift` returned it, as plain JSON.
    """
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    return {"effects": Markup(with_ids(drift_figures.effects(told), "drift"))} if told["rows"] else {}


def page(told: Mapping[str, Any], title: str = "Drift since the reference") -> str:
    """One HTML page that needs no other file; whatever comes from the data is escaped.

    Args:
        told: as for `pictures`.
        title: of the page.
    """
    environment = pages.environment("osteon.audit")
    environment.filters.update(FILTERS)
    template = environment.get_template("drift_page.html.j2")
    return template.render(told=told, pictures=pictures(told), title=title, version=__version__) + "\n"
