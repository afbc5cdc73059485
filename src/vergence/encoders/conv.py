"""Small convolutional image encoders that train in seconds on a CPU."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.encoders.preprocessing import Preprocessing


class ConvEncoder(nn.Module):
    """Strided convolutions, each halving the side; mean and maximum over places; a two-layer head.

    The maximum tells that something is somewhere, the mean how much of it there is.

    Args:
        dim: Output size, >= 1.
        widths: Channels after each convolution, at least one.
        hidden: Width of the head.

    Raises:
        ConfigError: If a size is below 1.

    Example:
        >>> ConvEncoder(16)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape
        torch.Size([2, 16])
    """

    preprocessing = Preprocessing()  # what `forward` does to pixels, for those who save or compare weights

    def __init__(self, dim: int, *, widths: Sequence[int] = (32, 64, 128, 256), hidden: int = 256) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("hidden", hidden), ("widths", min(widths, default=0))):
            at_least(name, size, 1)
        self.stages = _stages(widths)
        self.head = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type."""
        features = self.features(image)
        encoded: Tensor = self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))
        return encoded

    def features(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """What the last stage gives at each place."""
        scaled = (image.float() - 127.5) / 63.75
        return self.stages(scaled.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


class GridConvEncoder(nn.Module):
    """Strided convolutions as in `ConvEncoder`, with a head that sees every place of the last stage by itself.

    It is for images of one side. Since parts keep where they are, it tells shapes apart that a mean and a maximum over
    places do not.

    Args:
        dim: Output size, >= 1.
        side: Pixels of a side of the images, >= 1.
        widths: Channels after each convolution, at least one.
        hidden: Width of the head.

    Raises:
        ConfigError: If a size is below 1.

    Example:
        >>> GridConvEncoder(16, side=32)(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([2, 16])
    """

    def __init__(self, dim: int, *, side: int, widths: Sequence[int] = (24, 48, 96), hidden: int = 256) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("side", side), ("hidden", hidden), ("widths", min(widths, default=0))):
            at_least(name, size, 1)
        self.preprocessing = Preprocessing(side=side)
        self.stages = _stages(widths)
        places = (-(-side // 2 ** len(widths))) ** 2  # a stage rounds half a side up
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * places, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )

    def forward(self, image: Shaped[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type.

        Raises:
            ShapeError: If the images are of another side.
        """
        encoded: Tensor = self.head(self.features(image).flatten(1))
        return encoded

    def features(self, image: Shaped[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch channels rows columns"]:
        """What the last stage gives at each place."""
        scaled = self.preprocessing(image).contiguous(memory_format=torch.channels_last)
        return self.stages(scaled)  # type: ignore[no-any-return]


def _stages(widths: Sequence[int]) -> nn.Sequential:
    stages = nn.Sequential(*(_stage(c_in, c_out) for c_in, c_out in pairwise((3, *widths))))
    # Channels-last kernels are the faster ones on CPUs.
    return stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _stage(c_in: int, c_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(c_in, c_out, kernel_size=3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.ReLU())
