"""The k-nearest-neighbour probe: whether what is near in a representation is alike in a factor."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ConfigError
from vergence.metrics.arrays import Array, as_float64, guarded
from vergence.metrics.folds import assign_folds, fitting_half
from vergence.metrics.kernel import squared_distances
from vergence.metrics.linear import Standardiser

_BLOCK = 2**23  # distances held at once: 64 MB


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours:
    """Mean (of real targets) or most frequent class (of integer ones) among the k nearest items of the fitting half.

    Distances are Euclidean on standardised features. k is chosen for each target by held-out squared error, or errors
    of classification; of equally good ones the smallest. Of equally frequent classes the lowest number wins.

    Args:
        ks: Numbers of neighbours to choose from, each at least 1.
        n_folds: Folds of the cross-validation, at least 2; not used for one k.

    Raises:
        ConfigError: If no k is given, one is below 1, or there are fewer than two folds.

    Example:
        >>> z = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
        >>> labels = (z[:, 0] * z[:, 1] > 0).long()
        >>> fitted = NearestNeighbours().fit(z[:400], labels[:400])
        >>> bool((fitted.predict(z[400:]) == labels[400:]).double().mean() > 0.9)
        True
    """

    ks: tuple[int, ...] = (1, 3, 10, 30)
    n_folds: int = 5

    def __post_init__(self) -> None:
        if not self.ks:
            raise ConfigError("ks must hold at least one number of neighbours >= 1; got none")
        for k in self.ks:
            at_least("ks", k, 1)
        at_least("n_folds", self.n_folds, 2, why="one fold is held out")

    @guarded
    def fit(
        self,
        z: Float[Array, "n dim"],
        targets: Shaped[Array, "n *targets"],
        *,
        groups: Integer[Array, "n"] | None = None,
    ) -> "FittedNearestNeighbours":
        """Remember the fitting half and choose k; a k above the number of items to choose among means all of them.

        Args:
            z: Representations of the fitting half.
            targets: Real values, one column per target or one target as a vector; or integer classes as a vector.
            groups: Which items are held out together; `None` if all are independent.

        Raises:
            ShapeError: If rows do not pair, an entry is not finite, or there are fewer groups than folds.
        """
        x, y, together = fitting_half(z, targets, groups)
        standardise = Standardiser.of(x)
        x = standardise.apply(x)
        classes = None if y.is_floating_point() else torch.unique(y)
        values = y if classes is None else (y[:, None] == classes).double()
        columns = values.reshape(len(y), -1)
        ks = sorted(set(self.ks))
        chosen = ks[:1] * (columns.shape[1] if classes is None else 1)
        if len(ks) > 1:
            fold = assign_folds(together, self.n_folds, strata=None if classes is None else y)
            errors = sum(
                _errors(_averages(x[fold == i], x[fold != i], columns[fold != i], ks), columns[fold == i], classes)
                for i in range(self.n_folds)
            )
            chosen = [ks[i] for i in torch.as_tensor(errors).argmin(0).reshape(-1).tolist()]
        return FittedNearestNeighbours(
            standardise=standardise, items=x, values=values, classes=classes, ks=tuple(chosen)
        )


@dataclass(frozen=True, kw_only=True)
class FittedNearestNeighbours:
    """The fitting half, and the number of neighbours chosen for each target."""

    standardise: Standardiser
    items: Float[Tensor, "n dim"]
    values: Float[Tensor, "n *targets"]
    classes: Integer[Tensor, "classes"] | None
    ks: tuple[int, ...]

    @guarded
    def predict(self, z: Float[Array, "m dim"]) -> Shaped[Tensor, "m *shape"]:
        """Predicted targets or classes of each row, shaped as those of the fitting half."""
        (x,) = as_float64(z=z)
        ks = sorted(set(self.ks))
        columns = self.values.reshape(len(self.values), -1)
        averages = _averages(self.standardise.apply(x), self.items, columns, ks)
        if self.classes is not None:
            return self.classes[averages[0].argmax(1)]
        picked = [averages[ks.index(k), :, i] for i, k in enumerate(self.ks)]
        return torch.stack(picked, dim=1).reshape(len(x), *self.values.shape[1:])


def _averages(
    x: Float[Tensor, "m dim"], items: Float[Tensor, "n dim"], values: Float[Tensor, "n columns"], ks: list[int]
) -> Float[Tensor, "ks m columns"]:
    """Mean value of the k nearest items, for each k."""
    most = min(max(ks), len(items))
    step = max(1, _BLOCK // len(items))
    found = []
    for start in range(0, len(x), step):
        nearest = squared_distances(x[start : start + step], items).topk(most, dim=1, largest=False).indices
        sums = values[nearest].cumsum(1)
        found.append(torch.stack([sums[:, min(k, most) - 1] / min(k, most) for k in ks]))
    return torch.cat(found, dim=1)


def _errors(
    averages: Float[Tensor, "ks m columns"], truth: Float[Tensor, "m columns"], classes: Tensor | None
) -> Float[Tensor, "ks *columns"]:
    if classes is None:
        return ((averages - truth) ** 2).sum(1)
    return (averages.argmax(2) != truth.argmax(1)).double().sum(1)
