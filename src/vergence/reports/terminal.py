"""The main table for a terminal."""

from rich.table import Table
from rich.text import Text

from vergence.reports.compare import metric_name, number, relate, show, words
from vergence.reports.tables import Results

_STYLES = {"agrees": "green", "disagrees": "yellow", "silent": "dim", "unmeasured": "dim"}


def table(results: Results) -> Table:
    """Lay out every policy and factor at the main size: measured, interval, predicted, verdict.

    Args:
        results: What `vergence demo` writes into `results.json`.

    Returns:
        A table that rich prints within 80 columns.

    Example:
        >>> from rich.console import Console
        >>> record = {"metric": "r2_score", "value": 0.97, "low": 0.91, "high": 1.0, "predicted": 1.0}
        >>> Console(width=80).print(table({"policies": {"faithful": {"factors": {"hue": record}}}}))
        captions  factor  measured  95 % interval  predicted  verdict
        faithful  hue         0.97   [0.91, 1.00]       1.00  as predicted
                             R² on unseen concepts
    """
    metrics = [record["metric"] for policy in results["policies"].values() for record in policy["factors"].values()]
    caption = ", ".join(dict.fromkeys(map(metric_name, metrics)))
    grid = Table(box=None, caption=f"{caption} on unseen concepts" if caption else None)
    for name in ("captions", "factor", "measured", "95 % interval", "predicted", "verdict"):
        grid.add_column(name, justify="right" if name in ("measured", "95 % interval", "predicted") else "left")
    for name, policy in results["policies"].items():
        for position, (factor, record) in enumerate(policy["factors"].items()):
            value, low, high, predicted = (number(record.get(key)) for key in ("value", "low", "high", "predicted"))
            status, relation = relate(record)
            # Text is taken as it is: a name in brackets is a name, not rich's markup.
            cells = (
                name if position == 0 else "",
                words(factor),
                show(value),
                "–" if low is None or high is None else f"[{show(low)}, {show(high)}]",
                "depends" if predicted is None else show(predicted),
            )
            grid.add_row(
                *map(Text, cells),
                Text(relation.removesuffix(" the prediction"), style=_STYLES[status]),
                end_section=position == len(policy["factors"]) - 1,
            )
    return grid
