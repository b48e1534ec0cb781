"""HTML pages that need no other file, in one style: templates of a room, and what all pages share."""

from __future__ import annotations

import jinja2


def environment(room: str, *beside: str) -> jinja2.Environment:
    """Where the templates of a room (a package with a folder `templates`) find each other and the shared ones.

    `beside` are further packages whose templates it uses.

    Whatever comes from data is escaped, and a name that a template does not get is an error.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in (room, *beside, "osteon")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
