r"""The theorem, once: between which bounds each factor's score falls, and why; and what a measurement makes of that.

[cai2025] Thm 4.1 speaks of one output size, that of the block $I_\theta \setminus I_\rho$. Elsewhere a factor's
*strength* orders what a representation keeps: the largest correlation between a reading of the image and a reading of
the text that are both of that factor. It is 1 in the block, 0 for what is never mentioned, in between for the rest.
Every prediction says whether its bounds are proved or expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, isnan, nan, sqrt
from typing import Any

import numpy as np

from vergence.channels import AdditiveNoise, Redraw, Unstated
from vergence.checks import at_least, non_negative, positive
from vergence.errors import ConfigError, FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment

_EQUAL = 1e-9  # strengths closer than this are equal


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


def strength(space: FactorSpace, misalignment: Misalignment, name: str) -> float:
    r"""Correlation of the best reading of a factor in the image with the best reading of it in the text.

    Of the singular values of $p(\text{said}, \text{shown}) / \sqrt{p(\text{said})\, p(\text{shown})}$ the largest but
    the first, which is 1. "Nothing said" is one of the things said. Mentioned with probability q and
    redrawn uniformly with probability ρ, it is $\sqrt q\,(1 - ρ)$; a continuous factor of unit variance under noise of
    variance v with probability p has at least $1 / \sqrt{1 + p v}$ of it, by its linear reading. Values count as
    equally frequent. Source: maximal correlation [renyi1959].

    Args:
        space: All factors.
        misalignment: What the text says of them.
        name: Which factor.

    Returns:
        In [0, 1]; NaN where the misalignment does not state it: for a channel of its own kind, or a rate that is a
        function.

    Raises:
        FactorError: If the factor is unknown, or the misalignment does not fit the space.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("size", ("small", "large")),))
        >>> round(strength(space, Misalignment.of_rates({"size": 0.64}, redraw={"size": 0.5}), "size"), 6)
        0.4
    """
    factor = space[name]
    misalignment.check(space)
    if name not in misalignment.selected:
        return 0.0
    rate, channel = misalignment.mention[name], misalignment.channels.get(name)
    if channel is None and rate == 1.0:
        return 1.0
    if callable(rate) or isinstance(channel, Unstated):
        return nan
    if factor.values is not None:
        k = len(factor.values)
        said = np.eye(k) if channel is None else channel.table(factor)
        return nan if said is None else _largest(np.asarray(said), np.broadcast_to(rate, k))
    assert isinstance(rate, float)  # a continuous factor has no rates per value
    if channel is None:
        return sqrt(rate)
    if isinstance(channel, Redraw):
        return sqrt(rate) * (1 - channel.probability)
    if isinstance(channel, AdditiveNoise):
        place = space.names.index(name)
        variance = channel.scale**2 * (1.0 if channel.covariance is None else float(channel.covariance[place, place]))
        return sqrt(rate / (1 + channel.probability * variance))
    return nan


def predict(
    space: FactorSpace,
    misalignment: Misalignment,
    *,
    encoding_size: int,
    oracle: Mapping[str, float] | None = None,
    floor: Mapping[str, Any] | None = None,
    ceiling: Mapping[str, Any] | None = None,
    bottleneck: float = 0.0,
    temperature: float | None = None,
) -> dict[str, Prediction]:
    r"""Predict the score of every factor, read from the image's representation, at an output size.

    With the block of the b factors of strength 1 ($I_\theta \setminus I_\rho$, always mentioned) and n outputs:

    - n = b: the block is kept wholly, and of everything else what the block tells, the oracle ([cai2025] Thm 4.1);
    - n < b: at most n dimensions of the block are kept, and no theorem says which; the rest is bounded by the oracle;
    - n > b: the block is kept wholly, since a contrastive loss maximises a bound of the shared information
      ([almudevar2025], sufficiency). No theorem speaks of the rest. Expected is that outputs go to stronger factors
      first: one of strength 0 is held only once all others are; a weak one below stronger ones at most in the
      proportion of its strength; one that has outputs left at least as far as a single text tells of it (σ²).

    A factor counts as one dimension in the theorem, as in the paper's experiments, and in what stronger factors may
    fill as one if continuous and k - 1 if it has k values. A bottleneck of weight β removes what is not stronger than
    $\sigma^* = βτ / (1 + βτ)$ (a local result for squared distances at temperature τ, without a constraint on scale).

    Args:
        space: All factors.
        misalignment: What the text says of them.
        encoding_size: Output size of the encoders, n, at least 1.
        oracle: For each factor outside the block, the score of its best predictor from the block; 0 if `None`, which is
            true of independent factors. Where n > b one may be missing, and counts as 0.
        floor: By factor, the score before any training: a number, `Measured`, or a mapping with value, low and high; 0
            if `None`.
        ceiling: The same for training with the labels; 1 if `None`.
        bottleneck: β, at least 0.
        temperature: τ, above 0; needed where β is not 0.

    Returns:
        A prediction for each factor of the space.

    Raises:
        ConfigError: If the output size is below 1, the bottleneck below 0, or it comes without a temperature.
        FactorError: If the misalignment does not fit the space, or oracle, floor or ceiling lack a factor.

    Example:
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape"), Factor("tone")))
        >>> for n in (1, 2):
        ...     told = predict(space, Misalignment({"shape"}), encoding_size=n)
        ...     print([(name, one.low, one.high) for name, one in told.items()])
        [('shape', 1.0, 1.0), ('tone', 0.0, 0.0)]
        [('shape', 1.0, 1.0), ('tone', 0.0, 1.0)]
    """
    at_least("encoding_size", encoding_size, 1)
    misalignment.check(space)
    strengths = _above(space, misalignment, bottleneck=bottleneck, temperature=temperature)
    block = [name for name, sigma in strengths.items() if sigma >= 1 - _EQUAL]
    predictions = {}
    for name in space:
        ends = _score("floor", floor, name, 0.0), _score("ceiling", ceiling, name, 1.0)
        if name in block:
            predictions[name] = _inside(_Scale(*ends, 1.0, floor is not None), encoding_size, len(block))
            continue
        if oracle is not None and name not in oracle and encoding_size <= len(block):
            raise FactorError(f"the oracle lacks {name!r}, a factor outside the block; pass what oracle_scores returns")
        scale = _Scale(*ends, float((oracle or {}).get(name, 0.0)), floor is not None)
        if encoding_size <= len(block):
            predictions[name] = _outside(scale, encoding_size, len(block))
        else:
            others = {other: one for other, one in strengths.items() if other != name}
            room = {other: _dimensions(space, other) for other in space}
            predictions[name] = _spare(scale, encoding_size, strengths[name], others, room)
    return predictions


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
        >>> from vergence import Factor
        >>> space = FactorSpace((Factor("shape"), Factor("tone")))
        >>> said = predict(space, Misalignment({"shape"}), encoding_size=1)
        >>> judge(said["shape"], Measured(0.97, 0.9, 1.0)).value, judge(said["tone"], 0.4).value
        ('as predicted', 'above the prediction')
    """
    non_negative("margin", margin)
    found = _measured(measured)
    if found is None or not isfinite(found.value):
        return Outcome.UNMEASURED
    if prediction.is_open:
        return Outcome.OPEN
    low, high = found.interval
    if high + margin < prediction.low:
        return Outcome.BELOW
    return Outcome.ABOVE if low - margin > prediction.high else Outcome.AGREES


@dataclass(frozen=True)
class _Scale:
    """What an encoder scores before training and when trained with the labels; and what the block tells."""

    floor: Measured
    ceiling: Measured
    told: float
    has_floor: bool

    @property
    def untaught(self) -> tuple[float, float]:
        """Between what the block tells and what an untrained encoder has."""
        low, high = self.floor.interval
        return (min(self.told, low), max(self.told, high)) if self.has_floor else (self.told, self.told)

    def at(self, share: float) -> float:
        return self.floor.value + share * (self.ceiling.value - self.floor.value)

    def prediction(self, low: float, high: float, expected: float | None, reason: str, *, proved: bool) -> Prediction:
        if self.ceiling.value <= self.floor.value:
            low, high, expected = min(low, self.floor.interval[0]), max(high, self.ceiling.interval[1]), None
            reason = "trained with its labels, the encoder tells no more of it than untrained: nothing can be seen here"
        return Prediction(
            low=low, high=high, expected=expected, reason=reason, proved=proved, floor=self.floor, ceiling=self.ceiling
        )


def _above(
    space: FactorSpace, misalignment: Misalignment, *, bottleneck: float, temperature: float | None
) -> dict[str, float]:
    """Strength by factor, 0 where a bottleneck removes it; NaN where it is not known."""
    non_negative("bottleneck", bottleneck)
    threshold = 0.0
    if bottleneck:
        if temperature is None:
            raise ConfigError("a bottleneck acts relative to the temperature; pass temperature=, above 0")
        positive("temperature", temperature)
        threshold = bottleneck * temperature / (1 + bottleneck * temperature)
    found = {name: strength(space, misalignment, name) for name in space}
    return {name: 0.0 if sigma <= threshold else sigma for name, sigma in found.items()}


def _inside(scale: _Scale, n: int, block: int) -> Prediction:
    if n >= block:
        reason = "captions always mention it and get it right, and the outputs suffice for all such factors"
        return scale.prediction(scale.ceiling.interval[0], 1.0, scale.ceiling.value, reason, proved=True)
    reason = f"captions always mention it and get it right, but {_outputs(n)} hold at most {n} of {block} such factors"
    return scale.prediction(min(0.0, scale.floor.interval[0]), 1.0, scale.at(n / block), reason, proved=True)


def _outside(scale: _Scale, n: int, block: int) -> Prediction:
    """Outside the block, and no output to spare."""
    low, high = scale.untaught
    reason = "captions leave it out or get it wrong, and the outputs leave no room beyond what they always get right"
    if scale.told > 0:
        reason += f"; other factors tell {scale.told:.2f} of it"
    if n < block:
        return scale.prediction(min(low, 0.0), high, None, reason, proved=True)
    return scale.prediction(low, high, scale.told, reason, proved=True)


def _spare(scale: _Scale, n: int, sigma: float, others: Mapping[str, float], room: Mapping[str, int]) -> Prediction:
    """Outside the block, with outputs to spare: expected, not proved, but for what is never below or above."""
    low, untouched = scale.untaught
    if isnan(sigma):
        reason = "how often captions get it wrong is not stated, so spare outputs may hold all or nothing of it"
        return scale.prediction(low, 1.0, None, reason, proved=True)
    stronger = sum(room[other] for other, one in others.items() if one > sigma + _EQUAL)
    if sigma == 0:
        if n <= stronger:
            reason = "captions teach nothing of it (strength 0), and what they teach of others can fill the outputs"
            return scale.prediction(low, untouched, max(scale.told, scale.floor.value), reason, proved=False)
        reason = f"captions teach nothing of it, but {_outputs(n)} are more than what they teach of others fills"
        return scale.prediction(low, 1.0, None, reason, proved=True)
    weakly = f"captions teach it weakly (strength {sigma:.2f})"
    equal = sum(size for other, size in room.items() if abs(others.get(other, sigma) - sigma) <= _EQUAL)
    if n <= stronger:
        beyond = sigma * (scale.ceiling.interval[1] - scale.floor.interval[1])
        high, expected = max(untouched, scale.floor.interval[1] + beyond), max(scale.told, scale.floor.value)
        reason = f"{weakly}, and stronger factors can fill the outputs"
        return scale.prediction(low, high, expected, reason, proved=False)
    if n < stronger + equal:
        reason = f"{weakly}, as they do others, and not all of them fit"
        return scale.prediction(low, 1.0, scale.at((n - stronger) / equal), reason, proved=False)
    reason = f"{weakly}, and the outputs suffice for it"
    return scale.prediction(max(low, scale.at(sigma**2)), 1.0, scale.ceiling.value, reason, proved=False)


def _largest(said: np.ndarray, rate: np.ndarray) -> float:
    """Largest singular value but the first, of a channel (said by shown) whose every value is mentioned at a rate."""
    joint = np.vstack([said * rate, 1 - rate]) / said.shape[1]
    joint = joint[joint.sum(axis=1) > 0]
    normalised = joint / np.sqrt(np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    values = np.linalg.svd(normalised, compute_uv=False)
    return float(np.clip(values[1], 0, 1)) if len(values) > 1 else 0.0


def _dimensions(space: FactorSpace, name: str) -> int:
    values = space[name].values
    return 1 if values is None else len(values) - 1


def _outputs(n: int) -> str:
    return f"{n} output{'' if n == 1 else 's'}"


def _score(what: str, scores: Mapping[str, Any] | None, name: str, otherwise: float) -> Measured:
    if scores is None:
        return Measured(otherwise)
    if name not in scores:
        raise FactorError(f"the {what} lacks {name!r}; it is known of: {', '.join(scores) or 'nothing'}")
    found = _measured(scores[name])
    if found is None or not isfinite(found.value):
        raise ConfigError(f"{what} of factor {name!r} must be a finite score; got {scores[name]!r}")
    return found


def _measured(given: Any) -> Measured | None:
    """A score in any of the forms that are allowed; `None` if there is none."""
    if given is None or isinstance(given, Measured):
        return given
    if isinstance(given, Mapping):
        if "value" not in given:
            raise ConfigError(f"a measurement needs a value; got {', '.join(map(str, given)) or 'nothing'}")
        ends = (None if given.get(end) is None else float(given[end]) for end in ("low", "high"))
        return None if given["value"] is None else Measured(float(given["value"]), *ends)
    return Measured(float(given))
