"""CIELAB of one colour, and terms and labels of small images pixel by pixel, in plain float64 loops."""

import math

TERMS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")


def slow_lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIELAB (D65, 2 degrees) of an sRGB colour in [0, 1]: IEC 61966-2-1, then CIE 15."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    x = (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def slow_term(L: float, a: float, b: float) -> str | None:  # noqa: PLR0912 - a branch for each line
    """The table of `vergence.data.color_names`, line by line."""
    C, h = math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360
    if L < 6 or (C < 15 and L < 30 and not (L > 80)):
        return "black"
    if (13 if L > 80 else 15) > C:
        return "white" if L > 84 else "grey"
    if (112 if L > 85 else 103) <= h < 188:
        return "green"
    if 188 <= h < (310 if C > 90 or L < 25 else 306.5):
        return "blue"
    if 188 <= h < (348 if L < 45 else 335 if L < 58 else 329):
        return "purple" if C >= 26 else None
    if (h >= 300 or h < 5) and L >= 45:
        return "pink"
    if (h >= 300 or h < 36) and (58 if C < 60 else 61 if C < 75 else 64) <= L:
        return "pink"
    if C >= 36 and (h >= 300 or h < (44 if L < 45 else 43 if C > 85 else 40 if L < 56 else 36)):
        return "red"
    if h >= 300 or h < 36:
        return "brown"
    if h + L >= 152 and L >= 58 and (45 if L < 75 else 33) <= C:
        return "yellow"
    if h >= 95 and L > 90:
        return "yellow"
    if h < 77 and C >= 45 and (54 if C < 65 else 45) <= L:
        return "orange"
    if h >= 95 and L < 58:
        return "green"
    return "brown" if L < 68 else None


def slow_foreground(names: list[list[str | None]]) -> list[list[bool]]:
    """What is no background of an opaque image, by flooding; names are those of its pixels, "" for no term."""
    height, width = len(names), len(names[0])
    edge = [(0, x) for x in range(width)] + [(height - 1, x) for x in range(width)]
    edge += [(y, 0) for y in range(height)] + [(y, width - 1) for y in range(height)]
    regions: list[set[tuple[int, int]]] = []
    for start in edge:
        if any(start in region for region in regions):
            continue
        region, queue = {start}, [start]
        while queue:
            y, x = queue.pop()
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                within = 0 <= place[0] < height and 0 <= place[1] < width
                if within and place not in region and names[place[0]][place[1]] == names[y][x]:
                    region.add(place)
                    queue.append(place)
        regions.append(region)
    cut_out = sum(names[y][x] == "white" for y, x in edge) >= 0.25 * len(edge)
    inside = [[True] * width for _ in range(height)]
    for region in regions:
        y, x = next(iter(region))
        large = sum(place in region for place in edge) >= 0.25 * len(edge)
        if names[y][x] == "white" or (large and not cut_out):
            for y, x in region:
                inside[y][x] = False
    if sum(map(sum, inside)) < 0.005 * height * width:
        return [[True] * width for _ in range(height)]
    return inside


def slow_color(subject: list[tuple[float, float, float]]) -> str | None:
    """The dominant colour of the subject's pixels, in CIELAB."""
    terms = [slow_term(*pixel) for pixel in subject]
    most = max((*TERMS, None), key=terms.count)
    alike = [pixel for pixel, term in zip(subject, terms, strict=True) if term == most]
    for _ in range(3):
        mean = [sum(values) / len(alike) for values in zip(*alike, strict=True)]
        near = [p for p in subject if (0.75 * (p[0] - mean[0])) ** 2 + math.dist(p[1:], mean[1:]) ** 2 < 900]
        if not near:
            break
        alike = near
    if len(alike) < len(subject) / 2:
        return None
    mean = [sum(values) / len(alike) for values in zip(*alike, strict=True)]
    around = [mean] + [[m + (s if k == axis else 0) for k, m in enumerate(mean)] for axis in range(3) for s in (3, -3)]
    names = {slow_term(*color) for color in around}
    return names.pop() if len(names) == 1 else None
