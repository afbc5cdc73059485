"""The frozen image encoder of a captioner, from a local folder of whichever kind, and how a captioner remembers it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vergence.checks import one_of
from vergence.encoders import CONSE_CONFIG, Framing, PretrainedPair
from vergence.encoders.tokens import PRETRAINED_SIDE, FrozenTokens, load_efficientnet, tokens_of_pair
from vergence.errors import ConfigError
from vergence.training.export import ExportedEncoder
from vergence.training.limits import within
from vergence.training.models import DEVICES, load_model, weights_digest


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """A frozen image encoder.

    Args:
        model: Folder of a model that `load_model` takes: a training run, of transformers, of open_clip; or one that
            `vergence model conse` built, of which the pretrained EfficientNet-Lite0 is taken.
        side: Of EfficientNet-Lite0, pixels of a side that images are brought to, >= 32; 160 if `None`. Any other has
            its own.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.
    """

    model: str = ""
    side: int | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "the image encoder is missing: pass --encoder.model DIR, the folder of a model; for a pretrained one "
                "that needs no GPU: vergence model conse --out DIR"
            )
        if self.side is not None:
            within("side", self.side, 32, why="EfficientNet-Lite0 looks at every 32nd pixel")


def open_tokens(config: TokenConfig, *, device: str = "cpu") -> tuple[FrozenTokens, dict[str, Any]]:
    """Load an image encoder that gives tokens.

    Args:
        config: Which.
        device: "cpu", or "auto" for a GPU where there is one.

    Returns:
        The encoder; and what a captioner is to remember of it, as JSON can say it: folder, side, digest of its weights.

    Raises:
        CorpusError: If the folder holds no model, or a file in it is missing or damaged.
        ConfigError: If it gives no tokens, or a side is asked for that it has not.
        MissingExtraError: If the library that the model is of is not installed.
    """
    one_of("device", device, DEVICES)
    folder = Path(config.model)
    if (folder / CONSE_CONFIG).is_file():
        frozen = load_efficientnet(folder, side=config.side or PRETRAINED_SIDE)
    else:
        model: Any = load_model(folder)
        if isinstance(model, ExportedEncoder):
            frozen = FrozenTokens(model.image, framing=Framing(side=model.side or 0))
        else:
            assert isinstance(model, PretrainedPair)
            frozen = tokens_of_pair(model)
        if config.side not in (None, frozen.side):
            raise ConfigError(
                f"side must be {frozen.side}, which {folder} was trained on, or left out; got {config.side}"
            )
    frozen.to("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    said = {"folder": str(folder.resolve()), "side": frozen.side, "digest": weights_digest(frozen)}  # type: ignore[arg-type]
    return frozen, said


def remembered_tokens(
    said: Mapping[str, Any] | None, *, folder: str | None = None, device: str = "cpu"
) -> FrozenTokens:
    """Load the image encoder that a captioner was trained on.

    Args:
        said: What it remembers.
        folder: Where the encoder lies now; where it was if `None`.
        device: As for `open_tokens`.

    Raises:
        CorpusError: If the folder holds no model.
        ConfigError: If the captioner remembers no encoder, or the folder holds another one.
    """
    if not isinstance(said, Mapping) or not {"folder", "side", "digest"} <= said.keys():
        raise ConfigError("the captioner does not say which image encoder it was trained on; caption tokens instead")
    place = said["folder"] if folder is None else folder
    config = TokenConfig(model=str(place))
    if (Path(place) / CONSE_CONFIG).is_file():
        config = TokenConfig(model=str(place), side=said["side"])
    elif not Path(place).exists():
        raise ConfigError(f"the image encoder is no longer at {place}; name where it lies: --image-encoder DIR")
    frozen, found = open_tokens(config, device=device)
    if (found["digest"], found["side"]) != (said["digest"], said["side"]):
        raise ConfigError(
            f"{place} holds another image encoder than the captioner was trained on; name that one: --image-encoder DIR"
        )
    return frozen
