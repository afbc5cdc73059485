"""What is done to pixels before an encoder sees them: part of a model, as much as its weights are."""

import json
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vergence.checks import at_least, positive
from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.files import parse_json

_LARGEST = 1e30  # what float32 holds, and its square nearly


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Scale pixels in [0, 255] by channel, `(pixel / 255 - mean) / std`; insist on the side that a model is for.

    Args:
        side: Height and width in pixels, >= 1; any size is taken if `None`.
        mean: Of red, green and blue, on the scale where a full channel is 1.
        std: Likewise, each > 0.

    Raises:
        ConfigError: If the side is below 1, a channel is missing, a mean is not finite or a deviation not positive.

    Example:
        >>> Preprocessing(side=2)(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).unique()
        tensor([2.])
    """

    side: int | None = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        if self.side is not None:
            at_least("side", self.side, 1)
        for name in ("mean", "std"):
            if len(getattr(self, name)) != 3:
                raise ConfigError(f"{name} must hold three numbers, for red, green and blue; got {getattr(self, name)}")
        if not all(map(isfinite, self.mean)):
            raise ConfigError(f"mean must be finite; got {self.mean}")
        for deviation in self.std:
            positive("std", deviation)

    def __call__(
        self, image: Shaped[Tensor, "batch 3 height width"], *, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "batch 3 height width"]:
        """Scale images given as numbers in [0, 255], of any type.

        Raises:
            ShapeError: If the images are not of the side stated.
        """
        if self.side is not None and tuple(image.shape[2:]) != (self.side, self.side):
            got = "×".join(map(str, image.shape[2:]))
            raise ShapeError(f"images must be {self.side}×{self.side}; got {got}. Resize them before encoding")
        mean, std = (
            torch.tensor(values, dtype=dtype, device=image.device)[:, None, None] for values in (self.mean, self.std)
        )
        return (image.to(dtype) - 255 * mean) / (255 * std)

    def of_side(self, side: int) -> "Preprocessing":
        """Return this scaling, for images of one side.

        Raises:
            ConfigError: If it is for another side already, or the side is below 1.
        """
        if self.side not in (None, side):
            raise ConfigError(f"the encoder is for side {side}, its preprocessing for side {self.side}; state one side")
        return replace(self, side=side)

    def to_json(self) -> str:
        """Return the settings as a JSON object: `side`, `mean`, `std`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: If it is not an object of exactly these settings.
        """
        try:
            given: Any = parse_json(text, where="preprocessing")
            if set(given) != {"side", "mean", "std"}:
                raise ValueError("other keys")
            mean, std = (tuple(map(_number, given[name])) for name in ("mean", "std"))
            return cls(side=given["side"], mean=mean, std=std)
        except (CorpusError, TypeError, ValueError) as error:
            raise ConfigError(f'preprocessing must be {{"side": …, "mean": […], "std": […]}}; {error}') from error


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
        raise ValueError(f"{value!r} is no number that fits")
    return float(value)
