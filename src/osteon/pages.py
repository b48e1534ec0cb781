"""HTML pages that need no other file, in one style: templates of a room, and what all pages share."""

from __future__ import annotations

import jinja2


def environment(room: str) -> jinja2.Environment:
    """Where the templates of a room (a package with a folder `templates`) find each other and the shared ones.

    Whatever comes from data is escaped, and a name that a template does not get is an error.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(room), jinja2.PackageLoader("osteon")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
