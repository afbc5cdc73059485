"""What only simulation can show: coverage of intervals, bias of CKA.

The truth of a setting of coverage is the score that the same predictor reaches on a very large set drawn in the same
way, or a closed form. Every value reported is a share of simulated sets, but for the mean of CKA.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.measure import Case, Run, Side
from vergence.metrics import (
    Interval,
    cka,
    cka_interval,
    cluster_bootstrap,
    matthews_corrcoef,
    r2_score,
    retrieve,
    share_interval,
)
from vergence.random import generator, named

Draw = Callable[[torch.Generator, int], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured on what, with the true value and the interval of one simulated set."""

    name: str
    truth: Callable[[], float]
    interval: Callable[[torch.Generator], Interval]


def classes(g: torch.Generator, clusters: int, *, n_classes: int, size: int, right: float, spread: float) -> tuple:
    """Labels shared by a cluster; a cluster is easy or hard: right with probability `right` on average."""
    label = torch.randint(n_classes, (clusters,), generator=g).repeat_interleave(size)
    ease = torch.randn(clusters, generator=g).mul(spread).repeat_interleave(size)
    logit = torch.logit(torch.tensor(right)) * (1 + spread**2 / 2.7) ** 0.5  # keeps the mean where it was, nearly
    correct = torch.rand(clusters * size, generator=g) < torch.sigmoid(logit + ease)
    guess = torch.randint(n_classes, (clusters * size,), generator=g)
    return label, torch.where(correct, label, guess), torch.arange(clusters).repeat_interleave(size)


def values(g: torch.Generator, clusters: int, *, size: int, noise: float, shared: float, gain: float = 1.0) -> tuple:
    """A real factor with a part shared by a cluster, and a prediction off by noise that is shared likewise."""

    def mixed() -> Tensor:
        common = torch.randn(clusters, generator=g).repeat_interleave(size)
        return shared**0.5 * common + (1 - shared) ** 0.5 * torch.randn(clusters * size, generator=g)

    truth = mixed()
    return truth, gain * truth + noise * mixed(), torch.arange(clusters).repeat_interleave(size)


def bootstrap(name: str, score: Callable[..., object], draw: Callable[..., tuple], *, clusters: int) -> Setting:
    @cache
    def truth() -> float:
        return float(score(*draw(named(0, "truth", name), 400_000)[:2]))

    def interval(g: torch.Generator) -> Interval:
        return cluster_bootstrap(score, *draw(g, clusters), generator=g)

    return Setting(name=name, truth=truth, interval=interval)


def alignment(name: str, *, n: int, dim: int, noise: float) -> Setting:
    """y = A x + noise with a fixed A: the population CKA is in closed form from the covariances."""
    mixing = torch.randn(dim, dim, generator=named(0, "mixing", name), dtype=torch.float64)
    scales = torch.linspace(1, 2, dim, dtype=torch.float64)
    signal = 0.0 if noise == float("inf") else 1.0
    noise = 1.0 if signal == 0 else noise

    def truth() -> float:
        own_x = torch.diag(scales**2)
        cross = signal * own_x @ mixing
        own_y = signal * mixing.T @ own_x @ mixing + noise**2 * torch.eye(dim, dtype=torch.float64)
        return float((cross**2).sum() / (torch.linalg.norm(own_x) * torch.linalg.norm(own_y)))

    def interval(g: torch.Generator) -> Interval:
        x = torch.randn(n, dim, generator=g, dtype=torch.float64) * scales
        y = signal * x @ mixing + noise * torch.randn(n, dim, generator=g, dtype=torch.float64)
        return cka_interval(x, y, generator=g)

    return Setting(name=name, truth=truth, interval=interval)


def recall(name: str, *, k: int, queries: int, captions: int) -> Setting:
    """Queries by `captions` texts of each of some images drawn anew, among a fixed gallery of 500."""
    fixed = generator(5)
    gallery = torch.randn(500, 16, generator=fixed)
    difficulty = 1.2 * torch.rand(500, 1, generator=fixed) + 0.3

    def hits(g: torch.Generator, images: Tensor) -> Tensor:
        texts = gallery[images] + difficulty[images] * torch.randn(len(images), 16, generator=g)
        return retrieve(gallery, texts, image_of_text=images).image_retrieval.hits(k)

    @cache
    def truth() -> float:
        return float(hits(named(0, "truth", name), torch.arange(500).repeat_interleave(400)).mean())

    def interval(g: torch.Generator) -> Interval:
        drawn = torch.randint(500, (queries,), generator=g)
        clusters = torch.arange(queries).repeat_interleave(captions)
        return share_interval(hits(g, drawn.repeat_interleave(captions)), clusters)

    return Setting(name=name, truth=truth, interval=interval)


def settings() -> list[Setting]:
    many = partial(classes, n_classes=5, size=1, spread=0.0)
    grouped = partial(classes, n_classes=5, size=8, spread=1.5)
    return [
        bootstrap("matthews: 300 items, moderate", matthews_corrcoef, partial(many, right=0.5), clusters=300),
        bootstrap("matthews: 40 concepts of 8, moderate", matthews_corrcoef, partial(grouped, right=0.5), clusters=40),
        bootstrap("matthews: 20 concepts of 8, good", matthews_corrcoef, partial(grouped, right=0.8), clusters=20),
        bootstrap("matthews: 150 items, near 1", matthews_corrcoef, partial(many, right=0.985), clusters=150),
        bootstrap("matthews: 300 items, independent", matthews_corrcoef, partial(many, right=1e-6), clusters=300),
        bootstrap("r2: 200 items, 0.5", r2_score, partial(values, size=1, noise=0.7, shared=0.0), clusters=200),
        bootstrap("r2: 40 clusters of 8, 0.75", r2_score, partial(values, size=8, noise=0.5, shared=0.5), clusters=40),
        bootstrap(
            "r2: 200 items, independent", r2_score, partial(values, size=1, noise=0.1, shared=0.0, gain=0), clusters=200
        ),
        alignment("cka: 200 items, 8 dimensions, aligned", n=200, dim=8, noise=2.0),
        alignment("cka: 200 items, 8 dimensions, independent", n=200, dim=8, noise=float("inf")),
        recall("recall@1: 300 queries", k=1, queries=300, captions=1),
        recall("recall@5: 60 images of 5 captions", k=5, queries=60, captions=5),
    ]


def covers(*, setting: str, sets: int) -> Run:
    """Share of simulated sets whose interval holds the truth."""
    (found,) = (candidate for candidate in settings() if candidate.name == setting)

    def run() -> float:
        intervals = [found.interval(named(0, setting, i)) for i in range(sets)]
        return sum(low <= found.truth() <= high for low, high in intervals) / sets

    return run


def mean_cka_of_independent_data(*, n: int, draws: int, dim: int = 64) -> Run:
    def run() -> float:
        g = named(0, "independent", n)
        return sum(cka(*torch.randn(2, n, dim, generator=g), unbiased=True) for _ in range(draws)) / draws

    return run


def cases() -> Iterator[Case]:
    for setting in settings():
        yield alone(
            f"coverage of nominal 95 % intervals, 500 sets; {setting.name}", covers, setting=setting.name, sets=500
        )
    for n in (32, 128, 512, 4096):
        name = f"mean unbiased CKA of independent data, {n} items of 64 dimensions, 200 draws"
        yield alone(name, mean_cka_of_independent_data, n=n, draws=200)


def alone(name: str, make: Callable[..., Run], **sizes: float | str | bool) -> Case:
    small = {"sets": 1} if "sets" in sizes else {"draws": 1}
    return Case(name=name, ours=Side(make=make, sizes=sizes, small=small), repeats=1, rounds=1)
