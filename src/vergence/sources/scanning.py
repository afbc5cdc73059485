"""Takes a JSON text apart value by value, in bounded memory; what is malformed or too long is passed over."""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from vergence.sources.problems import short
from vergence.sources.streams import BLOCK, Stream

JSON = json.JSONDecoder(strict=False)  # a raw tab in a caption is a caption with a tab
_SPACE = re.compile(r"[ \t\n\r]*")
_SIGN = re.compile(r'["\\\[\]{},]')


def reason_of(error: Exception) -> str:
    """What is wrong, without the place, which counts from the piece in hand."""
    return error.msg if isinstance(error, json.JSONDecodeError) else short(error)


class Skipped(NamedTuple):
    """Stands for a value that was passed over."""

    kind: str
    reason: str = ""


class Scanner:
    """Reads a JSON text value by value, holding no more than one value and one block."""

    def __init__(self, stream: Stream, limit: int, decoded: Callable[[str, int], tuple[Any, int]]) -> None:
        self._stream, self._limit, self._decoded = stream, limit, decoded
        self._decode = getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """The next sign that is no white space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more(1)

    def value_or_skip(self) -> Any:
        """The next value; what is malformed or too long is passed over.

        Raises:
            ValueError: If the text ends before.
        """
        value = self.value_if_short()
        if isinstance(value, Skipped):
            self._skip()
        return value

    def value_if_short(self) -> Any:
        """The next value; nothing is passed over yet where that is malformed or too long."""
        if not self.peek():
            raise ValueError("cut off")
        while True:
            held = len(self._text) - self._at
            try:
                value, end = self._decoded(self._text, self._at)
            except ValueError as error:
                if self._ended or not self._may_go_on(error):
                    return Skipped("malformed", reason_of(error))
                value, end = None, len(self._text)
            if end < len(self._text) or self._ended:  # what ends with the text may go on: 12, then 3
                if end - self._at > self._limit:
                    return Skipped("too_long")
                self._at = end
                return value
            if held > self._limit:
                return Skipped("too_long")
            self._more(max(BLOCK, held))

    def _may_go_on(self, error: ValueError) -> bool:
        """Whether an error may only be that the text in hand ends within the value."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos > len(self._text) - 16

    def entries(self) -> Iterator[Any]:
        """The entries of the list that is next."""
        yield from self._separated("[", "]", self.value_or_skip)

    def members(self) -> Iterator[str]:
        """The keys of the object that is next; the value of each must be read before the next key."""
        yield from self._separated("{", "}", self._key)

    def _key(self) -> str:
        key = self.value_or_skip() if self.peek() == '"' else None
        if not isinstance(key, str):
            raise ValueError("a key is no text, or too long")
        self._expect(":")
        return key

    def _separated(self, opening: str, closing: str, read: Callable[[], Any]) -> Iterator[Any]:
        self._expect(opening)
        if self.peek() == closing:
            self._at += 1
            return
        while True:
            yield read()
            if self.peek() == closing:
                self._at += 1
                return
            self._expect(",")

    def _expect(self, sign: str) -> None:
        if (found := self.peek()) != sign:
            raise ValueError(f"{found!r} in the place of {sign!r}" if found else "cut off")
        self._at += 1

    def _skip(self) -> None:
        """Pass over a value, however long, without holding it."""
        depth, quoted = 0, False
        while True:
            sign = _SIGN.search(self._text, self._at)
            if sign is None:
                self._at = len(self._text)
                if self._ended:
                    raise ValueError("cut off")
                self._more(BLOCK)
                continue
            what, self._at = sign.group(), sign.end()
            if what == "\\":
                if self._at == len(self._text):
                    self._more(1)
                self._at += 1
            elif what == '"':
                quoted = not quoted
                if not quoted and depth == 0:
                    return
            elif not quoted:
                if what in "]}," and depth == 0:  # a number that is too long
                    self._at -= 1
                    return
                depth += (what in "[{") - (what in "]}")
                if depth == 0 and what in "]}":
                    return

    def _more(self, size: int) -> None:
        pieces, got = [self._text[self._at :]], 0
        while got < size and not self._ended:
            block = self._stream.read(BLOCK)
            self._ended = not block
            pieces.append(self._decode(block, final=self._ended))
            got += len(pieces[-1])
        self._text, self._at = "".join(pieces), 0
