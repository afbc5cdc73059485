"""The arithmetic of many small trainings: every function takes stacks, with the run as the first dimension.

- The contrastive loss takes distances from one product of augmented vectors, exponentiates them once in place for both
  directions, and its gradient is two more products: no second matrix of that size is ever made.
- A residual block's backward pass is written out, so that nothing is copied or zeroed that a product does not need.
- Muon orthogonalises the hidden matrices of all runs in one batch of products.
"""

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import positive

_COLDEST, _WARMEST = 0.2, 2.0  # temperatures
_LOWEST = -85.0  # exp of it is still a normal float32: distances beyond cannot empty a sum
_EPS = 1e-5
_SAFETY = 1.01  # keeps values that rounding has lifted above 1 inside the range of the next step
# Coefficients of five odd quintics that carry singular values from [0.001, 1] to 1, the best in each step [amsel2025].
_POLAR = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)


@cache
def product_type() -> torch.dtype:
    """What hidden layers are multiplied in: bfloat16 where the processor does, else float32.

    A processor without it emulates it, and takes 17 times as long as for float32 (docs/speed.md).
    """
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def batched_l2_info_nce(
    z_image: Float[Tensor, "runs batch dim"],
    z_text: Float[Tensor, "runs batch dim"],
    *,
    temperature: float | Float[Tensor, " runs"] = 1.0,
) -> Float[Tensor, " runs"]:
    r"""`l2_info_nce` of several runs at once, negatives in the batch, up to a constant.

    $\mathrm{mean}_i \|a_i - b_i\|^2/\tau + \tfrac12 \mathrm{mean}_i \log \sum_j e^{-\|a_i - b_j\|^2/\tau}
    + \tfrac12 \mathrm{mean}_j \log \sum_i e^{-\|a_i - b_j\|^2/\tau}$.

    [cai2025], numerical simulation; differs: in-batch negatives of the other modality, and no division by the number of
    candidates, which is a constant.

    Args:
        z_image: Representations of the images, run by run; of unit scale, since squares above 85 τ are cut.
        z_text: Of the texts that they pair with.
        temperature: τ > 0, of all runs or of each; without a gradient.

    Returns:
        One loss per run, in nats.

    Raises:
        ConfigError: If a temperature is not above 0.

    Example:
        >>> z = torch.randn(3, 8, 2)
        >>> batched_l2_info_nce(z, z).shape
        torch.Size([3])
    """
    each = torch.as_tensor(temperature, dtype=z_image.dtype).expand(len(z_image))
    positive("temperature", float(each.min()))
    loss: Tensor = _L2InfoNCE.apply(z_image, z_text, each)  # type: ignore[no-untyped-call]
    return loss


def fitted_l2_info_nce(
    z_image: Float[Tensor, "runs batch dim"], z_text: Float[Tensor, "runs batch dim"], sizes: Sequence[int]
) -> Float[Tensor, " runs"]:
    r"""`batched_l2_info_nce`, each run at the temperature that fits the noise between its two sides.

    $\tau = 2\, \mathrm{mean}_i \|a_i - b_i\|^2 / n$: the loss takes a text for its image's with weight
    $e^{-\|a - b\|^2/\tau}$, a normal density of variance τ/2 in each of n outputs, and this is its variance of greatest
    likelihood. Sides that differ much are compared roughly, and ever finer as they agree; what the text gets wrong
    keeps it rough. The reason is in docs/speed.md.

    Args:
        z_image: Representations of the images, run by run, each output of variance 1.
        z_text: Of the texts that they pair with.
        sizes: How many outputs each run has; spare ones are zero.

    Returns:
        One loss per run, in nats; the temperature, kept within 0.2 and 2, has no gradient.
    """
    with torch.no_grad():
        apart = (z_image - z_text).square().sum(-1).mean(1)
        temperature = (2 * apart / torch.tensor(sizes)).clamp_(_COLDEST, _WARMEST)
    return batched_l2_info_nce(z_image, z_text, temperature=temperature)


def standardize_batches(z: Float[Tensor, "runs batch dim"]) -> Float[Tensor, "runs batch dim"]:
    """Give every output of every run mean 0 and variance 1 over its batch."""
    standardised: Tensor = _Standardize.apply(z)  # type: ignore[no-untyped-call]
    return standardised


def orthogonalize(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """Replace singular values by about 1, in five steps of matrix products of `product_type`.

    Source: [jordan2024] with the coefficients of [amsel2025].
    """
    x = matrices.to(product_type())
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) * _SAFETY + 1e-7)
    for a, b, c in _POLAR:
        gram = x @ x.mT
        square = torch.baddbmm(gram, gram, gram, beta=b / _SAFETY**3, alpha=c / _SAFETY**5)
        x = torch.baddbmm(x, square, x, beta=a / _SAFETY)
    return x.to(matrices.dtype)


def muon_step(matrices: list[Tensor], gradients: Sequence[Tensor], momentum: Tensor, *, rate: float) -> None:
    """Move each matrix along its orthogonalised momentum (Nesterov's), all of them in one batch of products."""
    gradient = torch.stack(list(gradients))
    momentum.lerp_(gradient, 0.05)
    update = orthogonalize(gradient.lerp_(momentum, 0.95).flatten(0, 1)).view_as(gradient)
    torch._foreach_add_(matrices, list(update.unbind(0)), alpha=-rate)


def residual_block(
    hidden: Float[Tensor, "runs batch width"],
    up: Float[Tensor, "runs width width"],
    bias: Float[Tensor, "runs 1 width"],
    down: Float[Tensor, "runs width width"],
) -> Float[Tensor, "runs batch width"]:
    """`hidden + relu(rms_norm(hidden) up + bias) down`, with products of `product_type`."""
    output: Tensor = _Block.apply(hidden, up, bias, down)  # type: ignore[no-untyped-call]
    return output


class _Block(torch.autograd.Function):
    """hidden + relu(norm(hidden) up + bias) down, with the root-mean-square norm."""

    @staticmethod
    def forward(ctx, hidden, up, bias, down):  # type: ignore[no-untyped-def]
        kind = product_type()
        up, down = up.to(kind), down.to(kind)
        norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).clamp_min_(1e-6)
        scale = norm.reciprocal_().mul_(hidden.shape[-1] ** 0.5)
        normed = (hidden * scale).to(kind)
        active = torch.baddbmm(bias.to(kind), normed, up).relu_()
        ctx.save_for_backward(scale, normed, active, up, down)
        return torch.bmm(active, down).float().add_(hidden)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        scale, normed, active, up, down = ctx.saved_tensors
        outer = gradient.to(normed.dtype)
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
        apart = (a - b).square().sum(-1).mean(1) / temperature
        temperature = temperature[:, None, None]
        ones = a.new_ones(*a.shape[:2], 1)
        squares = [z.square().sum(-1, keepdim=True).neg_().div_(temperature) for z in (a, b)]
        left, right = torch.cat([a * (2 / temperature), squares[0], ones], -1), torch.cat([b, ones, squares[1]], -1)
        kernel = torch.bmm(left, right.mT).clamp_min_(_LOWEST).exp_()
        rows, columns = kernel.sum(2, keepdim=True), torch.bmm(ones.mT, kernel).mT
        ctx.save_for_backward(a, b, kernel, rows.reciprocal(), columns.reciprocal(), temperature)
        return apart + (rows.log() + columns.log()).mean((1, 2)) / 2

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        a, b, kernel, rows, columns, temperature = ctx.saved_tensors
        dim = a.shape[-1]
        by_row = torch.bmm(kernel, torch.cat([b, b * columns, columns], -1))
        by_column = torch.bmm(kernel.mT, torch.cat([a, a * rows, rows], -1))
        d_a = a - b - (a * (1 + by_row[..., -1:]) - rows * by_row[..., :dim] - by_row[..., dim : 2 * dim]) / 2
        d_b = (
            b - a - (b * (1 + by_column[..., -1:]) - columns * by_column[..., :dim] - by_column[..., dim : 2 * dim]) / 2
        )
        scale = gradient[:, None, None] * (2 / (a.shape[1] * temperature))
        return d_a * scale, d_b * scale, None


def canonical_maps(a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], size: int) -> list[Tensor]:
    """Linear maps of both sides onto their first canonical variables."""
    sides = [(z - z.mean(0)).double() for z in (a, b)]
    whitening = []
    for z in sides:
        values, vectors = torch.linalg.eigh(z.T @ z / len(z))
        whitening.append(vectors * (values + 1e-9 * values[-1]).rsqrt())
    left, _, right = torch.linalg.svd((sides[0] @ whitening[0]).T @ (sides[1] @ whitening[1]) / len(a))
    return [(whitening[0] @ left[:, :size]).float(), (whitening[1] @ right.mT[:, :size]).float()]


class Whitening:
    """Gives views mean 0 and the identity as covariance, as measured on a first draw."""

    def __init__(self, pilot: Tensor) -> None:
        self.mean = pilot.mean(0)
        centred = (pilot - self.mean).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(pilot))
        self.matrix = (vectors * (values + 1e-9 * values[-1]).rsqrt()).to(pilot.dtype)

    def __call__(self, views: Tensor) -> Tensor:
        """Whiten views of the same kind."""
        white: Tensor = (views - self.mean) @ self.matrix
        return white
