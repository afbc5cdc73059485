"""What the study knows before it trains: rates estimated from captions and image labels alone, and what follows."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from vergence.corpus import BiasEstimate, Concept, Group, Lexicon, estimate_misalignment, forecast
from vergence.corpus.estimate import MENTIONED_AT, TOLERANCE
from vergence.data import STYLE, Policy
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.probes import oracle_scores
from vergence.studies.demo.corpus import caption, load_split
from vergence.studies.demo.spec import Recipe
from vergence.studies.demo.training import halves
from vergence.theory import Prediction, predict

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit of captions says of a training on them.

    Args:
        estimate: Rates with their intervals.
        space: All factors.
        told: For the smallest and the largest block that the intervals allow, what its true values tell of every other
            factor on unseen concepts.
    """

    estimate: BiasEstimate
    space: FactorSpace
    told: Mapping[frozenset[str], Mapping[str, float]]

    @property
    def block(self) -> frozenset[str]:
        """The unbiased block by the estimates alone."""
        return self.estimate.to_misalignment().unbiased

    def predict(self, *, encoding_size: int, floor: Any = None, ceiling: Any = None) -> dict[str, Prediction]:
        """Predict every factor's score, whichever block within the intervals is the true one.

        Args:
            encoding_size: Output size.
            floor: As for `theory.predict`.
            ceiling: Likewise.

        Returns:
            For each factor bounds that hold for all these blocks.
        """
        several = [
            predict(
                self.space, bias, encoding_size=encoding_size, oracle=self.told[block], floor=floor, ceiling=ceiling
            )
            for block, bias in self._possible()
        ]
        return {name: _either(*(one[name] for one in several)) for name in self.space}

    def statements(self, *, encoding_size: int) -> dict[str, str]:
        """What the audit's own forecast says of each factor, in words."""
        rows = forecast(self.estimate, encoding_size=encoding_size).set_index("factor")["statement"]
        return {str(name): str(said) for name, said in rows.items()}

    def _possible(self) -> list[tuple[frozenset[str], Misalignment]]:
        """The least and the most that captions may teach: what is in the block is always said and right."""
        rows = {row["factor"]: row for row in self.estimate.factors.to_dict("records")}
        least, most = _blocks(self.estimate.factors)
        weakest = _of_rates(rows, least, selection="selection_low", rho="rho_high")
        return [(least, weakest), (most, _of_rates(rows, most, selection="selection_high", rho="rho_low"))]


@lru_cache(maxsize=64)  # each takes seconds, and is asked for at every size
def audit_of(policy: Policy, *, seed: int, recipe: Recipe) -> Audit:
    """Caption the set by a policy and audit the training captions as text.

    Args:
        policy: What is injected; the audit does not see it.
        seed: Seed of split and captions.
        recipe: Which concepts are used.
    """
    split = load_split(recipe, seed=seed)
    seen = caption(split.pairs, policy, seed=seed).take(split.train)
    estimate = estimate_misalignment(seen.texts, seen.labels, lexicon_of(seen.space), clusters=seen.clusters)
    fit, test = halves(split, torch.zeros(len(split.pairs), 0))
    told = {block: _told(fit, test, seen.space, block) for block in _blocks(estimate.factors)}
    return Audit(estimate, seen.space, told)


def lexicon_of(space: FactorSpace) -> Lexicon:
    """The phrases of rendered captions; one within a longer one, as "person" in "person role", does not count there."""
    phrases = {factor: [STYLE.word(factor.name, value) for value in factor.values or ()] for factor in space.factors}
    known = [phrase for own in phrases.values() for phrase in own]

    def concept(value: str, phrase: str) -> Concept:
        whole = re.compile(rf"\b{re.escape(phrase)}\b")
        return Concept(value, (phrase,), tuple(other for other in known if other != phrase and whole.search(other)))

    groups = (Group(factor.name, tuple(map(concept, factor.values or (), own))) for factor, own in phrases.items())
    return Lexicon("the embedded set", tuple(groups))


def recovered(audit: Audit, policy: Policy) -> list[Record]:
    """Estimated beside injected rates of the factors that were tampered with; a rate of nothing cannot be estimated."""
    rows, bias = [], policy.misalignment
    for row in records(audit.estimate.factors):
        name = row["factor"]
        rate_of, channel = bias.mention.get(name, 0.0), bias.channels.get(name)
        assert isinstance(rate_of, float)  # no setting mentions values at rates of their own
        truth = {"selection": rate_of, "rho": float(getattr(channel, "probability", 0.0))}
        if truth == {"selection": 1.0, "rho": 0.0}:
            continue
        for rate, injected in truth.items():
            if row[rate] is not None:
                low, high = row[f"{rate}_low"], row[f"{rate}_high"]
                found = {"estimate": row[rate], "low": low, "high": high, "covered": low <= injected <= high}
                rows.append({"factor": name, "rate": rate, "injected": round(injected, 6), **found})
    return rows


def records(frame: pd.DataFrame) -> list[Record]:
    """Rows as JSON can hold them."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _blocks(factors: pd.DataFrame) -> tuple[frozenset[str], frozenset[str]]:
    """The smallest and the largest unbiased block that the intervals allow."""
    sure = (factors["selection_low"] >= MENTIONED_AT) & (factors["rho_high"] <= TOLERANCE)
    possible = (factors["selection_high"] >= MENTIONED_AT) & (factors["rho_low"] <= TOLERANCE)
    return frozenset(factors.loc[sure, "factor"]), frozenset(factors.loc[possible, "factor"])


def _of_rates(
    rows: Mapping[str, Mapping[Any, Any]], block: frozenset[str], *, selection: str, rho: str
) -> Misalignment:
    """Captions that always name the block and get it right, and the rest at these ends of its intervals."""
    outside = [name for name in rows if name not in block]
    mention = {name: float(np.clip(rows[name][selection], 0, 1)) for name in outside}
    redraw = {name: float(np.clip(rows[name][rho], 0, 1)) for name in outside}
    return Misalignment.of_rates({**mention, **dict.fromkeys(block, 1.0)}, redraw=redraw)


def _told(fit: Any, test: Any, space: FactorSpace, block: frozenset[str]) -> dict[str, float]:
    if not block:
        return dict.fromkeys(space, 0.0)
    return oracle_scores(fit, test, space, Misalignment(block))


def _either(*predictions: Prediction) -> Prediction:
    """What holds if one of these does."""
    first, *others = predictions
    if all((other.low, other.high) == (first.low, first.high) for other in others):
        return first
    reasons = "; or ".join(dict.fromkeys(one.reason for one in predictions))
    return Prediction(
        low=min(one.low for one in predictions),
        high=max(one.high for one in predictions),
        expected=None,
        reason=f"the audit leaves two cases open: {reasons}",
        proved=all(one.proved for one in predictions),
        floor=first.floor,
        ceiling=first.ceiling,
    )
