"""What the study knows before it trains: rates estimated from captions and image labels alone, and what follows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import torch

from vergence.corpus import BiasEstimate, estimate_misalignment, forecast
from vergence.corpus.drawings import drawings_lexicon
from vergence.corpus.forecast import of_such_captions
from vergence.data import Policy
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
        estimate: Rates and strengths with their intervals.
        space: All factors.
        tell: For a block of factors, what its true values tell of every other factor on unseen concepts.
    """

    estimate: BiasEstimate
    space: FactorSpace
    tell: Callable[[frozenset[str]], Mapping[str, float]]

    @property
    def block(self) -> frozenset[str]:
        """Factors of which every labelled caption says just what its image shows, or tells it as well."""
        weakest = of_such_captions(self.estimate).groupby("factors")["low"].min()
        return frozenset(name for (name,) in weakest.index[weakest == 1])

    def predict(self, *, encoding_size: int, floor: Any = None, ceiling: Any = None) -> dict[str, Prediction]:
        """Predict every factor's score by the spectrum that the audit found.

        Args:
            encoding_size: Output size.
            floor: As for `theory.predict`.
            ceiling: Likewise.

        Returns:
            For each factor bounds that hold whichever strengths within their intervals are the true ones.
        """
        spectrum = of_such_captions(self.estimate)
        return predict(
            self.space, spectrum, encoding_size=encoding_size, oracle=self.tell, floor=floor, ceiling=ceiling
        )

    def statements(self, *, encoding_size: int) -> dict[str, str]:
        """What the audit's own forecast says of each factor, in words."""
        rows = forecast(self.estimate, encoding_size=encoding_size).set_index("factor")["statement"]
        return {str(name): str(said) for name, said in rows.items()}


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
    estimate = estimate_misalignment(seen.texts, seen.labels, drawings_lexicon(seen.space), clusters=seen.clusters)
    fit, test = halves(split, torch.zeros(len(split.pairs), 0))

    @lru_cache
    def tell(block: frozenset[str]) -> Mapping[str, float]:
        return oracle_scores(fit, test, seen.space, Misalignment(block)) if block else dict.fromkeys(seen.space, 0.0)

    return Audit(estimate, seen.space, tell)


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
