"""A contact sheet: a row of images for each factor, along which nothing else varies."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from vergence.factors import Factor
from vergence.render import GENERATORS
from vergence.scenes import scenes

_COLUMNS = 10
_MARGIN, _GAP, _LETTER = 6, 2, 14  # pixels; the height of the text above a row


def contact_sheet(
    name: str, *, side: int = 64, render: Callable[..., UInt8[np.ndarray, "n side side 3"]] | None = None
) -> Image.Image:
    """Draw the contact sheet of an image set.

    Args:
        name: An image set, one of `GENERATORS`.
        side: Pixels of a side of each image, in [8, 2048].
        render: What makes images of labels; that of `GENERATORS` if `None`.

    Returns:
        Ten images in a row for each factor, evenly spaced over its values; the other factors are in their middle, and
        hues differ from each other.

    Raises:
        ConfigError: If there is no such set, or cannot be such a side.

    Example:
        >>> contact_sheet("dsprites", side=16).size
        (192, 172)
    """
    space = scenes(name).space
    base = {factor.name: _middle(factor, number) for number, factor in enumerate(space.factors)}
    rows = [{**base, factor.name: value} for factor in space.factors for value in _spread(factor)]
    images = (render or GENERATORS[name])(pd.DataFrame(rows), side=side)
    width, height = side + _GAP, side + _GAP + _LETTER
    sheet = Image.new("RGB", (_COLUMNS * width + 2 * _MARGIN, len(space) * height + 2 * _MARGIN), "white")
    draw, place = ImageDraw.Draw(sheet), 0
    for number, factor in enumerate(space.factors):
        draw.text((_MARGIN, _MARGIN + number * height), factor.name, fill="black")
        for column in range(len(_spread(factor))):
            image = Image.fromarray(np.ascontiguousarray(images[place]))
            sheet.paste(image, (_MARGIN + column * width, _MARGIN + number * height + _LETTER))
            place += 1
    return sheet


def _middle(factor: Factor, number: int) -> str | float:
    """A value in the middle; hues take different ones, so that what has them can be told apart."""
    if factor.values is None:
        return (0.1 + 0.3 * number) % 1 if "hue" in factor.name else 0.5
    place = 3 * number if "hue" in factor.name else len(factor.values) // 2
    return factor.values[place % len(factor.values)]


def _spread(factor: Factor) -> list[str | float]:
    """Up to ten values, the first and the last among them."""
    if factor.values is None:
        return list(np.linspace(0, 1, _COLUMNS))
    n = len(factor.values)
    return [factor.values[i] for i in sorted({round(k * (n - 1) / (_COLUMNS - 1)) for k in range(_COLUMNS)})]
