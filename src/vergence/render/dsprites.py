"""DSprites, drawn: one white shape on black, on the grid of the published file.

At 64 pixels a side images are binary, as the file's are: a pixel is white if its centre is inside. With fewer pixels
each is the mean of 4 by 4 such points.
"""

from math import pi
from typing import no_type_check

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vergence.compiled import njit
from vergence.render.places import check_side, places
from vergence.scenes import SCENES

_PUBLISHED = 64  # pixels a side
_HALF = 11.0 / _PUBLISHED  # half a side of the square at scale 1, in sides of the image
_FIRST, _STEP = 16.5 / _PUBLISHED, 1.0 / _PUBLISHED  # where centres lie: one pixel apart, every shape in frame
_ELLIPSE = 1.32, 0.82  # half axes, in halves of the square
_HEART = 1.05  # of the curve's unit
_HEART_CENTRE = 0.2934  # of its area, in that unit, so that turning does not move it


def draw_dsprites(labels: pd.DataFrame, *, side: int = 64) -> UInt8[np.ndarray, "n side side 3"]:
    r"""Draw images of DSprites.

    A point $p$ is white if $R(-\theta)(p - c)/s$ is inside the shape, where $c$ is the position, $s$ the scale and
    $\theta = 2\pi k/40$ the orientation. Differs from the file in the outlines, and in that its 40 orientations are
    spaced over both ends of $[0, 2\pi]$, so that its first and its last are one.

    Args:
        labels: Factors of the set `dsprites`, one row for each image; y counts downwards.
        side: Pixels of a side, in [8, 2048].

    Returns:
        Images whose three channels are equal; each depends on its row alone.

    Raises:
        FactorError: If a factor is missing, or has an unknown value.
        ConfigError: If there cannot be such a side.

    Example:
        >>> import torch
        >>> images = draw_dsprites(SCENES["dsprites"].rows(torch.tensor([0, 700_000])))
        >>> images.shape, sorted(set(images.flat))
        ((2, 64, 64, 3), [np.uint8(0), np.uint8(255)])
    """
    check_side(side)
    at = places(labels, SCENES["dsprites"].space)
    scale = np.array(SCENES["dsprites"].space["scale"].values, dtype=np.float64)[at["scale"]]
    turn = 2 * pi * at["orientation"] / 40
    x, y = (_FIRST + _STEP * at[name] for name in ("x", "y"))
    pose = np.stack([x, y, _HALF * scale, np.cos(turn), np.sin(turn)], 1).astype(np.float32)
    images = np.zeros((len(labels), side, side, 3), dtype=np.uint8)
    _draw(images, at["shape"], pose, 1 if side >= _PUBLISHED else 4)
    return images


@no_type_check
@njit(nogil=True, cache=True)
def _draw(images, shapes, poses, points):
    """Draw each row's shape (n,) at its pose (n, 5) into its image (n, side, side, 3), looking only where it can be."""
    side = images.shape[1]
    for row in range(len(images)):
        x, y, half, cosine, sine = poses[row]
        reach = half * 1.5
        left, right = max(0, int((x - reach) * side)), min(side, int((x + reach) * side) + 1)
        top, bottom = max(0, int((y - reach) * side)), min(side, int((y + reach) * side) + 1)
        for i in range(top, bottom):
            for j in range(left, right):
                inside = 0
                for k in range(points * points):
                    across = ((j + (k % points + 0.5) / points) / side - x) / half
                    down = ((i + (k // points + 0.5) / points) / side - y) / half
                    inside += _is_inside(shapes[row], cosine * across + sine * down, cosine * down - sine * across)
                value = (255 * inside + points * points // 2) // (points * points)
                for channel in range(3):
                    images[row, i, j, channel] = value


@no_type_check
@njit(nogil=True, cache=True)
def _is_inside(shape, across, down):
    """Whether a point is in the upright shape of unit size."""
    if shape == 0:
        return max(abs(across), abs(down)) < 1.0
    if shape == 1:
        return (across / _ELLIPSE[0]) ** 2 + (down / _ELLIPSE[1]) ** 2 < 1.0
    u, v = across / _HEART, _HEART_CENTRE - down / _HEART
    circle = u * u + v * v - 1.0
    return circle * circle * circle < u * u * v * v * v
