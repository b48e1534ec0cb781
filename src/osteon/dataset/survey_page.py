"""survey.html: one file that needs no other, for a screen and for paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from pydicom.uid import UID

from osteon import pages
from osteon.dataset import survey_figures as figures
from osteon.dataset.survey import FEWEST, TAGS
from osteon.drawing import with_ids

TEMPLATE = "survey.html.j2"


def page(survey: Mapping[str, Any], *, title: str, limit: int) -> str:
    """The survey as one HTML page; whatever comes from the data is escaped.

    Args:
        survey: as `osteon.dataset.survey.survey` returned it.
        title: of the page.
        limit: images of a study from which on it is an outlier.
    """
    environment = pages.environment("osteon.dataset")
    environment.filters.update(thousands=thousands, share=share, syntax=syntax)
    # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
    drawn = {name: Markup(with_ids(svg, name)) for name, svg in pictures(survey, limit).items()}
    told = {"survey": survey, "title": title, "limit": limit, "pictures": drawn, "tags": TAGS, "fewest": FEWEST}
    return environment.get_template(TEMPLATE).render(**told) + "\n"


def pictures(survey: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Every figure that the survey has numbers for: name → SVG text."""
    drawn = {"flow": figures.flow(survey).text}
    if survey["cases"]["images"]:
        drawn["instances"] = figures.instances(survey["instances"], survey["positive"], survey["negative"], limit)
        drawn["sizes"] = figures.sizes(survey["sizes"])
    if survey["body_part"]["shown"]:
        drawn["body_part"] = figures.body_part(survey["body_part"])
    return drawn


def thousands(number: int | None) -> str:
    """12345 as 12 345, with a narrow space; a dash where there is no number."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def share(part: int, whole: int) -> str:
    """A part of a whole, in per cent."""
    return f"{100 * part / whole:.1f}\u202f%" if whole else ""


def syntax(uid: str) -> str:
    """A transfer syntax by its name in the standard, PS3.6 table A-1."""
    return str(UID(uid).name)
