"""Images of the controlled sets, made from their labels: no download, no GPU, the same bytes from the same row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from vergence.checks import one_of
from vergence.render.causal3dident import render_causal3dident
from vergence.render.dsprites import draw_dsprites
from vergence.render.mpi3d import render_mpi3d_like
from vergence.render.shapes3d import render_shapes3d_like

GENERATORS: Mapping[str, Callable[..., UInt8[np.ndarray, "n side side 3"]]] = MappingProxyType(
    {
        "dsprites": draw_dsprites,
        "shapes3d-like": render_shapes3d_like,
        "mpi3d-like": render_mpi3d_like,
        "mpi3d-real-like": render_mpi3d_like,
        "causal3dident": render_causal3dident,
    }
)
"""By set: what makes its images of labels, `side=` pixels a side."""


def render_scenes(name: str, labels: pd.DataFrame, *, side: int) -> UInt8[np.ndarray, "n side side 3"]:
    """Make the images of some labels, in this thread.

    Args:
        name: An image set, one of `GENERATORS`.
        labels: Its factors, one row for each image.
        side: Pixels of a side, in [8, 2048].

    Returns:
        Images in the order of the rows; each depends on its row alone, bit for bit.

    Raises:
        ConfigError: If there is no such set, or cannot be such a side.
        FactorError: If a factor is missing, or has an unknown value.

    Example:
        >>> from vergence.random import generator
        >>> from vergence.scenes import scenes
        >>> render_scenes("dsprites", scenes("dsprites").draw(2, generator=generator(0)), side=16).shape
        (2, 16, 16, 3)
    """
    one_of("image set", name, GENERATORS)
    return GENERATORS[name](labels, side=side)


__all__ = [
    "GENERATORS",
    "draw_dsprites",
    "render_causal3dident",
    "render_mpi3d_like",
    "render_scenes",
    "render_shapes3d_like",
]
