"""Images like those of Shapes3D: one solid on the floor of a room, seen from different sides."""

from colorsys import hsv_to_rgb

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vergence.render.cameras import cameras
from vergence.render.kernels import BALL, CAPSULE, CUBE, DRUM, cast
from vergence.render.places import check_side, places
from vergence.scenes import SCENES

_ROOM = 2.7  # half its width
_SOLIDS = np.array([CUBE, DRUM, BALL, CAPSULE])
_FOOT = np.array([0.72, 0.72, 0.88, 1.0])  # how far the middle of each is above the floor
_SCALES = np.linspace(0.75, 1.25, 8)
_TURNS = np.radians(np.linspace(-30, 30, 15))
_SATURATION, _VALUE = 0.9, 1.0


def render_shapes3d_like(labels: pd.DataFrame, *, side: int = 64) -> UInt8[np.ndarray, "n side side 3"]:
    """Make images like those of Shapes3D, on its published grid; the outlines, the light and the room are ours.

    Args:
        labels: Factors of the set `shapes3d-like`, one row for each image. Hues are parts of the colour circle; scales
            go evenly from 0.75 to 1.25, orientations of the view from -30 to 30 degrees.
        side: Pixels of a side, in [8, 2048].

    Returns:
        Images; each depends on its row alone.

    Raises:
        FactorError: If a factor is missing, or has an unknown value.
        ConfigError: If there cannot be such a side.

    Example:
        >>> import torch
        >>> render_shapes3d_like(SCENES["shapes3d-like"].rows(torch.tensor([0, 1])), side=8).shape
        (2, 8, 8, 3)
    """
    check_side(side)
    at = places(labels, SCENES["shapes3d-like"].space)
    n, scale = len(labels), _SCALES[at["scale"]]
    hues = SCENES["shapes3d-like"].space["wall_hue"].values or ()
    colours = np.array([hsv_to_rgb(float(hue), _SATURATION, _VALUE) for hue in hues])
    room = np.concatenate([np.full((n, 2), _ROOM), colours[at["floor_hue"]], colours[at["wall_hue"]]], 1)
    zero, one = np.zeros(n), np.ones(n)
    pose = np.stack([zero, zero, _FOOT[at["shape"]] * scale, scale, one, zero], 1)
    paint = np.tile(colours[at["object_hue"]], 2)
    view = cameras(
        _TURNS[at["orientation"]], np.full(n, np.radians(22)), target=(0, 0, 1.05), distance=8.0, half_width=2.0
    )
    images = np.empty((n, side, side, 3), dtype=np.uint8)
    cast(images, view, room, _SOLIDS[at["shape"]], pose, paint, np.empty((n, 0, 7)))
    return images
