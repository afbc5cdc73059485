"""Losses, forward and backward: blockwise beside direct forms, and the cached-gradient step beside the plain one."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Case, Run, Side
from vergence import losses

SEED = 0
PACKAGES = ("pytorch-metric-learning",)
SMALL = {"batch": 64}


def cases() -> Iterator[Case]:
    """Yield every comparison; those with pytorch-metric-learning only where it is installed."""
    for temperature in (0.07, 0.01):
        yield compare("info_nce", "info_nce_direct", {"temperature": temperature}, batch=8192, dim=512)
    for block_size in (None, 1024):
        yield compare("l2_info_nce", "l2_info_nce_direct", {}, block_size=block_size, batch=6144, dim=10)
    if find_spec("pytorch_metric_learning"):
        yield compare("nt_xent", "nt_xent_pml", {}, batch=512, dim=128, rounds=1)
    for name in ("nt_xent", "sigmoid_loss"):
        yield compare(name, name, {}, batch=4096, dim=256)
    sizes = {"batch": 2048, "dim": 256, "width": 1024}
    yield Case(
        name="cached step, chunks of 256, against the plain step: batch 2048, 7-layer MLPs of width 1024",
        ours=Side(make=encoder_step, sizes=sizes | {"chunk_size": 256}, small=SMALL),
        peer=Side(make=encoder_step, sizes=sizes, small=SMALL),
        repeats=1,
    )
    alone = {"name": "info_nce", "settings": {"block_size": 1024}, "batch": 65536, "dim": 256}
    yield Case(
        name="info_nce, blocks of 1024: batch 65536, dim 256",
        ours=Side(make=loss_step, sizes=alone, small=SMALL),
        repeats=1,
        rounds=1,
    )


def compare(
    ours: str, peer: str, settings: dict[str, Any], *, block_size: int | None = 1024, rounds: int = 3, **sizes: int
) -> Case:
    """Compare a blockwise form with a direct one."""
    blocks = f"blocks of {block_size}" if block_size else "plain"
    told = ", ".join(f"{key} {value}" for key, value in (sizes | settings).items())
    blocked = sizes | {"name": ours, "settings": settings | {"block_size": block_size}}
    return Case(
        name=f"{ours}, {blocks}, against {peer if peer != ours else 'plain'}: {told}",
        ours=Side(make=loss_step, sizes=blocked, small=SMALL),
        peer=Side(make=loss_step, sizes=sizes | {"name": peer, "settings": settings}, small=SMALL),
        repeats=1,
        rounds=rounds,
    )


def loss_step(*, name: str, settings: dict[str, Any], batch: int, dim: int) -> Run:
    """One loss, forward and backward, on independent normal representations."""
    z = representations(2, batch, dim)
    fn = DIRECT[name] if name in DIRECT else getattr(losses, name)
    if name.startswith("l2_info_nce"):
        images, texts = (part.detach() for part in representations(2, batch, dim, seed=SEED + 1))
        settings = settings | {"negatives_image": images, "negatives_text": texts}
    return step(partial(fn, *z, **settings), z)


def encoder_step(*, batch: int, dim: int, width: int, chunk_size: int | None = None) -> Run:
    """One step through two encoders, plain or cached."""
    encoders = [mlp(dim, width, 128) for _ in range(2)]
    inputs = [part.detach() for part in representations(2, batch, dim)]
    parameters = [parameter for encoder in encoders for parameter in encoder.parameters()]
    if chunk_size is None:
        return step(lambda: losses.info_nce(*(f(x) for f, x in zip(encoders, inputs, strict=True))), parameters)

    def run() -> float:
        clear(parameters)
        loss = losses.cached_backward(encoders, inputs, losses.info_nce, chunk_size=chunk_size)
        return loss.item()

    return run


def step(loss: Callable[[], Tensor], leaves: list[Tensor]) -> Run:
    """Run a loss forward and backward."""

    def run() -> float:
        clear(leaves)
        value = loss()
        value.backward()
        return value.item()

    return run


def clear(leaves: list[Tensor]) -> None:
    for leaf in leaves:
        leaf.grad = None


def representations(count: int, batch: int, dim: int, *, seed: int = SEED) -> list[Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, dim, generator=stream).requires_grad_() for _ in range(count)]


def mlp(size: int, width: int, out: int) -> nn.Module:
    torch.manual_seed(SEED)
    hidden = [layer for _ in range(5) for layer in (nn.Linear(width, width), nn.GELU())]
    return nn.Sequential(nn.Linear(size, width), nn.GELU(), *hidden, nn.Linear(width, out))


def info_nce_direct(z_image: Tensor, z_text: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy over the rows and over the columns of the matrix of logits: how it is commonly written."""
    logits = nn.functional.normalize(z_image) @ nn.functional.normalize(z_text).T / temperature
    labels = torch.arange(len(logits))
    return (nn.functional.cross_entropy(logits, labels) + nn.functional.cross_entropy(logits.T, labels)) / 2


def l2_info_nce_direct(z_image: Tensor, z_text: Tensor, *, negatives_image: Tensor, negatives_text: Tensor) -> Tensor:
    """Differences of all pairs by broadcasting, (batch, batch, dim) at once, and the positive among the candidates."""

    def one_way(anchors: Tensor, partners: Tensor, negatives: Tensor) -> Tensor:
        positive = (anchors - partners).square().sum(-1)
        distances = (anchors[:, None] - negatives).square().sum(-1)
        candidates = -torch.cat([positive[:, None], distances], 1)
        return (positive + candidates.logsumexp(1)).mean() - torch.tensor(candidates.shape[1]).log()

    return (one_way(z_image, z_text, negatives_image) + one_way(z_text, z_image, negatives_text)) / 2


def nt_xent_pml(z_image: Tensor, z_text: Tensor) -> Tensor:
    """The same loss from pytorch-metric-learning."""
    from pytorch_metric_learning.losses import NTXentLoss

    labels = torch.arange(len(z_image)).repeat(2)
    loss: Tensor = NTXentLoss(temperature=1.0)(torch.cat([z_image, z_text]), labels)
    return loss


DIRECT = {
    "info_nce_direct": info_nce_direct,
    "l2_info_nce_direct": l2_info_nce_direct,
    "nt_xent_pml": nt_xent_pml,
}
