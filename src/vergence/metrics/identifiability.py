"""How much of a known factor a representation holds: scores of probes that were fitted on other data."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vergence.metrics.arrays import Array, as_float64, codes, same_rows


def matthews_corrcoef(labels: Integer[Array, "n"], predictions: Integer[Array, "m"]) -> float:
    r"""Correlation of true and predicted classes, for any number of classes.

    With $c$ items right of $s$, class $k$ occurring $t_k$ times and predicted $p_k$ times,

    $$\frac{c s - \sum_k p_k t_k}{\sqrt{(s^2 - \sum_k p_k^2)(s^2 - \sum_k t_k^2)}}.$$

    Source: [gorodkin2004] $R_K$; for two classes the Matthews correlation. [cai2025] scores discrete factors with it.

    Args:
        labels: True class of each item, any integers.
        predictions: Predicted class of each item, as many.

    Returns:
        A number in [-1, 1]: 1 when all are right, near 0 when labels and predictions are independent. Exactly 0 where
        the ratio is undefined, that is when either side holds one class only, even if both hold the same one: such
        items show no association.

    Raises:
        ShapeError: If the numbers of items differ or there is none.

    Example:
        >>> import torch
        >>> matthews_corrcoef(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1]))
        0.7...
        >>> matthews_corrcoef(torch.tensor([0, 1]), torch.tensor([1, 1]))
        0.0
    """
    same_rows(labels=labels, predictions=predictions)
    n_classes, (truth, guess) = codes(labels, predictions)
    return float(matthews_from_sums(matthews_terms(truth, guess, n_classes).sum(0)))


def matthews_terms(
    truth: Integer[Tensor, "n"], guess: Integer[Tensor, "n"], n_classes: int
) -> Float[Tensor, "n 2*{n_classes}+1"]:
    """What each item adds to the sums that determine the Matthews correlation: whether right, its class, its guess."""
    one_hot = torch.nn.functional.one_hot
    parts = [(truth == guess)[:, None], one_hot(truth, n_classes), one_hot(guess, n_classes)]
    return torch.cat([part.to(torch.float64) for part in parts], dim=1)


def matthews_from_sums(sums: Float[Tensor, "*batch terms"]) -> Float[Tensor, "*batch"]:
    """Matthews correlation of summed (or weighted) `matthews_terms`; 0 where undefined."""
    right = sums[..., 0]
    occurring, predicted = sums[..., 1:].chunk(2, dim=-1)
    total = occurring.sum(-1)
    covariance = right * total - (occurring * predicted).sum(-1)
    spreads = [(total**2 - (counts**2).sum(-1)).clamp(min=0.0) for counts in (occurring, predicted)]
    norm = (spreads[0] * spreads[1]).sqrt()
    defined = norm > 1e-12 * total**2  # a spread of mere rounding is that of one class
    return torch.where(defined, covariance / norm.where(defined, 1.0), 0.0).clamp(-1.0, 1.0)


def r2_score(targets: Float[Array, "n *targets"], predictions: Float[Array, "m *targets"]) -> Float[Tensor, "*targets"]:
    r"""Share of each target's variance that the predictions explain, $1 - \sum(y-\hat y)^2 / \sum(y-\bar y)^2$.

    Source: [cai2025], the score of continuous factors.

    Args:
        targets: True values, one column per target; or one target as a vector.
        predictions: Predicted values, of the same shape.

    Returns:
        One number in (-inf, 1] per target: 1 when exact, 0 for predicting the mean, negative when worse than the mean.
        A constant target has no variance to explain: 1 if it is predicted exactly, else 0.

    Raises:
        ShapeError: If the numbers of rows differ, there is none, or an entry is NaN or infinite.

    Example:
        >>> import torch
        >>> r2_score(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.5, 2.0]]))
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    same_rows(targets=targets, predictions=predictions)
    truth, guess = as_float64(targets=targets, predictions=predictions)
    return r2_from_sums(r2_terms(truth, guess).sum(0))


def r2_terms(truth: Float[Tensor, "n *targets"], guess: Float[Tensor, "n *targets"]) -> Float[Tensor, "n *targets 4"]:
    """What each item adds to the sums that determine R²: 1, its centred target, that squared, its squared error."""
    centred = truth - truth.mean(0)  # a shift that R² does not see, and that keeps the digits of the square
    constant = (truth == truth[:1]).all(0)  # exactly so: the mean of equal numbers need not equal them
    centred = centred.where(~constant, 0.0)
    return torch.stack([torch.ones_like(truth), centred, centred**2, (truth - guess) ** 2], dim=-1)


def r2_from_sums(sums: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    """R² of summed (or weighted) `r2_terms`; a constant target gives 1 if exact, else 0."""
    count, total, squares, errors = sums.unbind(-1)
    spread = squares - total**2 / count
    defined = spread > 1e-14 * squares
    ratio = errors / spread.where(defined, 1.0)
    return torch.where(defined, 1.0 - ratio, (errors == 0).to(ratio.dtype))
