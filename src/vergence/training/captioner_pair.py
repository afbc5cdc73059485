"""A captioner as other models are used: it takes images and texts as they are, and an image becomes several vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vergence.encoders.batches import groups, rows_of, several_images, several_texts
from vergence.training.captioner_files import load_captioner
from vergence.training.image_tokens import remembered_tokens


class CaptionerPair:
    """The queries of a captioner and its text side, with the image encoder that it was trained on.

    An `ImageTextModel`, but that `embed_images` and `embed_pixels` give a vector for each query.

    Args:
        folder: Of a captioner.
        image_encoder: Where its image encoder lies; where it was if `None`.
        device: "cpu", or "auto" for a GPU where there is one.

    Raises:
        CorpusError: If either is missing or damaged.
        ConfigError: If the image encoder is another one than it was trained on.
    """

    logit_scale, logit_bias = 1.0, 0.0

    def __init__(self, folder: str | Path, *, image_encoder: str | None = None, device: str = "cpu") -> None:
        self._captioner = load_captioner(folder)
        self._tokens = remembered_tokens(self._captioner.image, folder=image_encoder, device=device)
        self._captioner.to(next(self._tokens.parameters()).device)

    @property
    def side(self) -> int:
        """Pixels of a side of what the image encoder takes."""
        return self._tokens.side

    def state_dict(self) -> Mapping[str, Tensor]:
        """The weights of both."""
        parts = {"captioner": self._captioner, "tokens": self._tokens}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image of any size."""
        return self._tokens.prepared(image)

    def embed_pixels(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n queries dim"]:
        """Encode what `prepared` gave; not normalised."""
        return self._captioner.encode_images(self._tokens.tokens(pixels), batch_size=len(pixels))

    def embed_images(self, images: Any, *, batch_size: int = 128) -> Float[Tensor, "n queries dim"]:
        """Encode images given in any way."""
        batches = groups(several_images(images), batch_size)
        pixels = (torch.from_numpy(np.stack([self.prepared(image) for image in some])) for some in batches)
        return rows_of(map(self.embed_pixels, pixels))

    def embed_texts(self, texts: Any, *, batch_size: int = 256) -> Float[Tensor, "n dim"]:
        """Encode texts; not normalised."""
        return self._captioner.encode_texts(list(several_texts(texts)), batch_size=batch_size)
