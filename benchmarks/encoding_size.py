"""How often a suggested encoding size is right: from views that mix factors linearly or not, and from trained encoders.

The cases are those of the paper's numerical study: ten factors, of which the text has the first 1 to 10 and gets the
last 0, 2 or 4 of those wrong with probability 0.75; five dimensions of each side are its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Case, Run, Side
from vergence.metrics import suggest_encoding_size
from vergence.random import named
from vergence.studies.misalignment2025.batched import BatchedConfig, train_together
from vergence.studies.misalignment2025.spec import RunSpec

SEED = 7  # of the trained encoders; what reads their strengths was chosen on seeds 100 and 101
_TOGETHER = 6  # encoders in a stack
_PAIRS = 8192  # held out, for each pair of encoders


def pairs(
    g: torch.Generator, *, selected: int, perturbed: int, dependent: bool, nonlinear: bool
) -> tuple[Tensor, Tensor]:
    """4096 pairs: ten factors, of which the text has the first few and gets the last of those wrong; five private.

    Where dependent, the covariances of factors, errors and private dimensions are drawn from Wishart(d, I).
    """

    def normal(dim: int) -> Tensor:
        mixed = torch.randn(dim, dim, generator=g) if dependent else torch.eye(dim)
        return torch.randn(4096, dim, generator=g) @ mixed

    def mixing(factors: Tensor) -> Tensor:
        for _ in range(3 if nonlinear else 1):
            weights = nn.init.orthogonal_(torch.empty(factors.shape[1], factors.shape[1]), generator=g)
            weights += 0.3 * torch.randn(weights.shape, generator=g) / len(weights) ** 0.5
            factors = factors @ weights if not nonlinear else nn.functional.leaky_relu(factors @ weights, 0.2)
        return factors

    factors = normal(10)
    recorded = factors[:, :selected].clone()
    if perturbed:
        wrong = torch.rand(4096, perturbed, generator=g) < 0.75
        recorded[:, -perturbed:] += wrong * normal(perturbed)
    image = torch.cat([factors, normal(5)], dim=1)
    text = torch.cat([recorded, normal(5)], dim=1)
    return mixing(image), mixing(text)


def sizes_found(*, dependent: bool, nonlinear: bool, seeds: int, tolerance: float, most: int = 10) -> Run:
    """In how many cases, |I_θ| up to `most` and |I_ρ| of 0, 2 and 4, both numbers are right."""

    def run() -> Mapping[str, Any]:
        right = []
        for perturbed in (0, 2, 4):
            for selected in range(perturbed + 1, most + 1):
                for seed in range(seeds):
                    g = named(seed, "size", selected, perturbed, dependent, nonlinear)
                    image, text = pairs(
                        g, selected=selected, perturbed=perturbed, dependent=dependent, nonlinear=nonlinear
                    )
                    size = suggest_encoding_size(image, text, generator=g, tolerance=tolerance)
                    right.append((size.shared, size.exact) == (selected, selected - perturbed))
        return {"cases": len(right), "both right": sum(right)}

    return run


def sizes_found_by_encoders(*, steps: int, outputs: int, seed: int, most: int = 10) -> Run:
    """The same 24 cases behind nonlinear mixings, read from encoders trained on other pairs; every case is listed."""

    def run() -> Mapping[str, Any]:
        settings = [(selected, perturbed) for perturbed in (0, 2, 4) for selected in range(perturbed + 1, most + 1)]
        found = []
        for start in range(0, len(settings), _TOGETHER):
            specs = [
                RunSpec(seed=seed, selected=selected, perturbed=perturbed, output_size=outputs)
                for selected, perturbed in settings[start : start + _TOGETHER]
            ]
            encoders = train_together(
                [spec.pairs() for spec in specs],
                [outputs] * len(specs),
                BatchedConfig(steps=steps),
                generators=[named(seed, spec.pairs_name, "training") for spec in specs],
            )
            for place, spec in enumerate(specs):
                views = spec.pairs()(_PAIRS, named(seed, spec.pairs_name, "held out"))
                z_image, z_text = (encoders.of_run(place, side, views[side]) for side in (0, 1))
                size = suggest_encoding_size(
                    z_image, z_text, generator=named(seed, spec.pairs_name, "size"), tolerance=None
                )
                found.append(
                    {
                        "selected": spec.selected,
                        "perturbed": spec.perturbed,
                        "shared": size.shared,
                        "exact": size.exact,
                        "correlations": [round(rho, 3) for rho in size.correlations],
                    }
                )
        shared = [one["shared"] == one["selected"] for one in found]
        exact = [one["exact"] == one["selected"] - one["perturbed"] for one in found]
        both = [a and b for a, b in zip(shared, exact, strict=True)]
        counts = {"both right": sum(both), "shared right": sum(shared), "exact right": sum(exact)}
        return {"cases": len(found), **counts, "found": found}

    return run


def cases() -> Iterator[Case]:
    trained = {"steps": 500, "outputs": 12, "seed": SEED}
    yield Case(
        name="encoders trained for 500 steps, 12 outputs, nonlinear mixing, independent factors, tolerance None",
        ours=Side(make=sizes_found_by_encoders, sizes=trained, small={"steps": 1, "most": 1}),
        repeats=1,
        rounds=1,
    )
    for mixing, tolerance in (("linear", 1e-3), ("nonlinear", 0.05)):
        for factors in ("independent", "dependent"):
            options = {"dependent": factors == "dependent", "nonlinear": mixing == "nonlinear", "tolerance": tolerance}
            yield Case(
                name=f"views themselves, {mixing} mixing, {factors} factors, tolerance {tolerance}",
                ours=Side(make=sizes_found, sizes={"seeds": 3, **options}, small={"seeds": 1, "most": 1}),
                repeats=1,
                rounds=1,
            )
