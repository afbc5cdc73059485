"""The main table for a terminal."""

from rich.table import Table

from vergence.reports.compare import metric_name, number, relate, show, words
from vergence.reports.tables import Results
from vergence.terminal import grid, plain

_HEADINGS = ("captions", "factor", "measured", "95 % interval", "predicted", "verdict")
_STYLES = {"agrees": "green", "disagrees": "yellow", "silent": "dim", "unmeasured": "dim"}


def table(results: Results) -> Table:
    """Lay out every policy and factor at the main size: measured, interval, predicted, verdict.

    Args:
        results: What `vergence demo` writes into `results.json`.

    Returns:
        A table that rich prints within 80 columns.

    Example:
        >>> from vergence.terminal import show as display
        >>> record = {"metric": "r2_score", "value": 0.97, "low": 0.91, "high": 1.0, "predicted": 1.0}
        >>> display(table({"policies": {"faithful": {"factors": {"hue": record}}}}), width=80)
        captions  factor  measured  95 % interval  predicted  verdict
        faithful  hue         0.97   [0.91, 1.00]       1.00  as predicted
                             R² on unseen concepts
    """
    metrics = [record["metric"] for policy in results["policies"].values() for record in policy["factors"].values()]
    caption = ", ".join(dict.fromkeys(map(metric_name, metrics)))
    rows: list[tuple[object, ...]] = []
    for name, policy in results["policies"].items():
        for position, (factor, record) in enumerate(policy["factors"].items()):
            value, low, high, predicted = (number(record.get(key)) for key in ("value", "low", "high", "predicted"))
            status, relation = relate(record)
            rows.append(
                (
                    name if position == 0 else "",
                    words(factor),
                    show(value),
                    "–" if low is None or high is None else f"[{show(low)}, {show(high)}]",
                    "depends" if predicted is None else show(predicted),
                    plain(relation.removesuffix(" the prediction"), style=_STYLES[status]),
                )
            )
    said = plain(f"{caption} on unseen concepts") if caption else None
    return grid(_HEADINGS, rows, left=("captions", "factor", "verdict"), box=None, caption=said)
