"""The basic terms of colour: by which of eleven names people call a colour.

The terms are those of [berlin1969]. Where each begins was chosen in CIELAB, by lightness L*, chroma C* and hue angle h
in degrees, on every second colour of the xkcd survey [munroe2010] and every second drawing of the embedded set whose
label names a colour; the other halves test it (`benchmarks/pixel_labels.py`). The first line that holds names the
colour:

    black    L* < 6; C* < 15 and L* < 30
    white    C* < 13 and L* > 84
    grey     C* < 15 (13 where L* > 80)
    green    h from 103 (112 where L* > 85) to 188; h from 95 where L* < 58
    blue     h from 188 to 306.5 (310 where C* > 90 or L* < 25)
    purple   h on to 348 where L* < 45, to 335 where L* < 58, to 329 above; C* >= 26, with less there is no name
    pink     h on to 5 where L* >= 45, to 36 where L* >= 58 (61 if C* >= 60, 64 if C* >= 75)
    red      C* >= 36 and h on to 36 (44 where L* < 45, 43 where C* > 85, 40 where L* < 56)
    brown    h on to 36
    yellow   h + L* >= 152, L* >= 58 and C* >= 33 (45 where L* < 75); pale yellow is h >= 95, L* > 90 and C* >= 13
    orange   h < 77 and C* >= 45, L* >= 54 (45 where C* >= 65)
    brown    L* < 68
    none     what is left: beige, cream, pale skin
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from vergence.errors import MissingExtraError

BASIC_TERMS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
NO_TERM = len(BASIC_TERMS)
_LEVELS = 64  # of a channel; the table of all colours has 262,144, neighbours 4 of 255 apart
_LEVEL_OF = ((np.arange(256) * (_LEVELS - 1) + 127) // 255).astype(np.int32)  # 0 and 255 are kept exactly
_STEPS = tuple(_LEVEL_OF * _LEVELS**power for power in (2, 1, 0))  # by channel and value, what it adds to a place
_MARGIN = 3.0  # in CIELAB: some two differences that are just noticed


def color_terms(lab: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    """The basic term of each colour, by the table above.

    Args:
        lab: CIELAB for the white D65: L* in [0, 100], a*, b*.

    Returns:
        Places in `BASIC_TERMS`; `NO_TERM` where there is none.

    Example:
        >>> colors = np.array([[53.2, 80.1, 67.2], [60.0, 2.0, 1.0], [40.0, 18.0, 20.0]])
        >>> [BASIC_TERMS[term] for term in color_terms(colors)]
        ['red', 'grey', 'brown']
    """
    L, a, b = lab.T
    C, h = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    least_grey, least_pink = np.where(L > 80, 13, 15), np.where(C < 60, 58, np.where(C < 75, 61, 64))
    least_yellow, least_orange = np.where(L < 75, 45, 33), np.where(C < 65, 54, 45)
    faint = least_grey > C
    violet = (h >= 188) & (h < np.where(L < 45, 348, np.where(L < 58, 335, 329)))
    cool = (h >= 300) | (h < 5)  # of the turn from blue to red, what the lines before have left
    rosy = (h >= 300) | (h < 36)
    rules: tuple[tuple[str | None, np.ndarray], ...] = (
        ("black", (L < 6) | (faint & (L < 30))),
        ("white", faint & (L > 84)),
        ("grey", faint),
        ("green", (h >= np.where(L > 85, 112, 103)) & (h < 188)),
        ("blue", (h >= 188) & (h < np.where((C > 90) | (L < 25), 310, 306.5))),
        ("purple", violet & (C >= 26)),
        (None, violet),
        ("pink", cool & (L >= 45)),
        ("pink", rosy & (least_pink <= L)),
        ("red", (C >= 36) & ((h >= 300) | (h < np.where(L < 45, 44, np.where(C > 85, 43, np.where(L < 56, 40, 36)))))),
        ("brown", rosy),
        ("yellow", (h + L >= 152) & (L >= 58) & (least_yellow <= C)),
        ("yellow", (h >= 95) & (L > 90)),
        ("orange", (h < 77) & (C >= 45) & (least_orange <= L)),
        ("green", (h >= 95) & (L < 58)),
        ("brown", L < 68),
    )
    named = [NO_TERM if term is None else BASIC_TERMS.index(term) for term, _ in rules]
    return np.select([holds for _, holds in rules], named, NO_TERM)


def certain(lab: Float[np.ndarray, "3"]) -> str | None:
    """The term of a colour if all that is 3 away along L*, a* or b* has the same; `None` between two terms.

    Example:
        >>> certain(np.array([53.2, 80.1, 67.2])), certain(np.array([58.0, 60.0, 20.0]))
        ('red', None)
    """
    around = np.concatenate([np.zeros((1, 3)), _MARGIN * np.eye(3), -_MARGIN * np.eye(3)])
    terms = set(color_terms(np.asarray(lab, dtype=np.float64) + around).tolist())
    return BASIC_TERMS[terms.pop()] if len(terms) == 1 and NO_TERM not in terms else None


class ColorTable(NamedTuple):
    """All colours of 64 levels a channel.

    Args:
        lab: CIELAB.
        chroma: C*, >= 0.
        terms: Places in `BASIC_TERMS`, or `NO_TERM`.
    """

    lab: Float[np.ndarray, "colors 3"]
    chroma: Float[np.ndarray, " colors"]
    terms: UInt8[np.ndarray, " colors"]


@lru_cache
def color_table() -> ColorTable:
    """The table, made on first use, so that no pixel is converted one by one.

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    try:
        from skimage.color import rgb2lab
    except ImportError as error:
        raise MissingExtraError("scikit-image", extra="pixels") from error
    levels = np.linspace(0, 1, _LEVELS)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    lab = rgb2lab(colors).reshape(-1, 3)
    return ColorTable(lab, np.hypot(lab[:, 1], lab[:, 2]), color_terms(lab).astype(np.uint8))


def places(pixels: UInt8[np.ndarray, "*image 3"]) -> Int[np.ndarray, "*image"]:
    """Where in the table the colour of each pixel stands.

    Example:
        >>> int(places(np.array([255, 255, 255], dtype=np.uint8)))
        262143
    """
    red, green, blue = (_STEPS[channel][pixels[..., channel]] for channel in range(3))
    return np.asarray(red + green + blue)
