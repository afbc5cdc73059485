"""How scenes are put into sentences: for each image set some families, which word any subset of its factors.

A sentence names one thing by the adjectives and the noun that are said of it, and then adds clauses. Nothing else is in
it, so that what is not said leaves no trace. The families are ours; their kinds are those of [cai2025]: three sentences
for each level of selection of MPI3D-Complex, five phrasings for Causal3DIdent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from string import Formatter
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Family:
    """One way to word scenes.

    Args:
        frame: The sentence, with `{thing}` for adjectives and noun.
        clauses: What follows, in order; one is used if all factors that it names are said and no earlier one said them.
    """

    frame: str
    clauses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The sentences of an image set.

    Args:
        adjectives: Factors that stand before the noun, in order.
        noun: The factor that is the noun.
        otherwise: The noun where that factor is not said.
        families: Ways to word a scene.
        words: By factor and value, the word for it, where that is not the value itself.
    """

    adjectives: tuple[str, ...]
    noun: str
    otherwise: str
    families: tuple[Family, ...]
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@lru_cache(maxsize=1 << 12)
def sentence(name: str, family: int, said: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """A sentence that says some factors.

    Args:
        name: The image set.
        family: Number of the family.
        said: Which factors; all must be in one of its clauses, the adjectives or the noun.

    Returns:
        The sentence with `%s` for each value, and the factors of these in order.

    Example:
        >>> sentence("mpi3d-like", 0, frozenset({"shape", "camera"}))
        ('a photo of the %s, seen in %s view', ('shape', 'camera'))
        >>> sentence("mpi3d-like", 0, frozenset())
        ('a photo of the object', ())
    """
    return worded(WORDINGS[name], family, said)


def worded(wording: Wording, family: int, said: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """A sentence of any wording: see `sentence`."""
    chosen, left = wording.families[family], set(said) - {*wording.adjectives, wording.noun}
    before = [f"{{{factor}}}" for factor in wording.adjectives if factor in said]
    thing = " ".join([*before, f"{{{wording.noun}}}" if wording.noun in said else wording.otherwise])
    parts = [chosen.frame.replace("{thing}", thing)]
    for clause in chosen.clauses:
        named = set(fields(clause))
        if named <= left:
            parts.append(clause)
            left -= named
    assert not left, f"no clause of family {family} words {sorted(left)}"
    text = ", ".join(parts)
    order = tuple(fields(text))
    return text.replace("%", "%%").format(**dict.fromkeys(order, "%s")), order


def fields(text: str) -> Iterable[str]:
    """Factors that a text names, in order."""
    return [name for _, name, _, _ in Formatter().parse(text) if name]


_MPI3D = Wording(
    adjectives=("size", "color"),
    noun="shape",
    otherwise="object",
    families=(
        Family(frame="a photo of the {thing}", clauses=("seen in {camera} view", "before a {background} background")),
        Family(
            frame="the {thing} lies in the robot's hand",
            clauses=("the camera is at the {camera}", "the background is {background}"),
        ),
        Family(
            frame="here someone shows the {thing}",
            clauses=("photographed from the {camera}", "with {background} behind it"),
        ),
    ),
)
_PLACES = ("in column {x} and row {y}", "in column {x}", "in row {y}")
_DSPRITES = Wording(
    adjectives=(),
    noun="shape",
    otherwise="figure",
    families=(
        Family(
            frame="a picture of the {thing}", clauses=("of scale {scale}", "turned by step {orientation}", *_PLACES)
        ),
        Family(
            frame="the white {thing}", clauses=(*_PLACES, "drawn at scale {scale}", "rotated by step {orientation}")
        ),
        Family(
            frame="on black ground lies the {thing}",
            clauses=("its orientation is step {orientation}", "its scale is {scale}", *_PLACES),
        ),
    ),
)
_TENTHS = ["red", "orange", "lime", "green", "mint", "cyan", "blue", "indigo", "purple", "pink"]  # of the colour circle
_TONES = MappingProxyType({f"{tenth / 10:.1f}": word for tenth, word in enumerate(_TENTHS)})
_SHAPES3D = Wording(
    adjectives=("object_hue",),
    noun="shape",
    otherwise="object",
    families=(
        Family(
            frame="a picture of the {thing}",
            clauses=(
                "of size {scale}", "on the {floor_hue} floor before the {wall_hue} wall", "on the {floor_hue} floor",
                "before the {wall_hue} wall", "seen from angle {orientation}",
            ),
        ),
        Family(
            frame="the {thing} stands in a room",
            clauses=(
                "the floor is {floor_hue}", "the wall is {wall_hue}", "its size is {scale}",
                "the camera is at angle {orientation}",
            ),
        ),
        Family(
            frame="this room holds the {thing}",
            clauses=(
                "viewed at angle {orientation}", "with {wall_hue} walls", "with {floor_hue} ground",
                "as large as size {scale}",
            ),
        ),
    ),
    words=MappingProxyType(dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), _TONES)),
)  # fmt: skip
_CAUSAL3DIDENT = Wording(
    adjectives=("object_hue",),
    noun="shape",
    otherwise="object",
    families=(
        Family(
            frame="a picture of the {thing}",
            clauses=(
                "in the {x} column and the {y} row", "in the {x} column", "in the {y} row",
                "under the {spot_hue} spotlight from the {spot_position}", "under the {spot_hue} spotlight",
                "under the spotlight from the {spot_position}", "before the {background_hue} background",
            ),
        ),
        Family(
            frame="the {thing} is rendered",
            clauses=(
                "the background is {background_hue}", "the spotlight shines {spot_hue} from the {spot_position}",
                "the spotlight shines {spot_hue}", "the spotlight shines from the {spot_position}",
                "the object is in the {y} row and the {x} column", "the object is in the {y} row",
                "the object is in the {x} column",
            ),
        ),
        Family(
            frame="there is the {thing}",
            clauses=(
                "lit from the {spot_position} in {spot_hue} light", "lit from the {spot_position}",
                "lit in {spot_hue} light", "standing on the {background_hue} ground", "{x} column", "{y} row",
            ),
        ),
        Family(
            frame="this scene shows the {thing}",
            clauses=(
                "row {y} and column {x}", "row {y}", "column {x}", "on {background_hue} ground",
                "with {spot_hue} light falling from the {spot_position}", "with {spot_hue} light falling on it",
                "with light falling from the {spot_position}",
            ),
        ),
        Family(
            frame="we see the {thing}",
            clauses=(
                "which is on the {background_hue} floor", "which is in the {x} column", "which is in the {y} row",
                "and a lamp at the {spot_position} with {spot_hue} color", "and a lamp at the {spot_position}",
                "and a lamp with {spot_hue} color",
            ),
        ),
    ),
)  # fmt: skip

WORDINGS: Mapping[str, Wording] = MappingProxyType(
    {
        "dsprites": _DSPRITES,
        "shapes3d-like": _SHAPES3D,
        "mpi3d-like": _MPI3D,
        "mpi3d-real-like": _MPI3D,
        "causal3dident": _CAUSAL3DIDENT,
    }
)
"""By image set."""
