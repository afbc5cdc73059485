"""What a representation is worth where a cue no longer goes with the label, and what it still tells of the cue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Integer
from scipy.stats import t
from torch import Tensor

from vergence.errors import ShapeError
from vergence.factors import Factor
from vergence.metrics import (
    Eraser,
    GroupLogistic,
    Logistic,
    equalised_odds_difference,
    group_accuracy,
    matthews_corrcoef,
)
from vergence.metrics.linear import FittedLogistic
from vergence.probes.protocol import Labelled

Predictor = Callable[[Tensor], Tensor]
_SMOOTH = 0.01  # nats; the worst of twelve groups is met to within .025


def _plain(z: Tensor, labels: Tensor, cue: Tensor) -> Predictor:
    return Logistic().fit(z, labels).predict


def _reweighted(z: Tensor, labels: Tensor, cue: Tensor) -> Predictor:
    return GroupLogistic().fit(z, labels, groups_of(labels, cue)).predict


def _group_dro(z: Tensor, labels: Tensor, cue: Tensor) -> Predictor:
    return GroupLogistic(temperature=_SMOOTH).fit(z, labels, groups_of(labels, cue)).predict


def _erased(z: Tensor, labels: Tensor, cue: Tensor) -> Predictor:
    eraser = Eraser.of(z, cue)
    fitted = Logistic().fit(eraser.apply(z), labels)
    return lambda unseen: fitted.predict(eraser.apply(unseen))


READERS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Predictor]] = MappingProxyType(
    {"plain": _plain, "reweighted": _reweighted, "group DRO": _group_dro, "erased": _erased}
)
"""How a label is read from a representation whose fitting half ties it to a cue: as it is; with groups of label and cue
counted alike; with the worst of them counted most; after linear erasure of the cue. The last three know the cue of
every item of the fitting half, and change nothing in what encoders learn."""


def groups_of(labels: Integer[Tensor, "n"], cue: Integer[Tensor, "n"]) -> Integer[Tensor, "n"]:
    """The number of each item's group: its label and its cue together."""
    return labels * (int(cue.max()) + 1) + cue


def robustness(
    fit: Labelled,
    domains: Mapping[str, Labelled],
    *,
    label: Factor,
    cue: Factor,
    readers: Sequence[str] = tuple(READERS),
) -> pd.DataFrame:
    """Read a label by predictors that were fitted in one domain, and score them in several.

    Args:
        fit: What predictors are fitted on; label and cue of each item are known.
        domains: By name, what they are scored on.
        label: What is read, a discrete factor.
        cue: What goes with it in the fitting half, a discrete factor.
        readers: Which of `READERS`.

    Returns:
        A row for each reader and domain: reader, domain, accuracy, worst_group (its accuracy) and equalised_odds (the
        difference, 0 if predictions do not depend on the cue given the label), each in [0, 1].

    Raises:
        FactorError: If a label is no value of its factor.
        ShapeError: If an item has no label or no cue.
    """
    z, y, s = both_known(fit, label, cue)
    unseen = {name: both_known(domain, label, cue) for name, domain in domains.items()}
    rows = []
    for reader in readers:
        predict = READERS[reader](z, y, s)
        for domain, (z_test, y_test, s_test) in unseen.items():
            predicted = predict(z_test)
            by_group = group_accuracy(y_test, predicted, groups_of(y_test, s_test))
            rows.append(
                {
                    "reader": reader,
                    "domain": domain,
                    "accuracy": float((predicted == y_test).double().mean()),
                    "worst_group": float(by_group.min()),
                    "equalised_odds": equalised_odds_difference(y_test, predicted, s_test),
                }
            )
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What a representation tells of a factor that it is not to tell.

    Args:
        matthews: Score of a linear probe, in [-1, 1], 0 for none.
        nats: What the probe's probabilities tell of it, a lower bound in expectation; negative if less than nothing.
        nats_given: The same beyond what other factors tell of it.
    """

    matthews: float
    nats: float
    nats_given: float


def leakage(fit: Labelled, test: Labelled, factor: Factor, *, given: Sequence[Factor] = ()) -> Leakage:
    """Measure what a linear probe reads of a factor, and what of that the other factors do not tell anyway.

    Beyond them: the fall in cross-entropy of the test half when a probe of the other factors' values is given the
    representation as well.

    Args:
        fit: What probes are fitted on.
        test: What they are scored on.
        factor: Discrete, known for every item.
        given: Discrete factors that may be told, known for every item.
    """
    halves = [both_known(half, factor, factor)[:2] for half in (fit, test)]
    known = [
        torch.cat([_shown(half, other) for other in given], dim=1) if given else half.z.new_zeros(len(half.z), 1)
        for half in (fit, test)
    ]
    (z_fit, y_fit), (z_test, y_test) = halves
    alone = Logistic().fit(z_fit, y_fit)
    rest = Logistic().fit(known[0], y_fit)
    both = Logistic().fit(torch.cat([known[0], z_fit.to(known[0])], dim=1), y_fit)
    shares = torch.bincount(y_fit, minlength=int(max(y_fit.max(), y_test.max())) + 1).double() / len(y_fit)
    prior = shares.clamp(min=1 / (len(y_fit) + 1)).log()[y_test].mean()
    of_rest = _likelihood(rest, known[1], y_test)
    return Leakage(
        matthews=float(matthews_corrcoef(y_test, alone.predict(z_test))),
        nats=_likelihood(alone, z_test, y_test) - float(prior),
        nats_given=_likelihood(both, torch.cat([known[1], z_test.to(known[1])], dim=1), y_test) - of_rest,
    )


def both_known(items: Labelled, label: Factor, cue: Factor) -> tuple[Tensor, Tensor, Tensor]:
    """Representations, labels and cues as numbers of values.

    Raises:
        FactorError: If a label is no value of its factor.
        ShapeError: If an item has no label or no cue.
    """
    numbers = []
    for factor in (label, cue):
        z, values, _ = items.known(factor)
        if len(z) < len(items.z):
            raise ShapeError(f"{factor.name} must be known for every item; {len(items.z) - len(z)} have none")
        numbers.append(values)
    return items.z, numbers[0], numbers[1]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference of paired trials and its 95 % interval by Student's t; without one NaN at both ends."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:+.2f}, one seed"
        return f"{self.mean:+.2f}, {self.low:+.2f} to {self.high:+.2f}, {self.n} seeds"


def paired_difference(after: Float[np.ndarray, " n"], before: Float[np.ndarray, " m"]) -> Difference:
    """How much higher a score is in trials that differ in one thing only.

    Args:
        after: Score of each seed.
        before: Of the same seeds, in the same order.

    Raises:
        ShapeError: If they do not pair or there are none.

    Example:
        >>> print(paired_difference(np.array([0.9, 0.8, 0.9]), np.array([0.5, 0.5, 0.6])))
        +0.33, +0.19 to +0.48, 3 seeds
    """
    if len(after) != len(before) or not len(after):
        raise ShapeError(f"trials must pair, at least one; got {len(after)} and {len(before)}")
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    n, mean = len(differences), float(differences.mean())
    half = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / sqrt(n)) if n > 1 else float("nan")
    return Difference(mean=mean, low=mean - half, high=mean + half, n=n)


def _shown(items: Labelled, factor: Factor) -> Float[Tensor, "n values"]:
    _, values, _ = both_known(items, factor, factor)
    return torch.nn.functional.one_hot(values, len(factor.values or ())).double()


def _likelihood(fitted: FittedLogistic, z: Tensor, labels: Tensor) -> float:
    """Mean log-probability of the labels, all of which were fitted."""
    return float(fitted.log_probabilities(z).gather(1, torch.searchsorted(fitted.classes, labels)[:, None]).mean())
