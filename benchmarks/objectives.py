"""What a bottleneck costs per training step and at inference, and what each objective costs over many modalities."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.losses import SEED, SMALL, mlp, representations, step
from benchmarks.measure import Case, Run, Side
from vergence import losses

__all__ = ["SEED", "cases"]


def cases() -> Iterator[Case]:
    """Yield the bottlenecks, then the modalities."""
    yield from bottleneck_cases()
    yield from modality_cases()


def bottleneck_cases() -> Iterator[Case]:
    """A training step with a bottleneck beside the step without; and the encoder that each leaves for inference."""
    sizes = {"batch": 512, "dim": 64, "width": 256}
    for bottleneck in ("penalty", "variational"):
        for what, make in (("training step", bottleneck_step), ("inference", bottleneck_inference)):
            yield Case(
                name=f"{what} with the {bottleneck} bottleneck, against none: batch 512, 7-layer MLPs of width 256",
                ours=Side(make=make, sizes=sizes | {"bottleneck": bottleneck}, small=SMALL),
                peer=Side(make=make, sizes=sizes | {"bottleneck": "none"}, small=SMALL),
                repeats=20,
            )


def modality_cases() -> Iterator[Case]:
    """Every objective over all pairs of 4, 8 and 16 modalities, beside the same with two."""
    for name in sorted(PAIRWISE):
        for count in (4, 8, 16):
            sizes = {"name": name, "batch": 512, "dim": 64}
            yield Case(
                name=f"{name}, {count} modalities, against 2: batch 512, dim 64",
                ours=Side(make=modality_step, sizes=sizes | {"count": count}, small=SMALL),
                peer=Side(make=modality_step, sizes=sizes | {"count": 2}, small=SMALL),
                repeats=3,
                rounds=1,
            )


def bottleneck_step(*, batch: int, dim: int, width: int, bottleneck: str) -> Run:
    """One step through two encoders with InfoNCE and a bottleneck."""
    objective, encoders = with_bottleneck(bottleneck, dim, width)
    inputs = [part.detach() for part in representations(2, batch, dim)]
    parameters = [parameter for encoder in encoders for parameter in encoder.parameters()]
    return step(lambda: objective(*(f(x) for f, x in zip(encoders, inputs, strict=True))).total, parameters)


def bottleneck_inference(*, batch: int, dim: int, width: int, bottleneck: str) -> Run:
    """Encode a batch with an encoder that was trained with a bottleneck; a variational one gives its means."""
    encoder = with_bottleneck(bottleneck, dim, width)[1][0]
    inputs = representations(1, batch, dim)[0].detach()

    def run() -> None:
        with torch.no_grad():
            encoder(inputs)

    return run


def modality_step(*, name: str, batch: int, dim: int, count: int) -> Run:
    """One objective over all pairs of modalities, forward and backward."""
    z = representations(count, batch, dim)
    fn = PAIRWISE[name]
    return step(lambda: losses.over_pairs(fn, {f"m{k}": part for k, part in enumerate(z)}), z)


class Stochastic(nn.Module):
    """An encoder whose output is read as a distribution."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> losses.DiagonalGaussian:
        return losses.DiagonalGaussian.from_output(self.encoder(x))


def with_bottleneck(bottleneck: str, dim: int, width: int) -> tuple[losses.Objective, list[nn.Module]]:
    terms = {"contrast": losses.WeightedTerm(losses.info_nce)}
    if bottleneck == "variational":
        terms["bottleneck"] = losses.PosteriorTerm(losses.variational_bottleneck, 0.1)
        return losses.Objective(terms), [Stochastic(mlp(dim, width, 2 * dim)) for _ in range(2)]
    if bottleneck == "penalty":
        terms["bottleneck"] = losses.WeightedTerm(losses.alignment_penalty, 0.1)
    return losses.Objective(terms), [mlp(dim, width, dim) for _ in range(2)]


def divergence(z_image: Tensor, z_text: Tensor) -> Tensor:
    return losses.variational_bottleneck(*(losses.DiagonalGaussian(z, torch.tanh(z)) for z in (z_image, z_text)))


PAIRWISE: dict[str, Callable[..., Tensor]] = {
    "info_nce": losses.info_nce,
    "one_way_info_nce": losses.one_way_info_nce,
    "nt_xent": losses.nt_xent,
    "l2_info_nce": losses.l2_info_nce,
    "lp_info_nce, p = 1": partial(losses.lp_info_nce, p=1.0),
    "sigmoid_loss": losses.sigmoid_loss,
    "align_max_entropy": losses.align_max_entropy,
    "alignment_penalty": losses.alignment_penalty,
    "variational_bottleneck": divergence,
}
