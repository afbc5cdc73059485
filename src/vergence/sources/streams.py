"""Compressed byte streams, lines and tar members with bounded memory, whatever the file claims or holds.

Nothing here writes to disk, and no size that a file states is believed before it is compared with a limit.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

BLOCK = 1 << 20
STREAM_ERRORS = (OSError, EOFError, zlib.error, pa.ArrowException)
_HEADER = 512
_MOST_NAME = 1 << 16


@runtime_checkable
class Stream(Protocol):
    """The part of a binary file that reading needs."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class BrokenStreamError(Exception):
    """The rest of a stream cannot be read; internal, always turned into a counted problem."""


def open_stream(path: str | Path) -> Stream:
    """Open a file for reading, decompressed on the fly where its name ends in .gz, .tgz, .zst or .zstd.

    Raises:
        OSError: If it cannot be opened.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".gz", ".tgz"):
        return _Packed(gzip.open(path, "rb"), "read1", BLOCK)
    if suffix in (".zst", ".zstd"):
        return _Packed(pa.input_stream(str(path), compression="zstd"), "read", BLOCK // 16)
    return open(path, "rb")


class _Packed:
    """A decompressor asked for little at a time: what precedes an error within one request is lost with it."""

    def __init__(self, stream: Any, method: str, most: int) -> None:
        self.close = stream.close
        self._read, self._most = getattr(stream, method), most

    def read(self, size: int, /) -> bytes:
        return self._read(min(size, self._most))  # type: ignore[no-any-return]


def lines(stream: Stream, *, limit: int) -> Iterator[list[bytes | None]]:
    r"""Blocks of lines without their ends; `None` stands for a line longer than `limit` bytes.

    Args:
        stream: Read in blocks of a mebibyte; at most one block and one line are held.
        limit: Longest line that is kept, in bytes.

    Raises:
        BrokenStreamError: If the stream fails; all complete lines before have been yielded.

    Example:
        >>> from io import BytesIO
        >>> list(lines(BytesIO(b"a\r\nlong line\n\nz"), limit=4))
        [[b'a', None, b''], [b'z']]
    """
    rest, dropping = b"", False
    while True:
        try:
            block = stream.read(BLOCK)
        except STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error
        if not block:
            break
        *complete, rest_now = block.split(b"\n")
        if not complete:
            rest, dropping = (b"", True) if dropping or len(rest) + len(block) > limit + 1 else (rest + block, False)
            continue
        complete[0] = rest + complete[0]
        found = [None if len(line := raw.removesuffix(b"\r")) > limit else line for raw in complete]
        if dropping:
            found[0] = None
        yield found
        rest, dropping = (b"", True) if len(rest_now) > limit + 1 else (rest_now, False)
    if rest or dropping:
        yield [None if dropping or len(rest.removesuffix(b"\r")) > limit else rest.removesuffix(b"\r")]


@dataclass(frozen=True)
class Member:
    """An entry of a tar archive; `content` is `None` where it was not kept; `reason` says why, if it was wanted.

    `offset` and `size` say where in the uncompressed archive the content is; of what is no file, size is 0.
    """

    number: int
    name: str
    is_file: bool
    content: bytes | None
    reason: str = ""
    offset: int = 0
    size: int = 0


@lru_cache(maxsize=8)  # a member's name is asked for three times in a row
def split_name(name: str) -> tuple[str, str]:
    """The sample and the field of a member; no field for what is no member of a sample.

    Example:
        >>> split_name("./a/0.url.TXT"), split_name("b.c/0.txt")
        (('a/0', 'url.txt'), ('b.c/0', 'txt'))
        >>> split_name("a/._0.txt"), split_name("__MACOSX/0.txt"), split_name("a/README")
        (('', ''), ('', ''), ('', ''))
    """
    pieces = [piece for piece in name.split("/") if piece not in ("", ".")]
    hidden = any((piece[0] == "." and piece != "..") or piece.startswith("__") for piece in pieces)
    base, dot, suffix = pieces[-1].partition(".") if pieces else ("", "", "")
    return ("", "") if hidden or not dot or not suffix else ("/".join([*pieces[:-1], base]), suffix.lower())


def members(stream: Stream, *, limit: Callable[[str], int]) -> Iterator[Member]:
    """The entries of a tar archive in their order; their names are only ever compared, never opened.

    Understands ustar, GNU long names, GNU sparse extension headers and pax `path` and `size`. Another archive after the
    mark of the end is read too.

    Args:
        stream: The uncompressed archive.
        limit: For a name, the most bytes of content to keep; -1 passes the entry over.

    Raises:
        BrokenStreamError: If the archive is cut off or a header is damaged; all entries before have been yielded.
    """
    stream = _Counted(stream)
    number, extra, blank = 0, _Extra(), bytes(_HEADER)
    while header := _exactly(stream, _HEADER, "a header", at_end_ok=number > 0):
        if header == blank:
            if not number:
                return
            continue
        _verify(header)
        kind, size = header[156:157], extra.size if extra.size is not None else _number(header[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            extra.update(kind, _payload(stream, size, keep=size <= _MOST_NAME) or b"")
            continue
        if kind == b"S":  # headers that go on: the last byte in use says whether one more follows
            more = header[482]
            while more:
                more = _exactly(stream, _HEADER, "a sparse header")[504]
        number += 1
        name, is_file = extra.name or _name(header), kind in (b"\0", b"0", b"7", b"S")
        most, sparse = limit(name), kind == b"S" or extra.sparse
        offset, size = stream.position, size if is_file else 0
        content = _payload(stream, size, keep=is_file and not sparse and size <= most)
        reason = ""
        if content is None and most >= 0 and kind != b"5":
            reason = "too long" if is_file and not sparse else "a sparse file" if is_file else "a link, not a file"
        yield Member(number, name, is_file, content, reason, offset, 0 if sparse else size)
        extra = _Extra()


class _Counted:
    """A stream that knows how far it has been read."""

    def __init__(self, stream: Stream) -> None:
        self.close, self.position = stream.close, 0
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.position += len(data)
        return data


class _Extra:
    """What extended headers say of the next entry."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.size: int | None = None
        self.sparse = False

    def update(self, kind: bytes, payload: bytes) -> None:
        if kind == b"L":
            self.name = payload.rstrip(b"\0").decode(errors="replace")
        if kind != b"x":
            return
        while payload.strip(b"\0"):
            length, _, _ = payload.partition(b" ")
            if not length.isdigit() or not 0 < int(length[:9]) <= len(payload):
                raise BrokenStreamError("damaged pax header")
            key, _, value = payload[len(length) + 1 : int(length) - 1].partition(b"=")
            if key == b"GNU.sparse.name" or (key == b"path" and not self.sparse):
                self.name = value.decode(errors="replace")
            if key.startswith(b"GNU.sparse."):
                self.sparse = True
            elif key == b"size":
                if not value.isdigit() or len(value) > 20:
                    raise BrokenStreamError("damaged pax header")
                self.size = int(value)
            payload = payload[int(length) :]


def _exactly(stream: Stream, size: int, what: str, *, at_end_ok: bool = False) -> bytes:
    pieces, missing = [], size
    while missing:
        try:
            piece = stream.read(missing)
        except STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error
        if not piece:
            if at_end_ok and missing == size:
                return b""
            raise BrokenStreamError(f"cut off within {what}")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _payload(stream: Stream, size: int, *, keep: bool) -> bytes | None:
    padded = -(-size // _HEADER) * _HEADER
    if keep:
        return _exactly(stream, padded, "an entry")[:size]
    while padded:
        step = min(BLOCK, padded)
        _exactly(stream, step, "an entry")
        padded -= step
    return None


def _verify(header: bytes) -> None:
    stated = _number(header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    unsigned = sum(blanked)
    if stated != unsigned and stated != unsigned - 256 * sum(byte > 127 for byte in blanked):
        raise BrokenStreamError("damaged header")


def _number(raw: bytes) -> int:
    if raw[:1] == b"\x80":  # GNU's binary form for sizes beyond 8 GiB
        return int.from_bytes(raw[1:], "big")
    digits = raw.strip(b" \0")
    try:
        value = int(digits or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise BrokenStreamError("damaged header")
    return value


def _name(header: bytes) -> str:
    name = header[:100].rstrip(b"\0").partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:262] == b"ustar" and header[263:265] == b"00" else b""
    return (prefix + b"/" + name if prefix else name).decode(errors="replace")
