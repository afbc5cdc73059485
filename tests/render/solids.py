"""Meshes that tests make."""

import numpy as np

from vergence.render.surfaces import Surface


def ball(rings):
    """A closed sphere of radius 1 of `rings` rings of twice as many corners; its numbers are exact to 2^-20."""
    up, round_ = np.arange(1, rings) * np.pi / rings, np.arange(2 * rings) * np.pi / rings
    corners = [[0.0, 0, 1], *([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)] for a in up for b in round_)]
    corners = np.round(np.array([*corners, [0.0, 0, -1]]) * 2**20) / 2**20
    n, last, triangles = 2 * rings, len(corners) - 1, []
    for j in range(n):
        k = (j + 1) % n
        triangles += [[0, 1 + j, 1 + k], [last, last - n + k, last - n + j]]
        for i in range(rings - 2):
            a, b = 1 + i * n, 1 + (i + 1) * n
            triangles += [[a + j, b + j, b + k], [a + j, b + k, a + k]]
    return Surface(corners, np.array(triangles, dtype=np.int64))


def box(x, y, z):
    """A closed box around the origin."""
    corners = np.array([[i, j, k] for i in (-x, x) for j in (-y, y) for k in (-z, z)], dtype=np.float64)
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    triangles = [half for a, b, c, d in faces for half in ([a, b, c], [a, c, d])]
    return Surface(corners, np.array(triangles, dtype=np.int64))
