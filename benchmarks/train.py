"""A training step with the engine's settings, beside the same step by hand or without the setting."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Case, Run, Side
from vergence.encoders import DualEncoder
from vergence.losses import Objective, WeightedTerm, info_nce, share_of
from vergence.random import generator
from vergence.training import TrainConfig, train
from vergence.views import ViewPair

SEED = 0
PACKAGES = ("accelerate",)
SMALL = {"pairs": 64, "batch": 32, "width": 16}

__all__ = ["PACKAGES", "SEED", "cases"]


def cases() -> Iterator[Case]:
    """Yield the loop's own cost, then what each setting costs and saves, then a process's share of a batch."""
    sizes = {"pairs": 4096, "batch": 512, "width": 256}
    what = "an epoch of 8 batches of 512, 4-layer MLPs of width 256"
    yield Case(
        name=f"train, against the bare loop of torch: {what}",
        ours=Side(make=epoch, sizes=sizes, small=SMALL),
        peer=Side(make=bare_epoch, sizes=sizes, small=SMALL),
    )
    for setting, value in (("optimizer", "muon"), ("precision", "bf16"), ("accumulation", 4)):
        yield Case(
            name=f"train with {setting} = {value}, against the defaults: {what}",
            ours=Side(make=epoch, sizes=sizes | {setting: value}, small=SMALL | {setting: 1 if value == 4 else value}),
            peer=Side(make=epoch, sizes=sizes, small=SMALL),
        )
    large = {"pairs": 4096, "batch": 4096, "width": 1024, "block_size": 512}
    yield Case(
        name="train with chunks of 256, against the whole batch at once: a batch of 4,096, 4-layer MLPs of width 1,024",
        ours=Side(make=epoch, sizes=large | {"chunk_size": 256}, small=SMALL | {"chunk_size": 8}),
        peer=Side(make=epoch, sizes=large, small=SMALL),
        repeats=1,
    )
    for block_size in (None, 512):
        yield Case(
            name=f"a quarter's share of info_nce, blocks of {block_size}, against all of it: batch 8,192, dim 128",
            ours=Side(make=share, sizes={"batch": 8192, "of": 4, "block_size": block_size}, small={"batch": 64}),
            peer=Side(make=share, sizes={"batch": 8192, "of": 1, "block_size": None}, small={"batch": 64}),
        )


def epoch(*, pairs: int, batch: int, width: int, block_size: int | None = None, **settings: Any) -> Run:
    """One epoch through `train`."""
    encoder, views = towers(width), data(pairs, width)
    objective = Objective({"contrast": WeightedTerm(info_nce, block_size=block_size)})
    config = replace(TrainConfig(epochs=1, batch_size=batch), **settings)

    def run() -> None:
        train(encoder, views, objective, config, generator=generator(SEED))

    return run


def bare_epoch(*, pairs: int, batch: int, width: int) -> Run:
    """The same steps, written out."""
    encoder, views = towers(width), data(pairs, width)

    def run() -> None:
        optimizer = torch.optim.AdamW(encoder.parameters())
        for rows in torch.randperm(pairs, generator=generator(SEED)).reshape(-1, batch):
            loss = info_nce(*encoder(views.image[rows], views.text[rows]))
            loss.backward()
            nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return run


def share(*, batch: int, of: int, block_size: int | None, dim: int = 128) -> Run:
    """What one of several processes computes of a loss, forward and backward."""
    stream = generator(SEED)
    z_image, z_text = (torch.randn(batch, dim, generator=stream).requires_grad_() for _ in range(2))
    rows = slice(0, batch // of)
    loss: Callable[[], Tensor] = (
        (lambda: info_nce(z_image, z_text, block_size=block_size))
        if of == 1
        else (lambda: share_of(info_nce, z_image, z_text, rows=rows, block_size=block_size))
    )

    def run() -> None:
        z_image.grad = z_text.grad = None
        loss().backward()

    return run


def towers(width: int) -> DualEncoder:
    torch.manual_seed(SEED)

    def tower() -> nn.Module:
        hidden = [layer for _ in range(3) for layer in (nn.Linear(width, width), nn.GELU())]
        return nn.Sequential(*hidden, nn.Linear(width, 64))

    return DualEncoder(tower(), tower())


def data(pairs: int, width: int) -> ViewPair:
    stream = generator(SEED)
    image, noise = torch.randn(2, pairs, width, generator=stream)
    return ViewPair(image=image, text=image + noise)
