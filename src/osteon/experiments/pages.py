"""Pages of experiments: their own templates, and the macros that all of them share."""

from __future__ import annotations

import jinja2

from osteon import pages
from osteon.evaluate.page import figure, share


def environment(room: str) -> jinja2.Environment:
    """As `osteon.pages.environment`, with the templates of this package and the filters `figure` and `share`."""
    made = pages.environment(room, "osteon.experiments")
    made.filters.update(figure=figure, share=share)
    return made
