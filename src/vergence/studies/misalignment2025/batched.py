"""Many small dual encoders trained at once: one more dimension on every tensor, one product for all runs.

A run of the numerical study is so small that an ordinary training loop spends its time on overhead, on moving memory
and on a loss that passes over the distance matrix fourteen times. Choices here, each measured in docs/speed.md:

- views are whitened by a first draw: a mixing can stretch some directions a thousand times more than others;
- parameters of all runs are stacked, and each layer is one batched product, in bfloat16 where the processor has it,
  with float32 sums and residuals;
- hidden matrices are updated by Muon ([jordan2024]), the rest by Adam; outputs are standardised over the batch;
- the temperature follows the noise between both sides, so that what is compared becomes finer as they agree;
- runs learn wide first, with as many outputs as the text has factors: all of them help to undo the mixing, also those
  that the text gets wrong. Then the outputs in which both sides agree best are kept, and training goes on with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import gt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import at_least, positive
from vergence.random import spawn
from vergence.studies.misalignment2025.stacked import (
    Whitening,
    canonical_maps,
    fitted_l2_info_nce,
    muon_step,
    residual_block,
    standardize_batches,
)

_PILOT = 8192  # pairs of the first draw
_LOWEST_SHARE = 0.05  # of the rates, at the end of the wide steps
_SECOND = 16_384  # pairs of the draw by which outputs are chosen

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # that many images and texts of one run
BatchLoss = Callable[[Tensor, Tensor, Sequence[int]], Tensor]  # (runs, batch, dim) twice, sizes → one loss per run


@dataclass(frozen=True, kw_only=True)
class BatchedConfig:
    """How runs are trained together.

    Args:
        steps: Updates with the final outputs, at least 1.
        wide_steps: Updates before them with wide outputs, at least 0; runs that never are wider skip them.
        batch_size: Pairs in a step, for each run, at least 2.
        width: Of the hidden layers, at least 1.
        n_blocks: Residual blocks of each encoder, at least 1.
        matrix_rate: Learning rate of the hidden matrices (Muon), > 0.
        rate: Learning rate of everything else (Adam), > 0.
        narrow_rate: Share of the rates at which the final outputs start if there were wide ones, > 0. Large rates undo
            what both sides had agreed on where another combination of factors is nearly as good.
        drawn_at_once: Steps whose pairs are drawn together, at least 1.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    steps: int = 800
    wide_steps: int = 1000
    batch_size: int = 1024
    width: int = 128
    n_blocks: int = 2
    matrix_rate: float = 0.04
    rate: float = 1e-2
    narrow_rate: float = 0.15
    drawn_at_once: int = 32

    def __post_init__(self) -> None:
        for name in ("steps", "width", "n_blocks", "drawn_at_once"):
            at_least(name, getattr(self, name), 1)
        at_least("batch_size", self.batch_size, 2, why="InfoNCE needs a negative")
        positive("matrix_rate", self.matrix_rate)
        positive("rate", self.rate)
        positive("narrow_rate", self.narrow_rate)
        at_least("wide_steps", self.wide_steps, 0)

    def n_wide(self, sizes: Sequence[int], wide: Sequence[int]) -> int:
        """Number of wide steps of runs with these final and wide output sizes."""
        return self.wide_steps if any(map(gt, wide, sizes)) else 0

    def share_of_rates(self, step: int, *, n_wide: int) -> float:
        """Share of both rates that a step takes, counted from 0, when so many steps are wide.

        The first outputs learn at full rates for half of their steps, which then fall linearly.
        """
        if step < n_wide:
            return max(_LOWEST_SHARE, min(1.0, 2 * (1 - step / n_wide)))
        left = 1 - (step - n_wide) / self.steps
        return self.narrow_rate * left if n_wide else min(1.0, 2 * left)


class BatchedEncoders:
    """Both encoders of several runs: residual MLPs with a linear map beside them, weights stacked by run.

    Args:
        pilots: First draws of images and texts of each run, to whiten its views by; narrower ones are padded with zeros
            up to the widest.
        sizes: Output size of each run; spare outputs are zero.
        config: Width and depth.
        generators: One per run, so that its first weights do not depend on its company.
    """

    def __init__(
        self,
        pilots: Sequence[tuple[Tensor, Tensor]],
        sizes: Sequence[int],
        config: BatchedConfig,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.n_blocks = config.n_blocks
        self.whitenings = [tuple(Whitening(views) for views in pair) for pair in pilots]
        n_inputs = [(image.shape[1], text.shape[1]) for image, text in pilots]
        self.n_inputs = tuple(max(widths) for widths in zip(*n_inputs, strict=True))
        self._resize(sizes)
        drawn = [_weights(*run, config) for run in zip(n_inputs, sizes, generators, strict=True)]
        stacks = {name: _stack([weights[name] for weights in drawn]).requires_grad_() for name in drawn[0]}
        self.matrices = {name: stack for name, stack in stacks.items() if name.startswith(("up", "down"))}
        self.others = {name: stack for name, stack in stacks.items() if name not in self.matrices}

    def __call__(self, side: int, views: Float[Tensor, "runs batch inputs"]) -> Float[Tensor, "runs batch outputs"]:
        """Encode the images (side 0) or texts (side 1) of all runs, without standardising."""
        return self._encode(side, views, {**self.matrices, **self.others})

    def narrow(self, sizes: Sequence[int], pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Keep of each run the linear combinations of its outputs in which both sides correlate best.

        Args:
            sizes: New output sizes; a run that has no more outputs than that keeps them as they are.
            pairs: Images and texts of each run, to measure the correlations on.
        """
        kept: dict[str, list[Tensor]] = {f"{name}{side}": [] for name in ("out", "linear") for side in (0, 1)}
        for run, (size, views) in enumerate(zip(sizes, pairs, strict=True)):
            had = self.sizes[run]
            maps: Sequence[Tensor] = [torch.eye(had)] * 2
            if size < had:
                image, text = (self.of_run(run, side, views[side]) for side in (0, 1))
                maps = canonical_maps(image, text, size)
            for name, runs in kept.items():
                runs.append(self.others[name].detach()[run, :, :had] @ maps[int(name[-1])])
        self.others |= {name: _stack(runs).requires_grad_() for name, runs in kept.items()}
        self._resize(sizes)

    def _resize(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.mask = torch.stack([(torch.arange(max(sizes)) < size).float() for size in sizes])[:, None]

    def of_run(self, run: int, side: int, views: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Encode images or texts of one run, padded or not, into its own number of outputs."""
        views = self.prepare(run, side, views)
        with torch.no_grad():
            weights = {name: weight[run : run + 1] for name, weight in {**self.matrices, **self.others}.items()}
            return self._encode(side, views[None], weights)[0, :, : self.sizes[run]]

    def prepare(self, run: int, side: int, views: Float[Tensor, "n inputs"]) -> Float[Tensor, "n widest"]:
        """Whiten views of one run, and pad them."""
        white = self.whitenings[run][side](views)
        return nn.functional.pad(white, (0, self.n_inputs[side] - white.shape[1]))

    def _encode(self, side: int, views: Tensor, weights: dict[str, Tensor]) -> Tensor:
        hidden = torch.baddbmm(weights[f"in_bias{side}"], views, weights[f"in{side}"])
        for block in range(self.n_blocks):
            names = (f"up{side}{block}", f"bias{side}{block}", f"down{side}{block}")
            hidden = residual_block(hidden, *(weights[name] for name in names))
        return torch.baddbmm(torch.bmm(views, weights[f"linear{side}"]), hidden, weights[f"out{side}"])


def train_together(
    draws: Sequence[Draw],
    sizes: Sequence[int],
    config: BatchedConfig,
    *,
    generators: Sequence[torch.Generator],
    loss: BatchLoss | None = None,
    wide: Sequence[int] | None = None,
    watch: Callable[[int, BatchedEncoders], bool] | None = None,
) -> BatchedEncoders:
    """Train several runs at once; what a run learns does not depend on its company, but for rounding.

    That holds if all or none of them start wide: those that need no wide steps wait for those that do.

    Args:
        draws: Of each run, what draws so many pairs of views.
        sizes: Output size of each run, at least 1.
        config: How to train.
        generators: One per run, for its weights and its pairs.
        loss: Of all runs at once; `fitted_l2_info_nce` if `None`.
        wide: Output size of each run in the wide steps, at least its final one; the final one if `None`.
        watch: Called after every step with how many are done; training ends where it returns `True`.

    Returns:
        The trained encoders.

    Raises:
        ConfigError: If a size is below 1, or a wide one below the final one.
    """
    wide = sizes if wide is None else wide
    for size, larger in zip(sizes, wide, strict=True):
        at_least("output size", size, 1)
        at_least("wide output size", larger, size)
    loss = loss or fitted_l2_info_nce
    streams = [spawn(generator, 2) for generator in generators]
    pilots = [draw(_PILOT, stream[1]) for draw, stream in zip(draws, streams, strict=True)]
    encoders = BatchedEncoders(pilots, wide, config, [weights for weights, _ in streams])
    n_wide = config.n_wide(sizes, wide)
    n_steps = n_wide + config.steps
    optimizer = _Optimizer(encoders, config)
    for step in range(n_steps):
        if step == n_wide > 0:
            encoders.narrow(sizes, [draw(_SECOND, stream[1]) for draw, stream in zip(draws, streams, strict=True)])
            optimizer = _Optimizer(encoders, config)
        within = (step if step < n_wide else step - n_wide) % config.drawn_at_once
        if within == 0:
            count = min(config.drawn_at_once, (n_wide if step < n_wide else n_steps) - step)
            images, texts = _drawn(draws, streams, encoders, count * config.batch_size)
        rows = slice(within * config.batch_size, (within + 1) * config.batch_size)
        z_image = standardize_batches(encoders(0, images[:, rows])) * encoders.mask
        z_text = standardize_batches(encoders(1, texts[:, rows])) * encoders.mask
        total = loss(z_image, z_text, encoders.sizes).sum()
        optimizer.step(total, share=config.share_of_rates(step, n_wide=n_wide))
        if watch is not None and watch(step + 1, encoders):
            break
    return encoders


class _Optimizer:
    """Muon for the hidden matrices, Adam for everything else."""

    def __init__(self, encoders: BatchedEncoders, config: BatchedConfig) -> None:
        self.matrices, self.others = list(encoders.matrices.values()), list(encoders.others.values())
        self.config = config
        self.momentum = torch.zeros(len(self.matrices), *self.matrices[0].shape)
        self.adam = torch.optim.Adam(self.others, lr=config.rate, betas=(0.9, 0.95), fused=True)

    def step(self, total: Tensor, *, share: float) -> None:
        """Update everything, at that share of the rates."""
        gradients = torch.autograd.grad(total, [*self.matrices, *self.others])
        n_matrices = len(self.matrices)
        with torch.no_grad():
            rate = self.config.matrix_rate * share
            muon_step(self.matrices, gradients[:n_matrices], self.momentum, rate=rate)
            for weight, gradient in zip(self.others, gradients[n_matrices:], strict=True):
                weight.grad = gradient
            self.adam.param_groups[0]["lr"] = self.config.rate * share
            self.adam.step()


def _weights(
    n_inputs: tuple[int, int], size: int, generator: torch.Generator, config: BatchedConfig
) -> dict[str, Tensor]:
    """First weights of one run, at its own sizes, so that they do not depend on its company."""

    def normal(*shape: int, scale: float) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    width, weights = config.width, {}
    for side, inputs in enumerate(n_inputs):
        weights[f"in{side}"] = normal(inputs, width, scale=inputs**-0.5)
        weights[f"in_bias{side}"] = normal(1, width, scale=0.5)
        for block in range(config.n_blocks):
            weights[f"up{side}{block}"] = normal(width, width, scale=width**-0.5)
            weights[f"bias{side}{block}"] = normal(1, width, scale=0.3)
            weights[f"down{side}{block}"] = normal(width, width, scale=0.5 * width**-0.5)
        weights[f"out{side}"] = normal(width, size, scale=width**-0.5)
        weights[f"linear{side}"] = normal(inputs, size, scale=inputs**-0.5)
    return weights


def _stack(weights: Sequence[Tensor]) -> Tensor:
    """Stack, padded with zeros: what is padded gets no input, and no gradient."""
    rows, columns = (max(weight.shape[axis] for weight in weights) for axis in (0, 1))
    return torch.stack(
        [nn.functional.pad(weight, (0, columns - weight.shape[1], 0, rows - weight.shape[0])) for weight in weights]
    )


def _drawn(
    draws: Sequence[Draw], streams: Sequence[tuple[torch.Generator, ...]], encoders: BatchedEncoders, n: int
) -> tuple[Tensor, Tensor]:
    views = [draw(n, stream[1]) for draw, stream in zip(draws, streams, strict=True)]
    images, texts = (
        torch.stack([encoders.prepare(run, side, pair[side]) for run, pair in enumerate(views)]) for side in (0, 1)
    )
    return images, texts
