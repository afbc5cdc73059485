"""The report of a caption audit: one page that stands alone, on a terminal a table.

Every text that came from captions or a lexicon passes an escaping template. The page's only script sorts the table; a
content security policy admits it by its digest and nothing else.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from math import floor, isnan, log10
from typing import Any

from rich.table import Table

from vergence.corpus import BiasEstimate
from vergence.corpus.estimate import NOT_ASSESSABLE
from vergence.reports.bias import estimate_lines, said_by_shown_tables
from vergence.reports.page import environment
from vergence.terminal import grid

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


def audit_html(coverage: Mapping[str, Any], *, estimate: BiasEstimate | None = None) -> str:
    """The page of an audit.

    Args:
        coverage: What `coverage.json` holds.
        estimate: What captions omit and get wrong, if image labels were given.

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
    page.filters |= {"percent": percent}
    concepts = sorted(coverage["concepts"], key=lambda row: (row["share"], row["group"], row["concept"]))
    n = coverage["captions"]
    smallest = min((row["share"] for row in coverage["groups"] if row["share"] > 0), default=1.0)
    decades = max(1, -floor(log10(smallest)))
    groups = [
        {**row, "width": 0.0 if row["share"] == 0 else 100 * (1 + log10(row["share"]) / decades)}
        for row in sorted(coverage["groups"], key=lambda row: -row["share"])
    ]
    forecast = coverage.get("forecast", {"encoding_size": None, "statements": []})
    said = {row["factor"]: row for row in forecast["statements"]}
    nothing = {"statement": "", "reason": ""}
    return page.get_template("audit.html.j2").render(
        coverage=coverage,
        concepts=concepts,
        groups=groups,
        ticks=[{"at": 100 * (1 - k / decades), "label": percent(10.0**-k)} for k in range(decades, -1, -1)],
        absent=sum(row["captions"] == 0 for row in concepts),
        script=_SCRIPT,
        digest=b64encode(sha256(_SCRIPT.encode()).digest()).decode(),
        estimate=[]
        if estimate is None
        else [{**row, "forecast": said.get(row["factor"], nothing)} for row in estimate.factors.to_dict("records")],
        not_assessable=NOT_ASSESSABLE,
        lines=[] if estimate is None else estimate_lines(estimate),
        tables=[] if estimate is None else list(said_by_shown_tables(estimate)),
        encoding_size=forecast["encoding_size"],
        n=n,
    )


def audit_table(coverage: Mapping[str, Any]) -> Table:
    """The groups of an audit for a terminal, the least covered first."""
    rows = []
    for row in sorted(coverage["groups"], key=lambda row: row["share"]):
        own = [concept for concept in coverage["concepts"] if concept["group"] == row["group"]]
        least = sorted(own, key=lambda concept: concept["share"])[:3]
        said = ", ".join(f"{concept['concept']} {percent(concept['share'])}" for concept in least)
        interval = f"{percent(row['low'])} to {percent(row['high'])}"
        rows.append((row["group"], f"{row['captions']:,}", percent(row["share"]), interval, said))
    headings = ("group", "captions", "share", "95 % interval", "least covered concepts")
    return grid(headings, rows, left=headings, box=None, pad_edge=False)


def percent(share: float) -> str:
    """A share as a percentage with two significant digits, more above ten.

    Example:
        >>> percent(0.0216), percent(0.000003), percent(0.5), percent(0)
        ('2.2 %', '0.00030 %', '50 %', '0 %')
    """
    if isnan(share):
        return "–"
    if share == 0:
        return "0 %"
    digits = max(0, 1 - floor(log10(abs(share) * 100)))
    return f"{share * 100:.{digits}f} %"
