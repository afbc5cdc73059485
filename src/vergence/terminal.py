"""The one place that prints: what came from files is shown as it is, and cannot command the terminal.

Names of files, columns, groups and concepts are users' data. Control characters in them appear as escapes, and nothing
in them is markup.
"""

import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from vergence.errors import OutputError

# Controls, separators of lines, changes of direction, invisible marks, halves of characters, what no page may hold.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)


def printable(text: object, *, keep: str = "") -> str:
    r"""A text in which every character that a terminal or a page would not show stands as an escape.

    Args:
        text: Anything; what it is as text.
        keep: Characters to leave as they are, such as line feeds in a page.

    Example:
        >>> print(printable("a\x1b[31mb\u202ec\nd"))
        a\x1b[31mb\u202ec\nd
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], str(text))


def say(*lines: object, err: bool = False) -> None:
    """Print lines as they are, each on a line of its own however long it is.

    Args:
        lines: Anything; what a terminal would not show stands as an escape.
        err: Whether to standard error.

    Raises:
        OutputError: If standard output is a file on a full disk.
        BrokenPipeError: If whoever read the output has ended.
    """
    _write("".join(f"{printable(line)}\n" for line in lines), sys.stderr if err else sys.stdout)


def show(*renderables: RenderableType, **options: Any) -> None:
    """Print tables and texts on standard output.

    Raises:
        OutputError: As `say` does.
        BrokenPipeError: As `say` does.
    """
    where = console(**options)
    for renderable in renderables:
        where.print(renderable)


def flush() -> None:
    """Hand over everything that has been printed.

    Raises:
        OutputError: As `say` does.
        BrokenPipeError: As `say` does.
    """
    _write("", sys.stdout)


def abandon() -> None:
    """Throw away what standard output did not take, so that the end of the process does not try once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def console(*, err: bool = False, **options: Any) -> Console:
    """A console on which text is only text."""
    stream = sys.stderr if err else sys.stdout
    file = None if stream is None else _Stream(stream)
    return _Console(**{"file": file, "highlight": False, "markup": False, "emoji": False, **options})


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
    options = {"box": None, "title_justify": "left", **options}  # without lines, more fits into 80 columns
    table = Table(title=None if title is None else plain(title), **options)
    to_the_left = tuple(left)
    for heading in headings:
        table.add_column(plain(heading), justify="left" if heading in to_the_left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def plain(content: object, style: str = "") -> Text:
    """Content as text without markup, made printable; `Text` stays as it is."""
    return content if isinstance(content, Text) else Text(printable(content), style=style)


def bars(*columns: ProgressColumn, shown: bool = True) -> Progress:
    """Progress bars on standard error, described in plain text; nothing where that is no terminal."""
    where = console(err=True)
    described = TextColumn("{task.description}", markup=False)
    return Progress(described, BarColumn(), *columns, console=where, disable=not (shown and where.is_terminal))


def plain_warnings() -> None:
    """Have warnings of this process said as every message is: one line, without the place in the source."""
    warnings.formatwarning = _warning


class _Console(Console):
    """Lets no control character through but its own, whatever the table, text or bar that holds it."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        shown = (
            part if part.control else Segment(printable(part.text, keep="\n"), part.style, part.control)
            for part in buffer
        )
        return super()._render_buffer(shown)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line."""
        raise  # noqa: PLE0704 - called where the error is handled


class _Stream:
    """A stream that is written to as `say` writes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        if text:
            _write(text, self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"vergence: warning: {printable(message)}\n"


def _write(text: str, stream: Any) -> None:
    """Write as far as the stream's encoding goes, escapes beyond it."""
    if stream is None:  # closed before this process began
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if stream is sys.stdout:
            abandon()
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error
