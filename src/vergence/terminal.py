"""The one place that prints: what came from files is shown as it is, and cannot command the terminal.

Names of files, columns, groups and concepts are users' data. Control characters in them appear as escapes, and nothing
in them is markup.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

# Controls, separators of lines, changes of direction, invisible marks, halves of characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: object) -> str:
    r"""A text in which every character that a terminal or a page would not show stands as an escape.

    Example:
        >>> print(printable("a\x1b[31mb\u202ec\nd"))
        a\x1b[31mb\u202ec\nd
    """
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], str(text))


def say(*lines: object, err: bool = False) -> None:
    """Print lines as they are, each on a line of its own however long it is.

    Args:
        lines: Anything; what a terminal would not show stands as an escape.
        err: Whether to standard error.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = stream.encoding or "utf-8"
    for line in lines:
        print(printable(line).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def console(*, err: bool = False, **options: Any) -> Console:
    """A console on which text is only text."""
    return Console(stderr=err, highlight=False, markup=False, emoji=False, **options)


def show(*renderables: RenderableType, **options: Any) -> None:
    """Print tables and texts on standard output."""
    where = console(**options)
    for renderable in renderables:
        where.print(renderable)


def grid(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    left: Iterable[str] = (),
    **options: Any,
) -> Table:
    """A table of plain cells.

    Args:
        headings: Of its columns.
        rows: A cell for each; `Text` keeps its style, anything else is shown as text.
        title: Above it.
        left: Headings of columns that are aligned to the left; the others hold numbers.
        options: Passed on to rich.
    """
    table = Table(title=None if title is None else plain(title), **options)
    for heading in headings:
        table.add_column(plain(heading), justify="left" if heading in tuple(left) else "right")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def plain(content: object, style: str = "") -> Text:
    """Content as text without markup, made printable."""
    if isinstance(content, Text):
        return content
    return Text(printable(content), style=style)


def bars(*columns: ProgressColumn, shown: bool = True) -> Progress:
    """Progress bars on standard error, described in plain text; nothing where that is no terminal."""
    where = console(err=True)
    described = TextColumn("{task.description}", markup=False)
    return Progress(described, BarColumn(), *columns, console=where, disable=not (shown and where.is_terminal))
