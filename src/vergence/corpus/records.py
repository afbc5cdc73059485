"""Captions in JSON: in records one by one, and in whole documents, which are read piece by piece in bounded memory."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vergence.sources.problems import missing_column, short
from vergence.sources.scanning import JSON, Scanner, Skipped, reason_of
from vergence.sources.streams import Stream

_PLACES = 20  # that are kept of what is missing

Add = Callable[..., None]
Captions = list[bytes | None]


class Records:
    """Takes captions out of JSON records.

    Args:
        names: Keys; `a.b` is the key b of the object, or of the objects in the list, at the key a.

    Example:
        >>> def add(kind, **place): print(kind, place["detail"])
        >>> records = Records(["caption", "sentences.raw"])
        >>> records.of_line(b'{"caption": "a dog", "sentences": [{"raw": "one"}, {"raw": null}]}', add)
        [b'a dog', b'one', None]
        >>> records.of_line(b'{"caption": 3, "text": ""}', add)
        malformed 'caption' holds int, not text
        null unknown column 'sentences.raw'; known: caption, text
        []
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._pieces = {piece for name in names for piece in (name, *name.split("."))}
        self._quoted = [f'"{piece}"' for piece in self._pieces]
        self._unique = json.JSONDecoder(strict=False, object_pairs_hook=self._once)
        self._told: set[str] = set()

    def of_line(self, line: bytes, add: Add) -> Captions:
        """The captions of one JSON object; none, and counted, if it is not one."""
        if b"\0" in line:
            add("not_text")
            return []
        try:
            record = self.parsed(line.decode())
        except UnicodeDecodeError as error:
            add("broken_utf8", detail=error.reason)
            return []
        except (ValueError, RecursionError) as error:
            add("malformed", detail=short(error))
            return []
        if not isinstance(record, dict):
            add("malformed", detail="not a JSON object")
            return []
        return self.of_record(record, add)

    def parsed(self, text: str) -> Any:
        """A JSON value.

        Raises:
            ValueError: If it is none, or a key that matters comes twice in one object.
            RecursionError: If it is nested too deeply.
        """
        for quoted in self._quoted:
            if text.count(quoted) > 1:
                return self._unique.decode(text)
        return JSON.decode(text)

    def decoded(self, text: str, at: int) -> tuple[Any, int]:
        """The JSON value that begins there, and where it ends.

        Raises:
            ValueError, RecursionError: As in `parsed`.
        """
        value, end = JSON.raw_decode(text, at)
        for quoted in self._quoted:
            if text.count(quoted, at, end) > 1:
                return self._unique.raw_decode(text, at)
        return value, end

    def of_record(self, record: dict[str, Any], add: Add) -> Captions:
        """The captions at all names; a name that leads nowhere is a null."""
        found: Captions = []
        for name in self.names:
            value = record.get(name)
            if type(value) is str:  # nearly always; `at` gives the same
                found.append(value.encode(errors="surrogatepass"))
            else:
                found += self.at(record, name, add)
        return found

    def at(self, record: Any, name: str, add: Add) -> Captions:
        """The captions at one name, or, if it is empty, those that the value itself is."""
        found: Captions = []
        waiting = [(record, name)]
        while waiting:
            value, path = waiting.pop()
            if isinstance(value, list):
                waiting += [(entry, path) for entry in reversed(value)]
            elif isinstance(value, dict) and path:
                if (step := leads(value, path)) is None:
                    add("null", detail="" if name in self._told else missing_column(path, list(value)))
                    self._told.add(name)
                else:
                    waiting.append(step)
            elif value is None:
                found.append(None)
            elif isinstance(value, str) and not path:
                # A lone surrogate becomes bytes that are no UTF-8, and is counted as that.
                found.append(value.encode(errors="surrogatepass"))
            else:
                where = f"{name!r} holds " if name else ""
                add("malformed", detail=f"{where}{type(value).__name__}, not {'an object' if path else 'text'}")
        return found

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            for key in self._pieces & set(keys):
                if keys.count(key) > 1:
                    raise ValueError(f"the key {key!r} comes {keys.count(key)} times")
        return record


def is_record(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(JSON.decode(line.decode()), dict)
    except (ValueError, RecursionError):
        return False


def leads(record: dict[str, Any], name: str) -> tuple[Any, str] | None:
    """The value at the longest key that the name begins with, and what then remains of the name."""
    end = len(name)
    while end > 0:
        if name[:end] in record:
            return record[name[:end]], name[end + 1 :]
        end = name.rfind(".", 0, end)
    return None


def document(stream: Stream, records: Records, add: Add, *, limit: int, plain: bool) -> Iterator[tuple[int, Captions]]:
    """The captions of a JSON document.

    Records are the objects of a list, of any list at a key of the document (`annotations`, `images`), and of a mapping;
    an object that has one of the names itself is one record. Texts in a list are captions if no names were given. Lists
    none of whose objects have the name, such as COCO's `images`, hold no captions.

    Args:
        stream: UTF-8.
        records: What to take out of records.
        add: Receives what is left out: kind, and by keyword unit, numbers and detail.
        limit: Longest record, in characters; a longer one is counted and passed over.
        plain: Whether texts in lists are captions.

    Yields:
        For each record its number, from 1, and its captions.
    """
    reader = _Document(Scanner(stream, limit, records.decoded), records, add, plain)
    try:
        yield from reader.captions()
    except (ValueError, RecursionError) as error:
        add("unreadable", unit="item", numbers=[reader.number + 1], detail=f"malformed JSON: {reason_of(error)}")
    else:
        reader.finish()


class _Document:
    def __init__(self, scanner: "Scanner", records: Records, add: Add, plain: bool) -> None:
        self.number = 0
        self._scanner, self._records, self._plain = scanner, records, plain
        self._add = add
        self._found: set[str] = set()  # names that led somewhere
        self._known: dict[str, None] = {}  # what names there are instead

    def captions(self) -> Iterator[tuple[int, Captions]]:
        scanner = self._scanner
        while sign := scanner.peek():
            if sign == "[":
                yield from self._list("")
            elif sign != "{":
                raise ValueError("neither an object nor a list")
            else:
                record = scanner.value_if_short()
                if isinstance(record, Skipped):
                    yield from self._members()
                elif any(name in record for name in self._records.names):
                    yield self._next(self._records.names, record)
                else:
                    for key, value in record.items():
                        yield from self._member(key, value)

    def finish(self) -> None:
        for name in self._records.names:
            if name not in self._found and (self._known or not self._plain):
                detail = missing_column(name, list(self._known))
                self._add("no_column", unit="file", numbers=[0], detail=detail)

    def _next(self, names: Sequence[str], record: Any) -> tuple[int, Captions]:
        self.number += 1
        self._found.update(names)
        return self.number, [caption for name in names for caption in self._records.at(record, name, self._say)]

    def _say(self, kind: str, **what: Any) -> None:
        self._add(kind, unit="item", numbers=[self.number], **what)

    def _members(self) -> Iterator[tuple[int, Captions]]:
        scanner = self._scanner
        for key in scanner.members():
            if scanner.peek() == "[":
                yield from self._list(key)
            elif not isinstance(value := scanner.value_or_skip(), Skipped):
                yield from self._member(key, value)
            elif value.kind == "malformed" or self._direct(key):
                detail = f"at the key {key[:60]!r}"
                self._add(value.kind, unit="item", numbers=[self.number + 1], detail=detail)

    def _member(self, key: str, value: Any) -> Iterator[tuple[int, Captions]]:
        if isinstance(value, list):
            yield from self._entries(key, iter(value))
        elif isinstance(value, dict) and (names := [name for name in self._records.names if leads(value, name)]):
            yield self._next(names, value)
        elif direct := self._direct(key):
            self._found.update(direct)
            self.number += 1
            yield self.number, [c for rest in direct.values() for c in self._records.at(value, rest, self._say)]
        else:
            self._know(key)

    def _direct(self, key: str) -> dict[str, str]:
        """Names that begin with a key of the document, and what remains of them."""
        return {n: n[len(key) + 1 :] for n in self._records.names if key and (n == key or n.startswith(f"{key}."))}

    def _list(self, key: str) -> Iterator[tuple[int, Captions]]:
        yield from self._entries(key, self._scanner.entries())

    def _entries(self, key: str, entries: Iterator[Any]) -> Iterator[tuple[int, Captions]]:
        direct = self._direct(key)
        self._found.update(direct)
        lacking: dict[str, tuple[list[int], int]] = {n: ([], 0) for n in self._records.names if n not in direct}
        first = self.number + 1
        for entry in entries:
            self.number += 1
            found: Captions = []
            if isinstance(entry, Skipped):
                self._say(entry.kind, detail=entry.reason)
            elif isinstance(entry, str) and self._plain and not key:
                found = self._records.at(entry, "", self._say)
                self._found.update(self._records.names)
            elif not isinstance(entry, dict) and not direct and not key:
                self._say("malformed", detail=f"{type(entry).__name__}, not an object")
            else:
                for name in self._records.names:
                    if name in lacking and not (isinstance(entry, dict) and leads(entry, name)):
                        numbers, times = lacking[name]
                        lacking[name] = (numbers if times >= _PLACES else [*numbers, self.number], times + 1)
                        continue
                    if name in lacking:  # a list of captions after all: whatever came before lacks one
                        numbers, times = lacking.pop(name)
                        self._add("null", unit="item", numbers=numbers, times=times)
                    found += self._records.at(entry, direct.get(name, name), self._say)
            if self.number == first:
                inner = list(entry) if isinstance(entry, dict) else []
                self._know(*([f"{key}.{name}" if key else name for name in inner] or [key] * bool(key)))
            yield self.number, found
        self._found.update(set(self._records.names) - set(lacking))

    def _know(self, *names: str) -> None:
        if len(self._known) < 40:
            self._known.update(dict.fromkeys(name[:60] for name in names))
