r"""A process's share of a loss on the whole batch: what some of the items, as anchors, contribute to it.

For slices $r_1 \dots r_k$ that divide the batch, $\sum_i \mathrm{share}(L, r_i) = L$, in value and gradient. So a
process that is given all representations holds its own rows of the matrix of all pairs, never all of them; with
`block_size`, only blocks of its rows. Candidates are rotated until the partners of the anchors come first: then anchors
and candidates pair up as in a whole batch, only that some candidates are no one's partner.
"""

from collections.abc import Callable, Mapping
from math import log
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from vergence.losses.blockwise import pair_logsumexp, pair_softplus, softplus
from vergence.losses.bottleneck import alignment_penalty, variational_bottleneck
from vergence.losses.contrastive import info_nce, nt_xent, one_way_info_nce, sigmoid_loss
from vergence.losses.distance import Comparison, l2_info_nce, lp_info_nce
from vergence.losses.door import of_one_type, without_autocast
from vergence.losses.entropy import align_max_entropy, entropy_from, kth_neighbour
from vergence.losses.pairs import SIMILARITIES, Similarity, checked, cross_entropy, summarize, unit, widen
from vergence.losses.standardize import standardize


def share_of(fn: Callable[..., Tensor], z_image: Any, z_text: Any, *, rows: slice, **settings: Any) -> Tensor:
    """Evaluate what some items contribute to a loss on the whole batch.

    Args:
        fn: A loss. Those of this package compute the rows of these items only; any other is computed as a whole, of
            which the share is that of the items.
        z_image: Representations of all images.
        z_text: Representations of all texts.
        rows: Which items; a slice with start and stop, at least one item.
        settings: Keyword arguments of the loss.

    Returns:
        The share, a scalar in the loss's units: over slices that divide the batch, shares add up to the loss.

    Example:
        >>> z = torch.eye(4)
        >>> shares = [share_of(info_nce, z, z, rows=slice(*ends), temperature=1.0) for ends in ((0, 3), (3, 4))]
        >>> round(sum(shares).item(), 4) == round(info_nce(z, z, temperature=1.0).item(), 4)
        True
    """
    share = _SHARES.get(fn)
    if share is None or settings.get("negatives_image") is not None:
        return fn(z_image, z_text, **settings) * _fraction(rows, z_image)
    with without_autocast(z_image, z_text):
        return share(**of_one_type(z_image=z_image, z_text=z_text), rows=rows, **settings)


def _one_way(
    z_image: Tensor,
    z_text: Tensor,
    *,
    rows: slice,
    temperature: float | Tensor = 0.07,
    similarity: str | Similarity = "cosine",
    label_smoothing: float = 0.0,
    block_size: int | None = None,
) -> Tensor:
    a, b = widen(z_image), widen(z_text)
    if isinstance(similarity, str):
        prepare = SIMILARITIES[similarity]
        seen = _products(prepare(a)[rows] / temperature, prepare(b), rows.start, block_size)
    else:
        seen = _compared(lambda a, b: similarity(a, b) / temperature, a[rows], b, rows.start, block_size)
    positives, negatives, mean = seen
    smoothing = label_smoothing * (positives.mean() - mean)
    loss = (cross_entropy(positives, negatives).mean() + smoothing) * _fraction(rows, a)
    return checked(loss, z_image=z_image, z_text=z_text)


def _info_nce(
    z_image: Tensor, z_text: Tensor, *, rows: slice, similarity: str | Similarity = "cosine", **settings: Any
) -> Tensor:
    swapped = similarity if isinstance(similarity, str) else lambda a, b: similarity(b, a).T
    of_images = _one_way(z_image, z_text, rows=rows, similarity=similarity, **settings)
    return (of_images + _one_way(z_text, z_image, rows=rows, similarity=swapped, **settings)) / 2


def _nt_xent(
    z_image: Tensor,
    z_text: Tensor,
    *,
    rows: slice,
    temperature: float | Tensor = 1.0,
    block_size: int | None = None,
) -> Tensor:
    images, texts = unit(widen(z_image)), unit(widen(z_text))
    losses = []
    for own, other in ((images, texts), (texts, images)):
        anchors = own[rows] / temperature
        positives, strangers, _ = _products(anchors, other, rows.start, block_size)
        _, kin, _ = _products(anchors, own, rows.start, block_size)
        losses.append(cross_entropy(positives, torch.logaddexp(strangers, kin)).mean())
    return checked(torch.stack(losses).mean() * _fraction(rows, images), z_image=z_image, z_text=z_text)


def _sigmoid_loss(
    z_image: Tensor,
    z_text: Tensor,
    *,
    rows: slice,
    temperature: float | Tensor = 0.1,
    bias: float | Tensor = -10.0,
    block_size: int | None = None,
) -> Tensor:
    images, texts = unit(widen(z_image))[rows] / temperature, _rotated(unit(widen(z_text)), rows.start)
    positives = softplus(-(images * texts[: len(images)]).sum(-1) - bias).sum()
    # The bias is one more dimension, as in the whole loss.
    column = torch.as_tensor(bias, dtype=images.dtype, device=images.device).expand(len(images), 1)
    a, b = torch.cat([images, column], 1), torch.cat([texts, texts.new_ones(len(texts), 1)], 1)
    if block_size is None:
        terms = softplus(a @ b.T)
        negatives = terms.sum() - terms.diagonal().sum()
    else:
        negatives = pair_softplus(a, b, block_size=block_size)
    return checked((positives + negatives) / len(texts), z_image=z_image, z_text=z_text)


def _lp_info_nce(
    z_image: Tensor,
    z_text: Tensor,
    *,
    rows: slice,
    p: float = 2.0,
    temperature: float | Tensor = 1.0,
    block_size: int | None = None,
    negatives_image: None = None,
    negatives_text: None = None,
) -> Tensor:
    images, texts = widen(z_image), widen(z_text)
    compare = Comparison(p, temperature, block_size)
    positives = -(images - texts)[rows].abs().pow(p).sum(-1) / temperature
    losses = []
    for own, other in ((images, texts), (texts, images)):
        if p == 2:
            negatives = _products(*compare.as_products(own[rows], other), rows.start, block_size)[1]
        else:
            negatives = _compared(compare.similarity, own[rows], other, rows.start, block_size)[1]
        losses.append(cross_entropy(positives, negatives).mean() - log(len(images)))
    return checked(torch.stack(losses).mean() * _fraction(rows, images), z_image=z_image, z_text=z_text)


def _align_max_entropy(
    z_image: Tensor,
    z_text: Tensor,
    *,
    rows: slice,
    bound: Callable[[Tensor], Tensor] = standardize,
    neighbours: int = 3,
    block_size: int | None = None,
) -> Tensor:
    images, texts = bound(widen(z_image)), bound(widen(z_text))
    loss = torch.linalg.vector_norm((images - texts)[rows], dim=1).mean()
    for z in (images, texts):
        anchors, others = z[rows], _rotated(z, rows.start)
        nearest = kth_neighbour(anchors.detach(), others.detach(), neighbours, block_size)
        distances = torch.linalg.vector_norm(anchors - others[nearest], dim=1)
        loss = loss - entropy_from(distances, dim=z.shape[1], n=len(z), neighbours=neighbours) / 2
    return checked(loss * _fraction(rows, images), z_image=z_image, z_text=z_text)


def _of_items(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make the share of a loss that is a mean over items, none of which sees another."""

    def share(z_image: Any, z_text: Any, *, rows: slice, **settings: Any) -> Tensor:
        return fn(z_image[rows], z_text[rows], **settings) * _fraction(rows, z_image)

    return share


def _products(a: Tensor, b: Tensor, start: int, block_size: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Summarise a @ b.T as `_compared` does, with the blockwise products."""
    if block_size is None:
        return _compared(lambda a, b: a @ b.T, a, b, start, None)
    b = _rotated(b, start)
    negatives, _ = pair_logsumexp(a, b, paired=True, block_size=block_size)
    return (a * b[: len(a)]).sum(-1), negatives, a.mean(0) @ b.mean(0)


def _compared(
    similarity: Similarity, a: Tensor, b: Tensor, start: int, block_size: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Positives of the anchors, log-sum-exp of their negatives, and the mean of all their similarities."""
    seen = summarize(similarity, a, _rotated(b, start), block_size=block_size)
    return seen.positives, seen.rows, seen.mean


def _rotated(z: Tensor, start: int) -> Tensor:
    return z.roll(-start, 0)


def _fraction(rows: slice, z: Any) -> float:
    return float(rows.stop - rows.start) / len(z)


_SHARES: Mapping[Callable[..., Tensor], Callable[..., Tensor]] = MappingProxyType(
    {
        info_nce: _info_nce,
        one_way_info_nce: _one_way,
        nt_xent: _nt_xent,
        sigmoid_loss: _sigmoid_loss,
        l2_info_nce: _lp_info_nce,
        lp_info_nce: _lp_info_nce,
        align_max_entropy: _align_max_entropy,
        alignment_penalty: _of_items(alignment_penalty),
        variational_bottleneck: _of_items(variational_bottleneck),
    }
)
