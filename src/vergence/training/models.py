"""Any model with an image tower and a text tower: our own exports, `transformers`, open_clip; one interface."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vergence.checks import one_of
from vergence.encoders import CONSE_CONFIG, OPEN_CLIP_CONFIG, ConSEPair, OpenClipPair, TransformersPair
from vergence.errors import ConfigError, CorpusError, MissingExtraError, first_line
from vergence.training.export import EXPORT, ExportedEncoder, holds_export, load_encoder

Dtype = Literal["float32", "bfloat16", "float16"]
DEVICES = ("cpu", "auto")


@runtime_checkable
class ImageTextModel(Protocol):
    """What every model can do, whoever made it; embeddings are float32 on the CPU, and not normalised."""

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by."""

    @property
    def logit_bias(self) -> float:
        """What is added to them then."""

    @property
    def side(self) -> int:
        """Pixels of a side of what the image tower takes."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Its weights."""

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """What is encoded of an image of any size, given in any way that `as_image` takes."""

    def embed_pixels(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Encode what `prepared` gave."""

    def embed_images(self, images: Any, *, batch_size: int = ...) -> Float[Tensor, "n dim"]:
        """Encode images given in any way."""

    def embed_texts(self, texts: Any, *, batch_size: int = ...) -> Float[Tensor, "n dim"]:
        """Encode texts."""


def load_model(
    path: str | Path, *, device: str = "cpu", dtype: Dtype = "float32", download: bool = False
) -> ImageTextModel:
    """Load a model from a local folder, of whichever kind it is.

    Args:
        path: A training run of ours or its export (`encoder.json`), a folder of open_clip (`open_clip_config.json` and
            weights), one that `vergence model conse` built (`conse.json`), or one that `save_pretrained` of
            `transformers` wrote (`config.json`); or a run that started from one of these. With `download`, the name of
            a model on the hub.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What it computes in.
        download: Whether what is no folder may be fetched from the hub. Nothing is otherwise.

    Returns:
        The model, in evaluation mode.

    Raises:
        CorpusError: If there is no such folder, it holds no model, or a file in it is missing or damaged.
        ConfigError: If a setting is unknown, the model lacks a tower, or weights, tokenizer or preprocessing do not
            belong to it.
        MissingExtraError: If the library that the model is of is not installed.
    """
    one_of("device", device, DEVICES)
    one_of("dtype", dtype, ("float32", "bfloat16", "float16"))
    folder = _fetched(str(path)) if download and not Path(path).exists() else Path(path)
    model = _of_kind(folder)
    if isinstance(model, ExportedEncoder) and dtype != "float32":
        raise ConfigError(f"dtype must be float32 for an export of vergence train; got {dtype}")
    model.to("cuda" if device == "auto" and torch.cuda.is_available() else "cpu", getattr(torch, dtype))
    model.eval()
    return model  # type: ignore[no-any-return]


def weights_digest(model: ImageTextModel | nn.Module) -> str:
    """What tells one model's weights from another's."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        held = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(name.encode() + held.numpy().tobytes())
    return found.hexdigest()[:16]


def _of_kind(folder: Path) -> Any:
    if holds_export(folder):
        return load_encoder(folder)
    for place in (folder, folder / EXPORT):
        if (place / OPEN_CLIP_CONFIG).is_file():
            return OpenClipPair(place)
        if (place / CONSE_CONFIG).is_file():
            return ConSEPair(place)
        if (place / "config.json").is_file():
            return TransformersPair(place)
    if folder.is_file() and folder.suffix in (".safetensors", ".pt", ".pth", ".bin"):
        raise CorpusError(
            f"{folder} holds weights, which do not say of what model; name the folder that they are in, with "
            f"{OPEN_CLIP_CONFIG} or config.json beside them"
        )
    return load_encoder(folder)  # says what is missing, and how to get it


def _fetched(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "transformers") from error
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except Exception as error:  # whatever the network or the hub answers
        raise CorpusError(f"{name} could not be fetched ({first_line(error)}); name a local folder") from error
