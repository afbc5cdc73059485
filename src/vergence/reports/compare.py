"""One measurement against one prediction, and how numbers and names are written out."""

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal

Status = Literal["agrees", "disagrees", "silent", "unmeasured"]

_METRICS = MappingProxyType({"matthews_corrcoef": "Matthews correlation", "r2_score": "R²"})


def compare(record: Mapping[str, Any], *, size: int | None = None) -> tuple[Status, str]:
    """Compare one measurement with its prediction, which is met when the interval of the measurement holds it.

    Args:
        record: value, low, high and predicted, of one factor under one policy; what is no number is missing.
        size: Output size of the encoders, named where theory is silent; unnamed if `None`.

    Returns:
        The verdict, and a phrase that gives the numbers behind it.

    Example:
        >>> compare({"value": 0.97, "low": 0.91, "high": 1.0, "predicted": 1.0})
        ('agrees', 'predicted 1.00, measured 0.97 [0.91, 1.00]: as predicted')
        >>> compare({"value": 0.26, "low": 0.2, "high": 0.3, "predicted": "size-dependent"}, size=16)
        ('silent', 'measured 0.26 [0.20, 0.30]; theory is silent at 16 outputs')
    """
    status, relation = relate(record)
    value, low, high, predicted = (number(record.get(key)) for key in ("value", "low", "high", "predicted"))
    if value is None:
        return status, "not measured"
    measured = f"measured {show(value)}" + ("" if low is None or high is None else f" [{show(low)}, {show(high)}]")
    if predicted is None:
        return status, f"{measured}; theory is silent" + ("" if size is None else f" at {outputs(size)}")
    return status, f"predicted {show(predicted)}, {measured}: {relation}"


def relate(record: Mapping[str, Any]) -> tuple[Status, str]:
    """Where a measurement lies, seen from its prediction.

    Args:
        record: value, low, high and predicted; what is no number is missing.

    Returns:
        The verdict, and a few words for it.

    Example:
        >>> relate({"value": 0.8, "low": 0.72, "high": 0.86, "predicted": 1.0})
        ('disagrees', 'below the prediction')
    """
    value, low, high, predicted = (number(record.get(key)) for key in ("value", "low", "high", "predicted"))
    if value is None:
        return "unmeasured", "not measured"
    if predicted is None:
        return "silent", "theory is silent"
    if low is None or high is None:
        return "unmeasured", "no interval, no verdict"
    if low <= predicted <= high:
        return "agrees", "as predicted"
    return "disagrees", "below the prediction" if high < predicted else "above the prediction"


def touching(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether the intervals of two records have a point in common; `None` if a limit is missing."""
    limits = [number(record.get(key)) for record in (one, other) for key in ("low", "high")]
    low, high, other_low, other_high = limits
    if low is None or high is None or other_low is None or other_high is None:
        return None
    return max(low, other_low) <= min(high, other_high)


def number(value: object) -> float | None:
    """The value as a finite float; `None` if it is missing, NaN, infinite or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def show(value: float | None) -> str:
    """A score with two decimals and a true minus sign; a dash if it is missing."""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def words(name: str) -> str:
    """A factor's name as a reader says it: "skin tone"."""
    return name.replace("_", " ")


def metric_name(metric: str) -> str:
    """A metric's name as a reader says it: "Matthews correlation"."""
    return _METRICS.get(metric, words(metric))


def outputs(size: int) -> str:
    """An output size as a reader says it: "16 outputs"."""
    return f"{size} output" + ("" if size == 1 else "s")


def listed(parts: list[str]) -> str:
    """Join parts as prose does: "3, 16 and 64"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def capitalised(text: str) -> str:
    """The text with its first letter large and the rest untouched."""
    return text[:1].upper() + text[1:]
