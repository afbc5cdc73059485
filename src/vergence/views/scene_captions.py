"""Captions of the controlled image sets, and what each caption itself records of every factor that it mentions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vergence.checks import one_of
from vergence.errors import FactorError, unknown
from vergence.factors import FactorSpace
from vergence.latent.encoding import as_columns
from vergence.misalignment import Misalignment
from vergence.scenes import Scenes, scenes
from vergence.views.palettes import PALETTES, color_arcs
from vergence.views.record import factor_places, text_places
from vergence.views.wording import WORDINGS, sentence

REGIONS = ("northwest", "northeast", "center", "southwest", "southeast")
"""Where the spotlight of Causal3DIdent is, by fifths of its way along the half circle, from 0 to 1 ([cai2025])."""

_TURNS: Mapping[str, tuple[float, float]] = MappingProxyType(  # HSV hue = scale * value + shift, as it is rendered
    {"object_hue": (1.0, 0.0), "spot_hue": (0.5, -0.25), "background_hue": (0.5, -0.25)}
)

PALETTE_OF_HUE: Mapping[str, str] = MappingProxyType(
    {"object_hue": "tableau", "spot_hue": "css4", "background_hue": "xkcd"}
)
"""Palettes in which no two hues share their names: those of [cai2025]'s script, one for each hue."""


@dataclass(frozen=True, eq=False)
class SceneCaptions:
    """Captions of some scenes.

    Args:
        texts: One for each scene.
        said: What each caption records, a column for each factor that may be mentioned, `None` where nothing is said:
            a value, the name of a colour or a region. Where a hue may be named and palettes are drawn, the column
            `palette` says of which one the names of that caption are.
    """

    texts: list[str]
    said: pd.DataFrame


def write_scene_captions(
    name: str | Scenes,
    labels: pd.DataFrame,
    misalignment: Misalignment,
    *,
    generator: torch.Generator,
    palettes: Mapping[str, str] | None = None,
) -> SceneCaptions:
    r"""Caption scenes in the papers' families of sentences, with what the misalignment omits and gets wrong.

    Source: [cai2025], MPI3D-Complex and Causal3DIdent. A factor that is perturbed is redrawn uniformly before it is
    worded. The hues of Causal3DIdent become the nearest names of a palette, drawn for each caption of three, and the
    background is named by its own hue; differs: their script takes that of the object, and names all hues as if they
    went once around the colour circle, where the rendered ones of the spotlight and the background go half around it.
    Each caption draws its family of sentences. What is drawn of one factor, the palette and the family do not depend on
    any label or on what happens to other factors.

    Args:
        name: An image set, or a coarser form of one.
        labels: What is the case, a column for each factor: values, or numbers in [0, 1].
        misalignment: What captions mention, of the factors that they may name, and what they get wrong.
        generator: Draws omissions, wrong values, palettes and families.
        palettes: By hue, the palette of its names in all captions, as `PALETTE_OF_HUE`; drawn if `None`.

    Returns:
        The captions, with what they record.

    Raises:
        ConfigError: If there is no such image set or palette.
        FactorError: If a hue has no palette, a factor or value is unknown, captions cannot name the factor, or a number
            is outside [0, 1].

    Example:
        >>> from vergence.random import generator
        >>> labels = scenes("causal3dident").draw(1, generator=generator(0))
        >>> bias = Misalignment({"shape", "object_hue"})
        >>> captions = write_scene_captions("causal3dident", labels, bias, generator=generator(1))
        >>> captions.texts, captions.said.columns.tolist()
        (['...'], ['shape', 'object_hue', 'palette'])
    """
    scene = name if isinstance(name, Scenes) else scenes(name)
    for factor in sorted(misalignment.selected - set(scene.captioned)):
        raise FactorError(unknown(f"factor in captions of {scene.name}", factor, scene.captioned))
    ranges = {factor.name: (0.0, 1.0) for factor in scene.space.factors if factor.is_continuous}
    places = text_places(labels, scene.space, misalignment, generator=generator, ranges=ranges)
    palette = torch.randint(len(PALETTES), (len(labels),), generator=generator).numpy()
    family = torch.randint(len(WORDINGS[scene.name].families), (len(labels),), generator=generator).numpy()
    hues = [factor for factor in places if factor in _TURNS and scene.space[factor].is_continuous]
    of_hue = {hue: palette if palettes is None else _fixed(palettes, hue, len(labels)) for hue in hues}
    said = {
        factor: _colors(factor, found, of_hue[factor])
        if factor in of_hue
        else _named(factor, found, scene.space[factor].values)
        for factor, found in places.items()
    }
    columns = dict(said)
    if hues and palettes is None:
        columns["palette"] = np.array(list(PALETTES), dtype=object)[palette]
    known = WORDINGS[scene.name].words
    words = {
        factor: _worded(known.get(factor), scene.space[factor].values, column, places[factor])
        for factor, column in said.items()
    }
    texts = _sentences(scene.name, words, places, family)
    return SceneCaptions(texts, pd.DataFrame(columns, index=labels.index, dtype=object))


def factor_codes(record: pd.DataFrame, space: FactorSpace, names: Iterable[str]) -> Float[Tensor, "n columns"]:
    """Some factors as numbers, in place of a text: the second modality of [almudevar2025]'s controlled experiments.

    Args:
        record: Labels, or what is said of them, a column for each of the factors.
        space: All factors.
        names: The essence: those to write, in this order.

    Returns:
        One-hot codes side by side, zeros where nothing is stated; a continuous factor is its value.

    Raises:
        FactorError: If a factor or value is unknown, or a continuous one is not stated everywhere.

    Example:
        >>> labels = pd.DataFrame({"shape": ["heart", None, "square"]})
        >>> factor_codes(labels, scenes("dsprites").space, ["shape"])
        tensor([[0., 0., 1.],
                [0., 0., 0.],
                [1., 0., 0.]])
    """
    wanted = list(names)
    values = np.full((len(record), len(space)), np.nan)
    for name in wanted:
        factor = space[name]
        if name not in record.columns:
            raise FactorError(unknown("factor in the record", name, map(str, record.columns)))
        places = factor_places(record[name], factor)
        if factor.is_continuous and np.isnan(places).any():
            raise FactorError(f"{name!r} is continuous: no code says that it is not stated; state it in every row")
        values[:, space.names.index(name)] = places if factor.is_continuous else np.where(places < 0, np.nan, places)
    return as_columns(torch.from_numpy(values).to(torch.get_default_dtype()), space, wanted)


def _named(factor: str, places: Shaped[np.ndarray, " n"], values: tuple[str, ...] | None) -> Shaped[np.ndarray, " n"]:
    """What captions record of one factor that is no hue: values, or regions; `None` where nothing is said."""
    if values is None:
        fifths = np.minimum((_in_unit_interval(factor, places) * len(REGIONS)).astype(np.int64), len(REGIONS) - 1)
        values, places = REGIONS, np.where(np.isnan(places), -1, fifths)
    found: np.ndarray = np.array([*values, None], dtype=object)[places]
    return found


def _colors(hue: str, places: Float[np.ndarray, " n"], palette: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """The names of the colours of one hue, each in the palette of that number; `None` where nothing is said."""
    scale, shift = _TURNS[hue]
    turned = scale * _in_unit_interval(hue, places) + shift
    found = np.full(len(places), None, dtype=object)
    for number, one in enumerate(PALETTES):
        rows = np.flatnonzero((palette == number) & ~np.isnan(places))
        found[rows] = color_arcs(one).name(turned[rows])
    return found


def _in_unit_interval(factor: str, places: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The values themselves, 0 for NaN, if all others are in [0, 1]."""
    known = np.where(np.isnan(places), 0.0, places)
    if len(wrong := known[(known < 0) | (known > 1)]):
        raise FactorError(f"values of {factor!r} must be in [0, 1]; got {wrong[np.abs(wrong - 0.5).argmax()]:g}")
    return known


def _fixed(palettes: Mapping[str, str], hue: str, n: int) -> Shaped[np.ndarray, " n"]:
    """The number of the one palette of a hue, n times."""
    if hue not in palettes:
        raise FactorError(f"no palette for {hue!r}; name one of {', '.join(PALETTES)}, or none for all hues")
    one_of("palette", palettes[hue], PALETTES)
    return np.full(n, list(PALETTES).index(palettes[hue]))


def _worded(
    words: Mapping[str, str] | None, values: tuple[str, ...] | None, said: np.ndarray, places: np.ndarray
) -> Shaped[np.ndarray, " n"]:
    """What is said of one factor, in words."""
    return said if words is None else np.array([*(words[value] for value in values or ()), None], dtype=object)[places]


def _sentences(name: str, words: dict[str, np.ndarray], places: dict[str, np.ndarray], family: np.ndarray) -> list[str]:
    """One sentence for each scene; those of one form are written together."""
    factors = list(words)
    form = family.astype(np.int64)
    for number, factor in enumerate(factors):
        form = form + ((places[factor] >= 0).astype(np.int64) << (number + 8))  # NaN is not: nothing is said
    texts = np.empty(len(form), dtype=object)
    for one in np.unique(form).tolist():
        rows = np.flatnonzero(form == one)
        spoken = frozenset(factor for number, factor in enumerate(factors) if one >> (number + 8) & 1)
        template, order = sentence(name, one & 255, spoken)
        columns = [words[factor][rows].tolist() for factor in order]
        texts[rows] = list(map(template.__mod__, zip(*columns, strict=True))) if columns else template
    return texts.tolist()
