"""Many small dual encoders trained at once: one more dimension on every tensor, one product for all runs.

A run of the numerical study is so small that an ordinary training loop spends its time on overhead, on moving memory
and on a loss that passes over the distance matrix fourteen times. Choices here, each measured in docs/speed.md:

- views are whitened by a first draw: a mixing can stretch some directions a thousand times more than others;
- parameters of all runs are stacked, and each layer is one batched product in bfloat16 with float32 sums and residuals;
- a block's backward pass is written out, so that nothing is copied or zeroed that a product does not need;
- the contrastive loss takes distances from one product of augmented vectors, exponentiates them once in place for both
  directions, and its gradient is two more products: no second matrix of that size is ever made;
- hidden matrices are updated by Muon ([jordan2024]), the rest by Adam; outputs are standardised over the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vergence.checks import at_least, positive, probability
from vergence.random import spawn

_LOWEST = -85.0  # exp of it is still a normal float32: distances beyond cannot empty a sum
_EPS = 1e-5
_PILOT = 8192  # pairs of the first draw
_SAFETY = 1.01  # keeps values that rounding has lifted above 1 inside the range of the next step
# Coefficients of five odd quintics that carry singular values from [0.001, 1] to 1, the best in each step [amsel2025].
_POLAR = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # that many images and texts of one run
BatchLoss = Callable[[Tensor, Tensor, Sequence[int]], Tensor]  # (runs, batch, dim) twice, sizes → one loss per run


@dataclass(frozen=True, kw_only=True)
class BatchedConfig:
    """How runs are trained together.

    Args:
        steps: Updates, each on pairs that have not been seen, at least 1.
        batch_size: Pairs in a step, for each run, at least 2.
        width: Of the hidden layers, at least 1.
        n_blocks: Residual blocks of each encoder, at least 1.
        matrix_rate: Learning rate of the hidden matrices (Muon), > 0.
        rate: Learning rate of everything else (Adam), > 0.
        decay: Share of the steps, the last ones, over which both rates fall linearly to 0; in (0, 1].
        drawn_at_once: Steps whose pairs are drawn together, at least 1.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    steps: int = 2000
    batch_size: int = 512
    width: int = 128
    n_blocks: int = 2
    matrix_rate: float = 0.04
    rate: float = 1e-2
    decay: float = 0.5
    drawn_at_once: int = 32

    def __post_init__(self) -> None:
        for name in ("steps", "width", "n_blocks", "drawn_at_once"):
            at_least(name, getattr(self, name), 1)
        at_least("batch_size", self.batch_size, 2, why="InfoNCE needs a negative")
        positive("matrix_rate", self.matrix_rate)
        positive("rate", self.rate)
        positive("decay", self.decay)
        probability("decay", self.decay)


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
        self.whitenings = [tuple(_Whitening(views) for views in pair) for pair in pilots]
        n_inputs = [(image.shape[1], text.shape[1]) for image, text in pilots]
        self.n_inputs = tuple(max(widths) for widths in zip(*n_inputs, strict=True))
        self.sizes = tuple(sizes)
        self.mask = torch.stack([(torch.arange(max(sizes)) < size).float() for size in sizes])[:, None]
        drawn = [_weights(*run, config) for run in zip(n_inputs, sizes, generators, strict=True)]
        stacks = {name: _stack([weights[name] for weights in drawn]).requires_grad_() for name in drawn[0]}
        self.matrices = {name: stack for name, stack in stacks.items() if name.startswith(("up", "down"))}
        self.others = {name: stack for name, stack in stacks.items() if name not in self.matrices}

    def __call__(self, side: int, views: Float[Tensor, "runs batch inputs"]) -> Float[Tensor, "runs batch outputs"]:
        """Encode the images (side 0) or texts (side 1) of all runs, without standardising."""
        return self._encode(side, views, {**self.matrices, **self.others})

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
            hidden = _Block.apply(hidden, *(weights[name] for name in names))  # type: ignore[no-untyped-call]
        return torch.baddbmm(torch.bmm(views, weights[f"linear{side}"]), hidden, weights[f"out{side}"])


def train_together(
    draws: Sequence[Draw],
    sizes: Sequence[int],
    config: BatchedConfig,
    *,
    generators: Sequence[torch.Generator],
    loss: BatchLoss | None = None,
) -> BatchedEncoders:
    """Train several runs at once; what a run learns does not depend on its company, but for rounding.

    Args:
        draws: Of each run, what draws so many pairs of views.
        sizes: Output size of each run, at least 1.
        config: How to train.
        generators: One per run, for its weights and its pairs.
        loss: Of all runs at once; `batched_l2_info_nce` if `None`.

    Returns:
        The trained encoders.
    """
    for size in sizes:
        at_least("output size", size, 1)
    loss = loss or _l2_loss
    streams = [spawn(generator, 2) for generator in generators]
    pilots = [draw(_PILOT, stream[1]) for draw, stream in zip(draws, streams, strict=True)]
    encoders = BatchedEncoders(pilots, sizes, config, [weights for weights, _ in streams])
    matrices, others = list(encoders.matrices.values()), list(encoders.others.values())
    adam = torch.optim.Adam(others, lr=config.rate, betas=(0.9, 0.95), fused=True)
    momentum = torch.zeros(len(matrices), *matrices[0].shape)
    for step in range(config.steps):
        within = step % config.drawn_at_once
        if within == 0:
            count = min(config.drawn_at_once, config.steps - step)
            images, texts = _drawn(draws, streams, encoders, count * config.batch_size)
        rows = slice(within * config.batch_size, (within + 1) * config.batch_size)
        z_image = standardize_batches(encoders(0, images[:, rows])) * encoders.mask
        z_text = standardize_batches(encoders(1, texts[:, rows])) * encoders.mask
        total = loss(z_image, z_text, encoders.sizes).sum()
        gradients = torch.autograd.grad(total, [*matrices, *others])
        remaining = min(1.0, (1 - step / config.steps) / config.decay)
        with torch.no_grad():
            _muon(matrices, gradients[: len(matrices)], momentum, rate=config.matrix_rate * remaining)
            for weight, gradient in zip(others, gradients[len(matrices) :], strict=True):
                weight.grad = gradient
            adam.param_groups[0]["lr"] = config.rate * remaining
            adam.step()
    return encoders


def batched_l2_info_nce(
    z_image: Float[Tensor, "runs batch dim"], z_text: Float[Tensor, "runs batch dim"], *, temperature: float = 1.0
) -> Float[Tensor, " runs"]:
    r"""`l2_info_nce` of several runs at once, negatives in the batch, up to a constant.

    $\mathrm{mean}_i \|a_i - b_i\|^2/\tau + \tfrac12 \mathrm{mean}_i \log \sum_j e^{-\|a_i - b_j\|^2/\tau}
    + \tfrac12 \mathrm{mean}_j \log \sum_i e^{-\|a_i - b_j\|^2/\tau}$.

    [cai2025], numerical simulation; differs: in-batch negatives of the other modality, and no division by the number of
    candidates, which is a constant.

    Args:
        z_image: Representations of the images, run by run; of unit scale, since squares above 85 τ are cut.
        z_text: Of the texts that they pair with.
        temperature: τ > 0.

    Returns:
        One loss per run, in nats.

    Raises:
        ConfigError: If the temperature is not above 0.

    Example:
        >>> z = torch.randn(3, 8, 2)
        >>> batched_l2_info_nce(z, z).shape
        torch.Size([3])
    """
    positive("temperature", temperature)
    loss: Tensor = _L2InfoNCE.apply(z_image, z_text, temperature)  # type: ignore[no-untyped-call]
    return loss


def standardize_batches(z: Float[Tensor, "runs batch dim"]) -> Float[Tensor, "runs batch dim"]:
    """Give every output of every run mean 0 and variance 1 over its batch."""
    standardised: Tensor = _Standardize.apply(z)  # type: ignore[no-untyped-call]
    return standardised


def orthogonalize(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """Replace singular values by about 1, in five steps of matrix products in bfloat16.

    Source: [jordan2024] with the coefficients of [amsel2025].
    """
    x = matrices.bfloat16()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) * _SAFETY + 1e-7)
    for a, b, c in _POLAR:
        gram = x @ x.mT
        square = torch.baddbmm(gram, gram, gram, beta=b / _SAFETY**3, alpha=c / _SAFETY**5)
        x = torch.baddbmm(x, square, x, beta=a / _SAFETY)
    return x.to(matrices.dtype)


def _l2_loss(z_image: Tensor, z_text: Tensor, sizes: Sequence[int]) -> Tensor:
    return batched_l2_info_nce(z_image, z_text)


class _Whitening:
    """Gives views mean 0 and the identity as covariance, as measured on a first draw."""

    def __init__(self, pilot: Tensor) -> None:
        self.mean = pilot.mean(0)
        centred = (pilot - self.mean).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(pilot))
        self.matrix = (vectors * (values + 1e-9 * values[-1]).rsqrt()).to(pilot.dtype)

    def __call__(self, views: Tensor) -> Tensor:
        white: Tensor = (views - self.mean) @ self.matrix
        return white


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


def _muon(matrices: list[Tensor], gradients: Sequence[Tensor], momentum: Tensor, *, rate: float) -> None:
    """Move each matrix along its orthogonalised momentum (Nesterov's), all of them in one batch of products."""
    gradient = torch.stack(list(gradients))
    momentum.lerp_(gradient, 0.05)
    update = orthogonalize(gradient.lerp_(momentum, 0.95).flatten(0, 1)).view_as(gradient)
    torch._foreach_add_(matrices, list(update.unbind(0)), alpha=-rate)


class _Block(torch.autograd.Function):
    """hidden + relu(norm(hidden) up + bias) down, with the root-mean-square norm; products in bfloat16."""

    @staticmethod
    def forward(ctx, hidden, up, bias, down):  # type: ignore[no-untyped-def]
        up, down = up.bfloat16(), down.bfloat16()
        norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).clamp_min_(1e-6)
        scale = norm.reciprocal_().mul_(hidden.shape[-1] ** 0.5)
        normed = (hidden * scale).bfloat16()
        active = torch.baddbmm(bias.bfloat16(), normed, up).relu_()
        ctx.save_for_backward(scale, normed, active, up, down)
        return torch.bmm(active, down).float().add_(hidden)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        scale, normed, active, up, down = ctx.saved_tensors
        outer = gradient.bfloat16()
        d_down = torch.bmm(active.mT, outer)
        d_active = torch.ops.aten.threshold_backward(torch.bmm(outer, down.mT), active, 0)
        d_up, d_bias = torch.bmm(normed.mT, d_active), d_active.sum(1, keepdim=True)
        d_normed = torch.bmm(d_active, up.mT)
        along = (d_normed * normed).mean(-1, keepdim=True)  # the norm does not see a change of length
        d_hidden = torch.addcmul(gradient, torch.addcmul(d_normed, normed, along, value=-1), scale)
        return d_hidden, d_up.float(), d_bias.float(), d_down.float()


class _Standardize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):  # type: ignore[no-untyped-def]
        variance, mean = torch.var_mean(z, 1, keepdim=True, correction=0)
        scale = (variance + _EPS).rsqrt()
        standardised = (z - mean) * scale
        ctx.save_for_backward(standardised, scale)
        return standardised

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        z, scale = ctx.saved_tensors
        return (gradient - gradient.mean(1, keepdim=True) - z * (gradient * z).mean(1, keepdim=True)) * scale


class _L2InfoNCE(torch.autograd.Function):
    """The loss, with a gradient that never makes a second matrix.

    With E_ij = exp(-|a_i - b_j|²/τ), r its row sums and c its column sums, the gradient needs E only in the products
    E [b, b/c, 1/c] and Eᵀ [a, a/r, 1/r].
    """

    @staticmethod
    def forward(ctx, a, b, temperature):  # type: ignore[no-untyped-def]
        ones = a.new_ones(*a.shape[:2], 1)
        squares = [z.square().sum(-1, keepdim=True).neg_().div_(temperature) for z in (a, b)]
        left, right = torch.cat([a * (2 / temperature), squares[0], ones], -1), torch.cat([b, ones, squares[1]], -1)
        kernel = torch.bmm(left, right.mT).clamp_min_(_LOWEST).exp_()
        rows, columns = kernel.sum(2, keepdim=True), torch.bmm(ones.mT, kernel).mT
        ctx.save_for_backward(a, b, kernel, rows.reciprocal(), columns.reciprocal())
        ctx.temperature = temperature
        apart = (a - b).square().sum(-1).mean(1) / temperature
        return apart + (rows.log() + columns.log()).mean((1, 2)) / 2

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        a, b, kernel, rows, columns = ctx.saved_tensors
        dim = a.shape[-1]
        by_row = torch.bmm(kernel, torch.cat([b, b * columns, columns], -1))
        by_column = torch.bmm(kernel.mT, torch.cat([a, a * rows, rows], -1))
        d_a = a - b - (a * (1 + by_row[..., -1:]) - rows * by_row[..., :dim] - by_row[..., dim : 2 * dim]) / 2
        d_b = (
            b - a - (b * (1 + by_column[..., -1:]) - columns * by_column[..., :dim] - by_column[..., dim : 2 * dim]) / 2
        )
        scale = gradient[:, None, None] * (2 / (a.shape[1] * ctx.temperature))
        return d_a * scale, d_b * scale, None
