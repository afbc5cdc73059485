"""The words that edits put in: by factor, value, inflection and case, one after the other in a pool of texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Int64, UInt8

from vergence.corpus.inflection import inflected
from vergence.corpus.lexicon import Concept, Lexicon
from vergence.corpus.matching import compiled
from vergence.corpus.unicode import compared
from vergence.errors import ConfigError

_PEOPLE = frozenset(["man", "men", "woman", "women", "boy", "girl", "child", "person", "people", "lady", "guy", "baby"])
_INFLECTIONS = 5  # base, plural, third person, -ing, -ed


@dataclass(frozen=True, eq=False)
class Phrases:
    """What edits can say.

    Args:
        texts: The pool; its first is empty.
        offsets: Where each begins in `data`, and the last one's end.
        data: Their UTF-8 bytes.
        inflection: By number of a form, which it is.
        said: By value and inflection the place of a text, with its other cases after it; -1 where there is none.
        added: By value the place of the text that is added where it is missing; -1 where there is none.
        first: By factor the place of its first value in these two; a generic word, if any, follows its values.
        letters: The place of "A"; "B" to "Z" follow.
        articles: The place of "a"; "an", "A", "An", "AN" follow.
    """

    texts: tuple[str, ...]
    offsets: Int64[np.ndarray, " texts_and_one"]
    data: UInt8[np.ndarray, " bytes"]
    inflection: Int64[np.ndarray, " forms"]
    said: Int64[np.ndarray, "values inflections"]
    added: Int64[np.ndarray, " values"]
    first: Int64[np.ndarray, " factors"]
    letters: int
    articles: int


def make_phrases(
    lexicon: Lexicon,
    *,
    templates: Mapping[str, str] = MappingProxyType({}),
    generic: Mapping[str, str] = MappingProxyType({}),
) -> Phrases:
    """The words of a lexicon's values.

    Args:
        lexicon: Groups are factors.
        templates: By factor, how a missing value is added to the end of a caption, with {value} for it; ", {value}" if
            not given.
        generic: By factor, the word that stands for any of its values: "animal".

    Raises:
        ConfigError: If a template lacks {value}, or a generic word mentions a value of its factor.
    """
    texts: list[str] = [""]
    letters = len(texts)
    texts += [chr(65 + k) for k in range(26)]
    articles = len(texts)
    texts += ["a", "an", "A", "An", "AN"]
    said: list[list[int]] = []
    added: list[int] = []
    first: list[int] = []
    for group in lexicon.groups:
        template = templates.get(group.name, ", {value}")
        around = template.split("{value}")
        if len(around) != 2 or not {"{", "}"}.isdisjoint("".join(around)):
            raise ConfigError(f"the template of factor {group.name!r} must hold {{value}} once; got {template!r}")
        first.append(len(said))
        concepts = list(group.concepts)
        if word := generic.get(group.name):
            concepts.append(Concept(word, inflect="noun"))
        for concept in concepts:
            row = []
            for form in _inflections(concept):
                row.append(-1 if form is None else len(texts))
                texts += [] if form is None else [form, _capital(form), form.upper()]
            said.append(row)
            added.append(len(texts))
            texts.append(template.replace("{value}", _inflections(concept)[0] or concept.name))
    encoded = [text.encode() for text in texts]
    return Phrases(
        texts=tuple(texts),
        offsets=np.cumsum([0, *map(len, encoded)]).astype(np.int64),
        data=np.frombuffer(b"".join(encoded), dtype=np.uint8),
        inflection=np.array(
            [_which(form, concept) for concept in lexicon.concepts for form in concept.surface_forms], dtype=np.int64
        ),
        said=np.array(said, dtype=np.int64).reshape(-1, _INFLECTIONS),
        added=np.array(added, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        letters=letters,
        articles=articles,
    )


def nouns_of(lexicon: Lexicon, nouns: Sequence[str] = ()) -> list[bool]:
    """By concept, whether it is a noun: its factor is said to be one, its forms are inflected as nouns are, or people.

    Raises:
        ConfigError: If a name is no factor.
    """
    names = [group.name for group in lexicon.groups]
    for name in nouns:
        if name not in names:
            raise ConfigError(f"unknown factor {name!r} under nouns; known: {', '.join(names)}")
    return [
        group.name in nouns
        or concept.inflect == "noun"
        or _has_plural(concept)
        or not _PEOPLE.isdisjoint(concept.forms)
        for group in lexicon.groups
        for concept in group.concepts
    ]


def refuse_saying(lexicon: Lexicon, factor: str, word: str) -> None:
    """Refuse a word for any value that says one of them.

    Raises:
        ConfigError: Naming what it says.
    """
    found = compiled(lexicon, "word").spans([word])
    own = found.loc[found["group"] == factor, "concept"]
    if len(own):
        raise ConfigError(f"{word!r} cannot stand for any {factor}: it mentions {own.iloc[0]!r}; choose another word")


def _inflections(concept: Concept) -> list[str | None]:
    """The form to say in each inflection; only such as the audit finds again."""
    base = concept.forms[0]
    forms: list[str | None] = [base, None, None, None, None]
    if concept.inflect == "noun":
        forms[1] = _last(inflected(compared(base), "noun"), base)
    elif concept.inflect == "verb":
        ends = inflected(compared(base), "verb")
        forms[2:5] = [*ends[1:4], *[None] * 3][:3]
    elif (plural := _plural_of(concept, compared(base))) is not None:
        forms[1] = plural
    return forms


def _last(forms: tuple[str, ...], base: str) -> str:
    """The plural, with the capitals that the base is written with."""
    plural = forms[-1]
    common = 0
    while common < min(len(base), len(plural)) and base[common].lower() == plural[common]:
        common += 1
    return base[:common] + plural[common:]


def _plural_of(concept: Concept, base: str) -> str | None:
    plurals = set(inflected(base, "noun")[1:])
    return next((form for form in concept.forms if compared(form) in plurals), None)


def _has_plural(concept: Concept) -> bool:
    return any(_plural_of(concept, compared(form)) is not None for form in concept.forms)


def _which(form: str, concept: Concept) -> int:
    """Which inflection of some form of a concept this form is."""
    bases = [compared(base) for base in concept.forms]
    if concept.inflect == "verb":
        for base in bases:
            ends = inflected(base, "verb")
            if form in ends:
                return (0, 2, 3, 4)[ends.index(form)]
    plurals = {end for base in bases for end in inflected(base, "noun")[1:]}
    if form in plurals and (concept.inflect == "noun" or _has_plural(concept)):
        return 1
    return 0


def _capital(form: str) -> str:
    return form[:1].upper() + form[1:]
