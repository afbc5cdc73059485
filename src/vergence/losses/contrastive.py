"""Contrastive losses that name the right partner among the items of a batch.

All are means over the anchors: the gradient with respect to one row is of order 1/batch, and a loss on the global batch
needs no factor for the number of processes.
"""

from jaxtyping import Float
from torch import Tensor

from vergence.checks import probability
from vergence.losses.pairs import Similarity, checked, contrast, cross_entropy


def info_nce(
    z_image: Float[Tensor, "batch *image"],
    z_text: Float[Tensor, "batch *text"],
    *,
    temperature: float | Tensor = 0.07,
    similarity: str | Similarity = "cosine",
    label_smoothing: float = 0.0,
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

    Returns:
        The loss in nats, >= 0, a mean over the batch and over both directions. Identical representations give log B; a
        zero vector has cosine 0 with everything and no gradient.

    Raises:
        ConfigError: If the temperature, the similarity or the smoothing is outside its range.
        ShapeError: If there are fewer than two pairs, shapes do not pair up, or values are not finite.

    Example:
        >>> import torch
        >>> z = torch.eye(4)
        >>> round(info_nce(z, z, temperature=1.0).item(), 4), round(info_nce(z, z).item(), 4)
        (0.7437, 0.0)
    """
    probability("label_smoothing", label_smoothing)
    pairs = contrast(z_image, z_text, temperature=temperature, similarity=similarity)
    loss = cross_entropy(pairs.positives, pairs.rows) + cross_entropy(pairs.positives, pairs.columns)
    smoothing = label_smoothing * (pairs.positives.mean() - pairs.mean)
    return checked(loss.mean() / 2 + smoothing, z_image=z_image, z_text=z_text)
