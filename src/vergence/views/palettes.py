"""Names of colours: where on the colour circle each name of a palette is the nearest.

A hue is named at full saturation and value, as in the text of the set that [cai2025] builds on, by the smallest
distance in RGB: so it is a point on six edges of the RGB cube. On an edge one channel moves, so the squared distances
to two colours differ by a line, and the places where one name passes to the next are known exactly: naming a hue is a
binary search, and no colour is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Shaped

from vergence.checks import one_of

PALETTES: Mapping[str, str] = MappingProxyType(
    {"tableau": "TABLEAU_COLORS", "css4": "CSS4_COLORS", "xkcd": "XKCD_COLORS"}
)
"""By name, the table of matplotlib that a palette is: 10, 148 and 949 colours."""

# Edges of the RGB cube in the order of the hue: where each begins, which channel moves, and which way.
_EDGES = (
    ((1, 0, 0), 1, 1), ((1, 1, 0), 0, -1), ((0, 1, 0), 2, 1), ((0, 1, 1), 1, -1), ((0, 0, 1), 0, 1), ((1, 0, 1), 2, -1),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Arcs:
    """The colour circle as arcs of one name each.

    Args:
        ends: Where each arc ends, as HSV hue in (0, 1], rising; the last is 1. An arc holds its beginning, not its end.
        names: What each is called; the last is followed by the first.
    """

    ends: Float[np.ndarray, " arcs"]
    names: Shaped[np.ndarray, " arcs"]

    def name(self, hues: Float[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """The name of each HSV hue, any number, of which whole turns do not matter."""
        turn = np.mod(np.asarray(hues, dtype=np.float64), 1.0)
        return self.names[np.searchsorted(self.ends[:-1], turn, side="right")]


def palette_colors(palette: str) -> dict[str, tuple[float, float, float]]:
    """The colours of a palette in [0, 1], by the names that a caption uses.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> [len(palette_colors(palette)) for palette in PALETTES]
        [10, 148, 949]
    """
    from matplotlib import colors  # 0.1 s that only captions of hues need

    one_of("palette", palette, PALETTES)
    table = getattr(colors, PALETTES[palette])
    return {name.rpartition(":")[2]: colors.to_rgb(code) for name, code in table.items()}


@lru_cache
def color_arcs(palette: str) -> Arcs:
    """Where on the colour circle each name of a palette is the nearest, of colours alike the one first in its table.

    Args:
        palette: One of `PALETTES`.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> color_arcs("css4").name(np.array([0.0, 1 / 3, 2 / 3])).tolist()
        ['red', 'lime', 'blue']
    """
    named = palette_colors(palette)
    colors = np.array(list(named.values()), dtype=np.float64)
    ends, chosen = list[float](), list[int]()
    for number, (start, channel, sign) in enumerate(_EDGES):
        offsets = ((np.array(start) - colors) ** 2).sum(1)
        slopes = -2.0 * sign * (colors[:, channel] - start[channel])
        for until, winner in _lowest(offsets, slopes):
            if chosen and chosen[-1] == winner:
                ends.pop(), chosen.pop()
            ends.append((number + until) / 6)
            chosen.append(winner)
    return Arcs(np.array(ends), np.array(list(named), dtype=object)[chosen])


def _lowest(offsets: Float[np.ndarray, " k"], slopes: Float[np.ndarray, " k"]) -> list[tuple[float, int]]:
    """Which of some lines is the lowest on [0, 1]: where each stretch ends, and whose it is."""
    at, stretches = 0.0, list[tuple[float, int]]()
    current = int(np.lexsort((np.arange(len(offsets)), slopes, offsets))[0])
    while True:
        steeper = np.flatnonzero(slopes < slopes[current])
        crossings = (offsets[steeper] - offsets[current]) / (slopes[current] - slopes[steeper])
        if not len(steeper) or crossings.min() >= 1.0:
            return [*stretches, (1.0, current)]
        first = crossings == crossings.min()
        at = max(at, float(crossings.min()))
        stretches.append((at, current))
        tied = steeper[first]
        current = int(tied[np.argmin(slopes[tied])])
