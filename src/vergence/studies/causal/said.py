"""What captions say: how often each value is mentioned, drawn anew whenever an image is looked at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor

from vergence.encoders import Vocabulary
from vergence.random import named
from vergence.studies.causal.sets import ConceptSet
from vergence.studies.causal.spec import ASSIGNED, EASY_FIRST, LABELS, NATURAL, CausalRun, assigned_rates
from vergence.views.pairs import ViewPair

_REST = 0.5
"""How often each other word is said: a name alone, which is what awareness asks for, then is a caption that occurs."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often captions mention each value.

    Args:
        rates: Of the captions of a value's own images, how many mention it.
        shares: Of all captions, how many mention it; half a caption where none does.
        mentions: Pairs of an image and a caption that mention it, over the whole training.
    """

    rates: Float64[np.ndarray, " k"]
    shares: Float64[np.ndarray, " k"]
    mentions: Float64[np.ndarray, " k"]


def coverage_of(run: CausalRun, concepts: ConceptSet) -> Coverage:
    """How often the captions of a run mention each value.

    People mention a subgroup where a label or tag has a word of its name; a caption of theirs that has the word counts
    for the share, whatever its image shows.
    """
    train = concepts.parts["train"]
    of_value, n = concepts.shares(), len(train)
    if run.taught_by in (ASSIGNED, EASY_FIRST):
        rates = assigned_rates(run, concepts.easiness)
        shares = rates * of_value
    elif run.taught_by == LABELS:
        rates, shares = np.ones_like(of_value), of_value
    else:
        named_in = _names_in(concepts)[train]
        own = np.eye(len(concepts.names))[concepts.value[train]]
        rates = (named_in * own).sum(0) / np.maximum(own.sum(0), 1)
        shares = named_in.mean(0) if run.taught_by == NATURAL else rates * of_value
    return Coverage(rates, np.maximum(shares, 0.5 / n), rates * of_value * n * run.epochs)


def _names_in(concepts: ConceptSet) -> Float64[np.ndarray, "n k"]:
    """Whether what people say of an image has a word of the name of each value."""
    words = [set(words_of(name)) for name in concepts.names]
    return np.array([[float(bool(own & set(words_of(text)))) for own in words] for text in concepts.natural])


def words_of(text: str) -> list[str]:
    """Its words, those of a hyphenated name one by one.

    Example:
        >>> words_of("Food-fruit: red apple")
        ['food', 'fruit', 'red', 'apple']
    """
    return [word for word in "".join(c if c.isalnum() else " " for c in text.casefold()).split() if word]


@dataclass(frozen=True, eq=False)
class SaidAnew:
    """Images with captions that mention the value at its rate, drawn whenever an image is looked at.

    The draw follows from the rows of the batch, so that a training that was resumed draws what it would have drawn.

    Args:
        image: Pixels.
        name: Word number of each image's value.
        rate: How often it is mentioned.
        rest: Word numbers of what else is said; 0 pads.
        seed: Tells streams of draws apart.
    """

    image: UInt8[Tensor, "n 3 side side"]
    name: Int[Tensor, " n"]
    rate: Float[Tensor, " n"]
    rest: Int[Tensor, "n length"]
    seed: int

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> ViewPair:
        """The views of these rows."""
        chosen = torch.as_tensor(rows).long()
        stream = named(self.seed, chosen.tolist())
        mentioned = torch.rand(len(chosen), generator=stream) < self.rate[chosen]
        rest = self.rest[chosen]
        spoken = torch.rand(rest.shape, generator=stream) < _REST
        return ViewPair(
            image=self.image[chosen],
            text=torch.cat([(self.name[chosen] * mentioned)[:, None], rest * spoken], 1),
        )

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[ViewPair]:
        """The views of each group of rows, in order."""
        return map(self.take, groups)


@dataclass(frozen=True, eq=False)
class Said:
    """The captions of a run.

    Args:
        words: All that are said.
        views: The training images with their captions.
        prompts: The name of each value, as captions have it.
    """

    words: Vocabulary
    views: SaidAnew | ViewPair
    prompts: tuple[str, ...]


def captions_of(run: CausalRun, concepts: ConceptSet, coverage: Coverage) -> Said:
    """The captions that teach a run: people's own, or such as mention each value at its rate."""
    train = concepts.parts["train"]
    image = concepts.pixels[torch.from_numpy(train)]
    if run.taught_by == NATURAL:
        texts = [" ".join(words_of(concepts.natural[row])) for row in train]
        words = Vocabulary.of(texts)
        prompts = tuple(" ".join(words_of(name)) for name in concepts.names)
        return Said(words, ViewPair(image=image, text=words.encode(texts)), prompts)
    prompts = tuple(name.replace(" ", "-") for name in concepts.names)
    texts = [concepts.said[row] for row in train]
    words = Vocabulary.of([*texts, *prompts])
    numbers, value = words.encode(prompts)[:, 0], torch.from_numpy(concepts.value[train])
    views = SaidAnew(
        image=image,
        name=numbers[value],
        rate=torch.from_numpy(coverage.rates).float()[value],
        rest=words.encode(texts),
        seed=named(run.seed, run.assignment, "said").initial_seed(),
    )
    return Said(words, views, prompts)
