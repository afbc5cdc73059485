"""Triangle meshes as arrays: brought to one size and pose, thinned to a few thousand triangles, with smooth normals.

Every number comes of +, -, *, / and square roots in one order, and where means are taken of sums of whole numbers, so
that all machines make the same mesh of the same file.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64


class Surface(NamedTuple):
    """Corners, and the places of each triangle's three among them, counterclockwise seen from outside."""

    corners: Float64[np.ndarray, "corners 3"]
    triangles: Int64[np.ndarray, "triangles 3"]


_GRAIN = 1 << 24  # steps of a coordinate in the unit sphere: sums of millions of them are exact
_FINEST, _COARSEST = 160, 2  # cells along the diameter


def decimals(words: Sequence[bytes]) -> Float64[np.ndarray, " n"]:
    """Numbers that stand as text.

    Raises:
        ValueError: If one is no number, or has more than 64 characters.
    """
    longest = max(map(len, words), default=0)  # NumPy sets this much aside for each
    if longest > 64:
        raise ValueError(f"a word of {longest} characters where a number is due")
    return np.array(words, dtype="S64" if not words else None).astype(np.float64)


def fans(sizes: Int64[np.ndarray, " faces"], places: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "triangles 3"]:
    """Triangles of faces that are given by their numbers of corners and these, one face after the other.

    Example:
        >>> fans(np.array([3, 4]), np.array([0, 1, 2, 4, 5, 6, 7])).tolist()
        [[0, 1, 2], [4, 5, 6], [4, 6, 7]]
    """
    inner = np.maximum(sizes - 2, 0)  # points and lines have no triangle
    first = np.repeat(np.cumsum(sizes) - sizes, inner)
    step = np.arange(len(first)) - np.repeat(np.cumsum(inner) - inner, inner)
    return np.stack([places[first], places[first + step + 1], places[first + step + 2]], 1)


def fitted(surface: Surface, turn: Sequence[Sequence[int]]) -> Surface:
    """Turn a mesh, centre the box around it, and scale it to the unit sphere.

    Args:
        surface: Any mesh with at least two corners apart.
        turn: Three rows, of 0, 1 and -1: the new axes x (right), y (away from the viewer) and z (up) in the old ones.

    Raises:
        ValueError: If all corners are one point.
    """
    used = surface.corners[np.unique(surface.triangles)]
    low, high = used.min(0), used.max(0)
    corners = surface.corners - (low / 2 + high / 2)
    old_x, old_y, old_z = corners.T
    corners = np.stack([x * old_x + y * old_y + z * old_z for x, y, z in turn], 1)
    squares = corners**2
    radius = np.sqrt((squares[:, 0] + squares[:, 1] + squares[:, 2])[np.unique(surface.triangles)].max())
    if not radius > 0:
        raise ValueError("all corners are one point")
    return Surface(corners / radius, surface.triangles)


def thinned(surface: Surface, most: int) -> Surface:
    """Merge the corners in each cell of a grid, as fine as leaves at most so many triangles; and those in one place.

    Args:
        surface: A mesh in the unit sphere.
        most: Triangles to leave, at least 20; one that has no more keeps them.

    Returns:
        A mesh whose corners are the means of those merged, each one used; no triangle twice.
    """
    if len(surface.triangles) <= most:
        _, same = np.unique(_grains(surface.corners), axis=0, return_inverse=True)
        return _clustered(surface, same.reshape(-1))
    low, high = _COARSEST, _FINEST  # the most that is coarse enough is looked for between these
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if len(_clustered(surface, _cells(surface, middle)).triangles) <= most else (low, middle - 1)
        )
    return _clustered(surface, _cells(surface, low))


def corner_normals(surface: Surface) -> Float64[np.ndarray, "corners 3"]:
    """Unit normals at corners: the sum of those of the faces around, by area; up where they cancel."""
    a, b, c = (surface.corners[surface.triangles[:, i]] for i in range(3))
    (ux, uy, uz), (vx, vy, vz) = (b - a).T, (c - a).T
    normals = np.zeros_like(surface.corners)
    for axis, value in enumerate((uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)):
        for corner in range(3):
            np.add.at(normals[:, axis], surface.triangles[:, corner], value)
    length = np.sqrt(normals[:, 0] ** 2 + normals[:, 1] ** 2 + normals[:, 2] ** 2)[:, None]
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])


def _grains(corners: Float64[np.ndarray, "n 3"]) -> Int64[np.ndarray, "n 3"]:
    return np.round(corners * _GRAIN).astype(np.int64)


def _cells(surface: Surface, n: int) -> Int64[np.ndarray, " corners"]:
    """The cell of each corner, of a grid of n a side over the sphere's box."""
    cell = np.clip(((surface.corners + 1.0) * (n / 2)).astype(np.int64), 0, n - 1)
    return (cell[:, 0] * n + cell[:, 1]) * n + cell[:, 2]


def _clustered(surface: Surface, cells: Int64[np.ndarray, " corners"]) -> Surface:
    used = np.unique(surface.triangles)
    _, place, members = np.unique(cells[used], return_inverse=True, return_counts=True)
    sums = np.zeros((len(members), 3), dtype=np.int64)
    np.add.at(sums, place, _grains(surface.corners[used]))
    merged = np.zeros(len(surface.corners), dtype=np.int64)
    merged[used] = place
    triangles = merged[surface.triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    first = np.argmin(triangles, 1)  # turned so that the same triangle is the same row
    triangles = np.stack([triangles[np.arange(len(triangles)), (first + i) % 3] for i in range(3)], 1)
    triangles = np.unique(triangles, axis=0)
    kept, renumbered = np.unique(triangles, return_inverse=True)
    return Surface(sums[kept] / members[kept, None] / _GRAIN, renumbered.reshape(-1, 3).astype(np.int64))
