"""The report of a caption audit: one page that stands alone, on a terminal a table.

Every text that came from captions or a lexicon passes an escaping template. The page's only script sorts the table; a
content security policy admits it by its digest and nothing else.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import ceil, floor, log10
from typing import Any

import pandas as pd
from rich.table import Table

from vergence.corpus import BiasEstimate
from vergence.corpus.estimate import NOT_ASSESSABLE
from vergence.reports.bias import RATES, estimate_lines, factor_rows, said_by_shown_tables
from vergence.reports.findings import Findings, conditions, findings, percent, sampled
from vergence.reports.page import environment
from vergence.terminal import grid

_WORDS = 40  # of those that no concept covers, on the page
_SPAN = 30  # shares that span more are shown on a logarithmic scale

_SCRIPT = """
document.querySelectorAll("table.sortable thead button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    head.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent.trim();
    const compare = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b;
    [...body.rows].sort((a, b) => compare(value(a), value(b)) * (down ? -1 : 1)).forEach((row) => body.append(row));
  });
});
"""


def audit_html(
    coverage: Mapping[str, Any], *, estimate: BiasEstimate | None = None, forecast: pd.DataFrame | None = None
) -> str:
    """The page of an audit.

    Args:
        coverage: What `coverage.json` holds.
        estimate: What captions omit and get wrong, if image labels were given.
        forecast: What follows from the estimate, as `vergence.corpus.forecast` gives it.

    Returns:
        One HTML page that needs no other file and no network.

    Example:
        >>> from vergence.corpus import Coverage, concepts_146
        >>> coverage = Coverage(concepts_146())
        >>> coverage.add(["<script>alert(1)</script> dog"])
        >>> "&lt;script&gt;alert(1)&lt;/script&gt; dog" in audit_html(coverage.to_dict())
        True
    """
    page = environment()
    page.filters |= {"percent": lambda share: _unbroken(percent(share)), "unbroken": _unbroken}
    said = coverage.get("forecast", {"encoding_size": None, "statements": []})
    groups, axis = group_bars(coverage["groups"])
    return page.get_template("audit.html.j2").render(
        coverage=coverage,
        concepts=sorted(coverage["concepts"], key=lambda row: (row["share"], row["group"], row["concept"])),
        groups=groups,
        axis=axis,
        finding=findings(coverage, estimate, said),
        sampled=sampled(coverage["sample"]),
        words=coverage["uncovered_words"][:_WORDS],
        script=_SCRIPT,
        digest=b64encode(sha256(_SCRIPT.encode()).digest()).decode(),
        factors=[] if estimate is None or forecast is None else factor_rows(estimate, forecast),
        level=None if estimate is None else estimate.level,
        rates=list(RATES.values()),
        not_assessable=NOT_ASSESSABLE,
        lines=[] if estimate is None else estimate_lines(estimate),
        tables=[] if estimate is None else list(said_by_shown_tables(estimate)),
        at=conditions(said),
        n=coverage["captions"],
    )


def _unbroken(text: str) -> str:
    """A text in which no line ends between a number and its sign."""
    return text.replace(" %", "\xa0%")


def group_bars(groups: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The widths of bars for shares, and the axis that they are on: linear, unless the shares span more than 1 to 30.

    Args:
        groups: Records with a share, in [0, 1].

    Returns:
        The records, the smallest first, each with a width in percent; and the axis: `scale` in words, `ticks` with `at`
        in percent and a `label`.

    Example:
        >>> rows, axis = group_bars([{"share": 1.0}, {"share": 0.01}, {"share": 0.0}])
        >>> [round(row["width"]) for row in rows], [tick["label"] for tick in axis["ticks"]]
        ([0, 33, 100], ['0.10 %', '1.0 %', '10 %', '100 %'])
    """
    rows = sorted(groups, key=lambda row: row["share"])
    positive = [row["share"] for row in rows if row["share"] > 0]
    if not positive or positive[-1] <= _SPAN * positive[0]:
        step, top = _linear(positive[-1] if positive else 1.0)
        ticks = [{"at": 100 * k * step / top, "label": percent(k * step)} for k in range(round(top / step) + 1)]
        bars = [{**row, "width": 100 * row["share"] / top} for row in rows]
        return bars, {"scale": "linear scale from 0", "ticks": ticks}
    decades = max(1, ceil(0.05 - log10(positive[0])))  # a little room, so that the shortest bar can be seen
    ticks = [{"at": 100 * (1 - k / decades), "label": percent(10.0**-k)} for k in range(decades, -1, -1)]
    bars = [{**row, "width": 0.0 if row["share"] == 0 else 100 * (1 + log10(row["share"]) / decades)} for row in rows]
    return bars, {"scale": "logarithmic scale: each mark is ten times the one before it", "ticks": ticks}


def _linear(most: float) -> tuple[float, float]:
    """The step and the end of a linear axis that holds a share and has two to five steps."""
    power = 10.0 ** floor(log10(most))
    step = next(step for step in (0.2 * power, 0.5 * power, power, 2 * power, 5 * power) if most <= 5 * step + 1e-12)
    top = step * ceil(most / step - 1e-9)
    return step, top


def finding_table(found: Findings) -> Table:
    """The points of what was found, for a terminal."""
    table = grid(("", " "), found.points, left=("", " "), show_header=False, pad_edge=False)
    table.columns[0].max_width = 22
    return table


def audit_table(coverage: Mapping[str, Any]) -> Table:
    """The groups of an audit for a terminal, the least covered first."""
    rows = []
    for row in sorted(coverage["groups"], key=lambda row: row["share"]):
        own = [concept for concept in coverage["concepts"] if concept["group"] == row["group"]]
        least = sorted(own, key=lambda concept: concept["share"])[:3]
        said = ", ".join(concept["concept"] for concept in least)
        interval = f"{percent(row['low']).removesuffix(' %')} to {percent(row['high'])}"
        rows.append((row["group"], f"{row['captions']:,}", percent(row["share"]), interval, said))
    headings = ("group", "captions", "mentioned in", "95 % interval", "least mentioned concepts")
    return grid(headings, rows, left=headings, pad_edge=False)
