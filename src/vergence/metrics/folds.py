"""Cross-validation on the fitting half: which items are held out together."""

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ShapeError
from vergence.metrics.arrays import Array, as_float64, same_rows


def assign_folds(
    groups: Integer[Tensor, "n"], n_folds: int, *, strata: Integer[Tensor, "n"] | None = None
) -> Integer[Tensor, "n"]:
    """Number the folds of items such that a group is never split and, where given, classes are spread evenly.

    Groups are dealt out in a fixed shuffled order: dealt in the order of the data, folds would line up with any factor
    that cycles through it. Sorted by the class of their first item, groups of one class land in different folds.

    Args:
        groups: Which group each item belongs to; items of one group stay together.
        n_folds: How many folds, at least 2.
        strata: Class of each item, to spread; `None` for none.

    Returns:
        The fold of each item, in 0..n_folds-1; every fold holds at least one group.

    Raises:
        ConfigError: If `n_folds` is below 2.
        ShapeError: If there are fewer groups than folds.

    Example:
        >>> folds = assign_folds(torch.tensor([0, 0, 1, 1, 2, 2]), 3)
        >>> bool((folds[::2] == folds[1::2]).all()), sorted(folds.unique().tolist())
        (True, [0, 1, 2])
    """
    at_least("n_folds", n_folds, 2, why="one fold is held out")
    names, first, member = np.unique(groups.cpu().numpy(), return_index=True, return_inverse=True)
    if len(names) < n_folds:
        raise ShapeError(
            f"{n_folds} folds need at least {n_folds} groups of items; got {len(names)}. Give more data or fewer folds"
        )
    order = np.random.default_rng(0).permutation(len(names))
    if strata is not None:
        order = order[np.argsort(strata.cpu().numpy()[first[order]], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    fold[order] = np.arange(len(names)) % n_folds
    return torch.from_numpy(fold[member]).to(groups.device)


def fitting_half(z: Array, targets: Array, groups: Array | None) -> tuple[Tensor, Tensor, Tensor]:
    """Check and convert what a probe is fitted on; without groups every item is its own."""
    together = {"z": z, "targets": targets} if groups is None else {"z": z, "targets": targets, "groups": groups}
    same_rows(**together)
    (x,) = as_float64(z=z)
    y = torch.as_tensor(targets)
    if y.is_floating_point():
        (y,) = as_float64(targets=targets)
    held_together = torch.arange(len(x)) if groups is None else torch.as_tensor(groups)
    return x, y.to(x.device), held_together.to(x.device)
