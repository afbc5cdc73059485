"""Ray casting of one solid in a room with an arm, compiled by numba: shapes by their distance, all else by formula.

A ray meets floor and walls in closed form, the arm's rods too; the solid is marched along its distance function, and
only within the ball that holds it. Every image takes 2 by 2 rays a pixel and depends on its own row alone.
All is in one file, since numba looks for changes in the file of the function that it keeps, and in no other.
"""

from math import cos, hypot, inf, pi, sin, sqrt
from typing import no_type_check

from vergence.compiled import njit

CUBE, DRUM, BALL, CAPSULE, CYLINDER, CONE, HEXAGONAL, PYRAMID, COFFEE_CUP, TENNIS_BALL, CROISSANT, BEER_CUP = range(12)
REACH = 1.3  # no solid of scale 1 has a point farther from its middle
_LIGHT = -0.55, -0.35, 0.758  # towards the light; of length 1
_AMBIENT = 0.55  # share of light that comes from everywhere: a yellow in shade is still lighter than an olive in light
_STEPS, _NEAR = 64, 2e-3  # of a march
_RAYS = 2  # a pixel, across and down


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def cast(images, cameras, rooms, kinds, poses, paints, arms):
    """Fill images (n, side, side, 3).

    Cameras (n, 12) are the eye, then right, up and forward; rooms (n, 8) half widths, the colours of floor and walls;
    poses (n, 6) the solid's middle, its scale, cosine and sine of its turn; paints (n, 6) its own colour and a second;
    arms (n, rods, 7) both ends and the radius of each. Colours are in [0, 1].
    """
    side = images.shape[1]
    n_rays = _RAYS * _RAYS
    for row in range(len(images)):
        camera, room, kind, pose, paint, arm = cameras[row], rooms[row], kinds[row], poses[row], paints[row], arms[row]
        for i in range(side):
            for j in range(side):
                red, green, blue = 0.0, 0.0, 0.0
                for k in range(n_rays):
                    across = 2 * (j + (k % _RAYS + 0.5) / _RAYS) / side - 1
                    up = 1 - 2 * (i + (k // _RAYS + 0.5) / _RAYS) / side
                    r, g, b = _ray(across, up, camera, room, kind, pose, paint, arm)
                    red, green, blue = red + r, green + g, blue + b
                images[row, i, j, 0] = int(255 * red / n_rays + 0.5)
                images[row, i, j, 1] = int(255 * green / n_rays + 0.5)
                images[row, i, j, 2] = int(255 * blue / n_rays + 0.5)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _ray(across, up, camera, room, kind, pose, paint, arm):
    """Colour that the ray through a point of the image brings."""
    dx = camera[9] + across * camera[3] + up * camera[6]
    dy = camera[10] + across * camera[4] + up * camera[7]
    dz = camera[11] + across * camera[5] + up * camera[8]
    length = sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    x, y, z = camera[0], camera[1], camera[2]
    far, red, green, blue, light = _room(x, y, z, dx, dy, dz, room)
    rod, at = -1, far
    for part in range(len(arm)):
        reached = _rod(x, y, z, dx, dy, dz, arm[part])
        if reached < at:
            rod, at = part, reached
    solid = _solid(x, y, z, dx, dy, dz, at, kind, pose)
    if solid < at:
        return _shade_solid(x + solid * dx, y + solid * dy, z + solid * dz, kind, pose, paint)
    px, py, pz = x + at * dx, y + at * dy, z + at * dz
    if rod >= 0:
        light = _AMBIENT + (1 - _AMBIENT) * max(0.0, _rod_light(px, py, pz, arm[rod]))
        return 0.33 * light, 0.34 * light, 0.38 * light
    if light > _AMBIENT and _in_shadow(px, py, pz, kind, pose, arm):
        light = _AMBIENT
    return red * light, green * light, blue * light


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _room(x, y, z, dx, dy, dz, room):
    """Where a ray leaves the room, and the colour and the light of that place."""
    lx, ly, lz = _LIGHT
    to_x = (room[0] if dx > 0 else -room[0]) - x
    to_y = (room[1] if dy > 0 else -room[1]) - y
    at_x = to_x / dx if dx != 0 else inf
    at_y = to_y / dy if dy != 0 else inf
    at_z = -z / dz if dz < 0 else inf
    if at_z < at_x and at_z < at_y:
        return at_z, room[2], room[3], room[4], _AMBIENT + (1 - _AMBIENT) * lz
    facing = (-lx if dx > 0 else lx) if at_x < at_y else (-ly if dy > 0 else ly)
    light = _AMBIENT + (1 - _AMBIENT) * max(0.0, facing)
    return min(at_x, at_y), room[5], room[6], room[7], light


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _in_shadow(x, y, z, kind, pose, arm):
    """Whether the solid or the arm is between a place and the light."""
    lx, ly, lz = _LIGHT
    at = _solid(x, y, z, lx, ly, lz, inf, kind, pose)
    for part in range(len(arm)):
        at = min(at, _rod(x, y, z, lx, ly, lz, arm[part]))
    return at < inf


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _rod(x, y, z, dx, dy, dz, rod):
    """Where a ray enters a rod with round ends; infinity if it does not."""
    bx, by, bz = rod[3] - rod[0], rod[4] - rod[1], rod[5] - rod[2]
    ox, oy, oz = x - rod[0], y - rod[1], z - rod[2]
    radius = rod[6]
    bb, bd, bo = bx * bx + by * by + bz * bz, bx * dx + by * dy + bz * dz, bx * ox + by * oy + bz * oz
    do, oo = dx * ox + dy * oy + dz * oz, ox * ox + oy * oy + oz * oz
    a, b, c = bb - bd * bd, bb * do - bo * bd, bb * oo - bo * bo - radius * radius * bb
    found = b * b - a * c
    if found < 0.0 or bb == 0.0:
        return inf
    if a > 1e-9:
        at = (-b - sqrt(found)) / a
        along = bo + at * bd
        if 0.0 < along < bb:
            return at if at > 1e-3 else inf
    else:
        along = 0.0 if bd > 0 else bb
    if along > 0.0:
        ox, oy, oz = x - rod[3], y - rod[4], z - rod[5]
    b, c = dx * ox + dy * oy + dz * oz, ox * ox + oy * oy + oz * oz - radius * radius
    found = b * b - c
    if found < 0.0:
        return inf
    at = -b - sqrt(found)
    return at if at > 1e-3 else inf


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _rod_light(x, y, z, rod):
    """Cosine between the light and the surface of a rod."""
    lx, ly, lz = _LIGHT
    bx, by, bz = rod[3] - rod[0], rod[4] - rod[1], rod[5] - rod[2]
    px, py, pz = x - rod[0], y - rod[1], z - rod[2]
    along = (bx * px + by * py + bz * pz) / (bx * bx + by * by + bz * bz)
    along = min(1.0, max(0.0, along))
    return ((px - along * bx) * lx + (py - along * by) * ly + (pz - along * bz) * lz) / rod[6]


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _solid(x, y, z, dx, dy, dz, far, kind, pose):
    """Where a ray enters the solid, if before `far`; infinity if it does not."""
    scale, c, s = pose[3], pose[4], pose[5]
    ox, oy, oz = (x - pose[0]) / scale, (y - pose[1]) / scale, (z - pose[2]) / scale
    b = ox * dx + oy * dy + oz * dz
    found = b * b - (ox * ox + oy * oy + oz * oz - REACH * REACH)
    if found < 0.0:
        return inf
    root = sqrt(found)
    at, end = max(0.0, -b - root), min(-b + root, far / scale)
    ox, oy = c * ox + s * oy, c * oy - s * ox
    dx, dy = c * dx + s * dy, c * dy - s * dx
    for _ in range(_STEPS):
        if at > end:
            return inf
        distance = _distance(kind, ox + at * dx, oy + at * dy, oz + at * dz)
        if distance < _NEAR:
            return at * scale
        at += distance
    return inf


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _shade_solid(x, y, z, kind, pose, paint):
    """Colour of a place on the solid; no shadow falls on it, so that its colour stays its own."""
    scale, c, s = pose[3], pose[4], pose[5]
    px, py, pz = (x - pose[0]) / scale, (y - pose[1]) / scale, (z - pose[2]) / scale
    px, py = c * px + s * py, c * py - s * px
    e = 4e-3
    nx = _distance(kind, px + e, py, pz) - _distance(kind, px - e, py, pz)
    ny = _distance(kind, px, py + e, pz) - _distance(kind, px, py - e, pz)
    nz = _distance(kind, px, py, pz + e) - _distance(kind, px, py, pz - e)
    lx, ly, lz = _LIGHT
    lx, ly = c * lx + s * ly, c * ly - s * lx
    length = max(1e-9, sqrt(nx * nx + ny * ny + nz * nz))
    light = _AMBIENT + (1 - _AMBIENT) * max(0.0, (nx * lx + ny * ly + nz * lz) / length)
    first = 3 if _is_second(kind, px, py, pz) else 0
    return paint[first] * light, paint[first + 1] * light, paint[first + 2] * light


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _is_second(kind, x, y, z):
    """Whether a place has the solid's second colour: foam, the coffee, a ball's seam."""
    if kind == BEER_CUP:
        return z > 0.58 and hypot(x, y) < 0.7
    if kind == COFFEE_CUP:
        return z > 0.3 and hypot(x, y) < 0.62
    if kind == TENNIS_BALL:
        return abs(z - 1.1 * (y * y - x * x)) < 0.15
    return False


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _distance(kind, x, y, z):
    """Distance to a solid of scale 1 that stands upright and faces -y, or less than that; negative inside."""
    if kind == CUBE:
        return _box(abs(x) - 0.72, abs(y) - 0.72, abs(z) - 0.72)
    if kind == DRUM:
        return _drum(hypot(x, y), z, 0.74, 0.72)
    if kind in (BALL, TENNIS_BALL):
        return sqrt(x * x + y * y + z * z) - 0.88
    if kind == CAPSULE:
        along = z - min(0.48, max(-0.48, z))
        return sqrt(x * x + y * y + along * along) - 0.52
    if kind == CYLINDER:
        return _drum(hypot(x, y), z, 0.5, 1.0)
    if kind == CONE:
        return max(0.958 * hypot(x, y) + 0.2873 * (z - 1.0), -1.0 - z)
    if kind == PYRAMID:
        return max(0.8458 * max(abs(x), abs(y)) + 0.5335 * (z - 0.75), -0.55 - z)
    if kind == HEXAGONAL:
        y, z = abs(y), abs(z)
        return max(max(z, 0.866 * y + 0.5 * z) - 0.6, abs(x) - 1.0)
    if kind == COFFEE_CUP:
        return _coffee_cup(x, y, z)
    if kind == BEER_CUP:
        return _beer_cup(x, y, z)
    return _croissant(x, y, z)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _box(x, y, z):
    """Distance to a box, of how far a place is beyond each of its sides."""
    inside = min(0.0, max(x, y, z))
    x, y, z = max(0.0, x), max(0.0, y), max(0.0, z)
    return inside + sqrt(x * x + y * y + z * z)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _drum(around, z, radius, half):
    """Distance to an upright cylinder."""
    beyond, above = around - radius, abs(z) - half
    return min(0.0, max(beyond, above)) + hypot(max(0.0, beyond), max(0.0, above))


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _coffee_cup(x, y, z):
    """Distance to a wide cup, filled below the brim, with a handle, on a saucer."""
    around = hypot(x, y)
    wide = 0.62 + 0.2 * z
    cup = 0.95 * max(around - wide, abs(z) - 0.58)
    hollow = max(around - wide + 0.11, 0.42 - z)
    ring = hypot(hypot(x - 0.72, z - 0.05) - 0.32, y) - 0.11
    saucer = _drum(around, z + 0.62, 1.05, 0.05)
    return min(max(cup, -hollow), max(ring, 0.5 - around), saucer)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _beer_cup(x, y, z):
    """Distance to a tall mug with a large handle and a head of foam."""
    around = hypot(x, y)
    along = z + 0.12 - min(0.22, max(-0.22, z + 0.12))
    ring = hypot(hypot(x + 0.5, along) - 0.36, y) - 0.1
    foam = sqrt(x * x + y * y + 2.0 * (z - 0.72) * (z - 0.72)) - 0.6
    return min(_drum(around, z + 0.1, 0.5, 0.85), max(ring, 0.4 - around), 0.7 * foam)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _croissant(x, y, z):
    """Less than the distance to an arc that grows thinner towards both ends, in turns of dough."""
    z += 0.4
    around = hypot(x, z)
    side = min(1.0, max(-1.0, z / max(around, 1e-9)))
    turn = min(2.0, _angle(side))
    thick = 0.43 - 0.088 * turn * turn + 0.035 * cos(7.0 * turn)
    ax, az = 0.64 * sin(turn), 0.64 * cos(turn)
    return 0.6 * (sqrt((abs(x) - ax) * (abs(x) - ax) + y * y + (z - az) * (z - az)) - thick)


@no_type_check
@njit(nogil=True, cache=True, error_model="numpy")
def _angle(cosine):
    """Angle of a cosine, to 7e-5: quicker than the exact one."""
    size = abs(cosine)
    angle = sqrt(1 - size) * (1.5707288 + size * (-0.2121144 + size * (0.0742610 - 0.0187293 * size)))
    return pi - angle if cosine < 0 else angle
