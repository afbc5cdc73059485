"""Several processes come to the weights of one."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.training.ranks import on_ranks
from tests.training.run_config import SMALL, written
from torch import Tensor, nn

from vergence.cli.main import main
from vergence.encoders import DualEncoder, resnet_cifar, save_weights
from vergence.errors import ConfigError
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
from vergence.training import EarlyStop, EpochEnd, TrainConfig, load_encoder, train
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
    "plain": {"contrast": (info_nce, {"temperature": LearnedTemperature})},  # nothing normalises over the batch
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
        if stochastic:
            return Stochastic(layers)
        return layers if name == "plain" else nn.Sequential(layers, Standardize(DIM))

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


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Norm of the difference of all parameters over the norm of the parameters."""
    assert one.keys() == other.keys()
    a, b = (torch.cat([tensors[name].double().flatten() for name in one]) for tensors in (one, other))
    return float((a - b).norm() / b.norm())


SGD = replace(CONFIG, optimizer="sgd", learning_rate=0.02, weight_decay=0.0)
ENGINE = {
    "accumulated": ("info_nce", replace(CONFIG, accumulation=2)),
    "muon": ("info_nce", replace(CONFIG, optimizer="muon")),
    "fsdp": ("info_nce", replace(CONFIG, parallel="fsdp")),
    "chunks": ("plain", replace(CONFIG, chunk_size=2)),
    "chunks, fsdp": ("plain", replace(CONFIG, chunk_size=2, parallel="fsdp")),
}


CHOSEN = [(name, *kind) for name in OBJECTIVES for kind in ((CONFIG, torch.float64), (SGD, torch.float32))]
CHOSEN += [(name, config, torch.float64) for name, config in ENGINE.values()]


def all_jobs(folder: Path) -> dict[str, Tensor]:
    """All that two ranks are to do, in one pair of processes."""
    refusals()
    found = fit_all(CHOSEN)
    for parallel in ("ddp", "fsdp"):
        config = replace(CONFIG, epochs=2, batch_size=13, parallel=parallel)
        found |= {f"{parallel}, resumed:{k}": v for k, v in fit_in_two_goes(folder / parallel, config).items()}
        found |= {f"{parallel}, whole:{k}": v for k, v in fit("info_nce", config).items()}
    return found


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two ranks came to; that both finish says that what cannot be was refused on both."""
    folder = tmp_path_factory.mktemp("ranks")
    return on_ranks(2, all_jobs, folder, folder)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def test_two_ranks_come_to_the_weights_of_one_process(two_ranks) -> None:
    for index, (name, config, dtype) in enumerate(CHOSEN):
        alone = fit(name, config, dtype)
        for found in two_ranks:
            apart = difference(part(found, f"{index}:"), alone)
            assert apart <= (1e-8 if dtype == torch.float64 else 1e-5), (name, config, apart)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_resume_to_the_same_bits(two_ranks, parallel: str) -> None:
    alone = fit("info_nce", replace(CONFIG, epochs=2, batch_size=13))
    for found in two_ranks:
        resumed, whole = part(found, f"{parallel}, resumed:"), part(found, f"{parallel}, whole:")
        assert all(torch.equal(resumed[name], whole[name]) for name in alone)
        assert difference(whole, alone) <= 1e-8


def fit_shards(folder: Path, epochs: int) -> dict[str, Tensor]:
    """Train on 40, 23 and 17 pairs; stop early where a metric, other on each rank, says so to the first."""
    rank = dist.get_rank()
    config = replace(CONFIG, epochs=epochs, early_stop=EarlyStop(metric="rank", patience=2))
    encoder, objective = make_encoder("info_nce").double(), make_objective("info_nce").double()
    result = train(
        encoder,
        pairs((40, 23, 17)[rank], seed=rank),
        objective,
        config,
        generator=generator(1),
        out=folder / "run",
        resume=True,
        sharded=True,
        evaluate=lambda end: {"rank": float(rank)},
        callbacks=[lambda end: (folder / f"callback-{rank}").touch()],
    )
    return {**state(encoder, objective), "epochs": torch.tensor(len(result.history))}


def test_three_ranks_of_unequal_length_finish_alike_and_the_first_alone_writes(tmp_path: Path) -> None:
    first, *others = on_ranks(3, fit_shards, tmp_path, tmp_path, 5)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
    assert first["epochs"] == 3, "the first rank's metric never improves: patience 2 after the first epoch"
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("rank-")} == {
        "callback-0",
        "run/history.jsonl",
        "run/checkpoints/epoch-000002.safetensors",
        "run/checkpoints/epoch-000003.safetensors",
    }


def fit_in_two_goes(folder: Path, config: TrainConfig) -> dict[str, Tensor]:
    """Train, stop after the first epoch, resume; the batch of 13 does not divide by the ranks."""

    class StoppedError(Exception):
        """What the first go ends by, on every rank."""

    def stop(end: EpochEnd) -> dict[str, float]:
        if end.epoch == 2:
            raise StoppedError
        return {}

    with suppress(StoppedError):
        fit("info_nce", config, out=folder, evaluate=stop)
    dist.barrier()
    return fit("info_nce", config, out=folder, resume=True)


def refusals() -> None:
    """Give ranks what cannot be; every rank must be told so, none may wait for another."""
    rank = dist.get_rank()
    with pytest.raises(ConfigError, match=r"every process must be given the same pairs; got 64, 65 .* sharded=True"):
        fit("info_nce", views=pairs(64 + rank))
    with pytest.raises(ConfigError, match="each process needs >= 5 pairs, one for each batch; got 2"):
        fit("info_nce", views=pairs((62, 2)[rank]), sharded=True)


def test_torchrun_trains_from_a_configuration_to_the_weights_of_one_process(tmp_path: Path) -> None:
    image = {"kind": "resnet_cifar", "settings": {"depth": 8}, "weights": str(tmp_path / "backbone.safetensors")}
    save_weights(resnet_cifar(7, depth=8), image["weights"])
    image |= {"features": 7, "head": {"kind": "mlp", "settings": {"hidden": [8]}}}
    encoder = {"dim": 4, "image": image, "text": {"kind": "transformer", "settings": {"depth": 1, "width": 8}}}
    content = {**SMALL, "encoder": encoder, "data": {**SMALL["data"], "shift": 0}}
    content["train"] = {"epochs": 1, "batch_size": 16, "parallel": "fsdp"}
    path = written(tmp_path, content)
    launcher = ("torch.distributed.run", "--nproc-per-node=2", "--standalone")
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "vergence", "train", path, "--out", str(tmp_path / "two")],
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Encoder: ") == 1
    assert main(["train", path, "--out", str(tmp_path / "one")]) == 0
    rows = [json.loads((tmp_path / name / "history.jsonl").read_text()) for name in ("one", "two")]
    assert rows[0].keys() == rows[1].keys()
    names = [sorted(f.name for f in (tmp_path / name).rglob("*") if f.is_file()) for name in ("one", "two")]
    assert names[0] == names[1]
    assert load_encoder(tmp_path / "two" / "encoder")[0].image(torch.zeros(1, 3, 16, 16)).shape == (1, 4)
