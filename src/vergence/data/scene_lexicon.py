"""The lexicon of an image set: by which words its captions mention each value, for the audit to count."""

from collections.abc import Iterator, Mapping
from typing import Any

from vergence.scenes import scenes
from vergence.views.wording import WORDINGS, Wording, fields


def scene_lexicon(name: str) -> dict[str, Any]:
    """Write the lexicon of an image set, as lexicon files have it.

    A value is mentioned by its word and the words around it in the sentences of the set, since a wall may be as red as
    a floor. Factors that are numbers, which captions put into names of colours and regions, are not in it.

    Args:
        name: An image set.

    Returns:
        Groups for the discrete factors that captions name, concepts for their values.

    Raises:
        ConfigError: If there is no such set.

    Example:
        >>> groups = {group["name"]: group["concepts"] for group in scene_lexicon("mpi3d-like")["groups"]}
        >>> groups["background"]["salmon"]
        ['before a salmon background', 'background is salmon', 'with salmon behind']
    """
    scene = scenes(name)
    wording = WORDINGS[name]
    words = {
        factor.name: {value: wording.words.get(factor.name, {}).get(value, value) for value in factor.values}
        for factor in scene.space.factors
        if factor.values and factor.name in scene.captioned
    }
    groups = []
    for factor, of_value in words.items():
        phrases = list(dict.fromkeys(phrases_of(factor, wording, words)))
        concepts = {value: [phrase.replace("%", word) for phrase in phrases] for value, word in of_value.items()}
        groups.append({"name": factor, "concepts": concepts})
    return {"name": name, "language": "English", "groups": groups}


def phrases_of(factor: str, wording: Wording, words: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """How a word of a factor comes in the sentences of a wording; `%` stands for it, and `words` are those of all."""
    nouns = [*words.get(wording.noun, {}).values(), wording.otherwise]
    if factor == wording.noun:
        yield "%"
    elif factor in wording.adjectives:
        others = {word for name, of_value in words.items() if name != factor for word in of_value.values()}
        others |= {part for word in others for part in word.split("-")}
        followed = wording.adjectives[-1] == factor and not others.isdisjoint(words[factor].values())
        yield from (f"% {noun}" for noun in nouns) if followed else ["%"]
    for family in wording.families:
        for clause in family.clauses:
            if factor in fields(clause):
                before, _, after = clause.partition(f"{{{factor}}}")
                left = before.rpartition("}")[2].split()[-2:]
                right = after.partition("{")[0].split()[:1]
                yield " ".join([*left, "%", *right])
