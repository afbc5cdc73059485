"""How numbers and names are written out."""

from collections.abc import Iterable, Sequence
from math import isfinite
from types import MappingProxyType

_METRICS = MappingProxyType({"matthews_corrcoef": "Matthews correlation", "r2_score": "R²", "r2": "R²"})


def show(value: float | None) -> str:
    """A score with two decimals and a true minus sign; a dash if it is missing.

    Example:
        >>> show(-0.124), show(-0.001), show(float("nan"))
        ('−0.12', '0.00', '–')
    """
    if value is None or not isfinite(value):
        return "–"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def spread(values: Iterable[float]) -> str:
    """Scores of several trainings as a range, or the one that there is.

    Example:
        >>> spread([0.17, 0.14, 0.21]), spread([0.8, 0.8])
        ('0.14 to 0.21', '0.80')
    """
    known = [value for value in values if isfinite(value)]
    ends = [show(end) for end in (min(known), max(known))] if known else [show(None)]
    return " to ".join(dict.fromkeys(ends))


def words(name: str) -> str:
    """A factor's name as a reader says it: "skin tone"."""
    return name.replace("_", " ")


def metric_name(metric: str) -> str:
    """A metric's name as a reader says it: "Matthews correlation"."""
    return _METRICS.get(metric, words(metric))


def listed(parts: Sequence[str]) -> str:
    """Join parts as prose does: "3, 16 and 64"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def capitalised(text: str) -> str:
    """The text with its first letter large and the rest untouched."""
    return text[:1].upper() + text[1:]
