"""Images of many values of one concept: coloured shapes made anew, and the drawings by what they are of."""

from collections.abc import Callable, Mapping, Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int, UInt8
from torch import Tensor

from vergence.data import load_emoji, load_emoji_tags
from vergence.factors import Factor, FactorSpace
from vergence.random import named
from vergence.render import render_scenes
from vergence.studies.causal.spec import DRAWINGS, RENDERED, SetSpec, permutation

CONCEPT = "concept"
N_HUES = 16
SIZES: Mapping[str, str] = MappingProxyType({"0.6": "small", "0.8": "middling", "1.0": "large"})
_GROWTH = 1.13
"""Of the gaps between neighbouring hues, which go from 8 to 48 degrees: some values are hard to tell, others easy."""
_SPREAD = 7.0  # degrees: hues of the images of one value
_SHAPES = ("square", "ellipse", "heart")
_PLACES = ("left", "centre", "right")
_FIRST, _REACH = 8, 16  # of 32 places a side, so that all that is drawn is in the inner three quarters
_CHUNK = 4_096
_FEWEST_THINGS = 5  # of a value, so that some can be held out
_TRAIN: Mapping[str, float] = MappingProxyType({RENDERED: 0.8, DRAWINGS: 2 / 3})


@dataclass(frozen=True, eq=False)
class ConceptSet:
    """Images, each of one value of a concept.

    Args:
        painted: Makes the pixels, in [0, 255], when they are first asked for.
        value: Number of the value that each image shows.
        names: Of the values, one word each.
        said: What captions say of each image beside its value.
        natural: What people say of each image; empty where nobody said anything.
        easiness: Of the values, as known beforehand; NaN where it is not.
        clusters: Which images show one thing.
        parts: Row numbers of "train" and "test", which share no cluster.
    """

    painted: Callable[[], UInt8[Tensor, "n 3 side side"]]
    value: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    said: Sequence[str]
    natural: Sequence[str]
    easiness: Float64[np.ndarray, " k"]
    clusters: Int[np.ndarray, " n"]
    parts: Mapping[str, Int[np.ndarray, " _"]]

    @cached_property
    def pixels(self) -> UInt8[Tensor, "n 3 side side"]:
        """All images."""
        return self.painted()

    @property
    def space(self) -> FactorSpace:
        """The concept, with its values."""
        return FactorSpace((Factor(CONCEPT, self.names),))

    def shares(self) -> Float64[np.ndarray, " k"]:
        """Of the training images, what each value has."""
        counts = np.bincount(self.value[self.parts["train"]], minlength=len(self.names))
        shares: np.ndarray = counts / counts.sum()
        return shares


@lru_cache(maxsize=2)  # a worker goes from run to run of one set and seed
def load_concepts(spec: SetSpec, *, seed: int) -> ConceptSet:
    """Make or load the images of a spec, and divide them as a seed says."""
    return _drawings(spec, seed) if spec.name == DRAWINGS else _rendered(spec, seed)


def hue_gaps() -> Float64[np.ndarray, " hues"]:
    """Degrees from each hue to the next: every gap is 13 % wider than the one before."""
    widths = _GROWTH ** np.arange(N_HUES)
    gaps: np.ndarray = 360 * widths / widths.sum()
    return gaps


def _rendered(spec: SetSpec, seed: int) -> ConceptSet:
    """Shapes of three sizes and sixteen hues, one word for each of the 48: no value is told of by another's word.

    Neighbouring hues differ by 8 to 48 degrees and each image's own hue by 7 from its value's, so that values differ in
    how easy they are to tell. Captions say left, centre or right as well; outline, turn, lightness and exact place are
    the image's own. All seeds share the images, and divide them anew.
    """
    assert spec.n_images is not None
    n = spec.n_images
    stream = named(0, spec.name, n, "images")

    def drawn(k: int) -> np.ndarray:
        return torch.randint(k, (n,), generator=stream).numpy()

    value = np.arange(n) % (len(SIZES) * N_HUES)  # as many images of each
    size, hue = np.divmod(value, N_HUES)
    shape, x, y, turn = drawn(len(_SHAPES)), drawn(_REACH), drawn(_REACH), drawn(40)
    gaps = hue_gaps()
    centres = np.cumsum(gaps) - gaps
    degrees = centres[hue] + _SPREAD * torch.randn(n, generator=stream).double().numpy()
    lightness = 0.6 + 0.4 * torch.rand(n, generator=stream).double().numpy()
    labels = pd.DataFrame(
        {
            "shape": np.array(_SHAPES)[shape],
            "scale": np.array(list(SIZES))[size],
            "orientation": turn.astype(str),
            "x": (_FIRST + x).astype(str),
            "y": (_FIRST + y).astype(str),
        }
    )
    order = permutation(n, seed, spec.name, "split")
    n_train = int(n * _TRAIN[spec.name])
    return ConceptSet(
        painted=partial(_painted, labels, degrees, lightness, side=spec.side),
        value=value,
        names=tuple(f"{said}-{centre:.0f}" for said in SIZES.values() for centre in centres),
        said=[_PLACES[3 * place // _REACH] for place in x],
        natural=(),
        easiness=np.tile(np.minimum(gaps, np.roll(gaps, 1)), len(SIZES)),
        clusters=np.arange(n),
        parts={"train": order[:n_train], "test": order[n_train:]},
    )


def _painted(
    labels: pd.DataFrame, degrees: Float64[np.ndarray, " n"], lightness: Float64[np.ndarray, " n"], *, side: int
) -> UInt8[Tensor, "n 3 side side"]:
    """The inner three quarters of the shapes' images, white become a colour."""
    edge = side // 6
    colours = np.array([hsv_to_rgb(d % 360 / 360, 1.0, v) for d, v in zip(degrees, lightness, strict=True)])
    painted = np.empty((len(labels), 3, side, side), dtype=np.uint8)
    for start in range(0, len(labels), _CHUNK):
        rows = slice(start, start + _CHUNK)
        masks = render_scenes("dsprites", labels.iloc[rows], side=side + 2 * edge)[:, edge:-edge, edge:-edge, 0]
        painted[rows] = np.rint(masks[:, None] * colours[rows, :, None, None])
    return torch.from_numpy(painted)


def _drawings(spec: SetSpec, seed: int) -> ConceptSet:
    """Drawings of the subgroups that have enough of them, of enough things; a thing is in one part."""
    pairs, tags = load_emoji(), load_emoji_tags()
    group = pairs.labels["subgroup"]
    things = pd.Series(pairs.clusters).groupby(group.to_numpy()).nunique()
    counts = group.value_counts()
    names = sorted(name for name in counts.index if counts[name] >= spec.fewest and things[name] >= _FEWEST_THINGS)
    rows = np.flatnonzero(group.isin(names))
    chosen = pairs.take(rows)
    value = np.array([names.index(name) for name in chosen.labels["subgroup"]])
    share = _TRAIN[spec.name]
    told = chosen.labels[["skin_tone", "gender"]].astype(object)
    return ConceptSet(
        painted=partial(chosen.images.tensor, side=spec.side),
        value=value,
        names=tuple(names),
        said=[
            " ".join(["drawing", *(word for word in row if word is not None)]) for row in told.itertuples(index=False)
        ],
        natural=[f"{text}, {', '.join(tags[row])}" for text, row in zip(chosen.texts, rows, strict=True)],
        easiness=np.full(len(names), np.nan),
        clusters=np.unique(chosen.clusters, return_inverse=True)[1],
        parts=chosen.split(
            {"train": share, "test": 1 - share}, generator=named(seed, spec.name, "split"), strata=value.tolist()
        ),
    )
