"""The pairs of the main job: who is in which half, and what each caption policy writes about them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from vergence.data import Policy, load_emoji, write_captions
from vergence.encoders import Vocabulary
from vergence.pairs import Pairs
from vergence.random import named
from vergence.studies.demo.spec import Recipe


@dataclass(frozen=True, eq=False)
class Split:
    """Pairs, and the rows of both halves; images are decoded once."""

    pairs: Pairs
    train: np.ndarray
    test: np.ndarray

    @cached_property
    def pixels(self) -> UInt8[Tensor, "n 3 64 64"]:
        """All images."""
        return self.pairs.images.tensor()

    @cached_property
    def digest(self) -> str:
        """A short hash of images and labels, which tells two sets apart."""
        content = hashlib.sha256(repr((self.pairs.keys, self.pairs.texts)).encode())
        content.update(self.pixels.numpy().tobytes())
        return content.hexdigest()[:16]


@lru_cache(maxsize=4)  # decoding takes a second, and a study asks for one set many times
def load_split(recipe: Recipe, *, seed: int, data: Path | None = None) -> Split:
    """Load the set, or a random share of its concepts, and split it by concept, every group in both halves."""
    pairs = load_emoji(data)
    if recipe.concepts is not None:
        names = np.unique(pairs.clusters)
        if recipe.concepts < len(names):
            chosen = torch.randperm(len(names), generator=named(seed, "concepts"))[: recipe.concepts].numpy()
            pairs = pairs.take(np.flatnonzero(np.isin(pairs.clusters, names[chosen])))
    fractions = {"train": 1 - recipe.test_fraction, "test": recipe.test_fraction}
    rows = pairs.split(fractions, generator=named(seed, "split"), strata=pairs.labels["group"])
    return Split(pairs, **rows)


def caption(pairs: Pairs, policy: Policy, *, seed: int) -> Pairs:
    """The same pairs with the captions of a policy."""
    return replace(pairs, texts=write_captions(pairs, policy, seed=seed), misalignment=policy.misalignment)


def vocabulary_of(texts: Sequence[str], rows: np.ndarray) -> Vocabulary:
    """Number the words of some rows; words that none of them has are unknown."""
    return Vocabulary.of(texts[row] for row in rows)


def text_digest(texts: Sequence[str]) -> str:
    """A short hash of captions: all that a policy does to a training."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def queries(labels: pd.DataFrame) -> list[dict[str, str]]:
    """Factor values to look for in retrieval: what the retrieval examples ask of every policy alike."""
    wanted = [
        {"skin_tone": "dark", "gender": "woman", "group": "people & body"},
        {"skin_tone": "light", "gender": "man", "group": "people & body"},
        {"group": "animals & nature"},
    ]
    known = {name: set(labels[name].dropna()) for name in labels}
    return [query for query in wanted if all(value in known[name] for name, value in query.items())]
