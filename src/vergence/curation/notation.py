"""How a format spells a caption: as it is, in JSON's escapes, in CSV's doubled quotes; the rest is not respelled."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SIGN = rb"[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf]"
_TOKENS = {
    "plain": re.compile(_SIGN, re.DOTALL),
    "csv": re.compile(rb'""|' + _SIGN, re.DOTALL),
    "json": re.compile(
        rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|" + _SIGN, re.DOTALL
    ),
}

Edit = tuple[int, int, str, str]
"""Start and end in characters of the original, what stood there, what stands there now."""


@dataclass(frozen=True)
class Notation:
    r"""A way to spell text in bytes.

    Args:
        kind: "plain", "csv" or "json".

    Example:
        >>> Notation("json").changed(rb'a r\u0065d \"cup\"', [(2, 6, "red ", "")])
        b'a \\"cup\\"'
    """

    kind: str

    def text(self, raw: bytes) -> str | None:
        """What bytes spell; `None` if they spell no text."""
        try:
            if self.kind == "json":
                text = json.loads(b'"' + raw + b'"', strict=False)
                text.encode()  # a lone surrogate is no text
                return str(text)
            return (raw.replace(b'""', b'"') if self.kind == "csv" else raw).decode()
        except ValueError:
            return None

    def raw(self, text: str) -> bytes:
        """How a text is spelled."""
        if self.kind == "json":
            return json.dumps(text, ensure_ascii=False)[1:-1].encode()
        return (text.replace('"', '""') if self.kind == "csv" else text).encode()

    def changed(self, raw: bytes, edits: Iterable[Edit]) -> bytes:
        """Bytes after edits, everything else spelled as before."""
        tokens = _TOKENS[self.kind].findall(raw)
        pieces, reached = [], 0
        for start, end, _, new in edits:
            pieces += [*tokens[reached:start], self.raw(new)]
            reached = end
        return b"".join([*pieces, *tokens[reached:]])

    def turned_back(self, raw: bytes, edits: Sequence[Edit]) -> bytes:
        """Bytes before edits, from those after them."""
        moved, back = 0, []
        for start, end, old, new in edits:
            back.append((start + moved, start + moved + len(new), new, old))
            moved += len(new) - (end - start)
        return self.changed(raw, back)
