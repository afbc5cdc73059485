"""Compiled loops that turn triangles into an image with one spotlight, one shadow and a floor; one thread, in doubles.

All of them are in this file, because numba looks for changes in the file of the outermost alone. Points are rows of
three: x to the right, y away from the viewer, z up; on screen (across, down, 1 / depth), in samples. A triangle covers
the samples whose centres it holds, edges included; of several the nearest counts.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float64, Int64

from vergence.compiled import njit

NOTHING = -1
_NEAR = 1e-3  # what is nearer to the camera, or behind it, is not drawn
_TINY = 1e-12

# Rows of the tables that describe a scene; arrays, because numba passes them faster than tuples of arrays.
PLACE, RIGHT, DOWN, FORWARD = range(4)  # of the camera
AXIS, LIGHT, EDGE = range(1, 4)  # of the spotlight, after PLACE: EDGE holds cosines, where light ends and begins to end
OBJECT, FLOOR, WHITE = range(3)  # of matter: two colours; highlight, white light from above, and from the viewer


class Mesh(NamedTuple):
    """A shape in the unit sphere: x to the right, y away from the viewer, z up.

    Args:
        corners: Of its triangles.
        normals: Unit vectors at the corners, outwards where the corners of a triangle run counterclockwise.
        triangles: Places of three corners each.
    """

    corners: Float64[np.ndarray, "corners 3"]
    normals: Float64[np.ndarray, "corners 3"]
    triangles: Int64[np.ndarray, "triangles 3"]


@no_type_check
@njit(nogil=True, cache=True)
def render(image, mesh, pose, camera, focal, spotlight, matter, samples):  # noqa: PLR0917 - compiled functions take arguments in order
    """Render a mesh that is moved by `pose`, rows of a matrix and then of a place, and its shadow on the floor z = 0.

    `image` (side, side, 3) is written; a pixel is the root of the mean light of `samples` by `samples` rays.
    """
    side = image.shape[0]
    n = side * samples
    normals, triangles = mesh.normals, mesh.triangles
    corners = move(mesh.corners, pose)
    screen, nearest, seen = look(corners, mesh.triangles, camera, focal, n)
    _, _, shadow = look(cast_down(corners, spotlight[PLACE]), triangles, camera, focal, n)
    light, ray = np.empty(3), np.empty(3)
    sums = np.zeros((side, side, 3))
    for i in range(n):
        for j in range(n):
            across, down = (j + 0.5 - n / 2) / focal, (i + 0.5 - n / 2) / focal
            for axis in range(3):
                ray[axis] = camera[FORWARD, axis] + across * camera[RIGHT, axis] + down * camera[DOWN, axis]
            if seen[i, j] != NOTHING:
                triangle = triangles[seen[i, j]]
                normal = normal_at(screen, normals, triangle, j + 0.5, i + 0.5)
                light_object(light, pose, normal, ray, 1.0 / nearest[i, j], camera, spotlight, matter)
            else:
                light_floor(light, ray, shadow[i, j] != NOTHING, camera, spotlight, matter)
            for channel in range(3):
                sums[i // samples, j // samples, channel] += light[channel]
    for i in range(side):
        for j in range(side):
            for channel in range(3):
                level = np.sqrt(sums[i, j, channel] / (samples * samples))
                image[i, j, channel] = np.uint8(min(level, 1.0) * 255.0 + 0.5)


@no_type_check
@njit(nogil=True, cache=True)
def move(points, pose):
    """Points (n, 3) times the matrix of a pose, moved by its last row."""
    moved = np.empty_like(points)
    for i in range(len(points)):
        x, y, z = points[i]
        for axis in range(3):
            moved[i, axis] = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2] * z + pose[3, axis]
    return moved


@no_type_check
@njit(nogil=True, cache=True)
def cast_down(points, light):
    """Where the rays from a light through points (n, 3) below it meet the floor."""
    shadow = np.zeros_like(points)
    for i in range(len(points)):
        stretch = light[2] / (light[2] - points[i, 2])
        shadow[i, 0] = light[0] + (points[i, 0] - light[0]) * stretch
        shadow[i, 1] = light[1] + (points[i, 1] - light[1]) * stretch
    return shadow


@no_type_check
@njit(nogil=True, cache=True)
def look(points, triangles, camera, focal, n):
    """Points on screen, and 1 / depth and number of the triangle that each of n by n samples sees, or `NOTHING`."""
    screen = np.zeros_like(points)
    for i in range(len(points)):
        x, y, z = points[i, 0] - camera[PLACE, 0], points[i, 1] - camera[PLACE, 1], points[i, 2] - camera[PLACE, 2]
        depth = x * camera[FORWARD, 0] + y * camera[FORWARD, 1] + z * camera[FORWARD, 2]
        if depth >= _NEAR:
            across = x * camera[RIGHT, 0] + y * camera[RIGHT, 1] + z * camera[RIGHT, 2]
            down = x * camera[DOWN, 0] + y * camera[DOWN, 1] + z * camera[DOWN, 2]
            screen[i, 0] = n / 2 + focal * across / depth
            screen[i, 1] = n / 2 + focal * down / depth
            screen[i, 2] = 1.0 / depth
    nearest, seen = np.zeros((n, n)), np.full((n, n), NOTHING, np.int32)
    for number in range(len(triangles)):
        cover(screen, triangles[number], number, nearest, seen)
    return screen, nearest, seen


@no_type_check
@njit(nogil=True, cache=True)
def cover(screen, triangle, number, nearest, seen):
    """Enter a triangle into the samples that it covers and where it is nearest."""
    a, b, c = triangle
    za, zb, zc = screen[a, 2], screen[b, 2], screen[c, 2]
    ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if min(za, zb, zc) <= 0.0 or area == 0.0:
        return
    last = len(nearest) - 0.5  # centres outside the screen are none
    left, right = int(np.ceil(max(min(ax, bx, cx), 0.5) - 0.5)), int(np.floor(min(max(ax, bx, cx), last) - 0.5))
    top, bottom = int(np.ceil(max(min(ay, by, cy), 0.5) - 0.5)), int(np.floor(min(max(ay, by, cy), last) - 0.5))
    for i in range(top, bottom + 1):
        for j in range(left, right + 1):
            x, y = j + 0.5, i + 0.5
            u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
            v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
            w = ((ax - x) * (by - y) - (ay - y) * (bx - x)) / area
            if u >= 0.0 and v >= 0.0 and w >= 0.0:
                inverse = u * za + v * zb + w * zc
                if inverse > nearest[i, j]:
                    nearest[i, j] = inverse
                    seen[i, j] = number


@no_type_check
@njit(nogil=True, cache=True)
def normal_at(screen, normals, triangle, x, y):
    """Normal, not of unit length, that a triangle has where it is seen at (x, y): of the side that is seen."""
    a, b, c = triangle
    ax, ay, bx, by = screen[a, 0] - x, screen[a, 1] - y, screen[b, 0] - x, screen[b, 1] - y
    cx, cy = screen[c, 0] - x, screen[c, 1] - y
    u, v, w = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    side = -1.0 if u + v + w > 0 else 1.0  # counterclockwise as seen is clockwise where down is positive
    u, v, w = abs(u) * screen[a, 2] * side, abs(v) * screen[b, 2] * side, abs(w) * screen[c, 2] * side
    return (
        u * normals[a, 0] + v * normals[b, 0] + w * normals[c, 0],
        u * normals[a, 1] + v * normals[b, 1] + w * normals[c, 1],
        u * normals[a, 2] + v * normals[b, 2] + w * normals[c, 2],
    )


@no_type_check
@njit(nogil=True, cache=True)
def beam(spotlight, x, y, z):
    """Direction from a point to the spotlight, and the part of its light that comes: 1 / distance squared, edged."""
    dx, dy, dz = spotlight[PLACE, 0] - x, spotlight[PLACE, 1] - y, spotlight[PLACE, 2] - z
    square = dx * dx + dy * dy + dz * dz
    distance = np.sqrt(square)
    dx, dy, dz = dx / distance, dy / distance, dz / distance
    off = -(dx * spotlight[AXIS, 0] + dy * spotlight[AXIS, 1] + dz * spotlight[AXIS, 2])
    inside = (off - spotlight[EDGE, 0]) / (spotlight[EDGE, 1] - spotlight[EDGE, 0])
    inside = min(max(inside, 0.0), 1.0)
    return dx, dy, dz, inside * inside * (3.0 - 2.0 * inside) / square


@no_type_check
@njit(nogil=True, cache=True)
def light_floor(light, ray, shaded, camera, spotlight, matter):  # noqa: PLR0917
    """Light that comes from the floor along a ray; white light from above and from the viewer reaches all of it."""
    far = -camera[PLACE, 2] / ray[2]
    x, y = camera[PLACE, 0] + ray[0] * far, camera[PLACE, 1] + ray[1] * far
    _, _, up, strength = beam(spotlight, x, y, 0.0)
    lit = 0.0 if shaded else strength * up
    for channel in range(3):
        light[channel] = matter[FLOOR, channel] * (
            matter[WHITE, 1] + matter[WHITE, 2] + lit * spotlight[LIGHT, channel]
        )


@no_type_check
@njit(nogil=True, cache=True)
def light_object(light, pose, normal, ray, far, camera, spotlight, matter):  # noqa: PLR0917
    """Light that comes from the object along a ray: spread evenly, and a wide highlight, of rubber."""
    x, y, z = camera[PLACE, 0] + ray[0] * far, camera[PLACE, 1] + ray[1] * far, camera[PLACE, 2] + ray[2] * far
    nx = pose[0, 0] * normal[0] + pose[0, 1] * normal[1] + pose[0, 2] * normal[2]
    ny = pose[1, 0] * normal[0] + pose[1, 1] * normal[1] + pose[1, 2] * normal[2]
    nz = pose[2, 0] * normal[0] + pose[2, 1] * normal[1] + pose[2, 2] * normal[2]
    length = max(np.sqrt(nx * nx + ny * ny + nz * nz), _TINY)
    nx, ny, nz = nx / length, ny / length, nz / length
    dx, dy, dz, strength = beam(spotlight, x, y, z)
    length = np.sqrt(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2])
    vx, vy, vz = -ray[0] / length, -ray[1] / length, -ray[2] / length
    lit = max(0.0, nx * dx + ny * dy + nz * dz)
    white = matter[WHITE, 1] * (0.5 + 0.5 * nz) + matter[WHITE, 2] * max(0.0, nx * vx + ny * vy + nz * vz)
    hx, hy, hz = dx + vx, dy + vy, dz + vz
    shine = max(0.0, nx * hx + ny * hy + nz * hz) / max(np.sqrt(hx * hx + hy * hy + hz * hz), _TINY)
    shine = shine * shine * shine * shine
    shine = matter[WHITE, 0] * shine * shine * shine * shine if lit > 0.0 else 0.0
    for channel in range(3):
        comes = strength * spotlight[LIGHT, channel]
        light[channel] = matter[OBJECT, channel] * (white + comes * lit) + comes * shine
