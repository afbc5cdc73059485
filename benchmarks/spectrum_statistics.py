"""How often the intervals of a spectrum hold the truth, and how often independent sides exceed its threshold.

A coverage is the share of simulated sets in which the 95 % interval of a direction holds the strength of the
population, which is known in closed form; the share above chance is that of independent sides in which a direction is
above a threshold that one in a hundred should exceed.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Case, Run, Side
from vergence.metrics import CanonicalSpectrum, canonical_spectrum
from vergence.random import named

SEED = 0
PACKAGES = ("numpy", "scipy")
Draw = Callable[[torch.Generator], CanonicalSpectrum]


def gaussian(strengths: tuple[float, ...], *, n: int, dim: int, tails: int = 0, captions: int = 1) -> Draw:
    """Pairs with these canonical correlations; with tails, elliptical ones of so many degrees of freedom."""

    def draw(g: torch.Generator, *, told: bool = True) -> CanonicalSpectrum:
        sigma = torch.zeros(dim)
        sigma[: len(strengths)] = torch.tensor(strengths)
        x = torch.randn(n, dim, generator=g).repeat_interleave(captions, 0)
        y = sigma * x + (1 - sigma**2).sqrt() * torch.randn(n * captions, dim, generator=g)
        if tails:
            scale = (torch.randn(n, tails, generator=g) ** 2).mean(1, keepdim=True).rsqrt()
            x, y = x * scale, y * scale
        clusters = torch.arange(n).repeat_interleave(captions) if captions > 1 and told else None
        return canonical_spectrum(x, y, clusters, generator=g)

    return draw


def untold(draw: Any) -> Draw:
    return lambda g: draw(g, told=False)


def redrawn(share: float, *, n: int) -> Draw:
    """A factor of four equally frequent values, redrawn in a share of the texts: 1 - share, three times."""

    def draw(g: torch.Generator) -> CanonicalSpectrum:
        shown = torch.randint(4, (n,), generator=g)
        said = torch.where(torch.rand(n, generator=g) < share, torch.randint(4, (n,), generator=g), shown)
        return canonical_spectrum(torch.eye(4)[shown], torch.eye(4)[said], generator=g)

    return draw


_GRADED = (0.95, 0.7, 0.4)
SETTINGS: dict[str, tuple[tuple[float, ...], Draw]] = {
    "500 Gaussian pairs, 8 dimensions": (_GRADED, gaussian(_GRADED, n=500, dim=8)),
    "60 Gaussian pairs, 3 dimensions": (_GRADED, gaussian(_GRADED, n=60, dim=3)),
    "2,000 Gaussian pairs, 100 dimensions": (_GRADED, gaussian(_GRADED, n=2000, dim=100)),
    "20,000 Gaussian pairs, of which 8,192 are sampled": (_GRADED, gaussian(_GRADED, n=20_000, dim=8)),
    "500 pairs with tails of 6 degrees of freedom": (_GRADED, gaussian(_GRADED, n=500, dim=8, tails=6)),
    "1,000 pairs, a value of four redrawn in 0.3": ((0.7, 0.7, 0.7), redrawn(0.3, n=1000)),
    "200 images of 5 captions": (_GRADED, gaussian(_GRADED, n=200, dim=8, captions=5)),
    "200 images of 5 captions, taken for 1,000 draws": (_GRADED, untold(gaussian(_GRADED, n=200, dim=8, captions=5))),
}
INDEPENDENT = {
    "200 pairs, 1 dimension": gaussian((), n=200, dim=1),
    "200 pairs, 6 dimensions": gaussian((), n=200, dim=6),
    "1,000 pairs, 50 dimensions": gaussian((), n=1000, dim=50),
    "20,000 pairs, 6 dimensions": gaussian((), n=20_000, dim=6),
}


def covers(*, setting: str, sets: int) -> Run:
    strengths, draw = SETTINGS[setting]

    def run() -> Mapping[str, Any]:
        found = [draw(named(SEED, setting, i)).strengths[: len(strengths)] for i in range(sets)]
        held = [[low <= sigma <= high for (_, low, high), sigma in zip(one, strengths, strict=True)] for one in found]
        widths = [[high - low for _, low, high in one] for one in found]
        return {
            "strengths": strengths,
            "coverage": [round(float(share), 3) for share in np.mean(held, 0)],
            "median width": [round(float(width), 3) for width in np.median(widths, 0)],
        }

    return run


def exceeds(*, setting: str, sets: int) -> Run:
    def run() -> float:
        return sum(INDEPENDENT[setting](named(SEED, setting, i)).above_chance > 0 for i in range(sets)) / sets

    return run


def cases() -> Iterator[Case]:
    for make, settings, what, sets in (
        (covers, SETTINGS, "coverage of nominal 95 % intervals", 200),
        (exceeds, INDEPENDENT, "share of independent sides with a direction above chance, nominal 0.01", 400),
    ):
        for setting in settings:
            side = Side(make=make, sizes={"setting": setting, "sets": sets}, small={"sets": 1})
            yield Case(name=f"{what}, {sets} sets; {setting}", ours=side, repeats=1, rounds=1)
