"""A small training that has everything in it that has a state: batch norm, dropout, augmentation, a temperature."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vergence.encoders import BagOfWordsEncoder, ConvEncoder, DualEncoder
from vergence.losses import LearnedTemperature, Objective, WeightedTerm, alignment_penalty, info_nce
from vergence.random import generator
from vergence.training import EpochEnd, TrainConfig, TrainResult, train
from vergence.views import ViewPair, random_shift

CONFIG = TrainConfig(epochs=4, batch_size=16)


class StoppedError(Exception):
    """What a run is stopped by."""


def encoder(dim: int = 6, *, dropout: float = 0.2) -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = nn.Sequential(ConvEncoder(dim, widths=(4, 8), hidden=8), nn.Dropout(dropout))
        return DualEncoder(image, BagOfWordsEncoder(12, dim, width=8, hidden=8))


def views(n: int = 70) -> ViewPair:
    stream = generator(1)
    images = torch.randint(256, (n, 3, 8, 8), generator=stream).to(torch.uint8)
    return ViewPair(image=images, text=torch.randint(12, (n, 4), generator=stream))


def objective(weight: float = 0.1) -> Objective:
    return Objective(
        {
            "contrast": WeightedTerm(info_nce, temperature=LearnedTemperature(0.5)),
            "bottleneck": WeightedTerm(alignment_penalty, weight),
        }
    )


def shifted(pixels: int, images: Tensor, stream: torch.Generator) -> Tensor:
    return random_shift(images, pixels=pixels, generator=stream)


def stop_after(epoch: int) -> Callable[[EpochEnd], None]:
    def stop(end: EpochEnd) -> None:
        if end.epoch == epoch:
            raise StoppedError

    return stop


def run(out: Path | None = None, *, seed: int = 3, **changes: Any) -> tuple[TrainResult, dict[str, Tensor]]:
    """Train and return, beside the result, every tensor that the training has changed."""
    fitted, objectives = changes.pop("encoder", None) or encoder(), changes.pop("objective", None) or objective()
    settings = {"generator": generator(seed), "out": out, "augment": partial(shifted, 1), **changes}
    result = train(fitted, settings.pop("views", views()), objectives, settings.pop("config", CONFIG), **settings)
    tensors = {**fitted.state_dict(), **objectives.state_dict(prefix="objective.")}
    return result, {name: tensor.clone() for name, tensor in tensors.items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not equal bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
