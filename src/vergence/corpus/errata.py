"""How often the instruments of an audit err: the lexicon on captions, a detector on images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from vergence.checks import probability
from vergence.errors import ConfigError, ShapeError, unknown

NONE = "(none)"
"""The answer that an image shows none of a factor's values."""

_PRIOR = 0.5  # answers of each kind


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
class Stratum:
    """Images with one label, of which some were drawn at random for a person to say what they show.

    Args:
        label: What the detector says of all of them.
        images: How many there are.
        answers: How many of those drawn show each value, or `NONE`; those of which nobody can tell are not counted.

    Raises:
        ConfigError: If a number is negative, or more were answered than there are.
    """

    label: str
    images: int
    answers: Mapping[str, int]

    def __post_init__(self) -> None:
        if min(self.answers.values(), default=0) < 0 or self.answered > self.images:
            raise ConfigError(
                f"answers about images labelled {self.label!r} must be counts, at most {self.images} together; got "
                f"{dict(self.answers)}"
            )

    @property
    def answered(self) -> int:
        """About how many images there is an answer."""
        return sum(self.answers.values())


@dataclass(frozen=True)
class DetectorError:
    """How often a detector that labels the images errs, independently of the caption given the value.

    Args:
        values: The factor's values, in order.
        confusion: Row by true value, the probability of each label; rows sum to 1, and the matrix can be inverted.
        errors: Independent ways in which the rates may be off, each by one standard error, where they were estimated;
            they widen intervals. Their rows sum to 0.

    Raises:
        ConfigError: If the matrix has another shape, is no such table, or cannot be inverted.
    """

    values: tuple[str, ...]
    confusion: Float64[np.ndarray, "values values"]
    errors: Float64[np.ndarray, "ways values values"] | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.confusion, dtype=np.float64)
        object.__setattr__(self, "confusion", matrix)
        k = len(self.values)
        if self.errors is not None and self.errors.shape[1:] != (k, k):
            raise ConfigError(f"errors of the confusion must have shape (ways, {k}, {k}); got {self.errors.shape}")
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

    @classmethod
    def from_sample(cls, values: Sequence[str], strata: Sequence[Stratum]) -> "DetectorError":
        r"""Rates estimated from images that a person has labelled, drawn at random within strata of the labels.

        An image that was drawn stands for $N_h / n_h$ of its stratum [horvitz1952], so
        $\hat C_{tl} = \sum_{h: l_h = l} N_h n_{ht} / n_h$, over its sum over l. Variances are those of each stratum's
        answers given their total, as under a Dirichlet posterior with half an answer of each kind added to each label,
        so that what was never seen is not known to be impossible; times $1 - n_h / N_h$, since who has answered about
        all images knows; and to first order.

        Args:
            values: The factor's values, in order.
            strata: One label or more; those without an answer are taken to be like the others of their label.

        Returns:
            Rates with their `errors`. A value that no answer names is taken to be labelled right.

        Raises:
            ConfigError: If a label or an answer is no value, nothing was answered about the images of a label, or the
                rates cannot be inverted.

        Example:
            >>> strata = [Stratum("cat", 60, {"cat": 9, "dog": 1}), Stratum("dog", 40, {"dog": 10})]
            >>> DetectorError.from_sample(("cat", "dog"), strata).confusion.round(3).tolist()
            [[1.0, 0.0], [0.13, 0.87]]
        """
        k, kinds = len(values), [*values, NONE]
        for stratum in strata:
            for name in (stratum.label, *stratum.answers):
                if name not in (kinds if name in stratum.answers else values):
                    raise ConfigError(unknown("value", name, kinds))
        counts, spread = np.zeros((k, k)), np.zeros((k, k, k))  # by value and label; by label, covariance of values
        for number, label in enumerate(values):
            own = [stratum for stratum in strata if stratum.label == label and stratum.images]
            if own and not any(stratum.answered for stratum in own):
                raise ConfigError(f"nothing is answered about the {_images(own):,} images labelled {label!r}")
            counts[:, number], spread[number] = _answered(own, kinds)
        shown = counts.sum(axis=1)
        named = shown > 0
        confusion = np.where(named[:, None], counts / np.where(named, shown, 1)[:, None], np.eye(k))
        errors = []
        for number in range(k):
            size, direction = np.linalg.eigh(spread[number])
            for root in (direction * np.sqrt(size.clip(0))).T[size > 1e-12 * max(size.max(), 1e-300)]:
                moved = np.zeros((k, k))
                moved[:, number] = root
                moved -= confusion * root[:, None]
                errors.append(np.where(named[:, None], moved / np.where(named, shown, 1)[:, None], 0))
        return cls(tuple(values), confusion, np.stack(errors) if errors else None)

    def weights(self, labels: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n values"]:
        """For each label, weights whose sum over items counts each true value without bias; they can be negative."""
        return np.asarray(np.linalg.inv(self.confusion)[labels])

    @property
    def shifts(self) -> Float64[np.ndarray, "ways labels values"]:
        """By how much the weights of each label move with each of the `errors`, to first order."""
        inverse = np.linalg.inv(self.confusion)
        errors = np.zeros((0, *inverse.shape)) if self.errors is None else self.errors
        return np.asarray(-inverse @ errors @ inverse)


def _images(strata: Sequence[Stratum]) -> int:
    return sum(stratum.images for stratum in strata)


def _answered(strata: Sequence[Stratum], kinds: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """How many images of a label show each value, and the covariance of these numbers; `NONE` is left out of both."""
    told = [stratum for stratum in strata if stratum.answered]
    scale = _images(strata) / max(_images(told), 1)
    total = sum(stratum.answered for stratum in told)
    sums, covariance = np.zeros(len(kinds)), np.zeros((len(kinds), len(kinds)))
    for stratum in told:
        n, images = stratum.answered, stratum.images * scale
        seen = np.array([stratum.answers.get(kind, 0) for kind in kinds], dtype=np.float64)
        added = _PRIOR * n / total
        p = (seen + added) / (n + added * len(kinds))
        sums += images * seen / n
        left = 1 - n / stratum.images
        covariance += images**2 * left / (n + added * len(kinds)) * (np.diag(p) - np.outer(p, p))
    return sums[:-1], covariance[:-1, :-1]


def _jeffreys(trials: np.ndarray) -> tuple[float, float]:
    """Mean and variance of the posterior of a rate."""
    n, mean = len(trials) + 1, float((trials.sum() + 0.5) / (len(trials) + 1))
    return mean, mean * (1 - mean) / (n + 1)
