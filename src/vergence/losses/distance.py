"""Contrastive losses on distances, for representations that are not confined to a sphere.

They name the partner as the other contrastive losses do, but divide by the number of candidates inside the logarithm,
so that the value does not grow with the batch. Gradient scale and `block_size` are as in `contrastive`, where powers
other than 2 count as similarities of your own.
"""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.errors import ConfigError, ShapeError
from vergence.losses.door import guarded
from vergence.losses.pairs import (
    check_scale,
    check_vectors,
    checked,
    cross_entropy,
    summarize,
    summarize_products,
    summarize_strangers,
    widen,
)


@guarded
def l2_info_nce(
    z_image: Float[Tensor, "batch dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    temperature: float | Tensor = 1.0,
    negatives_image: Float[Tensor, "images dim"] | None = None,
    negatives_text: Float[Tensor, "texts dim"] | None = None,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Find each item's partner by squared Euclidean distance, among texts or among fresh items of its own modality.

    For an anchor $a$ with partner $p$ and negatives $n_1 \dots n_K$, and with $n_0 = p$,

    $$\ell = \|a - p\|^2 / \tau + \log \mathrm{mean}_{j=0}^{K} e^{-\|a - n_j\|^2 / \tau}$$

    and the loss is the mean over the anchors of both modalities.

    [cai2025], numerical simulation: negatives are freshly drawn items of the anchor's own modality. Differs: without
    fresh items, the negatives are the batch's other items of the *other* modality.

    Args:
        z_image: Representations of the images.
        z_text: Representations of the texts that they pair with, in the same order.
        temperature: What squared distances are divided by, > 0; a tensor, if it is learned.
        negatives_image: Representations of fresh images, in any number; with `negatives_text`.
        negatives_text: Representations of fresh texts; with `negatives_image`.
        block_size: Rows whose distances are held at once; all of them if `None`.

    Returns:
        The loss in nats, at least minus the log of the number of candidates, and 0 if all representations are one
        point. It is finite wherever the squares are, but lower the more the outputs spread: bound or standardise them.

    Raises:
        ConfigError: If an argument is outside its range, or only one modality has fresh negatives.
        ShapeError: If there is no negative, shapes differ, or values are not finite.

    Example:
        >>> z = torch.tensor([[0.0], [10.0]])
        >>> round(l2_info_nce(z, z).item(), 4), round(l2_info_nce(z, z, negatives_image=z, negatives_text=z).item(), 4)
        (-0.6931, -0.4055)
    """
    return lp_info_nce(
        z_image,
        z_text,
        p=2.0,
        temperature=temperature,
        negatives_image=negatives_image,
        negatives_text=negatives_text,
        block_size=block_size,
    )


@guarded
def lp_info_nce(
    z_image: Float[Tensor, "batch dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    p: float,
    temperature: float | Tensor = 1.0,
    negatives_image: Float[Tensor, "images dim"] | None = None,
    negatives_text: Float[Tensor, "texts dim"] | None = None,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Find each item's partner by the p-th power of the $L_p$ distance, $\sum_d |a_d - b_d|^p$.

    [zimmermann2021], the $\delta$ of an $L_p$ conditional; otherwise as `l2_info_nce`, which is p = 2. Differs:
    *absolute* differences for every p, odd ones too.

    Args:
        z_image: Representations of the images.
        z_text: Representations of the texts that they pair with, in the same order.
        p: The power, >= 1 and finite.
        temperature: What the powers of distances are divided by, > 0; a tensor, if it is learned.
        negatives_image: Representations of fresh images, in any number; with `negatives_text`.
        negatives_text: Representations of fresh texts; with `negatives_image`.
        block_size: Rows whose distances are held at once; all of them if `None`.

    Returns:
        The loss in nats; range and degenerate inputs as in `l2_info_nce`.

    Raises:
        ConfigError: If an argument is outside its range, or only one modality has fresh negatives.
        ShapeError: If there is no negative, shapes differ, or values are not finite.

    Example:
        >>> z = torch.tensor([[0.0], [2.0]])
        >>> round(lp_info_nce(z, z, p=1.0).item(), 4)  # log((1 + exp(-2)) / 2)
        -0.5662
    """
    if not (isinstance(p, int | float) and 1 <= p < torch.inf):
        raise ConfigError(f"p must be a finite number >= 1 (below 1 there is no distance); got {p!r}")
    check_scale(temperature, block_size)
    fresh = _fresh(z_image, negatives_image=negatives_image, negatives_text=negatives_text)
    check_vectors(z_image, z_text, minimum=1 if fresh else 2)
    images, texts = widen(z_image), widen(z_text)
    compare = Comparison(p, temperature, block_size)
    positives = -(images - texts).abs().pow(p).sum(-1) / temperature
    if fresh:
        rows, columns = compare.with_strangers(images, fresh[0]), compare.with_strangers(texts, fresh[1])
        candidates = [len(negatives) + 1 for negatives in fresh]
    else:
        rows, columns = compare.with_each_other(images, texts)
        candidates = [len(images), len(images)]
    loss = cross_entropy(positives, rows) + cross_entropy(positives, columns)
    inputs = dict(zip(("negatives_image", "negatives_text"), fresh or (), strict=False))
    value = (loss.mean() - sum(map(log, candidates))) / 2
    return checked(value, z_image=z_image, z_text=z_text, **inputs)


class Comparison:
    """Minus the p-th power of the L_p distance over the temperature, for all pairs."""

    def __init__(self, p: float, temperature: float | Tensor, block_size: int | None) -> None:
        self.p, self.temperature, self.block_size = p, temperature, block_size

    def with_each_other(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Summarise the negatives of rows and columns, where partners are in the same place."""
        if self.p == 2:
            pairs = summarize_products(*self.as_products(a, b), block_size=self.block_size)
        else:
            pairs = summarize(self.similarity, a, b, block_size=self.block_size)
        return pairs.rows, pairs.columns

    def with_strangers(self, a: Tensor, b: Tensor) -> Tensor:
        """Summarise each row, where no two are partners."""
        if self.p == 2:
            return summarize_strangers(None, *self.as_products(a, b), block_size=self.block_size)
        return summarize_strangers(self.similarity, a, b, block_size=self.block_size)

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare all pairs."""
        return -torch.cdist(a, b, p=self.p).pow(self.p) / self.temperature

    def as_products(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Write -|a - b|^2 as a dot product with two more dimensions: 2 a.b - |a|^2 - |b|^2."""
        centre = b.detach().mean(0)  # distances do not see it; rounding does
        a, b = a - centre, b - centre
        ones = a.new_ones(()).expand
        squares = [-part.square().sum(1, keepdim=True) for part in (a, b)]
        left = torch.cat([2 * a, squares[0], ones(len(a), 1)], 1) / self.temperature
        return left, torch.cat([b, ones(len(b), 1), squares[1]], 1)


def _fresh(
    z_image: Tensor, *, negatives_image: Tensor | None, negatives_text: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    if negatives_image is None and negatives_text is None:
        return None
    if negatives_image is None or negatives_text is None:
        raise ConfigError("give negatives_image and negatives_text together, or neither; got one of them")
    for name, negatives in (("negatives_image", negatives_image), ("negatives_text", negatives_text)):
        if negatives.ndim != 2 or negatives.shape[1:] != z_image.shape[1:] or len(negatives) == 0:
            raise ShapeError(
                f"{name} must be (n >= 1, {z_image.shape[-1]}), like z_image; got {tuple(negatives.shape)}"
            )
    return widen(negatives_image), widen(negatives_text)
