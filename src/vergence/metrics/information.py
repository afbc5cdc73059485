"""Information in nats: about a factor by a classifier, between two views by a contrast or by canonical correlations.

Every estimate says from which side it bounds the information, if from any, and is flagged when no information could
have the value it came out at.
"""

from dataclasses import dataclass
from math import inf, log

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vergence.checks import at_least, at_most, positive, same_shape
from vergence.errors import ShapeError
from vergence.metrics.arrays import Array, as_float64, guarded, same_rows
from vergence.metrics.null import Null, permutation_null
from vergence.metrics.scale import unit

_BLOCK = 2**23  # logits held at once: 64 MB


@dataclass(frozen=True, kw_only=True)
class Information:
    """An amount of information beside the range in which any true value lies.

    Args:
        nats: The estimate.
        lowest: No information is below it: 0.
        highest: No information is above it, such as the entropy of the factor; infinite if unknown.
        bound: "lower" if the estimate is at most the truth in expectation, "none" if it may lie on either side.
    """

    nats: float
    highest: float
    bound: str
    lowest: float = 0.0

    @property
    def possible(self) -> bool:
        """Whether the estimate lies where information can; if not, it is noise or a poor bound."""
        return self.lowest - 1e-9 <= self.nats <= self.highest + 1e-9

    @property
    def uncertainty_reduction_ratio(self) -> float:
        """Share of the highest possible amount, such as of the factor's entropy; 0 if that is 0 or infinite.

        Source: [almudevar2025], URR; 1 if the factor is known for certain, negative where the bound is.
        """
        return self.nats / self.highest if 0 < self.highest < inf else 0.0


@guarded
def factor_information(
    labels: Integer[Array, "n"], log_probabilities: Float[Array, "n classes"], *, classes: Integer[Array, "classes"]
) -> Information:
    r"""Information of a representation about a discrete factor: $H(m) - \tfrac1n \sum_i -\log q(m_i \mid z_i)$.

    Source: [almudevar2025]. Differs: the entropy is that of the labels at hand, not the logarithm of the number of
    values. With $q$ fitted on other items it is a lower bound of $I(z; m)$ in expectation, up to the entropy being
    that of the sample; it is negative when $q$ does worse than the label frequencies.

    Args:
        labels: Class of each held-out item.
        log_probabilities: Natural logarithm of $q$, one column per class, such as `FittedLogistic.log_probabilities`.
        classes: The label of each column, ascending. An item of another class makes the information $-\infty$.

    Returns:
        In nats, at most the entropy of the labels; 0 if they hold one class.

    Raises:
        ShapeError: If rows or columns do not pair, or a log-probability is NaN or above 0.

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> certain = torch.tensor([[0.0, -99.0], [0.0, -99.0], [-99.0, 0.0], [-99.0, 0.0]])
        >>> found = factor_information(labels, certain, classes=torch.tensor([0, 1]))
        >>> round(found.nats, 3), found.uncertainty_reduction_ratio, found.bound
        (0.693, 1.0, 'lower')
    """
    same_rows(labels=labels, log_probabilities=log_probabilities)
    log_q = torch.as_tensor(log_probabilities).detach().double()
    truth, known = (torch.as_tensor(values).to(log_q.device) for values in (labels, classes))
    if log_q.shape[1] != len(known) or bool((known.diff() <= 0).any()):
        raise ShapeError(f"classes must ascend, one per column of log_probabilities {tuple(log_q.shape)}; got {known}")
    if not bool((log_q <= 1e-9).all()):  # also refuses NaN
        raise ShapeError(f"log_probabilities must be <= 0 and not NaN; got a largest of {float(log_q.max())}")
    column = torch.searchsorted(known, truth).clamp(max=len(known) - 1)
    charged = log_q.gather(1, column[:, None])[:, 0].where(known[column] == truth, -torch.inf)
    entropy = float(torch.special.entr(torch.unique(truth, return_counts=True)[1].double() / len(truth)).sum())
    return Information(nats=entropy + float(charged.mean()), highest=entropy, bound="lower")


@guarded
def factor_information_null(
    labels: Integer[Array, "n"],
    log_probabilities: Float[Array, "n classes"],
    *,
    classes: Integer[Array, "classes"],
    generator: torch.Generator,
    n_shuffles: int = 200,
) -> Null:
    """Compare the information about a factor with its values when labels are shuffled against the predictions.

    Arguments and errors as `factor_information` and `permutation_null`. The mean under the null is negative for a
    confident classifier, so an estimate above it is not yet above 0.

    Example:
        >>> labels = torch.arange(40) % 2
        >>> log_q = torch.where(labels[:, None] == torch.arange(2), 0.9, 0.1).log()
        >>> g = torch.Generator().manual_seed(0)
        >>> factor_information_null(labels, log_q, classes=torch.arange(2), generator=g).p_value < 0.02
        True
    """

    def nats(log_q: Tensor, shuffled: Tensor) -> float:
        return factor_information(shuffled, log_q, classes=classes).nats

    return permutation_null(nats, log_probabilities, labels, generator=generator, n_shuffles=n_shuffles)


@guarded
def info_nce_bound(
    z_image: Float[Array, "n dim"], z_text: Float[Array, "n dim"], *, temperature: float = 0.07
) -> Information:
    r"""Lower bound $\log n - \mathcal L$ of $I(z_x; z_t)$, $\mathcal L$ the smaller of the two directions' InfoNCE.

    Source: [oord2018]. The bound holds for a critic that was not fitted on these pairs; it cannot exceed $\log n$, so a
    value near that says only that the information is larger. Cost $O(n^2 d)$, memory one block of rows.

    Args:
        z_image: Image representations; rows are scaled to unit norm.
        z_text: Text representations of the same items, in the same order and of the same width.
        temperature: Divides the cosines, > 0.

    Returns:
        In nats, at most log n; can be negative.

    Raises:
        ShapeError: If the shapes differ, there are fewer than 2 rows, or an entry is NaN or infinite.
        ConfigError: If the temperature is not above 0.

    Example:
        >>> round(info_nce_bound(torch.eye(8), torch.eye(8)).nats, 3), round(log(8), 3)
        (2.079, 2.079)
    """
    positive("temperature", temperature)
    same_shape(z_image=z_image, z_text=z_text)
    image, text = (unit(z) for z in as_float64(z_image=z_image, z_text=z_text))
    n = len(image)
    if n < 2:
        raise ShapeError(f"InfoNCE needs at least 2 pairs, one to contrast with the other; got {n}")
    step = max(1, _BLOCK // n)
    own = (image * text).sum(1) / temperature
    losses = [
        torch.cat([(a[i : i + step] @ b.T / temperature).logsumexp(1) for i in range(0, n, step)]) - own
        for a, b in ((image, text), (text, image))
    ]
    return Information(nats=log(n) - min(float(loss.mean()) for loss in losses), highest=log(n), bound="lower")


@guarded
def gaussian_information(covariance: Float[Array, "dim dim"], *, dim_x: int) -> Information:
    r"""Information between two blocks of a jointly Gaussian vector, $-\tfrac12 \sum_i \log(1 - \rho_i^2)$.

    $\rho_i$ are the canonical correlations of the blocks. Exact for a true covariance; from an estimated one biased
    upwards, by about $d_x d_y / 2n$. For variables that are not Gaussian it bounds nothing.

    Source: [cover2006], mutual information of Gaussian vectors.

    Args:
        covariance: Of the two blocks stacked, positive semi-definite; each block of full rank.
        dim_x: Size of the first block, in 1..dim-1.

    Returns:
        In nats, 0 or more; infinite if one block determines a direction of the other.

    Raises:
        ConfigError: If `dim_x` does not leave a second block.
        ShapeError: If an entry is NaN, the matrix is not symmetric, or a block is not positive definite.

    Example:
        >>> round(gaussian_information(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), dim_x=1).nats, 6)
        0.223144
    """
    (matrix,) = as_float64(covariance=covariance)
    at_least("dim_x", dim_x, 1)
    at_most("dim_x", dim_x, len(matrix) - 1, why="a second block has to be left")
    if not torch.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * float(matrix.abs().max())):
        raise ShapeError("covariance must be symmetric; transposing it changes it")
    factors = []
    for block in (matrix[:dim_x, :dim_x], matrix[dim_x:, dim_x:]):
        factor, failed = torch.linalg.cholesky_ex(block)
        if int(failed):
            raise ShapeError("each block of the covariance must be positive definite; drop dependent variables")
        factors.append(factor)
    half = torch.linalg.solve_triangular(factors[0], matrix[:dim_x, dim_x:], upper=False)
    whitened = torch.linalg.solve_triangular(factors[1], half.T, upper=False)
    correlations = torch.linalg.svdvals(whitened)
    if float(correlations.max()) > 1 + 1e-6:
        raise ShapeError(f"covariance is not positive semi-definite: a correlation of {float(correlations.max()):.6f}")
    correlations = correlations.where(correlations < 1 - 1e-14, 1.0)
    return Information(nats=-float(torch.log1p(-(correlations**2)).sum()) / 2, highest=inf, bound="none")
