"""Contrastive losses that name the right partner among the items of a batch, by cosine or a similarity of your own.

All are means over the anchors: the gradient with respect to one row is of order 1/batch, and a loss on the global batch
needs no factor for the number of processes that share it. With `block_size` they are as exact, and their memory is
O(batch * dim + block_size * batch) instead of O(batch^2); they are then differentiable once. Blocks of a similarity of
your own are made and dropped by autograd: any derivative, but how much is reused is up to the memory allocator.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import number, probability
from vergence.losses.blockwise import pair_softplus, softplus
from vergence.losses.door import guarded
from vergence.losses.pairs import (
    Similarity,
    check_scale,
    check_vectors,
    checked,
    contrast,
    cross_entropy,
    off_diagonal_logsumexp,
    summarize_products,
    unit,
    widen,
)


@guarded
def info_nce(
    z_image: Float[Tensor, "batch *image"],
    z_text: Float[Tensor, "batch *text"],
    *,
    temperature: float | Tensor = 0.07,
    similarity: str | Similarity = "cosine",
    label_smoothing: float = 0.0,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Find each image's text among the batch's texts, and each text's image among its images.

    $$L = \tfrac12 \Big[ \mathrm{mean}_i\, {-\log} \frac{e^{s_{ii}/\tau}}{\sum_j e^{s_{ij}/\tau}}
        + \mathrm{mean}_j\, {-\log} \frac{e^{s_{jj}/\tau}}{\sum_i e^{s_{ij}/\tau}} \Big]$$

    [radford2021] Fig. 3, after [oord2018] Eq. 4; differs: the temperature is an argument, and targets may be smoothed
    to $1 - \epsilon + \epsilon / B$ for the partner and $\epsilon / B$ for every other item. Without smoothing,
    $\log B - L$ is a lower bound of the mutual information of both representations, in nats.

    Args:
        z_image: Representations of the images, (batch, dim); with a `similarity` of your own, of any further shape.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What similarities are divided by, > 0; a tensor, if it is learned.
        similarity: "cosine", "dot", or a function from n images and m texts to an (n, m) matrix.
        label_smoothing: $\epsilon$ in [0, 1].
        block_size: Rows whose similarities are held at once; all of them if `None`.

    Returns:
        The loss in nats, >= 0, a mean over the batch and over both directions. Identical representations give log B; a
        zero vector has cosine 0 with everything and no gradient.

    Raises:
        ConfigError: If an argument is outside its range.
        ShapeError: If there are fewer than two pairs, shapes do not pair up, or values are not finite.

    Example:
        >>> z = torch.eye(4)
        >>> round(info_nce(z, z, temperature=1.0).item(), 4), round(info_nce(z, z).item(), 4)
        (0.7437, 0.0)
    """
    probability("label_smoothing", label_smoothing)
    pairs = contrast(z_image, z_text, temperature=temperature, similarity=similarity, block_size=block_size)
    loss = cross_entropy(pairs.positives, pairs.rows) + cross_entropy(pairs.positives, pairs.columns)
    smoothing = label_smoothing * (pairs.positives.mean() - pairs.mean)
    return checked(loss.mean() / 2 + smoothing, z_image=z_image, z_text=z_text)


@guarded
def one_way_info_nce(
    z_image: Float[Tensor, "batch *image"],
    z_text: Float[Tensor, "batch *text"],
    *,
    temperature: float | Tensor = 0.07,
    similarity: str | Similarity = "cosine",
    label_smoothing: float = 0.0,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Find each image's text among the batch's texts; texts do not look for images.

    $$L = \mathrm{mean}_i\, {-\log} \frac{e^{s_{ii}/\tau}}{\sum_j e^{s_{ij}/\tau}}$$

    [oord2018] Eq. 4, as [almudevar2025] use it, with image $\to$ factors; differs: targets may be smoothed.

    Args:
        z_image: The anchors, (batch, dim); with a `similarity` of your own, of any further shape.
        z_text: The candidates, in the same order.
        temperature: What similarities are divided by, > 0; a tensor, if it is learned.
        similarity: "cosine", "dot", or a function from n images and m texts to an (n, m) matrix.
        label_smoothing: As in `info_nce`, in [0, 1].
        block_size: Rows whose similarities are held at once; all of them if `None`.

    Returns:
        The loss in nats, >= 0, a mean over the batch. Degenerate inputs as in `info_nce`.

    Raises:
        ConfigError: If an argument is outside its range.
        ShapeError: If there are fewer than two pairs, shapes do not pair up, or values are not finite.

    Example:
        >>> images = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(one_way_info_nce(images, texts, temperature=1.0).item(), 4)
        0.8133
    """
    probability("label_smoothing", label_smoothing)
    pairs = contrast(z_image, z_text, temperature=temperature, similarity=similarity, block_size=block_size)
    smoothing = label_smoothing * (pairs.positives.mean() - pairs.mean)
    return checked(cross_entropy(pairs.positives, pairs.rows).mean() + smoothing, z_image=z_image, z_text=z_text)


@guarded
def nt_xent(
    z_image: Float[Tensor, "batch dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    temperature: float | Tensor = 1.0,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Find each item's partner among the 2N - 1 other items of the batch, those of its own modality included.

    With the N images and N texts in one list, $p(i)$ the partner of $i$ and $s$ the cosine,

    $$L = \mathrm{mean}_{i=1}^{2N}\, {-\log} \frac{e^{s_{i\,p(i)}/\tau}}{\sum_{k \ne i} e^{s_{ik}/\tau}}$$

    [chen2020] Eq. 1; differs: the two views are an image and its text, as in the MPI3D and Causal3DIdent experiments of
    [cai2025], whence the default temperature.

    Args:
        z_image: Representations of the images.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What cosines are divided by, > 0; a tensor, if it is learned.
        block_size: Rows whose similarities are held at once; all of them if `None`.

    Returns:
        The loss in nats, >= 0, a mean over all 2N anchors. Identical representations give log(2N - 1); a zero vector
        has cosine 0 with everything and no gradient.

    Raises:
        ConfigError: If an argument is outside its range.
        ShapeError: If there are fewer than two pairs, shapes differ, or values are not finite.

    Example:
        >>> round(nt_xent(torch.ones(4, 2), torch.ones(4, 2)).item(), 4)  # log 7
        1.9459
    """
    check_scale(temperature, block_size)
    check_vectors(z_image, z_text, minimum=2)
    images, texts = unit(widen(z_image)), unit(widen(z_text))
    cross = summarize_products(images / temperature, texts, block_size=block_size)
    among_images, among_texts = (off_diagonal_logsumexp(z / temperature, z, block_size) for z in (images, texts))
    of_images = cross_entropy(cross.positives, torch.logaddexp(cross.rows, among_images))
    of_texts = cross_entropy(cross.positives, torch.logaddexp(cross.columns, among_texts))
    return checked((of_images + of_texts).mean() / 2, z_image=z_image, z_text=z_text)


@guarded
def sigmoid_loss(
    z_image: Float[Tensor, "batch dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    temperature: float | Tensor = 0.1,
    bias: float | Tensor = -10.0,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Say of each image and each text whether they belong together, one pair at a time.

    With $s$ the cosine and $y_{ij}$ = 1 for partners, -1 otherwise,

    $$L = -\mathrm{mean}_i \sum_j \log \sigma\big(y_{ij} (s_{ij}/\tau + b)\big)$$

    [zhai2023] Eq. 1, whose $t$ is $1/\tau$; differs: nothing, and the defaults are its initial values.

    Args:
        z_image: Representations of the images.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What cosines are divided by, > 0; a tensor, if it is learned.
        bias: $b$, which offsets the many negatives; a tensor, if it is learned.
        block_size: Rows whose similarities are held at once; all of them if `None`.

    Returns:
        The loss in nats, >= 0: a sum over texts, a mean over images; so, unlike the other losses, the gradient of a row
        also grows with the number of negatives, until the bias has silenced them. Degenerate inputs give finite values;
        a zero vector has cosine 0 with everything and no gradient.

    Raises:
        ConfigError: If an argument is outside its range.
        ShapeError: If there are fewer than two pairs, shapes differ, or values are not finite.

    Example:
        >>> z = torch.eye(2)
        >>> round(sigmoid_loss(z, z, temperature=1.0, bias=0.0).item(), 4)
        1.0064
    """
    check_scale(temperature, block_size)
    if not isinstance(bias, Tensor):
        number("bias", bias)
    check_vectors(z_image, z_text, minimum=2)
    images, texts = unit(widen(z_image)) / temperature, unit(widen(z_text))
    positives = softplus(-(images * texts).sum(-1) - bias).sum()
    negatives = _sum_of_negatives(images, texts, torch.as_tensor(bias, dtype=images.dtype), block_size)
    return checked((positives + negatives) / len(images), z_image=z_image, z_text=z_text)


def _sum_of_negatives(a: Tensor, b: Tensor, bias: Tensor, block_size: int | None) -> Tensor:
    if block_size is None:
        terms = softplus(a @ b.T + bias)
        return terms.sum() - terms.diagonal().sum()
    # The bias is one more dimension: then the blockwise product carries its gradient too.
    column = bias.to(a.device).expand(len(a), 1)
    return pair_softplus(torch.cat([a, column], 1), torch.cat([b, torch.ones_like(column)], 1), block_size=block_size)
