"""What `awareness-causal` trains: one frozen record per run, from which everything random follows."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float64, Int

from vergence.checks import at_least, inside, one_of, positive
from vergence.random import named

RENDERED, DRAWINGS = "rendered", "drawings"
ASSIGNED, EASY_FIRST = "assigned", "easy first"
RATES, NATURAL, LABELS = "natural rates", "natural captions", "labels"
TEACHERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {RENDERED: (ASSIGNED, EASY_FIRST, LABELS), DRAWINGS: (ASSIGNED, RATES, NATURAL, LABELS)}
)
"""Of each set. Rates are *assigned* at random; or the values that are easiest to tell are mentioned most; or each
value is mentioned as often as people's labels and tags of its drawings do, in captions that are else the same; or
captions are those labels and tags themselves; or there are no captions, and the labels teach."""
OBSERVED: Mapping[str, tuple[str, ...]] = MappingProxyType({RENDERED: (EASY_FIRST,), DRAWINGS: (RATES, NATURAL)})
"""Where coverage comes with what makes a value easy or hard."""
WIDE: Mapping[str, tuple[str, ...]] = MappingProxyType({RENDERED: (), DRAWINGS: (NATURAL,)})
"""Which of them the wide encoders learn from as well: what the paper compares two models on."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """Which images.

    Args:
        name: "rendered" or "drawings".
        n_images: How many are rendered, at least 960; of the drawings, `None` for all.
        side: Pixels of a side, a multiple of 12 where images are rendered.
        least: The lowest mention rate that is assigned, in (0, 1); the highest is 1.
        fewest: Drawings that a value has at least.
    """

    name: str
    n_images: int | None
    side: int
    least: float
    fewest: int = 1

    def __post_init__(self) -> None:
        one_of("images", self.name, TEACHERS)
        inside("least", self.least, 0, 1)
        if self.n_images is not None:
            at_least("n_images", self.n_images, 960)
        at_least("fewest", self.fewest, 1)


@dataclass(frozen=True, kw_only=True)
class CausalRun:
    """One training.

    Args:
        data: Which images.
        seed: Of the split, weights, order and captions, at least 0.
        taught_by: One of `TEACHERS` of the set.
        assignment: Which of the random permutations of the rates over the values.
        width: How many times wider the image's encoder is than the narrowest, at least 1.
        encoding_size: Outputs of both encoders, at least 1.
        epochs: Passes over the training images, captions drawn anew in each, at least 1.
        batch_size: Pairs in a step.
        learning_rate: Highest rate of AdamW.
        temperature: Where the temperature of the cosines starts; it is learned.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    data: SetSpec
    seed: int
    taught_by: str
    assignment: int = 0
    width: int = 1
    encoding_size: int = 64
    epochs: int = 3
    batch_size: int = 256
    learning_rate: float = 4e-3
    temperature: float = 0.07

    def __post_init__(self) -> None:
        one_of("taught_by", self.taught_by, TEACHERS[self.data.name])
        for name in ("seed", "assignment"):
            at_least(name, getattr(self, name), 0)
        for name in ("width", "encoding_size", "epochs"):
            at_least(name, getattr(self, name), 1)
        at_least("batch_size", self.batch_size, 2, why="a contrastive loss needs a negative")
        positive("learning_rate", self.learning_rate)
        positive("temperature", self.temperature)

    @property
    def ceiling(self) -> "CausalRun":
        """The same encoder, taught by the labels."""
        return replace(self, taught_by=LABELS, assignment=0)

    def key(self) -> Mapping[str, object]:
        """All of it, as JSON can say it."""
        return asdict(self)


def assigned_rates(run: CausalRun, easiness: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """Mention rates of the values: evenly spaced logarithms from the lowest to 1, in the order that the run says.

    Args:
        run: Its rates are assigned, at random or to the easiest values first.
        easiness: Of the values; used in the latter case.
    """
    k = len(easiness)
    rates = np.geomspace(run.data.least, 1.0, k)
    shuffled = permutation(k, run.seed, run.data.name, run.assignment, "assignment")
    if run.taught_by == EASY_FIRST:
        shuffled = shuffled[np.argsort(easiness[shuffled], kind="stable")]  # equally easy ones at random
    assigned = np.empty(k)
    assigned[shuffled] = rates
    return assigned


def permutation(n: int, seed: int, *names: object) -> Int[np.ndarray, " n"]:
    """A random order of so many things, of a named stream."""
    return torch.randperm(n, generator=named(seed, *names)).numpy()


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the study is.

    Args:
        rendered: A run on rendered images, of seed 0, whose rates are assigned.
        drawings: The same on drawings.
        seeds: Trials of each setting.
        assignments: Of the rates, for each seed; wide encoders learn from the first.
        widths: Of the image's encoder, the narrow one first.
    """

    rendered: CausalRun
    drawings: CausalRun
    seeds: int = 3
    assignments: int = 2
    widths: tuple[int, ...] = (1, 2)

    def runs_of_seed(self, seed: int) -> Iterator[CausalRun]:
        """Every run of one seed."""
        for base in (self.rendered, self.drawings):
            own = replace(base, seed=seed)
            for width in self.widths:
                wide = replace(own, width=width)
                narrow = width == self.widths[0]
                yield from (replace(wide, assignment=number) for number in range(self.assignments if narrow else 1))
                observed = OBSERVED[base.data.name] if narrow else WIDE[base.data.name]
                yield from (replace(wide, taught_by=name) for name in observed)
                yield wide.ceiling


_RENDERED = SetSpec(name=RENDERED, n_images=50_400, side=16, least=1e-3)
_DRAWINGS = SetSpec(name=DRAWINGS, n_images=None, side=24, least=0.1, fewest=20)


def _run(data: SetSpec, **settings: int | float) -> CausalRun:
    return CausalRun(data=data, seed=0, taught_by=ASSIGNED, **settings)  # type: ignore[arg-type]


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "smoke": Scale(
            rendered=_run(replace(_RENDERED, n_images=1_440), epochs=1),
            drawings=_run(replace(_DRAWINGS, side=16), epochs=1),
            seeds=1,
        ),
        "cpu": Scale(rendered=_run(_RENDERED), drawings=_run(_DRAWINGS, epochs=20, batch_size=128)),
        "paper": Scale(
            rendered=_run(replace(_RENDERED, n_images=192_000, side=48), epochs=20),
            drawings=_run(replace(_DRAWINGS, side=64), epochs=100, batch_size=128),
            seeds=5,
            widths=(1, 4),
        ),
    }
)
