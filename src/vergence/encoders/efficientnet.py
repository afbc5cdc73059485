"""EfficientNet-Lite0, an image classifier of 4.7 million weights: inverted residual blocks [tan2019]."""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# Of each stage: blocks, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-3
# As the weights of lukemelas's port call a convolution and its normalisation; `{}` is the number of a block.
_PORTED = (
    ("stem", "_conv_stem", "_bn0"),
    ("blocks.{}.widen", "_blocks.{}._expand_conv", "_blocks.{}._bn0"),
    ("blocks.{}.look", "_blocks.{}._depthwise_conv", "_blocks.{}._bn1"),
    ("blocks.{}.narrow", "_blocks.{}._project_conv", "_blocks.{}._bn2"),
    ("head", "_conv_head", "_bn1"),
)


class EfficientNetLite0(nn.Module):
    """Logits of classes from an image, for use, not for training: normalisation is folded into the convolutions.

    [tan2019]'s B0 as its authors made it for small machines: ReLU6 in place of SiLU, and no squeeze-and-excitation.
    Convolutions are padded as by TensorFlow, in which the weights were fitted: an odd pixel to the right and below.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks, channels = [], _STEM
        for repeats, kernel, stride, expansion, out in _STAGES:
            for number in range(repeats):
                blocks.append(_Block(channels, out, kernel=kernel, stride=1 if number else stride, expansion=expansion))
                channels = out
        self.stem = _Convolution(3, _STEM, 3, 2)
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(channels, _HEAD, 1)
        self.classify = nn.Linear(_HEAD, classes)

    def forward(self, pixels: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n classes"]:
        """Classify scaled pixels."""
        return self.classify(F.relu6(self.head(self.features(pixels))).mean((2, 3)))  # type: ignore[no-any-return]

    def features(self, pixels: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 320 rows columns"]:
        """What the last block gives at each place, before it is widened for the classes; 32 pixels apart."""
        image = F.relu6(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        return self.blocks(image)  # type: ignore[no-any-return]


def folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an `EfficientNetLite0` from those of the port to torch, whose normalisation stands apart.

    Raises:
        KeyError: If one is missing.
    """
    matches = (re.match(r"_blocks\.(\d+)\.", name) for name in weights)
    numbers = sorted({int(match[1]) for match in matches if match})
    found = {"classify.weight": weights["_fc.weight"], "classify.bias": weights["_fc.bias"]}
    for own, convolution, normalization in _PORTED:
        for number in numbers if "{}" in own else [0]:
            name, norm = convolution.format(number), normalization.format(number)
            if f"{name}.weight" not in weights and own.endswith("widen"):
                continue  # the first block does not widen
            mean, variance, scale, shift = (
                weights[f"{norm}.{part}"].double() for part in ("running_mean", "running_var", "weight", "bias")
            )
            scale = scale / (variance + _EPSILON).sqrt()
            weight = weights[f"{name}.weight"].double() * scale[:, None, None, None]
            found[f"{own.format(number)}.weight"] = weight.float()
            found[f"{own.format(number)}.bias"] = (shift - mean * scale).float()
    return found


class _Convolution(nn.Conv2d):
    """Gives length / stride places, rounded up, whatever the kernel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, image: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding: list[int] = []  # left, right, above, below
        for length in (image.shape[3], image.shape[2]):
            spare = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            padding += [spare // 2, spare - spare // 2]
        return super().forward(F.pad(image, padding) if any(padding) else image)


class _Block(nn.Module):
    """Widen, look around in each channel, narrow; added to what came in where that has the same shape."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = _Convolution(inputs, wide, 1) if expansion > 1 else None
        self.look = _Convolution(wide, wide, kernel, stride, groups=wide)
        self.narrow = _Convolution(wide, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, image: Tensor) -> Tensor:
        values: Tensor = image if self.widen is None else F.relu6(self.widen(image))
        values = self.narrow(F.relu6(self.look(values)))
        out: Tensor = image + values if self.adds else values
        return out
