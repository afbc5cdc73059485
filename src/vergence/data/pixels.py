"""What pixels state of an image without a model: colour, lightness, grey or colour, aspect, transparency.

Every image is judged by itself, and gets no label of a factor rather than one that may be wrong:

    factor        label                   where                                             none
    color         a term of color_names   it names the mean of what is alike in the         alike is less than half the
                                          subject                                           subject; another term, or
                                                                                            none, within 3 of the mean
    lightness     dark, medium, light     the subject's median L* is below 40, up to 70,    within 3 of 40 or of 70
                                          above
    chroma        grey, colour            C* >= 10 in less than 5 % of the subject;         between the two
                                          C* >= 18 in at least 5 %
    aspect        portrait, square,       longer side over the shorter above 1.1,           between the two
                  landscape               at most 1.03; upright, of the whole image
    transparency  opaque, transparent     alpha below 128 nowhere; in at least 1 %          between the two

The *subject* is what is left without the background: transparent pixels (alpha below 128) and white regions that touch
the border; and where these hold less than a quarter of the border, regions of one colour name that hold a quarter of it
or more. Where less than 0.5 % is left, as of a plain colour, it is all that is opaque. *Alike* are colours within 30 of
their mean, L* counting three quarters, since shading changes lightness first; the mean is that of the most frequent
term, moved to that of what is alike, three times. Words such as "dark" are relative to what they are said of ("dark
yellow" is light); lightness here is not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from vergence.checks import one_of
from vergence.data.color_names import BASIC_TERMS, NO_TERM, certain, color_table, places
from vergence.decoding import opaque
from vergence.errors import ConfigError

PIXEL_FACTORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "color": BASIC_TERMS,
        "lightness": ("dark", "medium", "light"),
        "chroma": ("grey", "colour"),
        "aspect": ("portrait", "square", "landscape"),
        "transparency": ("opaque", "transparent"),
    }
)
"""By factor, the values that pixels can show."""

_SIDE = 256  # pixels of the longer side beyond which an image is reduced, by a whole number
_OPAQUE = 128  # alpha, of 255
_OF_BORDER, _LEAST = 0.25, 0.005
_ALIKE, _STEPS, _DOMINANT = 30.0, 3, 0.5
_SHADE = np.array([0.75, 1.0, 1.0]) ** 2  # weights of L*, a*, b* in squared distances
_NOTHING = "nothing in it is opaque"


class Label(NamedTuple):
    """A value, or why there is none."""

    value: str | None
    reason: str = ""


class Subject(NamedTuple):
    """The different colours of the subject, and how many of its pixels have each.

    Args:
        lab: CIELAB.
        chroma: C*.
        terms: Places in `BASIC_TERMS`, or `NO_TERM`.
        counts: Pixels, >= 1.
    """

    lab: Float[np.ndarray, "colors 3"]
    chroma: Float[np.ndarray, " colors"]
    terms: UInt8[np.ndarray, " colors"]
    counts: Float[np.ndarray, " colors"]

    def mean(self, chosen: Bool[np.ndarray, " colors"]) -> Float[np.ndarray, "3"]:
        """The mean colour of the pixels of some of the colours."""
        counts = self.counts[chosen]
        mean: np.ndarray = counts @ self.lab[chosen] / counts.sum()
        return mean

    def share(self, chosen: Bool[np.ndarray, " colors"]) -> float:
        """Which share of the pixels have one of these colours."""
        return float(self.counts[chosen].sum() / self.counts.sum())


def pixel_labels(images: Iterable[Image.Image], factors: Sequence[str] = tuple(PIXEL_FACTORS)) -> pd.DataFrame:
    """Label images by their pixels.

    Args:
        images: Upright, of any size and mode; what has no alpha is opaque.
        factors: Which of `PIXEL_FACTORS`.

    Returns:
        A row for each image and a column for each factor; `None` where there is no label. `attrs["unlabelled"]` counts
        those by factor and reason.

    Raises:
        ConfigError: If a factor is unknown or comes twice, or there is none.
        MissingExtraError: If scikit-image is not installed.

    Example:
        >>> image = Image.new("RGB", (40, 30), "white")
        >>> image.paste((220, 30, 40), (10, 5, 25, 20))
        >>> pixel_labels([image]).loc[0].tolist()
        ['red', 'medium', 'colour', 'landscape', 'opaque']
    """
    return label_table([label_image(image, factors) for image in images], factors)


def label_table(labels: Sequence[Mapping[str, Label]], factors: Sequence[str]) -> pd.DataFrame:
    """Labels of several images as a table; see `pixel_labels`."""
    columns = {name: pd.Series([label[name].value for label in labels], dtype=object) for name in factors}
    table = pd.DataFrame(columns, columns=list(factors))
    reasons = {name: pd.Series([label[name].reason for label in labels], dtype=object) for name in factors}
    table.attrs["unlabelled"] = {name: of[of != ""].value_counts().to_dict() for name, of in reasons.items()}
    return table


def check_factors(factors: Sequence[str]) -> None:
    """Refuse what pixels do not state.

    Raises:
        ConfigError: If a factor is unknown or comes twice, or there is none.
    """
    for name in factors:
        one_of("pixel factor", name, PIXEL_FACTORS)
    if not factors or len(set(factors)) < len(factors):
        given = ", ".join(factors) or "none"
        raise ConfigError(f"name each factor once, at least one of {', '.join(PIXEL_FACTORS)}; got {given}")


def needs_colors(factors: Sequence[str]) -> bool:
    """Whether the table of colours is needed, and scikit-image for it."""
    return any(name in _OF_SUBJECT for name in factors)


def label_image(image: Image.Image, factors: Sequence[str] = tuple(PIXEL_FACTORS)) -> dict[str, Label]:
    """Label one image; see `pixel_labels`."""
    check_factors(factors)
    found, subject = {}, None
    for name in factors:
        if name in _OF_IMAGE:
            found[name] = _OF_IMAGE[name](image)
            continue
        subject = _subject(image) if subject is None else subject
        found[name] = _OF_SUBJECT[name](subject) if len(subject.counts) else Label(None, _NOTHING)
    return found


def _subject(image: Image.Image) -> Subject:
    table = color_table()
    factor = -(-max(image.size) // _SIDE)
    image = image.reduce(factor) if factor > 1 else image
    colors = places(np.asarray(opaque(image)))
    regions = table.terms[colors] + np.uint8(1)
    regions[_clear(image)] = 0
    different, counts = np.unique(colors[_foreground(regions)], return_counts=True)
    return Subject(table.lab[different], table.chroma[different], table.terms[different], counts * 1.0)


def _foreground(regions: UInt8[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """What is no background, of the terms of pixels from 1 on, and 0 for transparent ones."""
    from skimage.measure import label

    parts = label(regions, connectivity=1, background=0)
    edges = [(array[0], array[-1], array[:, 0], array[:, -1]) for array in (parts, regions)]
    border, terms = (np.concatenate(four) for four in edges)  # corners twice, so that shares survive an enlargement
    blank = (terms == 0) | (terms == BASIC_TERMS.index("white") + 1)
    left_out = np.zeros(int(parts.max()) + 1, dtype=bool)
    left_out[[0, *border[blank]]] = True
    if blank.mean() < _OF_BORDER:  # otherwise what touches the border is a cut-out, such as a flag
        left_out |= np.bincount(border, minlength=len(left_out)) >= _OF_BORDER * len(border)
    subject: np.ndarray = ~left_out[parts]
    return subject if subject.sum() >= _LEAST * subject.size else regions > 0


def _color(subject: Subject) -> Label:
    most = np.bincount(subject.terms, subject.counts, minlength=NO_TERM + 1).argmax()
    alike = subject.terms == most
    for _ in range(_STEPS):
        near = np.square(subject.lab - subject.mean(alike)) @ _SHADE < _ALIKE**2
        if not near.any():  # colours in a ring around their mean
            break
        alike = near
    if subject.share(alike) < _DOMINANT:
        return Label(None, "no colour is that of half the subject")
    term = certain(subject.mean(alike))
    return Label(term) if term else Label(None, "its colour lies between names")


def _lightness(subject: Subject) -> Label:
    order = np.argsort(subject.lab[:, 0])
    middle = np.searchsorted(np.cumsum(subject.counts[order]), subject.counts.sum() / 2)
    L = float(subject.lab[order[middle], 0])  # the lower median
    if min(abs(L - 40), abs(L - 70)) < 3:
        return Label(None, "its lightness lies between two values")
    return Label("dark" if L < 40 else "light" if L > 70 else "medium")


def _chroma(subject: Subject) -> Label:
    if subject.share(subject.chroma >= 18) >= 0.05:
        return Label("colour")
    grey = subject.share(subject.chroma >= 10) < 0.05
    return Label("grey") if grey else Label(None, "its chroma lies between grey and colour")


def _aspect(image: Image.Image) -> Label:
    width, height = image.size
    ratio = max(image.size) / min(image.size)
    if ratio <= 1.03:
        return Label("square")
    if ratio <= 1.1:
        return Label(None, "nearly square")
    return Label("portrait" if height > width else "landscape")


def _transparency(image: Image.Image) -> Label:
    share = float(_clear(image).mean())
    if 0 < share < 0.01:
        return Label(None, "less than 1 % is transparent")
    return Label("transparent" if share else "opaque")


def _clear(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    """Which pixels are transparent."""
    if not image.has_transparency_data:
        return np.zeros((image.height, image.width), dtype=bool)
    alpha: UInt8[np.ndarray, "height width"] = np.asarray(image.convert("RGBA").getchannel("A"))
    return alpha < _OPAQUE


_OF_SUBJECT: Mapping[str, Callable[[Subject], Label]] = MappingProxyType(
    {"color": _color, "lightness": _lightness, "chroma": _chroma}
)
_OF_IMAGE: Mapping[str, Callable[[Image.Image], Label]] = MappingProxyType(
    {"aspect": _aspect, "transparency": _transparency}
)
