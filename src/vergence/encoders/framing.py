"""How an image of any size becomes the square that a model is for: part of a model, as much as its weights are.

`torchvision`, on which open_clip relies, and `transformers` cut the middle of an image out by different rules where an
odd number of pixels is left over; both are here, so that either's pixels come out.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vergence.checks import at_least, one_of
from vergence.errors import ConfigError
from vergence.images import as_array

_KERNELS = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)
INTERPOLATIONS = tuple(_KERNELS)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Bring an image to a square.

    Args:
        side: Pixels of a side, >= 1.
        how: "squash" resizes both sides to it; "shortest" resizes the shorter side to `edge` and cuts the middle out;
            "longest" resizes the longer side to it and fills up on both sides.
        edge: Of "shortest", what the shorter side becomes, at least `side`; `side` if `None`.
        interpolation: One of `INTERPOLATIONS`, of Pillow's filters.
        odd: Which way the middle lies where an odd number of pixels is cut off: "even" rounds half of it to the even
            number, as torchvision does, "down" rounds it down, as `transformers` does.
        fill: Of "longest", the grey that it is filled up with, in [0, 255].

    Raises:
        ConfigError: If a setting is out of range.

    Example:
        >>> Framing(side=8, how="shortest")(Image.new("RGB", (30, 20))).shape
        (3, 8, 8)
    """

    side: int
    how: Literal["squash", "shortest", "longest"] = "squash"
    edge: int | None = None
    interpolation: str = "bicubic"
    odd: Literal["even", "down"] = "even"
    fill: int = 0

    def __post_init__(self) -> None:
        at_least("side", self.side, 1)
        one_of("how", self.how, ("squash", "shortest", "longest"))
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        one_of("odd", self.odd, ("even", "down"))
        if self.edge is not None:
            at_least("edge", self.edge, self.side, why="the middle is cut out of it")
            if self.how != "shortest":
                raise ConfigError(f"edge is for how='shortest'; got how={self.how!r}")
        if not 0 <= self.fill <= 255:
            raise ConfigError(f"fill must be in [0, 255]; got {self.fill}")

    def __call__(self, image: Image.Image) -> UInt8[np.ndarray, "3 side side"]:
        """Frame an image of mode RGB."""
        side, kernel = self.side, _KERNELS[self.interpolation]
        size = self._size(*image.size)
        shown = image if image.size == size else image.resize(size, kernel)
        if size == (side, side):
            return as_array(shown)
        if self.how == "longest":
            framed = Image.new("RGB", (side, side), (self.fill,) * 3)
            framed.paste(shown, ((side - size[0]) // 2, (side - size[1]) // 2))
            return as_array(framed)
        left, top = (self._start(length - side) for length in size)
        return as_array(shown.crop((left, top, left + side, top + side)))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """To which an image is resized."""
        if self.how == "squash":
            return self.side, self.side
        if self.how == "longest":
            ratio = max(width, height) / self.side
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        edge = self.edge or self.side
        if width <= height:
            return edge, int(edge * height / width)
        return int(edge * width / height), edge

    def _start(self, left_over: int) -> int:
        return round(left_over / 2) if self.odd == "even" else left_over // 2
