"""Pages that stand alone: how their templates are filled, and the page that every study has.

Texts from data are escaped, no control character reaches a page, and a page asks the network for nothing: it carries
everything that it shows, and a content security policy holds it to that.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vergence.plots.style import INK, MUTED, PALETTE, PAPER, RULE, SHADE
from vergence.terminal import printable

_KEPT = "\n\t"  # white space on a page
_MOST_ROWS = 400  # of a table on a page

# Colour in light, colour in dark; the figures' files keep the light ones.
_THEME = MappingProxyType(
    {
        INK: "#e8eaed",
        MUTED: "#a2aab4",
        RULE: "#363c44",
        SHADE: "#262c34",
        PAPER: "#14171b",
        **dict(zip(PALETTE, ("#4db3f0", "#ff8a4c", "#2fc89a", "#e79cc6", "#8fd0f5", "#f5bd4a"), strict=True)),
    }
)
_FONTS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        body: What stands under it, as `grid`, `picture` and `prose` make it, or a template filled by `environment`.
    """

    title: str
    body: Markup


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


def build_page(
    *,
    kicker: str,
    headline: str,
    lede: str,
    claims: Sequence[Mapping[str, Any]],
    sections: Sequence[Section],
    about: Mapping[str, object],
    notes: Sequence[str] = (),
    first: Sequence[Section] = (),
) -> str:
    """Lay out the page of a study: the finding, its claims with bounds and outcomes, then what the study shows.

    Args:
        kicker: A line above the headline: which study, when.
        headline: The finding.
        lede: What stands behind it, in a sentence or two.
        claims: Records: statement, measured, at_least, at_most, where, outcome ("holds", "fails" or `None`).
        sections: What follows, in order.
        about: How it was made, by what each entry is called: command, versions, seeds.
        notes: What the reader must know before believing it.
        first: What stands before the claims.

    Returns:
        HTML that needs no other file and no network.
    """
    by_outcome = {key: [claim for claim in claims if claim["outcome"] == key] for key in ("fails", "holds", None)}
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            kicker=kicker,
            headline=headline,
            lede=lede,
            notes=notes,
            bounded=[*by_outcome["fails"], *by_outcome["holds"]],
            described=by_outcome[None],
            sections=sections,
            first=first,
            about=about,
        )
    )


def prose(*paragraphs: str) -> Markup:
    """Paragraphs."""
    return Markup("\n").join(Markup("<p>{}</p>").format(_clean(text)) for text in paragraphs)


def grid(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, label: str, numbers: Sequence[str] = ()
) -> Markup:
    """A table that scrolls where it is wider than the page; the first cell of each row is its heading.

    Args:
        headings: Of its columns.
        rows: A cell for each; `Markup` stays markup, everything else is escaped.
        label: What a screen reader calls it.
        numbers: Headings of columns that are aligned to the right.
    """
    right = [' class="number"' if heading in numbers else "" for heading in headings]
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(Markup(kind), _clean(heading))
        for kind, heading in zip(right, headings, strict=True)
    )
    body = []
    for first, *others in rows:
        cells = [
            Markup("<td{}>{}</td>").format(Markup(kind), _clean(cell))
            for kind, cell in zip(right[1:], others, strict=True)
        ]
        body.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(_clean(first), Markup("").join(cells)))
    return Markup(
        '<div class="scroll" role="region" aria-label="{}" tabindex="0"><table class="dense"><thead><tr>{}</tr></thead>'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(_clean(label), head, Markup("\n").join(body))


def picture(wide: str, narrow: str, *, caption: str) -> Markup:
    """A figure that follows the page's colours.

    Args:
        wide: SVG for a wide page.
        narrow: The same for a narrow one.
        caption: Says what it shows, also to who cannot see it.
    """
    return Markup(
        '<figure class="plot"><picture><source media="(min-width: 56rem), print" srcset="{}">'
        '<img src="{}" alt="{}"></picture><figcaption>{}</figcaption></figure>'
    ).format(
        data_uri("image/svg+xml", themed(wide).encode()),
        data_uri("image/svg+xml", themed(narrow).encode()),
        _clean(caption),
        _clean(caption),
    )


def comparison(table: pd.DataFrame, *, settings: Sequence[str], of: str | None = None) -> Markup:
    """What was measured beside what was predicted, by setting: mean and range over the rest of the table.

    Args:
        table: Of a study.
        settings: Columns that tell the rows of the page apart, seeds not among them.
        of: Column that says what was measured; role where the table has it, else factor.

    Returns:
        A table of at most 400 rows; it says so if there are more.
    """
    if table.empty:
        return prose("The table is empty.")
    by = ["side", *(name for name in settings if name != "seed"), of or ("role" if "role" in table else "factor")]
    reasons = list(dict.fromkeys(table["reason"].dropna()))
    rows = []
    for keys, part in table.sort_values("side", kind="stable").groupby(by, sort=False, dropna=False):
        values, low, high = part["value"].dropna(), part["predicted_low"].mean(), part["predicted_high"].mean()
        numbers = ", ".join(str(reasons.index(reason) + 1) for reason in dict.fromkeys(part["reason"].dropna()))
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in part["outcome"].value_counts().items())
        measured = "–" if values.empty else _score(values.mean()), _range(values.min(), values.max())
        rows.append([*(_plain(key) for key in keys), *measured, _range(low, high), outcomes, numbers])
    headings = [name.replace("_", " ") for name in by]
    shown = grid(
        [*headings, "mean", "range", "predicted", "outcomes", "why"],
        rows[:_MOST_ROWS],
        label="Measured beside predicted",
        numbers=("mean", "range", "predicted"),
    )
    if len(rows) > _MOST_ROWS:
        shown = prose(f"The first {_MOST_ROWS} of {len(rows):,} rows; all are in table.parquet.") + shown
    return shown + why(reasons)


def why(reasons: Sequence[str]) -> Markup:
    """Reasons of predictions, numbered from 1, below the table that names them by number."""
    listed = Markup("").join(Markup("<li>{}</li>").format(_clean(reason)) for reason in reasons)
    return Markup('<p>Why it was predicted so:</p><ol class="prose">{}</ol>').format(listed)


def data_uri(kind: str, content: bytes) -> str:
    """A file as the address of itself."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def themed(figure: str) -> str:
    """Let a figure follow the reader's choice of a light or a dark page, and use the reader's typeface."""
    names = {light: f"--c{position}" for position, light in enumerate(_THEME)}
    for light, name in names.items():
        figure = figure.replace(light, f"var({name})")
    figure = figure.replace("'DejaVu Sans'", _FONTS)
    light_rule, dark_rule = (
        "".join(f"{name}:{colour};" for name, colour in zip(names.values(), colours, strict=True))
        for colours in (_THEME.keys(), _THEME.values())
    )
    style = f"<style>svg{{{light_rule}}}@media(prefers-color-scheme:dark){{svg{{{dark_rule}}}}}</style>"
    return re.sub(r"(<svg\b[^>]*>)", lambda match: match[1] + style, figure, count=1)


def _score(value: float) -> str:
    """Two digits, with a minus that is one, and no 0 below 0."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def _range(low: float, high: float) -> str:
    if pd.isna(low) or pd.isna(high):
        return "–"
    ends = dict.fromkeys((_score(low), _score(high)))
    return " to ".join(ends).replace(" ", "\N{NO-BREAK SPACE}")


def _plain(key: object) -> object:
    if isinstance(key, bool | np.bool_):
        return "yes" if key else "no"
    return f"{key:g}" if isinstance(key, float) else key


def _clean(value: object) -> Markup:
    return _shown(value) if isinstance(value, Markup) else escape(printable(value, keep=_KEPT))


def _shown(value: Any) -> Any:
    """A value as the page shows it; what is markup already stays markup."""
    if isinstance(value, Markup):
        return Markup(printable(value, keep=_KEPT))
    return printable(value, keep=_KEPT)
