"""Cross-modal retrieval: where the right item ranks among all, ties at their expected value, in blocks of rows.

An image is one vector, or several (of a query transformer's queries) of which the one that is nearest to a text counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ShapeError
from vergence.metrics.arrays import Array, guarded, same_rows, sound
from vergence.metrics.scale import unit

_BLOCK = 2**22  # similarities held at once: 16 MB of float32


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Where the first relevant item of each query ranks, as far as the scores decide it.

    Args:
        better: How many items score above the best relevant one.
        tied: How many score the same as it, itself included.
        tied_relevant: How many of those are relevant, itself included.
        gallery: How many items there are to find.
    """

    better: Integer[Tensor, "queries"]
    tied: Integer[Tensor, "queries"]
    tied_relevant: Integer[Tensor, "queries"]
    gallery: int

    def hits(self, k: int) -> Float[Tensor, "queries"]:
        r"""Probability of a relevant item among the first `k` if tied items come in random order.

        With $r$ relevant of $e$ tied and $j$ of the tied within the first $k$: $1 - \binom{e-r}{j} / \binom{e}{j}$.
        """
        at_least("k", k, 1)
        within = (k - self.better).clamp(min=0).minimum(self.tied).double()
        tied, relevant = self.tied.double(), self.tied_relevant.double()
        missed = tied - relevant - within
        log_miss = (
            _log_factorial(tied - relevant)
            - _log_factorial(missed.clamp(min=0.0))
            - _log_factorial(tied)
            + _log_factorial(tied - within)
        )
        return torch.where(missed < 0, 1.0, torch.where(within == 0, 0.0, -torch.expm1(log_miss)))

    def recall(self, k: int) -> float:
        """Share of queries with a relevant item among the first `k`; in [0, 1].

        Raises:
            ConfigError: If `k` is below 1.
        """
        return float(self.hits(k).mean())

    def expected_ranks(self) -> Float[Tensor, "queries"]:
        """Expected rank of the first relevant item, from 1, if tied items come in random order."""
        return self.better + (self.tied + 1) / (self.tied_relevant + 1).double()

    def reciprocal_ranks(self) -> Float[Tensor, "queries"]:
        r"""Expected reciprocal of the rank of the first relevant item, if tied items come in random order; in (0, 1].

        With $b$ better items, and $r$ relevant of $e$ tied: $\sum_j \binom{e-j}{r-1} / \binom{e}{r} / (b + j)$ over its
        places $j$ among the tied.
        """
        found = 1 / (self.better + 1).double()
        open_ones = (self.tied > self.tied_relevant).nonzero()[:, 0]
        counts = torch.stack([self.better, self.tied, self.tied_relevant], dim=1)[open_ones]
        alike, which = torch.unique(counts, dim=0, return_inverse=True)
        for number, (better, tied, relevant) in enumerate(alike.double().unbind()):
            place = torch.arange(1.0, float(tied - relevant) + 2, dtype=torch.float64, device=found.device)
            log_first = _log_choose(tied - place, relevant - 1) - _log_choose(tied, relevant)
            found[open_ones[which == number]] = (log_first.exp() / (better + place)).sum()
        return found

    def median_rank(self) -> float:
        """Median over queries of the expected rank; in [1, gallery]."""
        return float(self.expected_ranks().quantile(0.5))


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Ranks of text queries among images (image retrieval) and of image queries among texts (text retrieval)."""

    image_retrieval: Ranks
    text_retrieval: Ranks

    def table(self, ks: Iterable[int] = (1, 5, 10)) -> dict[str, float]:
        """Recall at each `k` and median rank, by the names in common use: `image_retrieval_recall@5`."""
        ks = tuple(ks)
        return {
            f"{name}_{measure}": value
            for name, ranks in (("image_retrieval", self.image_retrieval), ("text_retrieval", self.text_retrieval))
            for measure, value in ((f"recall@{k}", ranks.recall(k)) for k in ks)
        } | {
            "image_retrieval_median_rank": self.image_retrieval.median_rank(),
            "text_retrieval_median_rank": self.text_retrieval.median_rank(),
        }


@guarded
def retrieve(
    z_image: Float[Array, "images *queries dim"],
    z_text: Float[Array, "texts dim"],
    *,
    image_of_text: Integer[Array, "texts"] | None = None,
) -> Retrieval:
    """Rank all images for every text and all texts for every image by cosine, in one pass over blocks of texts.

    An image that has several vectors is as similar to a text as the nearest of them. Scores that differ by no more than
    eight units of rounding count as tied. An image query is answered by any of its texts. Cost O(images × queries ×
    texts × dim), memory one block of texts. Computed in the width of the inputs, at least float32.

    Source: [radford2021] for the protocol; with several captions per image as usual on COCO and Flickr30k;
    [almudevar2025] for several vectors of an image.

    Args:
        z_image: Image representations; vectors are scaled to unit norm, those of zeros stay zero.
        z_text: Text representations, of the same width.
        image_of_text: Row of `z_image` that each text describes; `None` if texts and images pair one to one.

    Returns:
        Ranks in both directions; an image that no text describes is not a query, but remains in the gallery.

    Raises:
        ShapeError: If widths differ, rows do not pair, a number in `image_of_text` is no row, or an entry is NaN.

    Example:
        >>> z = torch.eye(4)
        >>> found = retrieve(z[:3], z[[0, 1, 1, 3]], image_of_text=torch.tensor([0, 1, 2, 2]))
        >>> found.image_retrieval.recall(1), found.text_retrieval.recall(1)
        (0.58..., 0.66...)
        >>> retrieve(z.reshape(2, 2, 4), z[[1, 2]]).image_retrieval.recall(1)  # two vectors for each image
        1.0
    """
    images, texts = unit_images(z_image, z_text)
    target = _targets(images, texts, image_of_text)
    slack = slack_of(images)
    step = max(1, _BLOCK // (len(images) * images.shape[1]))
    blocks = [slice(start, start + step) for start in range(0, len(texts), step)]
    own = torch.cat([torch.einsum("td,tqd->tq", texts[some], images[target[some]]).amax(1) for some in blocks])
    best = torch.full((len(images),), -torch.inf, dtype=own.dtype, device=own.device)
    best.scatter_reduce_(0, target, own, "amax")

    image_counts: list[tuple[Tensor, Tensor]] = []
    text_better, text_tied = torch.zeros_like(best, dtype=torch.long), torch.zeros_like(best, dtype=torch.long)
    for block in blocks:
        scores = nearest_of_queries(texts[block], images)
        image_counts.append(count_above(scores, own[block, None], slack, dim=1))
        better, tied = count_above(scores, best, slack, dim=0)
        text_better += better
        text_tied += tied
    described = torch.bincount(target, minlength=len(images)) > 0
    ties = torch.zeros_like(text_tied).index_add_(0, target, ((own - best[target]).abs() <= slack).long())
    better, tied = (torch.cat(parts) for parts in zip(*image_counts, strict=True))
    return Retrieval(
        image_retrieval=Ranks(better=better, tied=tied, tied_relevant=torch.ones_like(tied), gallery=len(images)),
        text_retrieval=Ranks(
            better=text_better[described],
            tied=text_tied[described],
            tied_relevant=ties[described],
            gallery=len(texts),
        ),
    )


def unit_images(
    z_image: Float[Array, "images *queries dim"], z_text: Float[Array, "texts dim"]
) -> tuple[Float[Tensor, "images vectors dim"], Float[Tensor, "texts dim"]]:
    """Both sides with vectors of unit length and one type, at least float32; an image that has one has one query.

    Raises:
        ShapeError: If images have several dimensions of queries, or an entry is NaN.
    """
    images, texts = sound(z_image=z_image, z_text=z_text)
    if images.ndim > 3:
        raise ShapeError(f"z_image must have shape (images, dim) or (images, queries, dim); got {tuple(images.shape)}")
    dtype = torch.promote_types(torch.promote_types(images.dtype, texts.dtype), torch.float32)
    dim = images.shape[-1]
    return unit(images.to(dtype).reshape(-1, dim)).reshape(len(images), -1, dim), unit(texts.to(dtype))


def nearest_of_queries(
    z: Float[Tensor, "texts dim"], images: Float[Tensor, "images vectors dim"]
) -> Float[Tensor, "texts images"]:
    """Similarity of each vector to the vector of each image that is nearest to it."""
    n, queries, dim = images.shape
    scores: Tensor = z @ images.reshape(-1, dim).T
    return scores if queries == 1 else scores.reshape(len(z), n, queries).amax(2)


def slack_of(z: Float[Tensor, "*shape"]) -> float:
    """By how much two similarities may differ and still count as tied."""
    return 8 * torch.finfo(z.dtype).eps


def count_above(
    scores: Float[Tensor, "texts images"], relevant: Float[Tensor, "..."], slack: float, *, dim: int
) -> tuple[Tensor, Tensor]:
    """How many scores are above the relevant one, and how many are the same."""
    # Counted in 32 bits: to sum in 64, PyTorch first widens every answer to 8 bytes.
    at_least_tied = (scores >= relevant - slack).sum(dim, dtype=torch.int32)
    better = (scores > relevant + slack).sum(dim, dtype=torch.int32)
    return better.long(), (at_least_tied - better).long()


def _targets(images: Tensor, texts: Tensor, image_of_text: Array | None) -> Integer[Tensor, "texts"]:
    if image_of_text is None:
        same_rows(z_image=images, z_text=texts)
        return torch.arange(len(texts), device=images.device)
    same_rows(z_text=texts, image_of_text=image_of_text)
    target = torch.as_tensor(image_of_text).to(images.device).long()
    if int(target.min()) < 0 or int(target.max()) >= len(images):
        found = f"{int(target.min())}..{int(target.max())}"
        raise ShapeError(f"image_of_text must hold rows of z_image, 0..{len(images) - 1}; got {found}")
    return target


def _log_factorial(n: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.lgamma(n + 1)


def _log_choose(n: Float[Tensor, "*n"], k: Float[Tensor, "*k"]) -> Float[Tensor, "*n"]:
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)
