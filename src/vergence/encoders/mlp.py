"""Multilayer perceptrons: plain, residual, and on pixels."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vergence.checks import at_least, non_negative
from vergence.encoders.preprocessing import Preprocessing


class MLP(nn.Module):
    """Linear maps with leaky ReLUs between them; the paper's encoder of numerical views by default.

    [cai2025], numerical simulation: hidden sizes (10 d, 50 d, 50 d, 50 d, 50 d, 10 d) for inputs of size d, slope 0.01.
    [almudevar2025], factor codes: `hidden=(16, 16, 8, 8, 16, 16), batch_norm=True`.

    Args:
        n_inputs: Size of a view, >= 1.
        dim: Output size, >= 1.
        hidden: Sizes between, each >= 1; empty for one linear map; those of [cai2025] if `None`.
        negative_slope: Of the leaky ReLU, >= 0; 0 is the plain one.
        batch_norm: Whether each hidden layer is normalised over the batch, before its ReLU.

    Raises:
        ConfigError: If a size is below 1 or the slope is negative.

    Example:
        >>> import torch
        >>> encoder = MLP(15, 10)
        >>> [layer.out_features for layer in encoder.layers if isinstance(layer, nn.Linear)]
        [150, 750, 750, 750, 750, 150]
        >>> encoder(torch.zeros(4, 15)).shape
        torch.Size([4, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        dim: int,
        *,
        hidden: Sequence[int] | None = None,
        negative_slope: float = 0.01,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        at_least("n_inputs", n_inputs, 1)
        sizes = [n_inputs * times for times in (10, 50, 50, 50, 50, 10)] if hidden is None else list(hidden)
        at_least("dim", dim, 1)
        at_least("hidden", min(sizes, default=1), 1)
        non_negative("negative_slope", negative_slope)
        layers: list[nn.Module] = []
        for size_in, size in pairwise((n_inputs, *sizes)):
            # A bias before batch norm would be subtracted again.
            layers.append(nn.Linear(size_in, size, bias=not batch_norm))
            layers += [nn.BatchNorm1d(size)] if batch_norm else []
            layers.append(nn.LeakyReLU(negative_slope))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear((n_inputs, *sizes)[-1], dim)

    def forward(self, view: Shaped[Tensor, "batch inputs"]) -> Float[Tensor, "batch dim"]:
        """Encode rows of numbers, of any type: latents, features, one-hot codes."""
        encoded: Tensor = self.head(self.layers(view.to(self.head.weight.dtype)))
        return encoded


class ResidualMLP(nn.Module):
    """Pre-norm residual blocks on a linear embedding, and a linear map past all of them.

    Each block adds `W₂ gelu(W₁ LayerNorm(h))` to h; the output is `W LayerNorm(h) + b + V x`. A linear relation is thus
    there from the first step, and depth has only to learn what is left of it.

    Args:
        n_inputs: Size of a view, >= 1.
        dim: Output size, >= 1.
        width: Size of the residual stream and of the hidden layer of a block, >= 1.
        n_blocks: How many blocks, >= 1.

    Raises:
        ConfigError: If a size is below 1.

    Example:
        >>> import torch
        >>> ResidualMLP(15, 10)(torch.zeros(4, 15)).shape
        torch.Size([4, 10])
    """

    def __init__(self, n_inputs: int, dim: int, *, width: int = 128, n_blocks: int = 2) -> None:
        super().__init__()
        for name, size in (("n_inputs", n_inputs), ("dim", dim), ("width", width), ("n_blocks", n_blocks)):
            at_least(name, size, 1)
        self.embedding = nn.Linear(n_inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(n_blocks)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        self.skip = nn.Linear(n_inputs, dim, bias=False)

    def forward(self, view: Shaped[Tensor, "batch inputs"]) -> Float[Tensor, "batch dim"]:
        """Encode rows of numbers, of any type."""
        view = view.to(self.skip.weight.dtype)
        hidden = self.embedding(view)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        encoded: Tensor = self.head(hidden) + self.skip(view)
        return encoded


class PixelMLP(nn.Module):
    """An MLP on the pixels of an image, which knows nothing of places: the plainest encoder of [almudevar2025].

    Args:
        dim: Output size, >= 1.
        side: Height and width of the images in pixels, >= 1.
        hidden: Sizes between, each >= 1.
        preprocessing: How pixels are scaled; its side must be this one or `None`.

    Raises:
        ConfigError: If a size is below 1, or the preprocessing is for another side.

    Example:
        >>> import torch
        >>> PixelMLP(10, side=8)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([4, 10])
    """

    def __init__(
        self,
        dim: int,
        *,
        side: int,
        hidden: Sequence[int] = (512, 512, 512),
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing.of_side(side)
        self.mlp = MLP(3 * side * side, dim, hidden=hidden)

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type."""
        pixels = self.preprocessing(image, dtype=self.mlp.head.weight.dtype)
        encoded: Tensor = self.mlp(pixels.flatten(1))
        return encoded


class PixelResidualMLP(nn.Module):
    """A `ResidualMLP` on the pixels of an image.

    Args:
        dim: Output size, >= 1.
        side: Height and width of the images in pixels, >= 1.
        width: Size of the residual stream, >= 1.
        n_blocks: How many blocks, >= 1.
        preprocessing: How pixels are scaled; its side must be this one or `None`.

    Raises:
        ConfigError: If a size is below 1, or the preprocessing is for another side.

    Example:
        >>> import torch
        >>> PixelResidualMLP(10, side=8)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([4, 10])
    """

    def __init__(
        self,
        dim: int,
        *,
        side: int,
        width: int = 128,
        n_blocks: int = 2,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing.of_side(side)
        self.mlp = ResidualMLP(3 * side * side, dim, width=width, n_blocks=n_blocks)

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type."""
        pixels = self.preprocessing(image, dtype=self.mlp.skip.weight.dtype)
        encoded: Tensor = self.mlp(pixels.flatten(1))
        return encoded
