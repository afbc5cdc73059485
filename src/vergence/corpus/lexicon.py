"""Lexicons: groups of concepts, and the surface forms by which a caption mentions each.

A lexicon is written in YAML:

    name: pets
    source: where it comes from            # optional
    negation: [no, without]                # optional: report "no dog" apart from "dog"
    groups:
      - name: animal
        tier: common                       # optional, free text
        inflect: noun                      # optional, for the whole group: also count "dogs"
        concepts:
          dog: [dog, puppy]
          cat: {forms: [cat, kitten], exclude: [cat tail], inflect: noun}

or in CSV with the columns `group,concept,form` and one form a row. A concept without forms is mentioned by its name.
A form shared by several concepts counts for all of them. Nothing is inflected, excluded or negated unless asked here.
What is written is kept as it is written; how forms are compared with captions is said in `vergence.corpus.matching`.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vergence.corpus.inflection import INFLECTIONS, inflected
from vergence.corpus.phrases import items, plain_text, refuse_repeats
from vergence.corpus.phrases import phrase as _phrase
from vergence.corpus.unicode import compared
from vergence.errors import ConfigError, CorpusError, FactorError, unknown
from vergence.factors import FactorSpace
from vergence.files import compose_yaml, read_text

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _phrase("a lexicon's name", self.name))
        object.__setattr__(self, "groups", tuple(items(f"groups of lexicon {self.name!r}", self.groups, Group)))
        cues = items(f"negation of lexicon {self.name!r}", self.negation)
        object.__setattr__(self, "negation", tuple(_phrase("a negation cue", cue) for cue in cues))
        plain_text(f"the source of lexicon {self.name!r}", self.source)
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
        return sha256(dumps([_DEFINITION, self.to_dict()], sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and mappings in the schema of the YAML file."""
        return {
            "name": self.name,
            **({"source": self.source} if self.source else {}),
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


def concepts_146() -> Lexicon:
    """The 146 visual concepts in 15 groups of the OpenCLIP case study, [cai2025] (surface forms as listed there).

    Example:
        >>> lexicon = concepts_146()
        >>> len(lexicon.groups), len(lexicon.concepts), lexicon.groups[0].concepts[0].forms
        (15, 146, ('dog', 'puppy', 'canine'))
    """
    name = "concepts-146.yaml"
    return parse_yaml((files("vergence.corpus") / "lexicons" / name).read_text(encoding="utf-8"), where=name)


def load_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon from a YAML or CSV file, told apart by the suffix.

    Args:
        path: A file ending in .yaml, .yml or .csv, or "concepts-146" for the one that ships with the package.

    Returns:
        The lexicon; a CSV file's takes the file's name.

    Raises:
        CorpusError: If the file is missing, not UTF-8 or not of the expected form; says the line.
    """
    if str(path) == "concepts-146":
        return concepts_146()
    path = Path(path)
    readers = {".yaml": parse_yaml, ".yml": parse_yaml, ".csv": parse_csv}
    if path.suffix.lower() not in readers:
        raise CorpusError(f"{path}: a lexicon is a .yaml or .csv file, or the name concepts-146")
    return readers[path.suffix.lower()](read_text(path), where=str(path))


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


def parse_csv(text: str, *, where: str) -> Lexicon:
    """Parse the CSV form of a lexicon: `group,concept,form` and optionally `tier`, one form a row.

    Raises:
        CorpusError: Naming `where` and the line.
    """
    rows = csv.DictReader(StringIO(text, newline=""), strict=True)
    forms: dict[str, dict[str, list[str]]] = {}
    tiers: dict[str, str] = {}
    try:
        header = rows.fieldnames or []
        missing = [column for column in ("group", "concept", "form") if column not in header]
        if missing:
            raise CorpusError(
                f"{where}:1: a lexicon in CSV needs the columns group, concept, form; missing: {', '.join(missing)}"
            )
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise CorpusError(f"{where}:1: two columns are called {twice!r}; rename one")
        for row in rows:
            group, concept, form = (
                _phrase(f"{where}:{rows.line_num}: the {column}", row[column] or "")
                for column in ("group", "concept", "form")
            )
            forms.setdefault(group, {}).setdefault(concept, []).append(form)
            tiers.setdefault(group, row.get("tier") or "")
    except csv.Error as error:
        raise CorpusError(f"{where}:{max(rows.reader.line_num, 1)}: not valid CSV: {error}") from error
    except ConfigError as error:
        raise CorpusError(str(error)) from error
    if not forms:
        raise CorpusError(f"{where}: holds no concept")
    groups = (Group(g, tuple(Concept(c, tuple(f)) for c, f in cs.items()), tiers[g]) for g, cs in forms.items())
    return Lexicon(Path(where).stem, tuple(groups))


def parse_yaml(text: str, *, where: str) -> Lexicon:
    """Parse the YAML form of a lexicon.

    Raises:
        CorpusError: Naming `where` and the line.
    """
    root = compose_yaml(text, where=where)
    if root is None:
        raise CorpusError(f"{where}:1: the file is empty; a lexicon is a mapping with name and groups")
    return _Yaml(where).lexicon(root)


T = TypeVar("T")


@dataclass(frozen=True)
class _Yaml:
    """Turns YAML nodes, which know their lines, into a lexicon."""

    where: str

    def lexicon(self, node: yaml.Node) -> Lexicon:
        top = self._mapping(node, "a lexicon", ("name", "source", "negation", "groups"), required=("name", "groups"))
        return self._build(
            node,
            Lexicon,
            name=self._text(top["name"], "name"),
            groups=tuple(self._group(item) for item in self._list(top["groups"], "groups")),
            negation=self._texts(top.get("negation"), "negation"),
            source=self._text(top["source"], "source") if "source" in top else "",
        )

    def _group(self, node: yaml.Node) -> Group:
        keys = ("name", "tier", "inflect", "concepts")
        entries = self._mapping(node, "a group", keys, required=("name", "concepts"))
        inflect = self._inflect(entries.get("inflect"))
        pairs = self._pairs(entries["concepts"], "concepts")
        return self._build(
            node,
            Group,
            name=self._text(entries["name"], "name"),
            concepts=tuple(self._concept(key, value, inflect) for key, value in pairs),
            tier=self._text(entries["tier"], "tier") if "tier" in entries else "",
        )

    def _concept(self, key: yaml.Node, node: yaml.Node, inflect: str | None) -> Concept:
        name = self._text(key, "a concept's name")
        if not isinstance(node, yaml.MappingNode):
            return self._build(key, Concept, name=name, forms=self._texts(node, "forms"), inflect=inflect)
        entries = self._mapping(node, f"concept {name!r}", ("forms", "exclude", "inflect"))
        return self._build(
            key,
            Concept,
            name=name,
            forms=self._texts(entries.get("forms"), "forms"),
            exclude=self._texts(entries.get("exclude"), "exclude"),
            inflect=self._inflect(entries["inflect"]) if "inflect" in entries else inflect,
        )

    def _build(self, node: yaml.Node, make: Callable[..., T], **arguments: Any) -> T:
        try:
            return make(**arguments)
        except ConfigError as error:
            raise self._error(node, str(error)) from error

    def _inflect(self, node: yaml.Node | None) -> str | None:
        if (
            node is None
            or _is_null(node)
            or (node.tag.endswith(":bool") and node.value.lower() in ("false", "no", "off"))
        ):
            return None
        return self._text(node, "inflect")

    def _mapping(
        self, node: yaml.Node, what: str, known: Sequence[str], *, required: Sequence[str] = ()
    ) -> dict[str, yaml.Node]:
        entries = {}
        for key, value in self._pairs(node, what):
            if key.value not in known:
                raise self._error(key, unknown(f"key of {what}", key.value, known))
            entries[key.value] = value
        for name in required:
            if name not in entries:
                raise self._error(node, f"{what} needs the key {name!r}; it has: {', '.join(entries) or 'none'}")
        return entries

    def _pairs(self, node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"{what} must be a mapping")
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, f"a key of {what} must be text")
            if key.value in seen:
                raise self._error(key, f"{key.value!r} comes twice in {what}")
            seen.add(key.value)
        return list(node.value)

    def _list(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"{what} must be a list")
        return list(node.value)

    def _texts(self, node: yaml.Node | None, what: str) -> tuple[str, ...]:
        if node is None or _is_null(node):
            return ()
        return tuple(self._text(item, f"an item of {what}") for item in self._list(node, what))

    def _text(self, node: yaml.Node, what: str) -> str:
        # Any scalar is taken as written, so that the unquoted words no, on and 3 mean themselves.
        if not isinstance(node, yaml.ScalarNode) or _is_null(node) or not node.value.strip():
            raise self._error(node, f"{what} must be text that is not empty")
        return str(node.value)

    def _error(self, node: yaml.Node, message: str) -> CorpusError:
        return CorpusError(f"{self.where}:{node.start_mark.line + 1}: {message}")


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag.endswith(":null"))


def _concept_entry(concept: Concept) -> Any:
    extras: dict[str, Any] = {"exclude": list(concept.exclude)} if concept.exclude else {}
    if concept.inflect:
        extras["inflect"] = concept.inflect
    return {"forms": list(concept.forms), **extras} if extras else list(concept.forms)


def with_inflection(lexicon: Lexicon, inflect: str | None) -> Lexicon:
    """The same lexicon with one inflection for every concept.

    Example:
        >>> lexicon = with_inflection(concepts_146(), "noun")
        >>> lexicon.concepts[0].surface_forms
        ('dog', 'dogs', 'puppy', 'puppies', 'canine', 'canines')
    """
    groups = (
        replace(group, concepts=tuple(replace(concept, inflect=inflect) for concept in group.concepts))
        for group in lexicon.groups
    )
    return replace(lexicon, groups=tuple(groups))
