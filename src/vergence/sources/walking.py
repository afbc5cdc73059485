"""Walks folders and globs: links are followed, no folder is entered twice, and what cannot be listed is said."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISDIR
from types import MappingProxyType

from vergence.errors import CorpusError
from vergence.files import JOURNAL, read_json
from vergence.sources.problems import short

_MAGIC = "*?["
_OF_PAIRS = MappingProxyType(
    {
        "render": ("shards", "card.json", "rendered", "render"),
        "openclipart": ("openclipart.parquet", "openclipart.json", "built", "corpus"),
    }
)  # by job: where its pairs are, what is written last, what has been done, and by which command

Identity = tuple[int, int] | str


@dataclass
class Aside:
    """What a search met that is no file of the corpus.

    Args:
        lost: By path, "file" or "folder" and why it could not be looked at.
        beside: By kind, how many things are none of the corpus.
    """

    lost: dict[str, tuple[str, str]] = field(default_factory=dict)
    beside: Counter[str] = field(default_factory=Counter)


def identity(path: Path, status: os.stat_result) -> Identity:
    """What tells one file or folder from another whatever it is called; by path where the system numbers none."""
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def is_ours(folder: Path, command: str = "") -> bool:
    """Whether an audit, or another of our commands, keeps its results in this folder."""
    mark = f"vergence {command}".encode()
    try:
        with open(folder / JOURNAL, "rb") as file:
            return file.read(len(mark)) == mark
    except OSError:
        return False


def pairs_in(folder: Path) -> Path | None:
    """The folder or file of pairs in a folder that `vergence render` or `corpus` has written; `None` if it is none.

    Raises:
        CorpusError: If it has not been written to its end.
    """
    if not is_ours(folder):
        return None
    try:
        job = read_json(folder / "job.json")
    except CorpusError:
        return None
    found = _OF_PAIRS.get(str(job.get("job"))) if isinstance(job, dict) else None
    if found is None:
        return None
    pairs, last, made, command = found
    if not (folder / last).is_file():
        raise CorpusError(f"{folder} is not {made} to its end; repeat vergence {command} with --resume")
    return folder / pairs


def status_of(path: Path) -> os.stat_result:
    """What a path that somebody named leads to.

    Raises:
        CorpusError: If it leads to nothing, or may not be looked at.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CorpusError(f"no such file or folder: {str(path)[:500]!r}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise CorpusError(f"{str(path)[:200]!r}: {getattr(error, 'strerror', None) or short(error)}") from error


def walk(folder: Path, aside: Aside) -> Iterator[Path]:
    """All files below a folder, with links followed and no folder entered twice, in the order of their names.

    Hidden entries, whose names begin with a dot or an underscore, and folders of our own results are passed over, and
    counted.
    """
    yield from _walk(folder, aside, set())


def _walk(folder: Path, aside: Aside, entered: set[Identity]) -> Iterator[Path]:
    for path in _entries(folder, aside, entered):
        if path.name.startswith((".", "_")):
            aside.beside["hidden"] += 1
            continue
        kind = _kind(path, aside)
        if kind == "folder" and is_ours(path):
            aside.beside["folders of results"] += 1
        elif kind == "folder":
            yield from _walk(path, aside, entered)
        elif kind:
            yield path


def _entries(folder: Path, aside: Aside, entered: set[Identity]) -> list[Path]:
    """What is in a folder; nothing if it was entered before, or if it cannot be listed, which is counted."""
    try:
        own = identity(folder, folder.stat())
        if own in entered:
            return []
        entered.add(own)
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(entry.name for entry in entries)]
    except OSError as error:
        aside.lost[str(folder)] = "folder", short(error)
        return []


def _kind(path: Path, aside: Aside) -> str:
    """Whether it is a "folder" or a "file"; nothing, and counted, if it leads nowhere."""
    try:
        return "folder" if S_ISDIR(path.stat().st_mode) else "file"
    except OSError as error:
        aside.lost[str(path)] = "file", short(error)
        return ""


def is_glob(text: str) -> bool:
    """Whether a name holds a sign that stands for others."""
    return any(sign in text for sign in _MAGIC)


def expand(pattern: Path, aside: Aside) -> Iterator[Path]:
    """The files and folders that a glob matches.

    `**` stands for folders at any depth, also within a name: `x/**.txt` is `x/**/*.txt`. A part of the pattern that
    exists as it is written is taken as it is. Names that begin with a dot are matched only by such a pattern.
    """
    pieces: list[str] = []
    for piece in pattern.parts[1:] if pattern.anchor else pattern.parts:
        pieces += ["**", piece.replace("**", "*")] if "**" in piece and piece != "**" else [piece]
    yield from _expand(Path(pattern.anchor), pieces, aside, set())


def _expand(folder: Path, pieces: list[str], aside: Aside, entered: set[Identity]) -> Iterator[Path]:
    """What is below a folder and matches; `entered` are the folders that the `**` in hand has been through."""
    if not pieces:
        yield folder
        return
    piece, *rest = pieces
    if piece == "**":
        yield from _expand(folder, rest, aside, set())
        for path in _entries(folder, aside, entered) if rest else ():
            if not path.name.startswith(".") and _kind(path, aside) == "folder" and not is_ours(path):
                yield from _expand(path, pieces, aside, entered)
    elif os.path.lexists(folder / piece):
        yield from _expand(folder / piece, rest, aside, set())
    elif is_glob(piece) and os.path.isdir(folder):
        for path in _entries(folder, aside, set()):
            hidden = path.name.startswith(".") and not piece.startswith(".")
            if not hidden and fnmatchcase(path.name, piece):
                yield from _expand(path, rest, aside, set())
