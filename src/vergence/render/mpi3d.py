"""Images like those of MPI3D: an arm holds one of a few things over a table, before a coloured wall."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from vergence.render import kernels
from vergence.render.cameras import cameras
from vergence.render.kernels import cast
from vergence.render.places import check_side, places
from vergence.scenes import SCENES, Scenes

_COLOURS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "yellow": (1.0, 0.86, 0.05),
        "green": (0.05, 0.62, 0.14),
        "olive": (0.42, 0.40, 0.06),
        "red": (0.86, 0.06, 0.08),
        "white": (1.0, 1.0, 1.0),
        "blue": (0.08, 0.22, 0.85),
        "brown": (0.45, 0.20, 0.07),
        "purple": (0.62, 0.36, 0.86),
        "sea-green": (0.36, 0.84, 0.70),
        "salmon": (1.0, 0.70, 0.60),
    }
)
_WHITE, _COFFEE = (0.97, 0.97, 0.97), (0.12, 0.07, 0.04)
_TABLE = 0.80, 0.80, 0.82
_WALL = 1.8  # half the depth of the room
_GAIN = 1.28  # of the wall, which the light meets at a slant
_RADII: Mapping[str, tuple[float, float]] = MappingProxyType(  # of small and large things; plain solids look more alike
    {"mpi3d-like": (0.36, 0.58), "mpi3d-real-like": (0.40, 0.62)}
)
_HALF_WIDTH: Mapping[str, float] = MappingProxyType({"mpi3d-like": 1.78, "mpi3d-real-like": 1.84})  # of the view
_HEIGHTS = np.radians([54, 28, 4])  # elevation of the cameras: top, center, bottom
_POST = 0.0, 1.0, 1.27  # where the arm turns
_ARM = 1.38
_ACROSS = np.radians(np.linspace(-41, 41, 40))
_EDGEWAYS = np.radians(30)
_UP = np.radians(np.linspace(-28, 46, 40))


def render_mpi3d_like(labels: pd.DataFrame, *, side: int = 64) -> UInt8[np.ndarray, "n side side 3"]:
    """Make images like those of MPI3D, on a published grid; shapes, colours, light and arm are ours.

    The thing is at the end of an arm that turns by 40 steps each about a vertical and a horizontal axis, and stays
    upright. A wall has the colour of the background; nothing but light from one side changes the thing's own colour.

    Args:
        labels: Factors of the set `mpi3d-like`, or of `mpi3d-real-like`; the shapes in it tell which.
        side: Pixels of a side, in [8, 2048].

    Returns:
        Images; each depends on its row alone.

    Raises:
        FactorError: If a factor is missing, or has an unknown value.
        ConfigError: If there cannot be such a side.

    Example:
        >>> import torch
        >>> render_mpi3d_like(SCENES["mpi3d-real-like"].rows(torch.tensor([0, 1])), side=8).shape
        (2, 8, 8, 3)
    """
    check_side(side)
    grid = _grid(labels)
    at = places(labels, grid.space)
    n = len(labels)
    tip, turn = _tips(at["horizontal"], at["vertical"])
    kinds, turned, second = _solids(grid, at["shape"])
    turn = turn + turned
    pose = np.concatenate([tip, np.stack([np.array(_RADII[grid.name])[at["size"]], np.cos(turn), np.sin(turn)], 1)], 1)
    wall = _GAIN * _coloured(grid, "background", at)
    room = np.concatenate([np.tile([9.0, _WALL, *_TABLE], (n, 1)), wall], 1)
    view = cameras(
        np.zeros(n), _HEIGHTS[at["camera"]], target=(0, 0.1, 1.35), distance=7.0, half_width=_HALF_WIDTH[grid.name]
    )
    images = np.empty((n, side, side, 3), dtype=np.uint8)
    cast(images, view, room, kinds, pose, np.concatenate([_coloured(grid, "color", at), second], 1), _arms(tip))
    return images


def _grid(labels: pd.DataFrame) -> Scenes:
    """Which of the two grids labels are of: no shape is in both."""
    real = SCENES["mpi3d-real-like"]
    first = labels["shape"].iloc[0] if "shape" in labels.columns and len(labels) else None
    return real if first in (real.space["shape"].values or ()) else SCENES["mpi3d-like"]


def _coloured(grid: Scenes, factor: str, at: Mapping[str, Int[np.ndarray, " n"]]) -> Float[np.ndarray, "n 3"]:
    colours: np.ndarray = np.array([_COLOURS[name] for name in grid.space[factor].values or ()])[at[factor]]
    return colours


def _solids(
    grid: Scenes, shapes: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """What the shapes are to the kernels, how far they are turned to show an edge, and their second colours."""
    names = grid.space["shape"].values or ()
    known = {"cube": kernels.CUBE, "sphere": kernels.BALL}
    kinds = [known.get(name, getattr(kernels, name.upper().replace("-", "_"), 0)) for name in names]
    second = [_COFFEE if name == "coffee-cup" else _WHITE for name in names]
    turned = [_EDGEWAYS if name in ("cube", "hexagonal", "pyramid") else 0.0 for name in names]
    return np.array(kinds)[shapes], np.array(turned)[shapes], np.array(second)[shapes]


def _tips(
    horizontal: Int[np.ndarray, " n"], vertical: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Where the arm ends, and how far it has turned about the vertical."""
    across, up = _ACROSS[horizontal], _UP[vertical]
    way = np.stack([np.cos(up) * np.sin(across), -np.cos(up) * np.cos(across), np.sin(up)], 1)
    return np.array(_POST) + _ARM * way, across


def _arms(tip: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2 7"]:
    """A post, and a rod from its top to the thing."""
    n = len(tip)
    post = np.tile([_POST[0], _POST[1], -0.2, *_POST, 0.13], (n, 1))
    rod = np.concatenate([np.tile(_POST, (n, 1)), tip, np.full((n, 1), 0.075)], 1)
    return np.stack([post, rod], 1)
