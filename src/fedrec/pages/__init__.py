"""How pages of fedrec look: one style for reports and for the status of a deployment, and the filters of templates.

A page asks nothing of any network and runs no script. What comes from elsewhere is escaped; only drawings of our own go
in as they are, through the filter `drawing`.
"""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fedrec.formats import clean, count, duration, metric, plural, size


def environment(package: str) -> Environment:
    """Templates of a package, from its folder `templates`, which may include `style.css`."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("fedrec.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        clean=clean, count=count, duration=duration, metric=metric, size=size, plural=plural, drawing=Markup
    )
    return found
