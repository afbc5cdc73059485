"""The one door to the disk: files that a user was given are read with limits, and what is ours is written whole.

A file is written beside its final name and moved there, so that a name never stands for half a file. Text, JSON and
YAML are checked for all that would be misread in silence, or take memory or time without end, before anybody uses them.
"""

import codecs
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from vergence.errors import CorpusError, OutputError

MOST_TEXT = 1 << 26  # bytes of a document that is read whole
JOURNAL = ".vergence"  # marks a folder as ours and names, line by line, the files that we wrote in it
_DEEPEST = 64  # levels of nesting; PyYAML and json recurse
_EXPANSION = 10  # how many times larger aliases may make a YAML document
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.partial")


def read_bytes(path: str | Path, *, limit: int = MOST_TEXT) -> bytes:
    """Read a whole file of bounded size.

    Raises:
        CorpusError: If it is missing, no regular file, larger than `limit` bytes, or cannot be read; one line.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CorpusError(f"{path} {'is no file' if path.exists() else 'does not exist'}; name an existing file")
        if path.stat().st_size > limit:
            raise CorpusError(f"{path} has {path.stat().st_size:,} bytes; at most {limit:,} are read of such a file")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name that holds NUL is a ValueError
        raise CorpusError(f"{path} cannot be read: {_reason(error)}") from error


def read_text(path: str | Path, *, limit: int = MOST_TEXT) -> str:
    """Read a whole text file, in the encoding that its byte-order mark names, UTF-8 without one.

    Raises:
        CorpusError: As `read_bytes` and `decode` do.
    """
    return decode(read_bytes(path, limit=limit), where=str(path))


def decode(data: bytes, *, where: str) -> str:
    r"""Decode text by its byte-order mark, as UTF-8 where it has none.

    Args:
        data: The bytes of a whole text.
        where: What to call it in messages.

    Raises:
        CorpusError: If it is not well-formed, or holds U+0000, as UTF-16 without a mark does in nearly every text.

    Example:
        >>> decode("\ufeffré".encode("utf-16-le"), where="a.txt")
        'ré'
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where}: not {encoding.upper()} text ({error.reason} at byte {error.start})") from error
    if "\0" in text:
        raise CorpusError(f"{where}: holds NUL, so it is no text in {encoding.upper()}; save it as UTF-8")
    return text


def read_json(path: str | Path) -> Any:
    """Read a JSON file; see `parse_json`."""
    return parse_json(read_text(path), where=str(path))


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
        if _SURROGATE.search(text) or re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(json.loads(text), ensure_ascii=False).encode()  # fails if a surrogate has lost its partner
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: holds a lone surrogate, which is no character") from error
    except RecursionError as error:
        raise CorpusError(f"{where}: nested too deeply") from error
    except ValueError as error:
        raise CorpusError(f"{where}: not valid JSON: {error}") from error


def parse_yaml(text: str, *, where: str) -> Any:
    r"""Parse a YAML document as plain values; see `compose_yaml` for what is refused.

    Returns:
        Mappings, lists, texts, numbers, dates, truth values and `None`; `None` for an empty document.

    Raises:
        CorpusError: Naming `where`, the line and what is wrong.

    Example:
        >>> parse_yaml("a: 1\nb: 2\na: 3", where="x.yaml")
        Traceback (most recent call last):
        vergence.errors.CorpusError: x.yaml:3: 'a' comes twice in one mapping; the first is in line 1
    """
    node = compose_yaml(text, where=where)
    if node is None:
        return None
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    except ValueError as error:  # 2026-13-45, or a number of five thousand digits
        raise CorpusError(f"{where}: not valid YAML: {error}") from error
    finally:
        loader.dispose()


def compose_yaml(text: str, *, where: str) -> yaml.Node | None:
    """Parse a YAML document into nodes, which know their lines.

    Raises:
        CorpusError: Naming `where` and the line: for what is not YAML, a key that comes twice in one mapping, explicit
            tags, lone surrogates, nesting of more than 64 levels, and aliases that contain themselves or multiply the
            document.
    """
    loader = _Composer(text)
    try:
        node = loader.get_single_node()
        if node is not None and _expanded(node, {}) > _EXPANSION * loader.nodes:
            raise CorpusError(f"{where}: its aliases repeat parts of it too often; write them out")
    except yaml.YAMLError as error:
        raise _yaml_error(error, where) from error
    finally:
        loader.dispose()
    return node


@contextmanager
def whole(path: str | Path, *, of_job: bool = False) -> Iterator[Path]:
    """A name to write to, its folder made; moved to `path` when that has worked, removed when it has not.

    Args:
        path: The final name.
        of_job: Whether to note the file in the journal of the job's folder that it is in, if it is in one: the job can
            then be removed again, and nothing else.

    Raises:
        OutputError: If the disk is full, or the place cannot be written to; what was at `path` is still there.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:100]}.{_host()}-{os.getpid()}.partial")  # two processes never share one
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            is_new = not path.exists()
            os.replace(partial, path)
            if of_job and is_new:
                _note(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null byte" not in str(error):
            raise
        raise OutputError(f"cannot write {path}: {_reason(error)}; choose another place with --out") from error


def write_bytes(path: str | Path, data: bytes, *, of_job: bool = False) -> None:
    """Write a file whole or not at all; see `whole`."""
    with whole(path, of_job=of_job) as partial:
        partial.write_bytes(data)


def write_text(path: str | Path, text: str, *, of_job: bool = False) -> None:
    """Write a UTF-8 text file whole or not at all; see `whole`."""
    write_bytes(path, text.encode(), of_job=of_job)


def write_json(path: str | Path, content: object, *, of_job: bool = False) -> None:
    """Write strict JSON whole or not at all.

    Raises:
        ValueError: If a number is NaN or infinite: say `None` and why instead.
        OutputError: As `whole` does.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", of_job=of_job)


def remove_partials(folder: Path) -> None:
    """Remove what writers that were killed on this machine left in a folder; those still alive keep theirs."""
    for path in folder.rglob(".*.partial"):
        found = _PARTIAL.fullmatch(path.name)
        if found and found[1] == _host() and not _alive(int(found[2])):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's, or no number of a process
        return True
    return True


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _note(path: Path) -> None:
    """Add a file to the journal of the folder of a job that it is in, if it is in one."""
    home = next((parent for parent in path.absolute().parents if (parent / JOURNAL).is_file()), None)
    if home is not None:
        with open(home / JOURNAL, "a", encoding="utf-8", errors="surrogateescape") as journal:
            journal.write(f"{path.absolute().relative_to(home)}\n")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())


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


class _Composer(yaml.SafeLoader):
    """Composes nodes, counting them and their depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) not in (None, "!"):
            raise _problem(f"the tag {event.tag!r} is not supported; leave it out", event.start_mark)
        self.nodes += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _problem(f"nested more than {_DEEPEST} levels deep", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
            raise _problem("holds a lone surrogate, which is no character", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
        return node


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


def _expanded(node: yaml.Node, sizes: dict[int, float]) -> float:
    """How many nodes there are with every alias written out; infinite if one contains itself."""
    if id(node) not in sizes:
        sizes[id(node)] = float("inf")
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [part for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))]
        sizes[id(node)] = 1 + sum(_expanded(part, sizes) for part in inner)
    return sizes[id(node)]
