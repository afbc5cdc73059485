"""Residual networks of basic blocks: ResNet-18 and -34, and the thin, deep ones for small images."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vergence.checks import at_least, one_of
from vergence.encoders.preprocessing import Preprocessing
from vergence.errors import ConfigError

_STEMS = ("strided", "plain")
_SHORTCUTS = ("projection", "padding")


class ResNet(nn.Module):
    """Stages of residual blocks, each stage twice as wide on half the side; the mean over places; a head.

    [he2016]. Parameters carry the names that published ResNet-18 and ResNet-34 weights use (`conv1`, `layer1.0.bn2`,
    `fc`), so that such a file loads strictly wherever the head agrees.

    Args:
        dim: Output size, >= 1.
        blocks: Blocks in each stage, each >= 1; a block is two 3×3 convolutions.
        width: Channels of the first stage, >= 1.
        stem: "strided" (7×7, then max-pooling: the side falls to a quarter) or "plain" (3×3: it stays).
        shortcut: What passes a block that changes the size: a 1×1 "projection" with batch norm, or every other
            pixel with "padding" by zero channels, which has no parameters.
        hidden: Size of a layer with leaky ReLU between features and output, >= 1; none if `None`.
        preprocessing: How pixels are scaled.

    Raises:
        ConfigError: If a size is below 1, or stem or shortcut is unknown.

    Example:
        >>> encoder = resnet18(5, stem="plain", hidden=100)  # the image encoder of [cai2025]
        >>> encoder(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        dim: int,
        *,
        blocks: Sequence[int],
        width: int = 64,
        stem: str = "strided",
        shortcut: str = "projection",
        hidden: int | None = None,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("blocks", min(blocks, default=0)), ("width", width)):
            at_least(name, size, 1)
        one_of("stem", stem, _STEMS)
        one_of("shortcut", shortcut, _SHORTCUTS)
        self.preprocessing = preprocessing
        strided = stem == "strided"
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False) if strided else _conv3(3, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if strided else nn.Identity()
        widths = [width * 2**stage for stage in range(len(blocks))]
        for stage, (n_blocks, c_in, c_out) in enumerate(zip(blocks, (width, *widths), widths, strict=False), start=1):
            channels = pairwise((c_in, *[c_out] * n_blocks))
            self.add_module(f"layer{stage}", nn.Sequential(*(_Block(*pair, shortcut=shortcut) for pair in channels)))
        self.fc = _head(widths[-1], hidden, dim)
        self.n_stages = len(blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Channels-last kernels are the faster ones on CPUs.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type."""
        encoded: Tensor = self.fc(self.features(image).mean((2, 3)))
        return encoded

    def features(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """What the last stage gives at each place."""
        x = self.preprocessing(image, dtype=self.conv1.weight.dtype).contiguous(memory_format=torch.channels_last)
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.n_stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        features: Tensor = x
        return features


def resnet18(
    dim: int,
    *,
    stem: str = "strided",
    hidden: int | None = None,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
) -> ResNet:
    """Make a ResNet-18 ([he2016]); that of [cai2025] has `hidden=100`.

    Args:
        dim: Output size, >= 1.
        stem: "strided" as for ImageNet, or "plain" as for images of about 32 pixels.
        hidden: As for `ResNet`.
        preprocessing: How pixels are scaled.

    Returns:
        The network; 11,689,512 parameters at dim 1000.

    Raises:
        ConfigError: If a size is below 1 or the stem is unknown.

    Example:
        >>> sum(weight.numel() for weight in resnet18(1000).parameters())
        11689512
    """
    return ResNet(dim, blocks=(2, 2, 2, 2), stem=stem, hidden=hidden, preprocessing=preprocessing)


def resnet34(
    dim: int,
    *,
    stem: str = "strided",
    hidden: int | None = None,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
) -> ResNet:
    """Make a ResNet-34 ([he2016]): `resnet18` with 3, 4, 6 and 3 blocks.

    Args:
        dim: Output size, >= 1.
        stem: "strided" or "plain".
        hidden: As for `ResNet`.
        preprocessing: How pixels are scaled.

    Returns:
        The network; 21,797,672 parameters at dim 1000.

    Raises:
        ConfigError: If a size is below 1 or the stem is unknown.
    """
    return ResNet(dim, blocks=(3, 4, 6, 3), stem=stem, hidden=hidden, preprocessing=preprocessing)


def resnet_cifar(
    dim: int,
    *,
    depth: int = 20,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
) -> ResNet:
    """Make a thin residual network for small images ([he2016] Section 4.2), as [almudevar2025] uses: from ResNet-20 on.

    Three stages of 16, 32 and 64 channels after a plain stem; shortcuts without parameters.

    Args:
        dim: Output size, >= 1.
        depth: Layers with weights: 20, 32, 44, 56, 110, or any 6 n + 2 from 8 on.
        preprocessing: How pixels are scaled.

    Returns:
        The network; 0.27 million parameters at depth 20 and dim 10.

    Raises:
        ConfigError: If the depth is not of this form or the output size is below 1.

    Example:
        >>> sum(weight.numel() for weight in resnet_cifar(10, depth=20).parameters())
        269722
    """
    at_least("depth", depth, 8)
    n_blocks, rest = divmod(depth - 2, 6)
    if rest:
        raise ConfigError(f"depth must be 6 n + 2, such as 20, 32, 44, 56 or 110; got {depth}")
    return ResNet(dim, blocks=(n_blocks,) * 3, width=16, stem="plain", shortcut="padding", preprocessing=preprocessing)


class _Block(nn.Module):
    """Add to the input what two convolutions make of it; the first halves the side where the channels grow."""

    def __init__(self, c_in: int, c_out: int, *, shortcut: str) -> None:
        super().__init__()
        self.stride, self.n_new = (2 if c_out > c_in else 1), c_out - c_in
        self.conv1, self.bn1 = _conv3(c_in, c_out, stride=self.stride), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = _conv3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.downsample: nn.Module | None = None
        if self.n_new and shortcut == "projection":
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Float[Tensor, "batch c_in height width"]) -> Float[Tensor, "batch c_out height2 width2"]:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.n_new:
            # Every second pixel first, then a convolution of single pixels: the same as one with a stride, which on
            # processors without AVX-512 writes beyond its memory where there are fewer than eight channels.
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, 0, self.n_new)) if self.downsample is None else self.downsample(x)
        return F.relu(residual + x)


def _conv3(c_in: int, c_out: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)


def _head(n_features: int, hidden: int | None, dim: int) -> nn.Module:
    if hidden is None:
        return nn.Linear(n_features, dim)
    at_least("hidden", hidden, 1)
    return nn.Sequential(nn.Linear(n_features, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim))
