"""Samples of tar shards, as WebDataset defines them: members that share a name up to its first dot.

What follows that dot is the member's field, in small letters. Captions are in the fields that were asked for, and in no
others: `0.url.txt` has the field `url.txt`, which is not `txt`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from vergence.corpus.records import Add, Captions, Records, leads
from vergence.sources.encodings import utf8
from vergence.sources.problems import Problems, short
from vergence.sources.streams import Member, split_name

_APART = 1 << 16  # samples that are remembered, in case more of their members come
_SPOILED = object()

Source = tuple[str, str | None]  # a field, and the key of the JSON in it; no key where the field is text


class _Sample(NamedTuple):
    """What is known of a sample: its first member, the captions it still lacks, and which of its fields were read."""

    number: int
    missing: tuple[str, ...]
    fields: frozenset[str] = frozenset()


class Samples:
    """Reads the captions of a shard.

    Args:
        columns: What is wanted: a field, such as `txt` or `url.txt`, or a key of the JSON in the field `json`, or
            `meta.json.key` in the field `meta.json`. If none: `txt` or, where a sample lacks it, the key "caption".
        limits: The most bytes of a text, and of a record.
        problems: Receives the fields of all samples, and how many members belong to none.
        add: Receives what is skipped: kind, and by keyword unit, numbers and detail.
    """

    def __init__(self, columns: Sequence[str], limits: tuple[int, int], problems: Problems, add: Add) -> None:
        self._sources = {column: _sources(column) for column in columns or ("",)}
        self._limits = {field: limits[key is not None] for sources in self._sources.values() for field, key in sources}
        self._problems, self._add = problems, add
        self._samples: dict[str, _Sample] = {}
        self._fields: dict[frozenset[str], frozenset[str]] = {}  # one object for all samples of the same fields
        self._records = Records([key for sources in self._sources.values() for _, key in sources if key])

    def captions(self, entries: Iterator[Member]) -> Iterator[tuple[int, Captions]]:
        """For the members of a sample that lie side by side the number of the sample's first, and their captions.

        Members of one sample may lie up to 65,536 samples apart. A caption that none of them holds is a null.
        """
        for key, members in groupby(entries, key=_key):
            if key:
                yield self._group(key, [(split_name(member.name)[1], member) for member in members])
            else:
                self._problems.pass_over("members of no sample", sum(member.is_file for member in members))
            if len(self._samples) > _APART:
                yield self._closed(next(iter(self._samples)))
        while self._samples:
            yield self._closed(next(iter(self._samples)))

    def limit(self, name: str) -> int:
        """The most bytes that a member may have; -1 if it is not wanted."""
        key, field = split_name(name)
        return self._limits.get(field, -1) if key else -1

    def _group(self, key: str, found: list[tuple[str, Member]]) -> tuple[int, Captions]:
        sample = self._samples.get(key) or _Sample(found[0][1].number, tuple(self._sources))
        contents: dict[str, bytes | None] = {}
        for field, member in found:
            if member.is_file:
                self._problems.add_field(field)
            if field not in self._limits or (member.content is None and not member.reason):
                continue
            if field in contents or field in sample.fields:
                self._say("malformed", member.number, f"the sample has its field {field!r} already")
                continue
            if member.content is None:
                kind = "too_long" if member.reason == "too long" else "malformed"
                self._say(kind, member.number, "" if kind == "too_long" else member.reason)
            contents[field] = member.content
        captions: Captions = []
        missing = []
        values: dict[str, Any] = {}
        for column, sources in self._sources.items():
            if column in sample.missing:
                taken = self._taken(sources, contents, values, sample.number)
                captions += taken or []
                missing += [column] if taken is None else []
            elif late := [field for field, kind in sources if kind is None and field in contents]:
                self._say(
                    "malformed", sample.number, f"its {late[0]!r} lies apart from the member that was read for it"
                )
        fields = sample.fields.union(contents)
        self._samples[key] = _Sample(sample.number, tuple(missing), self._fields.setdefault(fields, fields))
        return sample.number, captions

    def _taken(
        self, sources: Sequence[Source], contents: Mapping[str, bytes | None], values: dict[str, Any], number: int
    ) -> Captions | None:
        """The captions from the first source that has any; `None` if there is none among these members."""
        spoiled = False
        for field, key in sources:
            if field not in contents:
                continue
            if field not in values:
                values[field] = self._value(contents[field], key is None, number)
            value = values[field]
            spoiled = spoiled or value is _SPOILED
            if value is _SPOILED or (key is not None and isinstance(value, dict) and leads(value, key) is None):
                continue
            if isinstance(value, bytes):
                return [value]
            return self._records.at(value, key or "", partial(self._add, unit="member", numbers=[number]))
        return [] if spoiled else None

    def _value(self, content: bytes | None, is_text: bool, number: int) -> Any:
        """The text or the JSON that a member holds; what cannot be used is counted."""
        try:
            text = utf8(content) if content is not None else None
            if text is not None and b"\0" in text:
                self._say("not_text", number)
                return _SPOILED
            if text is None or is_text:
                return _SPOILED if text is None else text.rstrip(b"\r\n")
            value = self._records.parsed(text.decode())
        except UnicodeDecodeError as error:
            self._say("broken_utf8", number, error.reason)
            return _SPOILED
        except (ValueError, RecursionError) as error:
            self._say("malformed", number, short(error))
            return _SPOILED
        if not isinstance(value, dict):
            self._say("malformed", number, "not a JSON object")
            return _SPOILED
        return value

    def _closed(self, key: str) -> tuple[int, Captions]:
        sample = self._samples.pop(key)
        return sample.number, [None] * len(sample.missing)

    def _say(self, kind: str, number: int, detail: str = "") -> None:
        self._add(kind, unit="member", numbers=[number], detail=detail)


def _key(member: Member) -> str:
    return split_name(member.name)[0]


def _sources(column: str) -> list[Source]:
    """Where the captions of a column can be, the first first: fields, and keys of the JSON in them."""
    if column in ("", "txt"):
        return [("txt", None), ("json", "caption")] if not column else [("txt", None)]
    pieces = column.split(".")
    splits = [(".".join(pieces[:k]), ".".join(pieces[k:])) for k in range(len(pieces) - 1, 0, -1)]
    within: list[Source] = [(field.lower(), key) for field, key in splits if field.lower().endswith("json")]
    return [*([(column.lower(), None)] if pieces[-1].lower() != "json" else []), *within, ("json", column)]
