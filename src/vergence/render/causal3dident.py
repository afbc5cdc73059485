"""Causal3DIdent, rendered: one of seven meshes on a coloured floor, under a coloured spotlight that casts its shadow.

Choices, where the paper leaves them to its renderer:
- x is to the right, y away from the viewer, z up. The object, in a sphere of radius 4.5, stands on the floor however
  it is turned, and is in frame at all nine places.
- Turns are alpha about x, then beta about y, then gamma about z, of axes that stay: R = Rz Ry Rx.
- The spotlight goes round the viewer's half of a circle of radius 4, 13 above the floor, from left to right, and points
  to a place on the floor that goes round with it, so that the pool of light tells its position.
- White light from above and from the viewer fills in, so that the object's and the floor's own hues are seen
  everywhere; the spotlight is the least saturated of the three.
- The shadow is that of the mesh on the floor; the mesh shades itself only where it faces away.
- Light is added in linear units and shown as its square root, whose last bit all processors agree on; under white
  light of strength 1 a colour is the one of the HSV cone.
- A pixel is the mean of 2 by 2 rays, in images of less than 64 pixels a side of 3 by 3.
"""

from colorsys import hsv_to_rgb
from math import cos, pi, radians, sin, sqrt

import numpy as np
import pandas as pd
from jaxtyping import Float64, UInt8

from vergence.errors import FactorError
from vergence.render.meshes import Meshes, load_meshes
from vergence.render.places import check_side, places
from vergence.render.triangles import Mesh, render
from vergence.scenes import SCENES

RADIUS, SPACING = 4.5, 3.0  # of the object; between neighbouring places
ORBIT, ORBIT_HEIGHT = 4.0, 13.0  # of the spotlight
_ORBIT_Y = 2.0  # of the middle of its circle
_AIM = 0.6  # of its way from the middle: where the spotlight points to
_EDGE = cos(radians(34.0)), cos(radians(28.5))  # off the axis, where its light has ended and where it begins to
_SPOTLIGHT = 1.3  # strength straight below it
_ELEVATION, _DISTANCE, _SIGHT = radians(40.0), 28.0, (-0.5, 3.9)  # of the camera; y and z of what it looks at
_ZOOM = 1.6  # focal length, in sides of the image
_OBJECT, _FLOOR, _SPOT = (0.85, 0.95), (0.5, 0.75), (0.45, 1.0)  # saturation and value
_WHITE = (0.12, 0.22, 0.22)  # strengths of the highlight, and of white light from above and from the viewer

_CONTINUOUS = (
    "rotation_alpha",
    "rotation_beta",
    "rotation_gamma",
    "spot_position",
    "object_hue",
    "background_hue",
    "spot_hue",
)


def render_causal3dident(
    labels: pd.DataFrame, *, side: int = 64, meshes: Meshes | None = None
) -> UInt8[np.ndarray, "n side side 3"]:
    r"""Render images of Causal3DIdent [cai2025].

    A label $u \in [0, 1]$ of a rotation is the angle $\pi (u - 1/2)$, of the spotlight's position $\pi u$ from the
    left, of the object's hue that part of the HSV circle, and of the two other hues the part $(u - 1/2)/2$. Differs
    from the paper's in the renderer, and in what the module names as choices.

    Args:
        labels: Factors of the set `causal3dident`, one row for each image.
        side: Pixels of a side, in [8, 2048].
        meshes: The seven shapes; `load_meshes()` if `None`.

    Returns:
        Images in the order of the rows; each depends on its row and its mesh alone, bit for bit.

    Raises:
        FactorError: If a factor is missing, or has a value that it cannot have.
        ConfigError: If there cannot be such a side.
        CorpusError: If the meshes are neither in the cache nor to be had.

    Example:
        >>> from vergence.random import generator
        >>> from vergence.render.meshes import made
        >>> from vergence.render.surfaces import Surface
        >>> corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, 0, 2], [0, 2, 0]])
        >>> wedge = made(Surface(corners, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])))
        >>> labels = SCENES["causal3dident"].draw(2, generator=generator(0)).assign(shape="cow")
        >>> render_causal3dident(labels, side=16, meshes=Meshes({"cow": wedge})).shape
        (2, 16, 16, 3)
    """
    check_side(side)
    space = SCENES["causal3dident"].space
    at = places(labels, space)
    numbers = np.stack([_numbers(labels, name) for name in _CONTINUOUS], 1)
    images = np.empty((len(labels), side, side, 3), dtype=np.uint8)
    if not len(images):
        return images
    known, camera = load_meshes() if meshes is None else meshes, _camera()
    samples = 2 if side >= 64 else 3  # along a side of a pixel
    focal = _ZOOM * side * samples
    names = space["shape"].values or ()
    for row, image in enumerate(images):
        mesh = known[names[at["shape"][row]]]
        alpha, beta, gamma, position, own, floor, spot = numbers[row].tolist()
        pose = _pose(mesh, [pi * (turn - 0.5) for turn in (alpha, beta, gamma)])
        pose[3, :2] = SPACING * (at["x"][row] - 1), SPACING * (at["y"][row] - 1)
        light = _linear((spot - 0.5) / 2, _SPOT) * (_SPOTLIGHT * ORBIT_HEIGHT**2)
        matter = np.stack([_linear(own, _OBJECT), _linear((floor - 0.5) / 2, _FLOOR), _WHITE])
        render(image, mesh, pose, camera, focal, _spotlight(pi * position, light), matter, samples)
    return images


def _numbers(labels: pd.DataFrame, name: str) -> Float64[np.ndarray, " n"]:
    values = pd.to_numeric(labels[name], errors="coerce").to_numpy(np.float64)
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        row = int(bad.argmax())
        raise FactorError(f"row {row}: factor {name!r} must be a number in [0, 1]; got {labels[name].iloc[row]!r}")
    return values


def _camera() -> Float64[np.ndarray, "4 3"]:
    c, s = cos(_ELEVATION), sin(_ELEVATION)
    y, z = _SIGHT
    return np.array([[0.0, y - _DISTANCE * c, z + _DISTANCE * s], [1.0, 0.0, 0.0], [0.0, -s, -c], [0.0, c, -s]])


def _pose(mesh: Mesh, angles: list[float]) -> Float64[np.ndarray, "4 3"]:
    """Rz Ry Rx times the radius, and the place where the mesh stands on the floor."""
    (ca, cb, cg), (sa, sb, sg) = map(cos, angles), map(sin, angles)
    rows = np.array(
        [
            [cg * cb, cg * sb * sa - sg * ca, cg * sb * ca + sg * sa],
            [sg * cb, sg * sb * sa + cg * ca, sg * sb * ca - cg * sa],
            [-sb, cb * sa, cb * ca],
            [0.0, 0.0, 0.0],
        ]
    )
    rows *= RADIUS
    x, y, z = mesh.corners.T
    rows[3, 2] = -(rows[2, 0] * x + rows[2, 1] * y + rows[2, 2] * z).min()
    return rows


def _spotlight(angle: float, light: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 3"]:
    x, y = -ORBIT * cos(angle), -ORBIT * sin(angle)
    axis = np.array([(_AIM - 1) * x, (_AIM - 1) * y, -ORBIT_HEIGHT])
    length = sqrt((1 - _AIM) ** 2 * (x * x + y * y) + ORBIT_HEIGHT**2)
    return np.stack([[x, y + _ORBIT_Y, ORBIT_HEIGHT], axis / length, light, [*_EDGE, 0.0]])


def _linear(hue: float, tint: tuple[float, float]) -> Float64[np.ndarray, "3"]:
    return np.array(hsv_to_rgb(hue % 1.0, *tint)) ** 2
