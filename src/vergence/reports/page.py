"""How templates of reports are filled: texts from data are escaped, and no control character reaches a page."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vergence.terminal import printable

_KEPT = "\n\t"  # white space on a page


def environment() -> Environment:
    r"""The environment of every report's template: HTML is escaped, a missing value is an error.

    Example:
        >>> environment().from_string("{{ name }}").render(name="a\x1b[31m\nb")
        'a\\x1b[31m\nb'
    """
    return Environment(
        loader=PackageLoader("vergence.reports"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """A value as the page shows it; what is markup already stays markup."""
    if isinstance(value, Markup):
        return Markup(printable(value, keep=_KEPT))
    return printable(value, keep=_KEPT)
