r"""Low-rank adapters beside linear layers, by `peft`: $W + \frac{\alpha}{r} B A$, $A$ and $B$ alone are fitted.

[hu2022]; differs: every linear layer of both towers has one unless layers are named, and there is no dropout. What is
no `nn.Linear` has none: convolutions, embeddings, and the attention of `nn.MultiheadAttention`, which open_clip uses.
"""

import importlib
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vergence.errors import ConfigError, MissingExtraError
from vergence.files import written_by_others

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Adapter:
    """The adapter of a model, which is in place in its layers.

    Args:
        peft: Whoever put it there.
    """

    peft: Any

    def save(self, folder: Path) -> None:
        """Write it in the form of `peft`: `adapter_config.json`, and `adapter_model.safetensors`.

        Raises:
            OutputError: If it cannot be written.
        """
        with written_by_others(folder):
            self.peft.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)

    def merge(self) -> None:
        """Add it to the layers that it stands beside, and take it away."""
        self.peft.merge_and_unload()


def add_adapter(
    model: Any, *, reached: Collection[str], rank: int, alpha: float, layers: Sequence[str] = ()
) -> Adapter:
    """Put an adapter into a model, in place; at first it adds nothing. Its matrices A come from torch's own stream.

    Args:
        model: A `Trainable`.
        reached: Names of the weights that features depend on: no other layer has an adapter.
        rank: Of what is added.
        alpha: It is scaled by alpha / rank.
        layers: How names of the layers end; all if empty.

    Raises:
        ConfigError: If there is no such linear layer.
        MissingExtraError: If `peft` is not installed.
    """
    try:
        peft: Any = importlib.import_module("peft")
    except ImportError as error:
        raise MissingExtraError("peft", "lora") from error
    inner = getattr(model, "model", model)
    within = "model." if inner is not model else ""
    linear = [
        name
        for name, layer in inner.named_modules()
        if type(layer) is nn.Linear and f"{within}{name}.weight" in reached  # of a subclass others use the weight alone
    ]
    ends = tuple(layers)
    chosen = [name for name in linear if not ends or any(name == end or name.endswith(f".{end}") for end in ends)]
    if not linear:
        raise ConfigError(
            f"{model.folder} has no linear layer (nn.Linear) that an adapter could stand beside; fit another part: "
            "both, image, text or heads"
        )
    if not chosen:
        known = ", ".join(list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in linear))[:_SHOWN])
        raise ConfigError(f"no linear layer of {model.folder} ends in {', '.join(ends)}; there are {known}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=chosen, lora_dropout=0.0)
        return Adapter(peft.get_peft_model(inner, config))
