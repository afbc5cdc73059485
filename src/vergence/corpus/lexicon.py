"""Lexicons: groups of concepts, and the surface forms by which a caption mentions each; files: `lexicon_files`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from json import dumps
from typing import Any

import yaml

from vergence.corpus.inflection import INFLECTIONS, inflected
from vergence.corpus.phrases import items, plain_text, refuse_repeats
from vergence.corpus.phrases import phrase as _phrase
from vergence.corpus.unicode import compared
from vergence.errors import ConfigError, FactorError, unknown
from vergence.factors import FactorSpace

_DEFINITION = 2  # of a mention, as `matching` says it; counts by different ones are never added up


@dataclass(frozen=True)
class Concept:
    """One thing that captions may mention, and how.

    Args:
        name: Its name, unique within its group.
        forms: The words and phrases that mention it; its name if none is given.
        exclude: Phrases within which a form does not count: "hot dog" is no dog.
        inflect: "noun" to count plurals as well, "verb" for the forms in -s, -ing and -ed, `None` for neither.

    Raises:
        ConfigError: If the name, a form or an excluded phrase is empty or no text, a form is itself excluded, or the
            inflection is unknown.

    Example:
        >>> Concept("puppy", inflect="noun").surface_forms
        ('puppy', 'puppies')
    """

    name: str
    forms: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    inflect: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _phrase("a concept's name", self.name))
        for attribute in ("forms", "exclude"):
            given = items(f"{attribute} of concept {self.name!r}", getattr(self, attribute))
            what = f"a phrase in {attribute} of concept {self.name!r}"
            object.__setattr__(self, attribute, tuple(dict.fromkeys(_phrase(what, phrase) for phrase in given)))
        if not self.forms:
            object.__setattr__(self, "forms", (self.name,))
        own = set(map(compared, self.forms))
        for phrase in self.exclude:
            if compared(phrase) in own:
                raise ConfigError(
                    f"concept {self.name!r} excludes its own form {phrase!r}, which then never counts; remove it from"
                    " forms or from exclude"
                )
        if self.inflect is not None and self.inflect not in INFLECTIONS:
            raise ConfigError(unknown("inflection", self.inflect, INFLECTIONS))

    @property
    def surface_forms(self) -> tuple[str, ...]:
        """Every form that counts, as it is compared, inflected where asked, each once."""
        forms: Iterable[str] = map(compared, self.forms)
        if self.inflect is not None:
            forms = [inflection for form in forms for inflection in inflected(form, self.inflect)]
        return tuple(dict.fromkeys(forms))


@dataclass(frozen=True)
class Group:
    """Concepts that belong together, such as animals.

    Args:
        name: Its name, unique within the lexicon.
        concepts: At least one concept; names unique.
        tier: Free text about the role of the group.

    Raises:
        ConfigError: If the name is empty, what should be text is none, there is no concept, or a concept comes twice.
    """

    name: str
    concepts: tuple[Concept, ...]
    tier: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _phrase("a group's name", self.name))
        what = f"concepts of group {self.name!r}"
        object.__setattr__(self, "concepts", tuple(items(what, self.concepts, Concept)))
        plain_text(f"the tier of group {self.name!r}", self.tier)
        if not self.concepts:
            raise ConfigError(f"group {self.name!r} needs at least one concept; got none")
        refuse_repeats(f"concept of group {self.name!r}", [concept.name for concept in self.concepts])


@dataclass(frozen=True)
class Lexicon:
    """Groups of concepts with their surface forms.

    Args:
        name: How reports call it.
        groups: At least one group; names unique.
        negation: Cue words such as "no": a concept mentioned only right after one is reported apart.
        source: Where the lexicon comes from.
        language: The English name of the language that its forms are in, such as "German"; empty if it does not say.
            Captions in another one are noticed; it changes no count.

    Raises:
        ConfigError: If the name is empty, what should be text is none, there is no group, or a group comes twice.

    Example:
        >>> pets = Lexicon("pets", (Group("animal", (Concept("dog", ("dog", "puppy")), Concept("cat"))),))
        >>> [concept.forms for concept in pets.concepts]
        [('dog', 'puppy'), ('cat',)]
    """

    name: str
    groups: tuple[Group, ...]
    negation: tuple[str, ...] = ()
    source: str = field(default="", compare=False)
    language: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _phrase("a lexicon's name", self.name))
        object.__setattr__(self, "groups", tuple(items(f"groups of lexicon {self.name!r}", self.groups, Group)))
        cues = items(f"negation of lexicon {self.name!r}", self.negation)
        object.__setattr__(self, "negation", tuple(_phrase("a negation cue", cue) for cue in cues))
        plain_text(f"the source of lexicon {self.name!r}", self.source)
        plain_text(f"the language of lexicon {self.name!r}", self.language)
        if not self.groups:
            raise ConfigError(f"lexicon {self.name!r} needs at least one group; got none")
        refuse_repeats(f"group of lexicon {self.name!r}", [group.name for group in self.groups])

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """All concepts, group by group; a concept's place here is its number everywhere else."""
        return tuple(concept for group in self.groups for concept in group.concepts)

    @property
    def group_of(self) -> tuple[int, ...]:
        """The number of the group of each concept."""
        return tuple(number for number, group in enumerate(self.groups) for _ in group.concepts)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that decides what counts, so that results of different lexicons are never added up."""
        decisive = {name: entry for name, entry in self.to_dict().items() if name != "language"}
        return sha256(dumps([_DEFINITION, decisive], sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and mappings in the schema of the YAML file."""
        return {
            "name": self.name,
            **({"source": self.source} if self.source else {}),
            **({"language": self.language} if self.language else {}),
            **({"negation": list(self.negation)} if self.negation else {}),
            "groups": [
                {
                    "name": group.name,
                    **({"tier": group.tier} if group.tier else {}),
                    "concepts": {concept.name: _concept_entry(concept) for concept in group.concepts},
                }
                for group in self.groups
            ],
        }

    def to_yaml(self) -> str:
        """The YAML text that `load_lexicon` reads back as an equal lexicon."""
        return yaml.dump(self.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Quotes text that does not print: where PyYAML does not, some of its line breaks come back as spaces."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)


def lexicon_from_factors(
    space: FactorSpace, *, phrases: Mapping[str, Mapping[str, Sequence[str]]] | None = None, name: str = "factors"
) -> Lexicon:
    """A lexicon whose groups are factors and whose concepts are their values.

    Args:
        space: Discrete factors only.
        phrases: By factor and value, the phrases that mention it; a value not named here is mentioned by itself.
        name: How reports call it.

    Raises:
        FactorError: If a factor is continuous, or `phrases` names an unknown factor or value.

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> space = FactorSpace((Factor("size", ("small", "large")),))
        >>> lexicon_from_factors(space, phrases={"size": {"large": ["large", "big"]}}).concepts[1].forms
        ('large', 'big')
    """
    phrases = phrases or {}
    for name_of_factor, values in phrases.items():
        for value in values:
            space[name_of_factor].index(value)
    groups = []
    for factor in space.factors:
        if factor.values is None:
            raise FactorError(
                f"factor {factor.name!r} is continuous: it has no values to mention; leave it out with space.subset"
            )
        given = phrases.get(factor.name, {})
        concepts = tuple(Concept(value, tuple(given.get(value, (value,)))) for value in factor.values)
        groups.append(Group(factor.name, concepts))
    return Lexicon(name, tuple(groups))


def _concept_entry(concept: Concept) -> Any:
    extras: dict[str, Any] = {"exclude": list(concept.exclude)} if concept.exclude else {}
    if concept.inflect:
        extras["inflect"] = concept.inflect
    return {"forms": list(concept.forms), **extras} if extras else list(concept.forms)


def with_inflection(lexicon: Lexicon, inflect: str | None) -> Lexicon:
    """The same lexicon with one inflection for every concept.

    Example:
        >>> from vergence.corpus import concepts_146
        >>> lexicon = with_inflection(concepts_146(), "noun")
        >>> lexicon.concepts[0].surface_forms
        ('dog', 'dogs', 'puppy', 'puppies', 'canine', 'canines')
    """
    groups = (
        replace(group, concepts=tuple(replace(concept, inflect=inflect) for concept in group.concepts))
        for group in lexicon.groups
    )
    return replace(lexicon, groups=tuple(groups))
