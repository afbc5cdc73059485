"""Cross-modal retrieval: where the right item ranks among all, ties at their expected value, in blocks of rows."""

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
    z_image: Float[Array, "images dim"],
    z_text: Float[Array, "texts dim"],
    *,
    image_of_text: Integer[Array, "texts"] | None = None,
) -> Retrieval:
    """Rank all images for every text and all texts for every image by cosine, in one pass over blocks of texts.

    Scores that differ by no more than eight units of rounding count as tied. An image query is answered by any of its
    texts. Cost O(images × texts × dim), memory one block of texts. Computed in the width of the inputs, at least
    float32.

    Source: [radford2021] for the protocol; with several captions per image as usual on COCO and Flickr30k.

    Args:
        z_image: Image representations; rows are scaled to unit norm, rows of zeros stay zero.
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
    """
    images, texts = sound(z_image=z_image, z_text=z_text)
    dtype = torch.promote_types(torch.promote_types(images.dtype, texts.dtype), torch.float32)
    images, texts = unit(images.to(dtype)), unit(texts.to(dtype))
    target = _targets(images, texts, image_of_text)
    slack = 8 * torch.finfo(images.dtype).eps
    own = (texts * images[target]).sum(1)
    best = torch.full((len(images),), -torch.inf, dtype=own.dtype, device=own.device)
    best.scatter_reduce_(0, target, own, "amax")

    image_counts: list[tuple[Tensor, Tensor]] = []
    text_better, text_tied = torch.zeros_like(best, dtype=torch.long), torch.zeros_like(best, dtype=torch.long)
    step = max(1, _BLOCK // len(images))
    for start in range(0, len(texts), step):
        block = slice(start, start + step)
        scores = texts[block] @ images.T
        image_counts.append(_count(scores, own[block, None], slack, dim=1))
        better, tied = _count(scores, best, slack, dim=0)
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


def _count(
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


def _log_factorial(n: Float[Tensor, "queries"]) -> Float[Tensor, "queries"]:
    return torch.lgamma(n + 1)
