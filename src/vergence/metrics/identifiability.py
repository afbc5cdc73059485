"""How much of a known factor a representation holds: scores of probes that were fitted on other data."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Integer
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from torch import Tensor

from vergence.checks import one_of
from vergence.errors import ShapeError
from vergence.metrics.arrays import Array, as_float64, codes, guarded, same_rows
from vergence.metrics.scale import exponent, times_power_of_two, unit


@guarded
def matthews_corrcoef(labels: Integer[Array, "n"], predictions: Integer[Array, "n"]) -> float:
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


@guarded
def r2_score(targets: Float[Array, "n *targets"], predictions: Float[Array, "n *targets"]) -> Float[Tensor, "*targets"]:
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
    largest = exponent(
        truth, by_column=True
    )  # R² does not see scale and shift; without them squares overflow or lose digits
    truth, guess = times_power_of_two(truth, largest), times_power_of_two(guess, largest)
    centred = truth - truth.mean(0)
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


@guarded
def mean_corr_coef(
    z: Float[Array, "n dim"],
    sources: Float[Array, "n variables"],
    *,
    method: str = "pearson",
) -> float:
    """Mean absolute correlation of each true variable with its own dimension of z, matched for the largest sum.

    Source: [hyvarinen2016], the "MCC" of the literature on independent components; not the Matthews correlation. It
    asks for more than block identifiability does: single dimensions, each up to a monotone map at most.

    Args:
        z: Representations.
        sources: The true variables of the same items, in the same order.
        method: `"pearson"`, or `"spearman"`: the correlation of ranks, tied ones averaged.

    Returns:
        In [0, 1]; 1 if every variable is a dimension of z up to sign and scale (of ranks: up to a monotone map). A
        constant dimension correlates 0; variables in excess of dimensions go unmatched and count 0.

    Raises:
        ShapeError: If rows do not pair, there are fewer than 2, or an entry is NaN or infinite.
        ConfigError: If the method is unknown.

    Example:
        >>> s = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> round(mean_corr_coef(s[:, [2, 0, 1]].exp(), s, method="spearman"), 6)
        1.0
    """
    one_of("method", method, ("pearson", "spearman"))
    if same_rows(z=z, sources=sources) < 2:
        raise ShapeError(f"a correlation needs at least 2 rows; got z {tuple(z.shape)}")
    sides = as_float64(z=z, sources=sources)
    if method == "spearman":
        sides = tuple(torch.from_numpy(rankdata(side.cpu().numpy(), axis=0)).to(side) for side in sides)
    columns = []
    for side in sides:
        centred = (side - side.mean(0)).where((side != side[:1]).any(0), 0.0)
        columns.append(unit(centred, dim=0))
    correlations = (columns[0].T @ columns[1]).abs().clamp(max=1.0).cpu().numpy()
    rows, columns = linear_sum_assignment(correlations, maximize=True)
    return float(correlations[rows, columns].sum() / sources.shape[1])


@runtime_checkable
class Predictor(Protocol):
    """What a probe is after it was fitted."""

    def predict(self, z: Any, /) -> Tensor:
        """Predicted targets, or classes, of each row."""


@runtime_checkable
class Regressor(Protocol):
    """A probe before it is fitted: `Ridge`, `KernelRidge`, `NystroemRidge`, `NearestNeighbours` or `MLP`."""

    def fit(self, z: Any, targets: Any, /, *, groups: Any = None) -> Predictor:
        """Fit to the representations and targets of the fitting half."""


class BlockIdentifiability(NamedTuple):
    """R² both ways, one number per predicted column; each described by `block_identifiability`."""

    block_from_z: Float[Tensor, "variables"]
    z_from_block: Float[Tensor, "dim"]


def block_identifiability(
    fit: tuple[Float[Array, "n dim"], Float[Array, "n variables"]],
    test: tuple[Float[Array, "k dim"], Float[Array, "k variables"]],
    *,
    regressor: Regressor,
) -> BlockIdentifiability:
    r"""Test whether z is an invertible function of a block of variables, by predicting each from the other.

    Source: [cai2025] Thm 4.1, block identification of $s_{I_\theta \setminus I_\rho}$; [vonkugelgen2021] for the
    notion. One direction alone is not enough: a z that also holds private variables predicts the block perfectly, and a
    z that holds only a part of the block is predicted by it perfectly.

    Args:
        fit: Representations and block variables of the fitting half.
        test: Representations and block variables on which R² is taken.
        regressor: A nonlinear probe, such as `KernelRidge()`.

    Returns:
        R² of each variable of the block from z, and of each dimension of z from the block; all 1 if identified.

    Raises:
        ShapeError: If rows do not pair, or an entry is NaN or infinite.

    Example:
        >>> from vergence.metrics import Ridge
        >>> s = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        >>> z = s[:, :2] @ torch.tensor([[1.0, 2.0], [-1.0, 1.0]])  # the first two variables only
        >>> found = block_identifiability((z[:200], s[:200]), (z[200:], s[200:]), regressor=Ridge())
        >>> (found.block_from_z > 0.99).tolist(), (found.z_from_block > 0.99).tolist()
        ([True, True, False], [True, True])
    """
    (z_fit, block_fit), (z_test, block_test) = fit, test
    forth, back = regressor.fit(z_fit, block_fit), regressor.fit(block_fit, z_fit)
    return BlockIdentifiability(
        block_from_z=r2_score(block_test, forth.predict(z_test)),
        z_from_block=r2_score(z_test, back.predict(block_test)),
    )
