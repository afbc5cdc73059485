"""Between which bounds each factor's score falls at an output size, what is expected, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

import numpy as np
import pandas as pd

from vergence.checks import at_least, non_negative
from vergence.errors import ConfigError, FactorError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.theory.amplitudes import threshold
from vergence.theory.keeping import strongest
from vergence.theory.outcomes import Measured, Prediction, as_measured
from vergence.theory.spectra import spectrum

_EQUAL = 1e-9  # strengths closer than this are equal


def predict(
    space: FactorSpace,
    misalignment: Misalignment | pd.DataFrame,
    *,
    encoding_size: int,
    oracle: Mapping[str, float] | Callable[[frozenset[str]], Mapping[str, float]] | None = None,
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
      ([almudevar2025], sufficiency). No theorem speaks of the rest. Expected is that outputs go to stronger directions
      first, as `kept` counts them: a factor of strength 0 is held only once all others are; a weak one with no more
      outputs than there are stronger factors at most in the proportion of its strength; one that has outputs left at
      least as far as a single text tells of it (σ²). In between, nothing is known: values may sit in few outputs.

    A factor counts as one dimension in the theorem, as in the paper's experiments, and in what it can fill as its
    directions: one if continuous, k - 1 if it has k values. A bottleneck of weight β removes what is not
    stronger than `threshold(β, τ)` (a local result for squared distances at temperature τ, without a constraint on
    scale).

    Args:
        space: All factors.
        misalignment: What the text says of them; or their spectrum, as `spectrum` gives it, whose intervals widen the
            bounds to what holds for any strengths in them.
        encoding_size: Output size of the encoders, n, at least 1.
        oracle: For each factor outside the block, the score of its best predictor from the block; 0 if `None`, which is
            true of independent factors. Where n > b one may be missing, and counts as 0. Or a function of the block,
            where intervals leave several.
        floor: By factor, the score before any training: a number, `Measured`, or a mapping with value, low and high; 0
            if `None`.
        ceiling: The same for training with the labels; 1 if `None`.
        bottleneck: β, at least 0.
        temperature: τ, above 0; needed where β is not 0.

    Returns:
        A prediction for each factor of the space.

    Raises:
        ConfigError: If the output size is below 1, the bottleneck below 0, or it comes without a temperature.
        FactorError: If the misalignment does not fit the space, or spectrum, oracle, floor or ceiling lack a factor.

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
    non_negative("bottleneck", bottleneck)
    if bottleneck and temperature is None:
        raise ConfigError("a bottleneck acts relative to the temperature; pass temperature=, above 0")
    least = threshold(bottleneck, temperature) if temperature is not None else 0.0
    given = spectrum(misalignment, space) if isinstance(misalignment, Misalignment) else misalignment
    directions = _Directions.of(given, space)
    tell = oracle if callable(oracle) else None
    predictions = {}
    for name in space:
        ends = _score("floor", floor, name, 0.0), _score("ceiling", ceiling, name, 1.0)
        several = []
        for strengths in directions.cases(name):
            passing = np.where(strengths <= least, 0.0, strengths)
            block = directions.block(passing)
            known = tell(block) if tell is not None else oracle
            assert not callable(known)
            if known is not None and name not in known and name not in block and encoding_size <= len(block):
                raise FactorError(
                    f"the oracle lacks {name!r}, a factor outside the block; pass what oracle_scores returns"
                )
            scale = _Scale(*ends, 1.0 if name in block else float((known or {}).get(name, 0.0)), floor is not None)
            if name in block:
                several.append(_inside(scale, encoding_size, len(block)))
            elif encoding_size <= len(block):
                several.append(_outside(scale, encoding_size, len(block)))
            else:
                several.append(_spare(scale, encoding_size, name, directions, passing, cut=least))
        predictions[name] = _either(several)
    return predictions


@dataclass(frozen=True, eq=False)
class _Directions:
    """Those of single factors, by the factor they are of; strengths and the ends of their intervals."""

    owner: np.ndarray
    room: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, space: FactorSpace) -> "_Directions":
        single = table[(table["order"] == 1) & (table["factors"].map(len) == 1)]
        owner = np.array([names[0] for names in single["factors"]], dtype=object)
        for name in space:
            if name not in owner:
                raise FactorError(
                    f"the spectrum lacks {name!r}; it has: {', '.join(dict.fromkeys(owner)) or 'nothing'}"
                )
        known = np.isin(owner, space.names)
        low, high = (single[end if end in single else "strength"].to_numpy(dtype=float) for end in ("low", "high"))
        return cls(owner[known], single["multiplicity"].to_numpy(dtype=float)[known], low[known], high[known])

    def cases(self, name: str) -> list[np.ndarray]:
        """Strengths at the ends of their intervals: of the factor itself, and of all others alike."""
        own = self.owner == name
        found = [np.where(own, mine, others) for mine in (self.low, self.high) for others in (self.low, self.high)]
        return [one for place, one in enumerate(found) if not any(_same(one, other) for other in found[:place])]

    def block(self, strengths: np.ndarray) -> frozenset[str]:
        """Factors all of whose directions have strength 1."""
        outside = set(self.owner[~(strengths >= 1 - _EQUAL)])
        return frozenset(self.owner) - outside


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


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


def _spare(
    scale: _Scale, n: int, name: str, directions: _Directions, strengths: np.ndarray, *, cut: float
) -> Prediction:
    """Outside the block, with outputs to spare: expected, not proved, but for what is never below or above."""
    low, untouched = scale.untaught
    own = directions.owner == name
    sigma = float(strengths[own].max())
    if isnan(sigma):
        reason = "how often captions get it wrong is not stated, so spare outputs may hold all or nothing of it"
        return scale.prediction(low, 1.0, None, reason, proved=True)
    taught = directions.room[strengths > 0].sum()
    if sigma == 0:
        reason = "captions teach nothing of it (strength 0), and what they teach of others can fill the outputs"
        expected = max(scale.told, scale.floor.value)
        if n <= taught:
            return scale.prediction(low, untouched, expected, reason, proved=False)
        if cut > 0:
            reason = (
                f"captions teach it no more strongly than {cut:.2f}, below which the bottleneck takes its share of the "
                "variance; of traces that are left a probe may still read it"
            )
            return scale.prediction(low, 1.0, expected, reason, proved=False)
        reason = f"captions teach nothing of it, but {_outputs(n)} are more than what they teach of others fills"
        return scale.prediction(low, 1.0, None, reason, proved=True)
    weakly = f"captions teach it weakly (strength {sigma:.2f})"
    stated = np.where(np.isnan(strengths), 0.0, strengths)
    held = strongest(stated, np.where(stated > 0, directions.room, 0.0), float(n))
    share = float(held[own].sum() / directions.room[own & (stated > 0)].sum())
    if share == 0:
        stronger = frozenset(directions.owner[stated > sigma + _EQUAL])
        if n > len(stronger):  # k values may sit in fewer outputs than they have directions
            reason = f"{weakly}; {len(stronger)} stronger factors can fill the outputs, but may need fewer"
            return scale.prediction(low, 1.0, None, reason, proved=True)
        beyond = sigma * (scale.ceiling.interval[1] - scale.floor.interval[1])
        high, expected = max(untouched, scale.floor.interval[1] + beyond), max(scale.told, scale.floor.value)
        reason = f"{weakly}, and stronger factors can fill the outputs"
        return scale.prediction(low, high, expected, reason, proved=False)
    if share < 1 - _EQUAL:
        reason = f"{weakly}, as they do others, and not all of them fit"
        return scale.prediction(low, 1.0, scale.at(share), reason, proved=False)
    reason = f"{weakly}, and the outputs suffice for it"
    return scale.prediction(max(low, scale.at(sigma**2)), 1.0, scale.ceiling.value, reason, proved=False)


def _either(several: Sequence[Prediction]) -> Prediction:
    """What holds if one of these does."""
    first = several[0]
    if all(one == first for one in several):
        return first
    reasons = "; or ".join(dict.fromkeys(one.reason for one in several))
    expected = {one.expected for one in several}
    return Prediction(
        low=min(one.low for one in several),
        high=max(one.high for one in several),
        expected=expected.pop() if len(expected) == 1 else None,
        reason=f"the interval of strengths leaves several cases: {reasons}" if "; or " in reasons else reasons,
        proved=all(one.proved for one in several),
        floor=first.floor,
        ceiling=first.ceiling,
    )


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
