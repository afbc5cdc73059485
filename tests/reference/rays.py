"""Causal3DIdent by casting every ray at every triangle, as its docstrings say it, in float64 and without haste."""

from colorsys import hsv_to_rgb

import numpy as np

RADIUS, SPACING, ORBIT, HEIGHT = 4.5, 3.0, 4.0, 13.0


def turn(axis, angle):
    """Rotation about an axis, counterclockwise seen from its tip."""
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i] = np.sin(angle)
    matrix[i, j] = -np.sin(angle)
    return matrix


def unit(vector):
    return vector / np.linalg.norm(vector)


def meets(origin, ray, corners, triangles):
    """Nearest triangle, its distance along the ray, and the weights of its corners; `None` if the ray meets none."""
    a, b, c = (corners[triangles[:, i]] for i in range(3))
    across = np.cross(ray, c - a)
    scale = ((b - a) * across).sum(1)
    with np.errstate(all="ignore"):
        v = ((origin - a) * across).sum(1) / scale
        other = np.cross(origin - a, b - a)
        w = (other * ray).sum(1) / scale
        far = ((c - a) * other).sum(1) / scale
    hit = (scale != 0) & (v >= 0) & (w >= 0) & (v + w <= 1) & (far > 1e-9)
    if not hit.any():
        return None
    nearest = int(np.where(hit, far, np.inf).argmin())
    return nearest, far[nearest], np.array([1 - v[nearest] - w[nearest], v[nearest], w[nearest]])


def colour(hue, saturation, value):
    return np.array(hsv_to_rgb(hue % 1, saturation, value)) ** 2


def slow_causal3dident(mesh, label, side, samples):
    """One image, in [0, 255]."""
    angles = [np.pi * (label[f"rotation_{name}"] - 0.5) for name in ("alpha", "beta", "gamma")]
    rotation = turn(2, angles[2]) @ turn(1, angles[1]) @ turn(0, angles[0])
    corners = RADIUS * mesh.corners @ rotation.T
    corners[:, 2] -= corners[:, 2].min()
    corners[:, 0] += SPACING * (["left", "middle", "right"].index(label["x"]) - 1)
    corners[:, 1] += SPACING * (["front", "middle", "back"].index(label["y"]) - 1)

    around = np.pi * label["spot_position"]
    out = np.array([-ORBIT * np.cos(around), -ORBIT * np.sin(around), 0.0])
    middle = np.array([0.0, 2.0, 0.0])
    light = middle + out + [0, 0, HEIGHT]
    axis = unit(middle + 0.6 * out - light)
    own, floor = colour(label["object_hue"], 0.85, 0.95), colour((label["background_hue"] - 0.5) / 2, 0.5, 0.75)
    shine = 1.3 * HEIGHT**2 * colour((label["spot_hue"] - 0.5) / 2, 0.45, 1.0)

    def beam(point):
        way = light - point
        off = np.cos(np.radians(34.0)), np.cos(np.radians(28.5))
        inside = np.clip((-unit(way) @ axis - off[0]) / (off[1] - off[0]), 0, 1)
        return unit(way), inside**2 * (3 - 2 * inside) / (way @ way) * shine

    tilt, sight = np.radians(40.0), np.array([0, -0.5, 3.9])
    forward = np.array([0, np.cos(tilt), -np.sin(tilt)])
    eye, right = sight - 28.0 * forward, np.array([1.0, 0, 0])
    down = np.cross(forward, right)

    image = np.zeros((side, side, 3))
    steps = (np.arange(side * samples) + 0.5) / (side * samples) - 0.5
    for i, y in enumerate(steps):
        for j, x in enumerate(steps):
            ray = forward + (x * right + y * down) / 1.6
            hit = meets(eye, ray, corners, mesh.triangles)
            if hit is None:
                point = eye - ray * eye[2] / ray[2]
                way, comes = beam(point)
                seen = meets(point, light - point, corners, mesh.triangles) is None
                sent = floor * (0.22 + 0.22 + seen * way[2] * comes)
            else:
                triangle, far, weights = hit
                a, b, c = corners[mesh.triangles[triangle]]
                normal = unit(rotation @ (weights @ mesh.normals[mesh.triangles[triangle]]))
                normal = normal if np.cross(b - a, c - a) @ ray < 0 else -normal
                way, comes = beam(eye + far * ray)
                lit, view = max(0.0, normal @ way), -unit(ray)
                white = 0.22 * (0.5 + 0.5 * normal[2]) + 0.22 * max(0.0, normal @ view)
                highlight = 0.12 * max(0.0, normal @ unit(way + view)) ** 16 * (lit > 0)
                sent = own * (white + comes * lit) + comes * highlight
            image[i // samples, j // samples] += sent / samples**2
    return 255 * np.minimum(np.sqrt(image), 1)
