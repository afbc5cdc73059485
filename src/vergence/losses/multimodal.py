"""Pairwise losses over any number of modalities, some of them missing for some items."""

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vergence.checks import one_of
from vergence.errors import ConfigError, ShapeError, unknown

Pairing = Callable[[tuple[str, ...]], Iterable[tuple[str, str]]]  # names of modalities -> which to compare


def all_pairs(names: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """Compare every two modalities once, the earlier one in the place of the image.

    Example:
        >>> list(all_pairs(("image", "text", "sound")))
        [('image', 'text'), ('image', 'sound'), ('text', 'sound')]
    """
    return combinations(names, 2)


def one_versus_rest(anchor: str) -> Pairing:
    """Compare one modality with each of the others, itself in the place of the image.

    Args:
        anchor: The modality that all others are compared with.

    Example:
        >>> one_versus_rest("text")(("image", "text", "sound"))
        [('text', 'image'), ('text', 'sound')]
    """

    def pairs(names: tuple[str, ...]) -> list[tuple[str, str]]:
        one_of("modality", anchor, names)
        return [(anchor, name) for name in names if name != anchor]

    return pairs


def over_pairs(
    fn: Callable[..., Tensor],
    z: Mapping[str, Any],
    *,
    pairs: Pairing = all_pairs,
    present: Mapping[str, Bool[Tensor, " batch"]] | None = None,
    **settings: Any,
) -> Float[Tensor, ""]:
    r"""Average a pairwise loss over pairs of modalities, each on the items that have both.

    $$L = \mathrm{mean}_{(a, b)}\, L_{ab}\big(z^a_{P_a \cap P_b},\, z^b_{P_a \cap P_b}\big)$$

    with $P_a$ the items for which modality a is present. The scale of the gradient does not grow with the number of
    modalities. Pairs that share fewer than two items are left out of the mean.

    Args:
        fn: Any pairwise loss of this package, or your own.
        z: Representations by modality, one row an item, in the same order everywhere; at least two modalities.
        pairs: `all_pairs`, `one_versus_rest(name)`, or a function of your own from names to pairs of names.
        present: For each modality that may be missing, which items have it. Rows of missing items may hold anything.
        settings: Keyword arguments of `fn`.

    Returns:
        The mean over the pairs of modalities.

    Raises:
        ConfigError: If there are fewer than two modalities, or one is named that is not there.
        ShapeError: If no two compared modalities share two items, or a mask has another length.

    Example:
        >>> from vergence.losses import info_nce
        >>> z = {name: torch.eye(4) for name in ("image", "text", "sound")}
        >>> round(over_pairs(info_nce, z, pairs=one_versus_rest("text"), temperature=1.0).item(), 4)
        0.7437
    """
    if len(z) < 2:
        raise ConfigError(f"a pairwise loss needs at least two modalities; got {', '.join(z) or 'none'}")
    present = present or {}
    for name in present:
        one_of("modality", name, z)
    values = []
    for a, b in pairs(tuple(z)):
        for name in (a, b):
            if name not in z:
                raise ConfigError(unknown("modality", name, z))
        rows = _shared_rows(a, b, z, present)
        if rows is None:
            values.append(fn(z[a], z[b], **settings))
        elif int(rows.sum()) >= 2:
            values.append(fn(z[a][rows], z[b][rows], **settings))
    if not values:
        raise ShapeError(f"no two compared modalities share two items; modalities: {', '.join(z)}")
    return torch.stack(values).mean()


def _shared_rows(a: str, b: str, z: Mapping[str, Any], present: Mapping[str, Tensor]) -> Tensor | None:
    for name in (a, b):
        if name in present and len(present[name]) != len(z[name]):
            raise ShapeError(
                f"present[{name!r}] must say for each of {len(z[name])} items whether it is there; "
                f"got {len(present[name])}"
            )
    masks = [present[name] for name in (a, b) if name in present]
    return torch.stack(masks).all(0) if masks else None
