"""Text in Unicode's encodings as UTF-8, by the mark it begins with; nothing is guessed, and nothing replaced.

A lone surrogate becomes bytes that are not UTF-8, so that the caption it stands in is counted as broken and no other.
"""

import codecs
from codecs import getincrementaldecoder

from vergence.sources.streams import BLOCK, STREAM_ERRORS, BrokenStreamError, Stream

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, ""),
)


def _marked(data: bytes) -> tuple[int, str]:
    """How long the mark at the beginning is, and the encoding it stands for; none for UTF-8."""
    return next(((len(mark), encoding) for mark, encoding in _MARKS if data.startswith(mark)), (0, ""))


def utf8(data: bytes) -> bytes:
    r"""A whole text as UTF-8 without its mark.

    Raises:
        UnicodeDecodeError: If it is cut off within a character.

    Example:
        >>> utf8("ein Hündchen".encode("utf-16")).decode(), utf8(b"\xef\xbb\xbfa dog"), utf8(b"\xff")
        ('ein Hündchen', b'a dog', b'\xff')
    """
    length, encoding = _marked(data)
    text = data[length:]
    return text.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass") if encoding else text


class Peeked:
    """A stream whose beginning is known, and still to be read.

    Args:
        stream: The stream.
        size: How many bytes of it to look at; fewer where it ends or breaks before.

    Attributes:
        head: Those bytes.
    """

    def __init__(self, stream: Stream, size: int = BLOCK) -> None:
        self.close = stream.close
        self._stream = stream
        self._error: BrokenStreamError | None = None
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except (BrokenStreamError, *STREAM_ERRORS) as error:
            self._error = BrokenStreamError(str(error))
        self.head = self._rest = b"".join(pieces)

    def skip(self, size: int) -> None:
        """Leave out as many bytes of the beginning."""
        self._rest = self._rest[size:]

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._rest:
            piece, self._rest = self._rest[:size], self._rest[size:]
            return piece
        if self._error:
            raise self._error
        return self._stream.read(size)


class Recoded:
    """A stream of text as UTF-8 without its mark.

    Example:
        >>> from io import BytesIO
        >>> Recoded(BytesIO("猫".encode("utf-32"))).read(100).decode()
        '猫'
    """

    def __init__(self, stream: Stream) -> None:
        self.close = stream.close
        self._stream = Peeked(stream, 4)
        length, encoding = _marked(self._stream.head)
        self._stream.skip(length)
        self._encoding = encoding
        self._decoder = getincrementaldecoder(encoding)("surrogatepass") if encoding else None

    def read(self, size: int, /) -> bytes:
        """At most about `size` bytes; none at the end."""
        while self._decoder:
            block = self._stream.read(max(size // 2, 4))
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise BrokenStreamError(f"not well-formed {self._encoding.upper()}: {error.reason}") from error
            if text or not block:
                return text.encode("utf-8", "surrogatepass")
        return self._stream.read(size)


class Unlined:
    r"""A stream of text whose lines all end in "\n": those of old Macs end in "\r", those of Windows in "\r\n".

    Example:
        >>> from io import BytesIO
        >>> Unlined(BytesIO(b"one\rtwo\r\nthree\n")).read(100)
        b'one\ntwo\nthree\n'
    """

    def __init__(self, stream: Stream) -> None:
        self.close = stream.close
        self._stream, self._held = stream, b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes and one; none at the end."""
        while True:
            block = self._held + (new := self._stream.read(size))
            self._held = b"\r" if new and block.endswith(b"\r") else b""
            block = block[: len(block) - len(self._held)]
            if block or not new:
                return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block


def has_mac_lines(stream: Peeked) -> bool:
    """Whether the lines of a stream end in carriage returns alone, by its beginning of a mebibyte."""
    return b"\r" in stream.head[:-1] and b"\n" not in stream.head
