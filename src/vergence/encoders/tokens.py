"""Tokens of frozen image encoders: what each gives at every place of an image, before it is pooled to one vector.

Convolutions give a vector for each place of their last stage, row by row; transformers the states of their last layer,
that of a class token among them. A query transformer reads them, [li2023].
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.decoding import as_image
from vergence.encoders.conse import CONSE_CLASSIFIER, CONSE_CONFIG
from vergence.encoders.conv import ConvEncoder, GridConvEncoder
from vergence.encoders.efficientnet import EfficientNetLite0
from vergence.encoders.framing import Framing
from vergence.encoders.frozen import FrozenFeatures
from vergence.encoders.preprocessing import Preprocessing
from vergence.encoders.pretrained import TransformersImageEncoder, load_weights
from vergence.encoders.pretrained_pairs import OpenClipPair, PretrainedPair, TransformersPair
from vergence.encoders.resnet import ResNet
from vergence.encoders.vit import ViT
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json

PRETRAINED_SIDE = 160
"""Pixels of a side at which EfficientNet-Lite0 is read: 5 x 5 places, half of the work of its own 224."""

_CLASSES = 1000


class TokenEncoder(Protocol):
    """A frozen image encoder that gives tokens."""

    @property
    def side(self) -> int:
        """Pixels of a side of what it takes."""

    def state_dict(self) -> dict[str, Tensor]:
        """Its weights."""

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image of any size, given in any way that `as_image` takes."""

    def tokens(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n places dim"]:
        """Tokens of what `prepared` gave."""


class FrozenTokens(nn.Module):
    """The tokens of an image encoder, whatever it is; it takes no gradient and stays in evaluation mode.

    Args:
        encoder: One of ours, an image encoder of `transformers`, an EfficientNet-Lite0, or a pair of towers of
            `transformers` or open_clip.
        framing: How an image becomes the square that it takes.
        preprocessing: How pixels are scaled; `None` for an encoder that takes numbers in [0, 255].

    Raises:
        ConfigError: If nothing is known of where the encoder has its tokens.

    Example:
        >>> frozen = FrozenTokens(ConvEncoder(4, widths=(8, 16)), framing=Framing(side=12))
        >>> frozen.tokens(torch.zeros(2, 3, 12, 12, dtype=torch.uint8)).shape
        torch.Size([2, 9, 16])
    """

    def __init__(self, encoder: nn.Module, *, framing: Framing, preprocessing: Preprocessing | None = None) -> None:
        super().__init__()
        if isinstance(encoder, FrozenFeatures):
            encoder = encoder.backbone
        if not isinstance(encoder, _KNOWN):
            raise ConfigError(
                f"{type(encoder).__name__} gives no tokens; use a convolutional network or a vision transformer: "
                f"{', '.join(known.__name__ for known in _KNOWN)}"
            )
        self.encoder = encoder.requires_grad_(False).eval()
        self.framing, self.preprocessing = framing, preprocessing

    def train(self, mode: bool = True) -> "FrozenTokens":
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def side(self) -> int:
        """Pixels of a side of what it takes."""
        return self.framing.side

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image of any size."""
        return self.framing(as_image(image))

    def tokens(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n places dim"]:
        """Tokens of what `prepared` gave, on the device of the encoder, as float32 without a gradient."""
        weight = next(self.encoder.parameters())
        image = pixels.to(weight.device)
        with torch.inference_mode():
            given = image if self.preprocessing is None else self.preprocessing(image, dtype=weight.dtype)
            return _tokens(self.encoder, given).float()


_KNOWN = (
    ConvEncoder,
    GridConvEncoder,
    ResNet,
    ViT,
    EfficientNetLite0,
    TransformersImageEncoder,
    TransformersPair,
    OpenClipPair,
)


def load_efficientnet(folder: str | Path, *, side: int = PRETRAINED_SIDE) -> FrozenTokens:
    """The EfficientNet-Lite0 of a folder that `vergence model conse` built, as an encoder that gives tokens.

    Args:
        folder: With `conse.json` and `classifier.safetensors`.
        side: Pixels of a side that images are squeezed to, >= 32.

    Raises:
        CorpusError: If a file is missing or damaged.
        ConfigError: If the side is below 32.
    """
    at_least("side", side, 32, why="it looks at every 32nd pixel")
    folder = Path(folder)
    said = read_json(folder / CONSE_CONFIG)
    try:
        scaling = said["preprocessing"]
        preprocessing = Preprocessing(side=side, mean=tuple(scaling["mean"]), std=tuple(scaling["std"]))
    except (KeyError, TypeError) as error:
        raise CorpusError(
            f"{folder / CONSE_CONFIG} does not say how pixels are scaled; build the folder again: "
            "vergence model conse --out DIR"
        ) from error
    network = EfficientNetLite0(_CLASSES)
    load_weights(network, folder / CONSE_CLASSIFIER)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # half as long again without
    return FrozenTokens(network, framing=Framing(side=side), preprocessing=preprocessing)


def tokens_of_pair(pair: PretrainedPair) -> FrozenTokens:
    """The image tower of a pretrained pair, as an encoder that gives tokens; images are framed as it wants them."""
    return FrozenTokens(pair, framing=pair.framing, preprocessing=pair.preprocessing)


def _tokens(encoder: nn.Module, image: Tensor) -> Tensor:
    if isinstance(encoder, ViT):
        return encoder.tokens(image)
    if isinstance(encoder, TransformersImageEncoder):
        scaled = encoder.preprocessing(image, dtype=encoder.model.dtype)
        return _flat(_vision(encoder.model)(pixel_values=scaled).last_hidden_state)
    if isinstance(encoder, TransformersPair):
        return _flat(_vision(encoder.model)(pixel_values=image).last_hidden_state)
    if isinstance(encoder, OpenClipPair):
        return _flat(_open_clip(encoder.model, image))
    assert isinstance(encoder, ConvEncoder | GridConvEncoder | ResNet | EfficientNetLite0)
    return _flat(encoder.features(image))


def _vision(model: Any) -> Any:
    return getattr(model, "vision_model", model)


def _open_clip(model: Any, image: Tensor) -> Tensor:
    """Of open_clip's own tower, the tokens that it can give beside its pooled output; of one of timm, its trunk."""
    visual = model.visual
    if hasattr(visual, "trunk"):
        features: Tensor = visual.trunk.forward_features(image)
        return features
    if not hasattr(visual, "output_tokens"):
        raise ConfigError(f"{type(visual).__name__} gives no tokens; use a vision transformer of open_clip")
    before, visual.output_tokens = visual.output_tokens, True
    try:
        tokens: Tensor = visual(image)[1]
    finally:
        visual.output_tokens = before
    return tokens


def _flat(features: Tensor) -> Tensor:
    """Places of a picture in a row, each with all of its channels."""
    return features.flatten(2).transpose(1, 2) if features.ndim == 4 else features
