"""Training that starts from a model as it is: which part of it is fitted, and what stays as it was, byte for byte.

What belongs to which tower is not told from names, which every library chooses for itself, but from what a gradient on
the features of an image, or of a text, reaches.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from PIL import Image
from torch import Tensor, nn

from vergence.checks import one_of, positive
from vergence.encoders import DualEncoder
from vergence.errors import ConfigError
from vergence.training.limits import within
from vergence.training.lora import Adapter, add_adapter

PARTS = ("both", "image", "text", "heads", "lora")
"""What of a model can be fitted: both towers, one of them, the last layers of both, matrices beside those of both."""

_HEAD = re.compile(
    r"(^|\.)(((visual|vision|image|text)_projection)|head|attn_?pool)(\.|$)"
    r"|^(model\.)?(visual|text)\.proj(\.|$)"  # of open_clip; within blocks a proj is no head
)
_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """A model to start from, and what of it is fitted; all else stays as it is.

    Args:
        model: Folder of a model that `load_model` takes: of an earlier run, of transformers, of open_clip.
        part: "both" towers; "image" or "text", one of them; "heads", the projections or heads that both end in; or
            "lora", small matrices beside the linear layers of both [hu2022], which the export adds to these.
        rank: Of "lora", the rank of what is added to a layer, >= 1.
        alpha: Of "lora", what is added is scaled by alpha / rank, > 0.
        layers: Of "lora", how the names of the linear layers end that it is for, such as [q_proj, v_proj]; all linear
            layers if empty.
        new_words: Whether words that an export of ours does not know get a place; else all of them are one word to it.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    model: str = ""
    part: str = "both"
    rank: int = 8
    alpha: float = 16.0
    layers: tuple[str, ...] = ()
    new_words: bool = False

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("model is missing: name the folder of the model to start from")
        one_of("part", self.part, PARTS)
        within("rank", self.rank, 1)
        positive("alpha", self.alpha)
        if self.layers and self.part != "lora":
            raise ConfigError(f"layers are of part lora; got part {self.part!r}")
        if self.new_words and self.part not in ("both", "text"):
            raise ConfigError(f"new_words are learned where the text tower is, by part both or text; got {self.part!r}")


@runtime_checkable
class Trainable(Protocol):
    """A model that training can start from: see `PretrainedPair`, `ExportedEncoder`."""

    package: str | None
    folder: Path

    @property
    def side(self) -> int:
        """Pixels of a side of its images."""

    def prepared(self, image: object) -> UInt8[np.ndarray, "3 side side"]:
        """An image as the square that it takes."""

    def image_features(self, pixels: UInt8[Tensor, "n 3 side side"]) -> Float[Tensor, "n dim"]:
        """Features of such squares, with their gradient."""

    def numbered(self, texts: Sequence[str]) -> Int[Tensor, "n *text"]:
        """Texts as one tensor."""

    def text_features(self, numbers: Int[Tensor, "n *text"]) -> Float[Tensor, "n dim"]:
        """Features of that tensor, with their gradient."""

    def too_long(self, texts: Sequence[str]) -> int:
        """How many texts it cuts."""

    def save(self, folder: Path) -> None:
        """Write it in the form that it was read in."""


class FittedModel(DualEncoder):
    """A model of which a part is fitted.

    The rest takes no gradient and stays in evaluation mode, so that neither weights nor statistics of it change. The
    state of this module is what can change: a checkpoint of a small part is small.

    Args:
        model: Is fitted in place.
        config: Which part.

    Raises:
        ConfigError: If the model has no such part.
        MissingExtraError: If `peft` is not installed, which "lora" needs.
    """

    def __init__(self, model: Any, config: StartConfig) -> None:
        super().__init__(_Side(model.image_features), _Side(model.text_features))
        self.side = model.side
        self.model = model
        chosen = fitted_weights(model, config.part)
        self.adapter: Adapter | None = None
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in chosen and config.part != "lora")
        if config.part == "lora":
            self.adapter = add_adapter(
                model, reached=chosen, rank=config.rank, alpha=config.alpha, layers=config.layers
            )

    def train(self, mode: bool = True) -> "FittedModel":
        """Set the mode of what is fitted."""
        super().train(mode)
        _settle(self.model)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What training can change: weights that are fitted, and statistics."""
        fixed = {name for name, one in self.named_parameters(remove_duplicate=False) if not one.requires_grad}
        return {name: one for name, one in super().state_dict(*args, **kwargs).items() if name not in fixed}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Put back what `state_dict` gave.

        Raises:
            RuntimeError: If it is of another part, or of another model.
        """
        if strict and state_dict.keys() != self.state_dict().keys():
            raise RuntimeError("it is of another part of a model")
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def merge(self) -> None:
        """Add what "lora" has learned to the layers that it stands beside; the model then is of its own form again."""
        if self.adapter is not None:
            self.adapter.merge()
            self.adapter = None

    def embed_images(
        self, images: Iterable[object] | Image.Image | Path, *, batch_size: int = 64
    ) -> Float[Tensor, "n dim"]:
        """As the model does."""
        z: Tensor = self.model.embed_images(images, batch_size=batch_size)
        return z

    def embed_texts(self, texts: Iterable[str], *, batch_size: int = 256) -> Float[Tensor, "n dim"]:
        """As the model does."""
        z: Tensor = self.model.embed_texts(texts, batch_size=batch_size)
        return z


class _Side(nn.Module):
    """One modality of a model, which holds the weights."""

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features = features

    def forward(self, views: Tensor) -> Tensor:
        return self.features(views)


def fitted_weights(model: Any, part: str) -> set[str]:
    """Names of the weights that belong to a part of a model; to "lora", those that it may stand beside.

    Args:
        model: A `Trainable`.
        part: One of `PARTS`.

    Raises:
        ConfigError: If there is none: such as of a model whose towers have no heads.
    """
    reached = {
        "image": _reached(model, model.image_features, torch.zeros(1, 3, model.side, model.side, dtype=torch.uint8)),
        "text": _reached(model, model.text_features, model.numbered(["a"])),
    }
    sides = (part,) if part in reached else ("image", "text")
    chosen = {name for side in sides for name in reached[side] if part != "heads" or _HEAD.search(name)}
    for side in sides:
        if not chosen & reached[side]:
            some = ", ".join(sorted({name.rsplit(".", 1)[0] for name in reached[side]})[:_SHOWN]) or "none"
            raise ConfigError(
                f"{model.folder} has no {part} to fit: its {side} tower ends in no layer that is called head or "
                f"projection; its layers are {some} … Choose both, image, text or lora"
                if part == "heads"
                else f"{model.folder} has nothing to fit in its {side} tower, whose weights are all fixed"
            )
    return chosen


def _reached(model: Any, features: Callable[[Tensor], Tensor], views: Shaped[Tensor, "1 *view"]) -> set[str]:
    """Which weights the features depend on, of those that are not fixed already."""
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if not named:
        return set()
    device = next(iter(named.values())).device
    with torch.enable_grad():
        total = features(views.to(device)).float().sum()
    if not total.requires_grad:
        return set()
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {name for name, gradient in zip(named, found, strict=True) if gradient is not None}


def _settle(module: nn.Module) -> None:
    """Bring whatever is not fitted as a whole to evaluation mode, down to what is."""
    weights = [weight.requires_grad for weight in module.parameters()]
    if weights and all(weights):
        return
    module.training = False
    for child in module.children():
        _settle(child)
