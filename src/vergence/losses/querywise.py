r"""Losses of a model whose image is several queries: contrast and bottleneck on the best one, matching, captioning.

An image's queries $z_{i1} \dots z_{iK}$ and a text $z_j$ are as alike as the best of them: with $s_{ij} = \max_k
\cos(z_{ik}, z_j)$. All losses are means: the gradient with respect to one item, or one word, is of order 1/number.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vergence.checks import probability
from vergence.errors import ShapeError
from vergence.losses.bottleneck import DiagonalGaussian, variational_bottleneck
from vergence.losses.door import guarded
from vergence.losses.pairs import check_batch, check_scale, checked, cross_entropy, unit, widen


@guarded
def best_query(
    z_image: Float[Tensor, "images queries dim"], z_text: Float[Tensor, "texts dim"]
) -> Float[Tensor, "images texts"]:
    r"""How alike images and texts are: the cosine of a text with the query that is nearest to it.

    $$s_{ij} = \max_k \cos(z_{ik}, z_j)$$

    [li2023] Section 3.1; differs: nothing.

    Args:
        z_image: Queries of each image.
        z_text: Texts.

    Returns:
        In [-1, 1]; a zero vector has cosine 0 with everything and no gradient.

    Raises:
        ShapeError: If images have no query, or sizes differ.

    Example:
        >>> best_query(torch.eye(4).view(2, 2, 4), torch.eye(4)[:3])
        tensor([[1., 1., 0.],
                [0., 0., 1.]])
    """
    if z_image.ndim != 3 or z_text.ndim != 2 or z_image.shape[2] != z_text.shape[1] or z_image.shape[1] == 0:
        shapes = f"{tuple(z_image.shape)} and {tuple(z_text.shape)}"
        raise ShapeError(f"z_image must be (images, queries, dim) and z_text (texts, dim); got {shapes}")
    return (unit(widen(z_image)) @ unit(widen(z_text)).T).amax(1)


@guarded
def query_contrast(
    z_image: Float[Tensor, "batch queries dim"],
    z_text: Float[Tensor, "batch dim"],
    *,
    temperature: float | Tensor = 0.07,
    label_smoothing: float = 0.1,
    same: Bool[Tensor, "batch batch"] | None = None,
) -> Float[Tensor, ""]:
    r"""Find each image's text among the batch's texts by its best query, and each text's image among its images.

    With $N_i$ the texts that image i does not share with its own, and $C_i = N_i \cup \{i\}$,

    $$L^x = \mathrm{mean}_i\, \Big[ -(1 - \epsilon) \log p_{ii} - \frac{\epsilon}{|C_i|} \sum_{j \in C_i} \log p_{ij}
        \Big], \qquad p_{ij} = \frac{e^{s_{ij}/\tau}}{\sum_{k \in C_i} e^{s_{ik}/\tau}}$$

    and the loss is the mean of $L^x$ and of the same of texts among images. [li2023] Section 3.1, with the smoothing
    of [almudevar2025]; differs: items that share an image or a caption are not each other's negatives.

    Args:
        z_image: Queries of each image.
        z_text: The texts that they pair with, in the same order.
        temperature: What similarities are divided by, > 0; a tensor, if it is learned.
        label_smoothing: $\epsilon$ in [0, 1].
        same: Which text is a true one of which image, beside its own; none if `None`.

    Returns:
        The loss in nats, >= 0. An item that all others are the same as has no negative, and adds 0.

    Raises:
        ConfigError: If an argument is outside its range.
        ShapeError: If there are fewer than two pairs, shapes do not pair up, or values are not finite.

    Example:
        >>> z = torch.eye(4)
        >>> round(query_contrast(z[:, None], z, temperature=1.0, label_smoothing=0.0).item(), 4)
        0.7437
    """
    probability("label_smoothing", label_smoothing)
    check_scale(temperature, None)
    check_batch(z_image, z_text, minimum=2)
    similarity = best_query(z_image, z_text) / temperature
    shared = _shared(same, similarity)
    losses = [_cross_entropy(s, m, label_smoothing) for s, m in ((similarity, shared), (similarity.T, shared.T))]
    return checked(torch.stack(losses).mean(), z_image=z_image, z_text=z_text)


@guarded
def query_penalty(z_image: Float[Tensor, "batch queries dim"], z_text: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    r"""Pull a text and its image's nearest query together: the deterministic bottleneck of a model of queries.

    $$\mathrm{mean}_i\, (1 - s_{ii})$$

    [almudevar2025], image captioning; differs: nothing. As `alignment_penalty`, it is a surrogate of the bound of
    `variational_query_penalty`, not a bound.

    Args:
        z_image: Queries of each image.
        z_text: The texts that they pair with, in the same order.

    Returns:
        A mean over the batch, in [0, 2].

    Raises:
        ShapeError: If shapes do not pair up, the batch is empty or values are not finite.

    Example:
        >>> query_penalty(torch.eye(4).view(2, 2, 4), torch.eye(4)[:2]).item()
        0.5
    """
    check_batch(z_image, z_text, minimum=1)
    cosines = (unit(widen(z_image)) * unit(widen(z_text))[:, None]).sum(-1)
    return checked((1 - cosines.amax(1)).mean(), z_image=z_image, z_text=z_text)


@guarded
def variational_query_penalty(z_image: DiagonalGaussian, z_text: DiagonalGaussian) -> Float[Tensor, ""]:
    r"""Penalise what an image's best query says beyond what its text does.

    $$\mathrm{mean}_i\, \mathrm{KL}\big(p(z_{ik_i} | x_i) \,\|\, p(z | t_i)\big), \qquad
      k_i = \arg\max_k \cos(\mu_{ik}^x, \mu_i^t)$$

    [almudevar2025], the variational form, on the query that the contrast compares; differs: nothing else, and what
    `variational_bottleneck` bounds is bounded of that query.

    Args:
        z_image: Distributions of each image's queries, (batch, queries, dim).
        z_text: Distributions of the texts that they pair with, (batch, dim).

    Returns:
        A mean over the batch, >= 0, in nats.

    Raises:
        ShapeError: If shapes do not pair up, the batch is empty or values are not finite.

    Example:
        >>> image = DiagonalGaussian(torch.eye(2)[None], torch.zeros(1, 2, 2))
        >>> variational_query_penalty(image, DiagonalGaussian(torch.eye(2)[:1], torch.zeros(1, 2))).item()
        0.0
    """
    check_batch(z_image.mean, z_text.mean, minimum=1)
    cosines = (unit(widen(z_image.mean)) * unit(widen(z_text.mean))[:, None]).sum(-1)
    rows, best = torch.arange(len(cosines), device=cosines.device), cosines.argmax(1)
    return variational_bottleneck(DiagonalGaussian(z_image.mean[rows, best], z_image.log_variance[rows, best]), z_text)


class HardNegatives(NamedTuple):
    """For each item of a batch another one's partner, -1 where there is none.

    Args:
        texts: For each image, the number of a text that is not its own.
        images: For each text, the number of an image that is not its own.
    """

    texts: Int[Tensor, " batch"]
    images: Int[Tensor, " batch"]


def hard_negatives(
    similarity: Float[Tensor, "batch batch"],
    *,
    same: Bool[Tensor, "batch batch"] | None = None,
    temperature: float | Tensor = 1.0,
    generator: torch.Generator,
) -> HardNegatives:
    r"""Draw a wrong text for each image and a wrong image for each text, the more similar the more often.

    $$P(j | i) \propto e^{s_{ij}/\tau}, \quad j \in N_i$$

    [li2021] Section 3.2, as [li2023] use it; differs: a true match is never drawn, whatever its similarity.

    Args:
        similarity: Of all images with all texts, such as `best_query` gives; no gradient is taken.
        same: Which text is a true one of which image, beside its own; none if `None`.
        temperature: What similarities are divided by, > 0.
        generator: Source of the draws, on the CPU.

    Returns:
        Which items were drawn.

    Raises:
        ConfigError: If the temperature is not above zero.
        ShapeError: If similarities are not those of a batch of pairs, or are not finite.

    Example:
        >>> from vergence.random import generator
        >>> same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
        >>> hard_negatives(torch.zeros(3, 3), same=same, generator=generator(0)).texts[:2]
        tensor([2, 2])
    """
    check_scale(temperature, None)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ShapeError(f"similarity must be (batch, batch); got {tuple(similarity.shape)}")
    scaled = widen(similarity.detach() / temperature).cpu()
    if not scaled.isfinite().all():
        raise ShapeError("similarity holds NaN or infinity")
    strangers = ~(_shared(same, similarity).cpu() | torch.eye(len(scaled), dtype=torch.bool))
    texts, images = (_drawn(s, m, generator) for s, m in ((scaled, strangers), (scaled.T, strangers.T)))
    return HardNegatives(texts.to(similarity.device), images.to(similarity.device))


@guarded
def matching_loss(logits: Float[Tensor, " items"], targets: Bool[Tensor, " items"]) -> Float[Tensor, ""]:
    r"""Say of images and texts whether they belong together: binary cross-entropy.

    $$-\mathrm{mean}_i\, \log \sigma(y_i l_i), \quad y_i = \pm 1$$

    [li2021] Section 3.2, as [li2023] use it; differs: one logit, which is the difference of their two.

    Args:
        logits: That they belong together.
        targets: Whether they do.

    Returns:
        The loss in nats, >= 0; log 2 of logits 0.

    Raises:
        ShapeError: If there is no item, shapes differ, or values are not finite.

    Example:
        >>> round(matching_loss(torch.zeros(2), torch.tensor([True, False])).item(), 4)
        0.6931
    """
    check_batch(logits, targets, minimum=1)
    signed = torch.where(targets, widen(logits), -widen(logits))
    return checked(-nn.functional.logsigmoid(signed).mean(), logits=logits)


@guarded
def captioning_loss(
    logits: Float[Tensor, "batch length n_words"],
    ids: Int[Tensor, "batch length"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    r"""Predict each word of a caption from those before it: cross-entropy, a mean over the words of all captions.

    $$-\mathrm{mean}_{i, t:\, w_{i,t+1} \ne 0}\, \Big[ (1 - \epsilon) \log p_{it}(w_{i,t+1})
        + \frac{\epsilon}{V} \sum_{v=1}^{V} \log p_{it}(v) \Big], \qquad p_{it} = \mathrm{softmax}(l_{it})$$

    [li2023] Section 3.1, image-grounded text generation; differs: nothing.

    Args:
        logits: Of the word after each place, over V words.
        ids: The words, from the begin on; 0 is padding, which is not predicted.
        label_smoothing: $\epsilon$ in [0, 1].

    Returns:
        The loss in nats per word, >= 0; log V of equal logits.

    Raises:
        ConfigError: If the smoothing is outside its range.
        ShapeError: If shapes do not pair up, no caption has a word to predict, or values are not finite.

    Example:
        >>> round(captioning_loss(torch.zeros(1, 3, 8), torch.tensor([[2, 5, 3]])).item(), 4)  # log 8
        2.0794
    """
    probability("label_smoothing", label_smoothing)
    if logits.shape[:2] != ids.shape:
        raise ShapeError(
            f"logits must be (batch, length, n_words) of ids; got {tuple(logits.shape)}, {tuple(ids.shape)}"
        )
    following = ids[:, 1:]
    said = following != 0
    if not said.any():
        raise ShapeError("ids must hold a word after the first of some caption; got none")
    loss = nn.functional.cross_entropy(widen(logits)[:, :-1][said], following[said], label_smoothing=label_smoothing)
    return checked(loss, logits=logits)


def _shared(same: Tensor | None, similarity: Tensor) -> Tensor:
    """Which other items are the same as each."""
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    if same is None:
        return torch.zeros_like(itself)
    if same.shape != itself.shape or same.dtype != torch.bool:
        raise ShapeError(f"same must say of all {len(itself)}^2 pairs whether they match; got {tuple(same.shape)}")
    return same.to(itself.device) & ~itself


def _cross_entropy(similarity: Tensor, shared: Tensor, label_smoothing: float) -> Tensor:
    """Of the rows of a matrix, each of which has its partner on the diagonal and no negative where it is shared."""
    positives = similarity.diagonal()
    itself = torch.eye(len(shared), dtype=torch.bool, device=shared.device)
    # The lowest number, not -inf: a row may hold nothing else, and its gradient must not be NaN.
    negatives = similarity.masked_fill(shared | itself, torch.finfo(similarity.dtype).min).logsumexp(1)
    mean = similarity.masked_fill(shared, 0).sum(1) / (~shared).sum(1)
    return (cross_entropy(positives, negatives) + label_smoothing * (positives - mean)).mean()


def _drawn(scores: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensor:
    """One allowed column of each row by softmax, -1 where none is; every row takes its draw, so that none shifts."""
    some = allowed.any(1)
    weights = scores.masked_fill(~allowed, -torch.inf).masked_fill(~some[:, None], 0).softmax(1)
    return torch.multinomial(weights, 1, generator=generator)[:, 0].masked_fill(~some, -1)
