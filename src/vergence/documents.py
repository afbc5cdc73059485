"""JSON and YAML that are read as their author meant them, or refused: nothing dropped in silence, no bombs.

Scalars of YAML are those of YAML 1.2's core schema: `1e-3` is a number, `no`, `010` and `12:30` are not what YAML 1.1
made of them, and a date is a text.
"""

import json
import re
from math import isfinite
from typing import Any

import yaml

from vergence.errors import CorpusError
from vergence.terminal import printable

DEEPEST = 64  # levels of nesting; PyYAML, json and whoever walks through the content recurse
_EXPANSION = 10  # how many times larger aliases may make a YAML document
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_SCALARS = (  # tag, form, first characters
    (f"{_TAG}null", r"(?:~|null|Null|NULL|)", "~nN"),
    (f"{_TAG}bool", r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    (f"{_TAG}int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        f"{_TAG}float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        "-+.0123456789",
    ),
    (f"{_TAG}merge", "<<", "<"),
)


def parse_json(text: str, *, where: str) -> Any:
    """Parse strict JSON: no key twice in an object, no NaN or infinity, no lone surrogate, bounded depth.

    Args:
        text: The document.
        where: What to call it in messages.

    Raises:
        CorpusError: Saying what is wrong.

    Example:
        >>> parse_json('{"a": 1, "a": 2}', where="x.json")
        Traceback (most recent call last):
        vergence.errors.CorpusError: x.json: not valid JSON: the key 'a' comes twice
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
        if _SURROGATE.search(text) or re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(content, ensure_ascii=False).encode()  # fails if a surrogate has lost its partner
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: holds a lone surrogate, which is no character") from error
    except RecursionError as error:
        raise CorpusError(f"{where}: nested more than {DEEPEST} levels deep") from error
    except ValueError as error:
        raise CorpusError(f"{where}: not valid JSON: {error}") from error
    level, depth = [content], 1
    while level := [part for inner in level if isinstance(inner, (dict, list)) for part in _parts(inner)]:
        if (depth := depth + 1) > DEEPEST:
            raise CorpusError(f"{where}: nested more than {DEEPEST} levels deep")
    return content


def parse_yaml(text: str, *, where: str) -> Any:
    r"""Parse a YAML document as plain values; see `compose_yaml` for what is refused.

    Returns:
        Mappings, lists, texts, numbers, truth values and `None`; `None` for an empty document.

    Raises:
        CorpusError: Naming `where`, the line and what is wrong.

    Example:
        >>> parse_yaml("rate: 1e-3\nday: 2026-11-25\nname: no", where="x.yaml")
        {'rate': 0.001, 'day': '2026-11-25', 'name': 'no'}
        >>> parse_yaml("a: 1\nb: 2\na: 3", where="x.yaml")
        Traceback (most recent call last):
        vergence.errors.CorpusError: x.yaml:3: 'a' comes twice in one mapping; the first is in line 1
    """
    node = compose_yaml(text, where=where)
    if node is None:
        return None
    loader = _Constructor("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    except ValueError as error:  # a number of five thousand digits
        raise CorpusError(f"{where}: not valid YAML: {error}") from error
    finally:
        loader.dispose()


def compose_yaml(text: str, *, where: str) -> yaml.Node | None:
    """Parse a YAML document into nodes, which know their lines.

    Raises:
        CorpusError: Naming `where` and the line: for what is not YAML, a key that comes twice in one mapping, explicit
            tags, lone surrogates, nesting of more than 64 levels, and aliases that contain themselves, multiply the
            document or nest it too deeply.
    """
    loader = None
    try:
        loader = _Composer(text)
        node = loader.get_single_node()
        if node is not None:
            count, depth = _expanded(node, {})
            if count > _EXPANSION * loader.nodes:
                raise CorpusError(f"{where}: its aliases repeat parts of it too often; write them out")
            if depth > DEEPEST:
                raise CorpusError(f"{where}: its aliases nest it more than {DEEPEST} levels deep; write them out")
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    except (ValueError, OverflowError) as error:  # "\UFFFFFFFF" is no character
        raise CorpusError(f"{where}: not valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return node


def yaml_text(content: Any) -> str:
    r"""Word plain values as YAML that this and any other reader takes back as they are.

    Example:
        >>> yaml_text({"column": "1e3", "name": "no", "size": 3})
        "column: '1e3'\nname: 'no'\nsize: 3\n"
    """
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if printable(text, keep="\n") == text:
        return text
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=False)  # escapes what nobody could see


def _parts(content: dict[str, Any] | list[Any]) -> Any:
    return content.values() if isinstance(content, dict) else content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} comes twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _finite(number: str) -> float:
    if not isfinite(value := float(number)):
        raise ValueError(f"{number[:40]} is too large for a number")
    return value


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """What YAML 1.2 makes of plain scalars, by their first character, as PyYAML wants it."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, form, first in _SCALARS:
        for character in (*first, *([""] if tag.endswith("null") else [])):
            table.setdefault(character, []).append((tag, re.compile(rf"{form}\Z")))
    return table


class _Composer(yaml.SafeLoader):
    """Composes nodes, counting them and their depth."""

    yaml_implicit_resolvers = _resolvers()

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) not in (None, "!"):
            raise _problem(f"the tag {event.tag!r} is not supported; leave it out", event.start_mark)
        self.nodes += 1
        self.depth += 1
        if self.depth > DEEPEST:
            raise _problem(f"nested more than {DEEPEST} levels deep", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise _problem("holds a lone surrogate, which is no character", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
        return node


class _Constructor(yaml.SafeLoader):
    """Makes values of nodes."""

    def construct_yaml_int(self, node: Any) -> int:
        text = str(node.value)
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


_Constructor.add_constructor(f"{_TAG}int", _Constructor.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that any version of YAML would take for something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_resolvers().get(first, [])]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_resolvers()}
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _refuse_twice(mapping: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if first := lines.get((key.tag, key.value)):
            message = f"{key.value!r} comes twice in one mapping; the first is in line {first}"
            raise _problem(message, key.start_mark)
        lines[key.tag, key.value] = key.start_mark.line + 1


def _problem(message: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


def _yaml_error(error: yaml.YAMLError, where: str) -> CorpusError:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    line = f":{mark.line + 1}" if mark else ""
    if type(error) is yaml.MarkedYAMLError:
        return CorpusError(f"{where}{line}: {problem}")
    return CorpusError(f"{where}{line}: not valid YAML: {' '.join(str(problem or error).split())}")


def _expanded(node: yaml.Node, sizes: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Nodes and levels that there are with every alias written out; infinite if one contains itself."""
    if id(node) not in sizes:
        sizes[id(node)] = (float("inf"), float("inf"))
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [part for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))]
        counted = [_expanded(part, sizes) for part in inner]
        sizes[id(node)] = 1 + sum(count for count, _ in counted), 1 + max((depth for _, depth in counted), default=0)
    return sizes[id(node)]
