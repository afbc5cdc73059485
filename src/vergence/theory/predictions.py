"""Between which bounds each factor's score falls at an output size, what is expected, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

from vergence.checks import at_least, non_negative, positive
from vergence.errors import ConfigError, FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.theory.outcomes import Measured, Prediction, as_measured
from vergence.theory.strengths import strength

_EQUAL = 1e-9  # strengths closer than this are equal


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
    found = as_measured(scores[name])
    if found is None or not isfinite(found.value):
        raise ConfigError(f"{what} of factor {name!r} must be a finite score; got {scores[name]!r}")
    return found
