"""Cross-validation on the fitting half: which items are held out together."""

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ShapeError


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


def one_item_per_group(rows: Shaped[Tensor, "n ..."]) -> Integer[Tensor, "n"]:
    """Groups for items that share nothing with each other."""
    return torch.arange(len(rows), device=rows.device)
