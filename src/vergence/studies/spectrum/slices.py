"""Every run of the study, slice by slice around one base setting; all is decided before anything is trained.

The base: nine factors whose texts add Gaussian noise, linear encoders with ten free outputs, squared-Euclidean InfoNCE
at τ = 1 without a bottleneck, 4096 fresh pairs a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from types import MappingProxyType
from typing import Any

from vergence.studies.spectrum.spec import CHANNELS, RunSpec

BASE = (0.99, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0)
FEW = (0.95, 0.9, 0.8, 0.6, 0.4)
EXACT_CHANNELS = ("noise", "redraw")
"""What leaves a text's record Gaussian: then the amplitude equation needs no idealisation."""

THRESHOLDS = ((0.5, 0.5), (0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (0.2, 5.0))
"""Pairs of β and τ."""
ABOVE = (0.45, 0.38, 0.32, 0.26, 0.2, 0.15, 0.1, 0.06)
"""Parts of the way from σ* to 1 at which directions are put."""

SPECTRA: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "graded": (0.97, 0.9, 0.8, 0.7, 0.55, 0.4),
        "one exact": (1.0, 0.7, 0.6, 0.5, 0.4, 0.3),
        "three exact, three equal": (1.0, 1.0, 1.0, 0.6, 0.6, 0.6),
    }
)
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12)
VALUES_SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
PAIRS = tuple(2**power for power in range(7, 15))
WEAK = (0.7, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.0625)
BATCHES = (64, 128, 256, 512, 1024, 2048)
COSINES = (0.02, 0.07, 0.2, 1.0)
"""Temperatures of cosines."""
BOTTLENECKS = (0.0, 0.1, 0.5, 2.0, 10.0)
COMPARED = (
    *(("info_nce", "free"), ("one_way", "free"), ("sigmoid", "free"), ("variational", "free")),
    *(("info_nce", "unit"), ("nt_xent", "unit"), ("sigmoid", "unit")),
)
LEARNED = (("info_nce", "free"), ("info_nce", "unit"), ("info_nce", "standardized"), ("variational", "free"))
MENTIONS = (0.5, 0.2, 0.05)
SPHERE_SIZES = (5, 10)
OF_OTHERS = 1024
"""Batch of slices that ask about something else than exact amplitudes."""


def runs(*, short: bool) -> list[RunSpec]:
    """Every run, seed by seed.

    Args:
        short: A few of each slice only, on small batches: to see that everything works.
    """
    found = [spec for make in SLICES.values() for spec in _thinned(make(), short=short)]
    return sorted(dict.fromkeys(found), key=lambda spec: spec.seed)


def amplitudes() -> list[RunSpec]:
    """Whether the amplitude equation is right, by channel."""
    found = []
    for channel, mismatch in (*((channel, 0.0) for channel in CHANNELS), ("noise", 0.2)):
        exact = channel in EXACT_CHANNELS
        for seed, beta in product(range(2 if exact else 1), (0.0, 0.5)):
            found.append(_run("amplitudes", seed, BASE, channel=channel, mismatch=mismatch, bottleneck=beta))
    return found


def thresholds() -> list[RunSpec]:
    """Where a bottleneck removes a direction: Gaussian ones, and away from Gaussians."""
    found = [_near(beta, tau, seed) for (beta, tau), seed in product(THRESHOLDS, range(2))]
    for (beta, tau), (channel, k) in product(THRESHOLDS[1:4], (("omission", None), ("omission", 3), ("redraw", 3))):
        found.append(_near(beta, tau, 0, channel=channel, n_values=k, output_size=10 if k is None else 16))
    return found


def sphere() -> list[RunSpec]:
    """What unit vectors hold of five shared and five private directions, with no output to spare and with five."""
    shapes = ((5, 4096, 0), (5, 4096, 1), (10, 512, 0), (10, 1024, 0), (10, 4096, 0), (10, 4096, 1))
    return [
        _run("sphere", seed, FEW, constraint="unit", temperature=2 * cosine, batch_size=batch, output_size=size)
        for cosine in COSINES
        for size, batch, seed in shapes
    ]


def objectives() -> list[RunSpec]:
    """Whether other objectives keep the same directions."""
    temperature = {"unit": 0.4, "free": 1.0}
    return [
        _compared(
            "objectives",
            objective,
            constraint,
            beta,
            temperature=4.0 if objective == "variational" else temperature[constraint],
        )
        for (objective, constraint), beta in product(COMPARED, BOTTLENECKS)
    ]


def temperature() -> list[RunSpec]:
    """Where a learned temperature goes as the bottleneck rises."""
    return [
        _compared("temperature", objective, constraint, beta, temperature_is="learned")
        for (objective, constraint), beta in product(LEARNED, (0.0, 0.1, 1.0, 10.0))
    ]


def batch() -> list[RunSpec]:
    """Which batch a direction needs."""
    return [_run("batch", 0, BASE, batch_size=size) for size in BATCHES]


def pairs() -> list[RunSpec]:
    """How many pairs a direction needs, if they are all there is and no output is spare."""
    return [_run("pairs", 0, WEAK, n_pairs=n, batch_size=OF_OTHERS, output_size=len(WEAK), n_private=15) for n in PAIRS]


def sizes() -> list[RunSpec]:
    """Which directions a number of outputs holds, behind mixings."""
    warm = [_sized(strengths, seed, size, 1.0) for strengths in SPECTRA.values() for seed in range(3) for size in SIZES]
    cold = [_sized(SPECTRA["one exact"], seed, size, 0.2) for seed in range(3) for size in SIZES]
    return warm + cold


def values() -> list[RunSpec]:
    """How many outputs a factor of five values takes."""
    return [
        _deep("values", 0, (1.0, 0.8, 0.6), channel="redraw", n_values=5, output_size=size) for size in VALUES_SIZES
    ]


def mentions() -> list[RunSpec]:
    """Why networks read little of rarely mentioned factors: beside them, noise of the same strength."""
    return [
        _deep("mentions", 0, (round(q**0.5, 6),) * 10, channel=channel, output_size=10, batch_size=OF_OTHERS)
        for channel, q in product(("omission", "noise"), MENTIONS)
    ]


SLICES: Mapping[str, Callable[[], list[RunSpec]]] = MappingProxyType(
    {
        "amplitudes": amplitudes,
        "thresholds": thresholds,
        "sphere": sphere,
        "sizes": sizes,
        "values": values,
        "objectives": objectives,
        "temperature": temperature,
        "batch": batch,
        "pairs": pairs,
        "mentions": mentions,
    }
)


def _run(question: str, seed: int, strengths: tuple[float, ...], **settings: Any) -> RunSpec:
    return RunSpec(question=question, seed=seed, strengths=strengths, **settings)


def _deep(question: str, seed: int, strengths: tuple[float, ...], **settings: Any) -> RunSpec:
    base = {"encoders": "deep", "constraint": "standardized", "batch_size": 512, "n_private": 3}
    return _run(question, seed, strengths, **{**base, **settings})


def _compared(question: str, objective: str, constraint: str, bottleneck: float, **settings: Any) -> RunSpec:
    told = {"objective": objective, "constraint": constraint, "bottleneck": bottleneck, "batch_size": OF_OTHERS}
    return _run(question, 0, (*FEW, 0.2, 0.0), **told, **settings)


def _sized(strengths: tuple[float, ...], seed: int, size: int, temperature: float) -> RunSpec:
    return _deep("sizes", seed, strengths, output_size=size, temperature=temperature)


def _near(beta: float, tau: float, seed: int, **settings: Any) -> RunSpec:
    start = beta * tau / (1 + beta * tau)
    strengths = tuple(round(start + part * (1 - start), 6) for part in ABOVE)
    return _run("thresholds", seed, strengths, bottleneck=beta, temperature=tau, **settings)


def _thinned(specs: list[RunSpec], *, short: bool) -> list[RunSpec]:
    if not short:
        return specs
    few = [spec for spec in specs if spec.seed == 0]
    return [replace(spec, batch_size=min(spec.batch_size, 256)) for spec in few[:: max(1, len(few) // 3)]]
