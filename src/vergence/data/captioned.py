"""Five captions for each drawing of the embedded set, and the lexicon that reads them back without error.

A caption names the base concept, which is one for all forms of a thing, and states factors in clauses, each led in by a
word of its own: what is left out leaves no other trace, and at every place the caption either goes into the clause or
does not. What it adds of tags are those that all forms of the concept share, so that they tell neither tone nor gender.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from vergence.data.scene_lexicon import phrases_of
from vergence.errors import ShapeError
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.pairs import Pairs
from vergence.random import named
from vergence.views import text_record
from vergence.views.wording import Family, Wording, worded

EACH = 5
"""Captions of a drawing."""

_THING, _TAG = "thing named", "tag"
_WORDING = Wording(
    adjectives=(),
    noun=_THING,
    otherwise="something",
    families=(
        Family(
            frame="a drawing of {thing}",
            clauses=("as a {gender}", "with {skin_tone} skin", "kind {subgroup}", "chapter {group}", "about {tag}"),
        ),
        Family(
            frame="an emoji for {thing}",
            clauses=("skin {skin_tone}", "gender {gender}", "group {group}", "type {subgroup}", "keyword {tag}"),
        ),
        Family(
            frame="this shows {thing}",
            clauses=(
                "class {subgroup}", "section {group}", "depicting a {gender}", "having {skin_tone} skin", "tag {tag}",
            ),
        ),
        Family(
            frame="here is {thing}",
            clauses=("under {group}", "person is {gender}", "tone is {skin_tone}", "sort {subgroup}", "see {tag}"),
        ),
        Family(
            frame="someone drew {thing}",
            clauses=("coloured {skin_tone}", "sex {gender}", "among {subgroup}", "within {group}", "recalls {tag}"),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FiveCaptions:
    """Captions of some drawings.

    Args:
        texts: Of each drawing `EACH`, no two alike in their wording.
        said: What each caption states, a row for each, those of a drawing together; `None` where it states nothing.
    """

    texts: list[tuple[str, ...]]
    said: pd.DataFrame


def caption_five(emoji: Pairs, tags: Sequence[Sequence[str]], misalignment: Misalignment, *, seed: int) -> FiveCaptions:
    """Caption drawings five times each, every caption with draws of its own.

    Args:
        emoji: What to caption: `load_emoji`, or a part of it.
        tags: Of each, as `load_emoji_tags` has them.
        misalignment: What captions mention, and what they say then.
        seed: Of what is left out, of wrong values and of the tags named, >= 0; what is drawn for a factor does not
            depend on the others.

    Raises:
        ShapeError: If there are not as many lists of tags as drawings.
        FactorError: As `text_record` does.

    Example:
        >>> from vergence.data import load_emoji, load_emoji_tags
        >>> emoji, tags = load_emoji(), load_emoji_tags()
        >>> row = emoji.texts.index("woman farmer: dark skin tone")
        >>> told = caption_five(emoji.take([row]), [tags[row]], Misalignment({"skin_tone", "group"}), seed=0)
        >>> told.texts[0][0]
        'a drawing of farmer with dark skin chapter people and body about ...'
    """
    if len(tags) != len(emoji):
        raise ShapeError(f"tags must be given for each drawing; got {len(tags)} for {len(emoji)}")
    labels = emoji.labels.loc[emoji.labels.index.repeat(EACH)].reset_index(drop=True)
    said = text_record(labels, emoji.space, misalignment, generator=named(seed, "five records"))
    which = torch.rand(len(labels), generator=named(seed, "five tags")).tolist()
    shared = _shared_tags(
        emoji.clusters, tags, {value for factor in emoji.space.factors for value in factor.values or ()}
    )
    spoken = said.to_dict("records")
    texts = []
    for row, place in enumerate(range(0, len(labels), EACH)):
        own = shared[emoji.clusters[row]]
        captions = []
        for family in range(EACH):
            values = {name: _word(value) for name, value in spoken[place + family].items() if not pd.isna(value)}
            values[_THING] = str(emoji.clusters[row])
            if own:
                values[_TAG] = own[int(which[place + family] * len(own))]
            template, order = _sentence(family, frozenset(values))
            captions.append(template % tuple(values[name] for name in order))
        texts.append(tuple(captions))
    return FiveCaptions(texts, said)


def phrases_of_drawings(space: FactorSpace) -> dict[str, dict[str, tuple[str, ...]]]:
    """By factor and value, the phrases that state it in any of the five captions.

    Example:
        >>> from vergence.data import load_emoji
        >>> phrases_of_drawings(load_emoji().space)["gender"]["man"]
        ('as a man', 'gender man', 'depicting a man', 'person is man', 'sex man')
    """
    words = {factor.name: {value: _word(value) for value in factor.values or ()} for factor in space.factors}
    return {
        factor: {
            value: tuple(phrase.replace("%", word) for phrase in dict.fromkeys(phrases_of(factor, _WORDING, words)))
            for value, word in of_value.items()
        }
        for factor, of_value in words.items()
    }


def sentences_stating(factor: str, value: str) -> tuple[str, ...]:
    """The five captions that name no thing and state one value of one factor.

    Example:
        >>> sentences_stating("skin_tone", "dark")[:2]
        ('a drawing of something with dark skin', 'an emoji for something skin dark')
    """
    made = (_sentence(family, frozenset({factor})) for family in range(EACH))
    return tuple(template % _word(value) for template, _ in made)


def longer_phrases(phrases: Mapping[str, Mapping[str, Sequence[str]]], own: Sequence[str]) -> tuple[str, ...]:
    """Phrases of other values within which one of these stands: "kind person" is none of "kind person role".

    Example:
        >>> longer_phrases({"kind": {"cat": ["kind cat"], "cat face": ["kind cat face"]}}, ["kind cat"])
        ('kind cat face',)
    """
    whole = re.compile("|".join(rf"\b{re.escape(phrase)}\b" for phrase in own))
    every = (phrase for of_value in phrases.values() for forms in of_value.values() for phrase in forms)
    return tuple(phrase for phrase in every if phrase not in own and whole.search(phrase))


@lru_cache(maxsize=1024)
def _sentence(family: int, said: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    template, order = worded(_WORDING, family, said)
    return template.replace(", ", " "), order  # a comma would be a word to learn, and says nothing


def _word(value: str) -> str:
    return value.replace("&", "and")


def _shared_tags(concepts: np.ndarray, tags: Sequence[Sequence[str]], values: set[str]) -> dict[str, list[str]]:
    """By concept the tags that all of its forms have, in order; not those that repeat its name or state a value."""
    found: dict[str, set[str]] = {}
    for concept, own in zip(concepts, tags, strict=True):
        found[concept] = found.get(concept, set(own)) & set(own)
    return {concept: sorted(own - values - {concept}) for concept, own in found.items()}
