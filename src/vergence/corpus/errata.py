"""How often the instruments of an audit err: the lexicon on captions, a detector on images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from vergence.checks import probability
from vergence.errors import ConfigError, ShapeError, unknown


@dataclass(frozen=True)
class LexiconError:
    """How often the lexicon errs on captions of images that show a given value.

    Args:
        recall: Probability that a value a caption does speak of is found; one for all, or by the image's value.
        false_positive: Probability that a value it does not speak of is found; likewise.
        variances: By value, the variances of its two rates, if they were estimated; they widen intervals.

    Raises:
        ConfigError: If a rate is no probability, or recall does not exceed the false-positive rate.

    Example:
        >>> LexiconError(recall=0.8, false_positive=0.02).rates("red")
        (0.8, 0.02)
    """

    recall: float | Mapping[str, float] = 1.0
    false_positive: float | Mapping[str, float] = 0.0
    variances: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = {v for rates in (self.recall, self.false_positive) if isinstance(rates, Mapping) for v in rates}
        for value in values or {""}:
            recall, wrong = self.rates(value)
            probability("recall", recall)
            probability("false_positive", wrong)
            if recall <= wrong:
                raise ConfigError(
                    f"recall must exceed false_positive, or nothing can be told; got {recall} and {wrong}"
                )

    def rates(self, value: str) -> tuple[float, float]:
        """Recall and false-positive rate for images that show a value.

        Raises:
            ConfigError: If the rates are given by value and this one is not among them.
        """
        found = []
        for rates in (self.recall, self.false_positive):
            if isinstance(rates, Mapping) and value not in rates:
                raise ConfigError(unknown("value", value, rates))
            found.append(float(rates[value] if isinstance(rates, Mapping) else rates))
        return found[0], found[1]

    @classmethod
    def from_sample(cls, shown: Sequence[str], said: np.ndarray, found: np.ndarray) -> "LexiconError":
        """Rates counted in a sample of captions that somebody has read, best drawn value by value.

        The mean and variance of each are those of the posterior under Jeffreys' prior: with half a success and half a
        failure added, none is exactly 0 or 1, and each is taken as independent of the others and of the corpus.

        Args:
            shown: The value that each caption's image shows.
            said: For each caption and value of the factor, whether the caption speaks of it, (captions, values).
            found: Whether the lexicon finds it, of the same shape.

        Returns:
            Rates and their variances, by value.

        Raises:
            ShapeError: If the shapes differ.
        """
        said, found = np.asarray(said, dtype=bool), np.asarray(found, dtype=bool)
        if said.shape != found.shape or len(said) != len(shown):
            raise ShapeError(f"said {said.shape}, found {found.shape} and shown ({len(shown)},) must have equal rows")
        recall, wrong, variances = {}, {}, {}
        for value in dict.fromkeys(shown):
            rows = np.array([one == value for one in shown])
            recall[value], of_recall = _jeffreys(found[rows][said[rows]])
            wrong[value], of_wrong = _jeffreys(found[rows][~said[rows]])
            variances[value] = of_recall, of_wrong
        return cls(recall, wrong, variances)


@dataclass(frozen=True)
class DetectorError:
    """How often a detector that labels the images errs, independently of the caption given the value.

    Args:
        values: The factor's values, in order.
        confusion: Row by true value, the probability of each label; rows sum to 1, and the matrix can be inverted.

    Raises:
        ConfigError: If the matrix has another shape, is no such table, or cannot be inverted.
    """

    values: tuple[str, ...]
    confusion: Float64[np.ndarray, "values values"]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.confusion, dtype=np.float64)
        object.__setattr__(self, "confusion", matrix)
        k = len(self.values)
        if matrix.shape != (k, k):
            raise ConfigError(f"confusion must have one row and one column per value, ({k}, {k}); got {matrix.shape}")
        for value, row in zip(self.values, matrix, strict=True):
            if not ((row >= 0).all() and abs(row.sum() - 1) < 1e-6):  # refuses NaN as well
                raise ConfigError(
                    f"each row of confusion must hold probabilities that sum to 1; that of value {value!r} has the sum "
                    f"{row.sum():.6g}"
                )
        if np.linalg.cond(matrix) > 1e6:
            raise ConfigError("confusion cannot be inverted: some true values get the same labels")

    def weights(self, labels: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n values"]:
        """For each label, weights whose sum over items counts each true value without bias; they can be negative."""
        return np.asarray(np.linalg.inv(self.confusion)[labels])


def _jeffreys(trials: np.ndarray) -> tuple[float, float]:
    """Mean and variance of the posterior of a rate."""
    n, mean = len(trials) + 1, float((trials.sum() + 0.5) / (len(trials) + 1))
    return mean, mean * (1 - mean) / (n + 1)
