"""The pairs of the main job: who is in which split, and what each caption policy writes about them."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from vergence.data import Policy, load_emoji, split_by_concept, write_captions
from vergence.encoders import Vocabulary
from vergence.pairs import Pairs
from vergence.random import named
from vergence.studies.demo.spec import Recipe
from vergence.views import ViewPair


@dataclass(frozen=True, eq=False)
class Corpus:
    """The set, decoded once, and its split by concept."""

    emoji: Pairs
    pixels: UInt8[Tensor, "n 3 64 64"]
    train: np.ndarray
    test: np.ndarray

    def digest(self) -> str:
        """A short hash of images and labels, which tells two sets apart."""
        content = hashlib.sha256(repr((self.emoji.keys, self.emoji.texts)).encode())
        content.update(self.pixels.numpy().tobytes())
        return content.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Captioned:
    """A corpus under one policy: the captions, the words of the training half, and the pairs."""

    captions: list[str]
    vocabulary: Vocabulary
    views: ViewPair

    def digest(self) -> str:
        """A short hash of the captions: all that a policy does to a training."""
        return hashlib.sha256("\n".join(self.captions).encode()).hexdigest()[:16]


@lru_cache(maxsize=4)  # decoding takes a second, and a study asks for one set many times
def load_corpus(recipe: Recipe, *, seed: int, data: Path | None = None) -> Corpus:
    """Load the set, or a random share of its concepts, and split it by concept, every group in both halves."""
    emoji = load_emoji(data)
    if recipe.concepts is not None:
        names = np.unique(emoji.clusters)
        if recipe.concepts < len(names):
            chosen = torch.randperm(len(names), generator=named(seed, "concepts"))[: recipe.concepts].numpy()
            emoji = emoji.take(np.flatnonzero(np.isin(emoji.clusters, names[chosen])))
    split = split_by_concept(
        emoji.clusters,
        {"train": 1 - recipe.test_fraction, "test": recipe.test_fraction},
        generator=named(seed, "split"),
        strata=emoji.labels["group"],
    )
    return Corpus(emoji=emoji, pixels=emoji.images.tensor(), **split)


def caption(corpus: Corpus, policy: Policy, *, seed: int) -> Captioned:
    """Write the captions of a policy and number their words; words that no training caption has are unknown."""
    captions = write_captions(corpus.emoji, policy, seed=seed)
    vocabulary = Vocabulary.of(captions[row] for row in corpus.train)
    views = ViewPair(image=corpus.pixels, text=vocabulary.encode(captions))
    return Captioned(captions=captions, vocabulary=vocabulary, views=views)


def queries(labels: pd.DataFrame) -> list[dict[str, str]]:
    """Factor values to look for in retrieval: what the retrieval examples ask of every policy alike."""
    wanted = [
        {"skin_tone": "dark", "gender": "woman", "group": "people & body"},
        {"skin_tone": "light", "gender": "man", "group": "people & body"},
        {"group": "animals & nature"},
    ]
    known = {name: set(labels[name].dropna()) for name in labels}
    return [query for query in wanted if all(value in known[name] for name, value in query.items())]
