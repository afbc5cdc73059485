"""Several processes come to the weights of one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.ranks import on_ranks
from torch import Tensor, nn

from vergence.encoders import DualEncoder
from vergence.losses import (
    DiagonalGaussian,
    LearnedScalar,
    LearnedTemperature,
    Objective,
    PosteriorTerm,
    Standardize,
    WeightedTerm,
    align_max_entropy,
    alignment_penalty,
    info_nce,
    l2_info_nce,
    lp_info_nce,
    nt_xent,
    one_way_info_nce,
    sigmoid_loss,
    variational_bottleneck,
)
from vergence.random import generator
from vergence.training import TrainConfig, train
from vergence.training.checkpoint import whole_state
from vergence.views import ViewPair

pytestmark = pytest.mark.slow

BATCH, PAIRS, DIM = 12, 64, 6  # five steps
CONFIG = TrainConfig(epochs=1, batch_size=BATCH, learning_rate=0.01, weight_decay=0.05)


class Stochastic(nn.Module):
    """A tower whose output is read as a distribution."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_output(self.tower(x))


class StochasticPair(DualEncoder):
    """Two towers that return distributions."""

    def forward(self, image, text):
        return self.image(image), self.text(text)


def own_loss(z_image: Tensor, z_text: Tensor) -> Tensor:
    return (z_image @ z_text.T - torch.eye(len(z_image), dtype=z_image.dtype)).square().mean()


OBJECTIVES: dict[str, dict[str, Any]] = {
    "info_nce": {"contrast": (info_nce, {"temperature": LearnedTemperature, "label_smoothing": 0.1})},
    "info_nce, by blocks": {"contrast": (info_nce, {"temperature": 0.3, "block_size": 3})},
    "one_way_info_nce": {"contrast": (one_way_info_nce, {"temperature": 0.3})},
    "nt_xent": {"contrast": (nt_xent, {"temperature": LearnedTemperature})},
    "sigmoid_loss": {"contrast": (sigmoid_loss, {"temperature": LearnedTemperature, "bias": LearnedScalar})},
    "l2_info_nce": {"contrast": (l2_info_nce, {})},
    "lp_info_nce": {"contrast": (lp_info_nce, {"p": 1.5})},
    "align_max_entropy": {"contrast": (align_max_entropy, {})},
    "penalty": {"contrast": (info_nce, {"temperature": 0.3}), "bottleneck": (alignment_penalty, {})},
    "variational": {"contrast": (info_nce, {"temperature": 0.3}), "bottleneck": (variational_bottleneck, {})},
    "own": {"contrast": (own_loss, {})},
}


def make_objective(name: str) -> Objective:
    terms = {}
    for term, (fn, settings) in OBJECTIVES[name].items():
        made = {key: value(0.4) if isinstance(value, type) else value for key, value in settings.items()}
        kind = PosteriorTerm if fn is variational_bottleneck else WeightedTerm
        terms[term] = kind(fn, 0.5 if term == "bottleneck" else 1.0, **made)
    return Objective(terms)


def make_encoder(name: str) -> DualEncoder:
    stochastic = name == "variational"

    def tower(size: int) -> nn.Module:
        out = 2 * DIM if stochastic else DIM
        layers = nn.Sequential(nn.Linear(size, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, out))
        return Stochastic(layers) if stochastic else nn.Sequential(layers, Standardize(DIM))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (StochasticPair if stochastic else DualEncoder)(tower(8), tower(5))


def pairs(n: int = PAIRS, *, seed: int = 0) -> ViewPair:
    stream = generator(seed)
    image = torch.randn(n, 8, generator=stream, dtype=torch.float64)
    return ViewPair(image=image, text=image[:, :5] + 0.5 * torch.randn(n, 5, generator=stream, dtype=torch.float64))


def fit(name: str, config: TrainConfig = CONFIG, dtype: torch.dtype = torch.float64, **more: Any) -> dict[str, Tensor]:
    """Train and return every parameter and buffer."""
    encoder, objective = make_encoder(name).to(dtype), make_objective(name).to(dtype)
    views = more.pop("views", None) or pairs()
    views = ViewPair(image=views.image.to(dtype), text=views.text.to(dtype))
    train(encoder, views, objective, config, generator=generator(1), **more)
    return state(encoder, objective)


def state(encoder: nn.Module, objective: nn.Module) -> dict[str, Tensor]:
    tensors = {**whole_state(encoder), **objective.state_dict(prefix="objective.")}
    return {name: value.detach().clone() for name, value in tensors.items()}


def fit_all(settings: list[tuple[str, TrainConfig, torch.dtype]]) -> dict[str, Tensor]:
    """Train one after another in the same processes."""
    fitted = (fit(*chosen) for chosen in settings)
    return {f"{index}:{name}": value for index, part in enumerate(fitted) for name, value in part.items()}


def difference(one: dict[str, Tensor], other: dict[str, Tensor], prefix: str = "") -> float:
    """Norm of the difference of all parameters over the norm of the parameters."""
    names = [name for name in one if name.startswith(prefix)]
    assert names
    assert one.keys() == other.keys()
    a, b = (torch.cat([part[name].double().flatten() for name in names]) for part in (one, other))
    return float((a - b).norm() / b.norm())


SGD = replace(CONFIG, optimizer="sgd", learning_rate=0.02, weight_decay=0.0)
VARIANTS = {
    "float64": (CONFIG, torch.float64, 1e-8),
    "float32": (SGD, torch.float32, 1e-5),
}
ENGINE = {
    "accumulated": replace(CONFIG, accumulation=2),
    "muon": replace(CONFIG, optimizer="muon"),
    "fsdp": replace(CONFIG, parallel="fsdp"),
}


def test_two_ranks_come_to_the_weights_of_one_process(tmp_path: Path) -> None:
    chosen = [(name, config, dtype) for name in OBJECTIVES for config, dtype, _ in VARIANTS.values()]
    chosen += [("info_nce", config, torch.float64) for config in ENGINE.values()]
    alone = fit_all(chosen)
    for found in on_ranks(2, fit_all, tmp_path, chosen):
        for index, (name, config, dtype) in enumerate(chosen):
            bound = 1e-8 if dtype == torch.float64 else 1e-5
            apart = difference(found, alone, f"{index}:")
            print(name, config.optimizer, dtype, apart)
            assert apart <= bound, (name, config)
