"""Files of lexicons.

A lexicon is written in YAML:

    name: pets
    source: where it comes from            # optional
    language: English                      # optional: captions in another one are noticed
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vergence.corpus.lexicon import Concept, Group, Lexicon
from vergence.corpus.phrases import phrase as _phrase
from vergence.errors import ConfigError, CorpusError, unknown
from vergence.files import compose_yaml, read_text


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
        top = self._mapping(
            node, "a lexicon", ("name", "source", "language", "negation", "groups"), required=("name", "groups")
        )
        return self._build(
            node,
            Lexicon,
            name=self._text(top["name"], "name"),
            groups=tuple(self._group(item) for item in self._list(top["groups"], "groups")),
            negation=self._texts(top.get("negation"), "negation"),
            source=self._text(top["source"], "source") if "source" in top else "",
            language=self._text(top["language"], "language") if "language" in top else "",
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
