"""What a prediction is, what a measurement is, and what the one makes of the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, isnan, nan
from typing import Any

from vergence.checks import non_negative
from vergence.errors import ConfigError


class Outcome(StrEnum):
    """What a measurement makes of a prediction."""

    AGREES = "as predicted"
    BELOW = "below the prediction"
    ABOVE = "above the prediction"
    OPEN = "not determined"
    UNMEASURED = "not measured"


@dataclass(frozen=True)
class Measured:
    """A score with its interval.

    Args:
        value: The score; NaN if there is none.
        low: Lower end of its interval; the score itself if `None`.
        high: Upper end.

    Raises:
        ConfigError: If the ends are not in order.

    Example:
        >>> Measured(0.8).interval, Measured(0.8, 0.7, 0.9).interval
        ((0.8, 0.8), (0.7, 0.9))
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"an interval needs its lower end first; got {self.low} to {self.high}")

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        low, high = (self.value if end is None or isnan(end) else end for end in (self.low, self.high))
        return low, high


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Bounds of one factor's score, on the scale from floor to ceiling.

    Args:
        low: The score is at least this.
        high: And at most this.
        expected: What a large model with many pairs tends to; `None` where that is not known.
        reason: Why, in a sentence without its full stop.
        proved: Whether the bounds follow from a theorem; if not, they are expected, and the reason says so.
        floor: Score of an encoder before any training.
        ceiling: Score of the same encoder trained with the labels themselves.
    """

    low: float
    high: float
    expected: float | None
    reason: str
    proved: bool
    floor: Measured = Measured(0.0)
    ceiling: Measured = Measured(1.0)

    def __str__(self) -> str:
        bounds = f"{self.low:.2f}" if self.low == self.high else f"{self.low:.2f} to {self.high:.2f}"
        return f"{bounds}: {self.reason}"

    @property
    def is_open(self) -> bool:
        """Whether the bounds exclude nothing that lies between floor and ceiling."""
        return self.low <= self.floor.interval[0] and self.high >= self.ceiling.interval[1]

    def position(self, score: float) -> float:
        """Where a score lies between floor (0) and ceiling (1); NaN if they do not differ."""
        width = self.ceiling.value - self.floor.value
        return (score - self.floor.value) / width if width > 0 else nan


def judge(prediction: Prediction, measured: Any, *, margin: float = 0.0) -> Outcome:
    """Hold a measurement against its prediction.

    Args:
        prediction: From `predict`.
        measured: The score: a number, `Measured`, or a mapping with value and, if there is an interval, low and high.
        margin: How far outside the bounds an interval may end and still be as predicted: what training on a budget
            leaves, stated beforehand. At least 0.

    Returns:
        As predicted if interval and bounds, widened by the margin, have a point in common; below or above them
        otherwise; not determined if the bounds exclude nothing, not measured if there is no score.

    Raises:
        ConfigError: If the margin is below 0.

    Example:
        >>> from vergence import Factor, FactorSpace, Misalignment
        >>> from vergence.theory import predict
        >>> space = FactorSpace((Factor("shape"), Factor("tone")))
        >>> said = predict(space, Misalignment({"shape"}), encoding_size=1)
        >>> judge(said["shape"], Measured(0.97, 0.9, 1.0)).value, judge(said["tone"], 0.4).value
        ('as predicted', 'above the prediction')
    """
    non_negative("margin", margin)
    found = as_measured(measured)
    if found is None or not isfinite(found.value):
        return Outcome.UNMEASURED
    if prediction.is_open:
        return Outcome.OPEN
    low, high = found.interval
    if high + margin < prediction.low:
        return Outcome.BELOW
    return Outcome.ABOVE if low - margin > prediction.high else Outcome.AGREES


def as_measured(given: Any) -> Measured | None:
    """A score in any of the forms that are allowed; `None` if there is none."""
    if given is None or isinstance(given, Measured):
        return given
    if isinstance(given, Mapping):
        if "value" not in given:
            raise ConfigError(f"a measurement needs a value; got {', '.join(map(str, given)) or 'nothing'}")
        ends = (None if given.get(end) is None else float(given[end]) for end in ("low", "high"))
        return None if given["value"] is None else Measured(float(given["value"]), *ends)
    return Measured(float(given))
