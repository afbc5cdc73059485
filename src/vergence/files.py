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
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vergence.documents import compose_yaml, parse_json, parse_yaml, yaml_text
from vergence.errors import CorpusError, OutputError

__all__ = [
    "JOURNAL",
    "MOST_TEXT",
    "Scratch",
    "compose_yaml",
    "decode",
    "journal",
    "note",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "read_part",
    "read_text",
    "remove_partials",
    "whole",
    "write_bytes",
    "write_json",
    "write_text",
    "yaml_text",
]

MOST_TEXT = 1 << 26  # bytes of a document that is read whole
JOURNAL = ".vergence"  # marks a folder as ours and names, line by line, the files that we wrote in it
FIRST_LINE = "vergence job 1"  # of the journal
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-\d+\.partial", re.DOTALL)


def read_bytes(path: str | Path, *, limit: int = MOST_TEXT) -> bytes:
    """Read a whole file of bounded size.

    Raises:
        CorpusError: If it is missing, no regular file, larger than `limit` bytes, or cannot be read; one line.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CorpusError(f"{path} {'is no file' if path.exists() else 'does not exist'}; name an existing file")
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # a name that holds NUL is a ValueError
        raise CorpusError(f"{path} cannot be read: {_reason(error)}") from error
    if len(data) > limit:
        raise CorpusError(f"{path} has more than {limit:,} bytes, the most that are read of such a file")
    return data


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


def read_json(path: str | Path, *, limit: int = MOST_TEXT) -> Any:
    """Read a JSON file; see `parse_json`."""
    return parse_json(read_text(path, limit=limit), where=str(path))


@contextmanager
def whole(path: str | Path, *, of_job: bool = False) -> Iterator[Path]:
    """A name to write to, its folder made; moved to `path` when that has worked, removed when it has not.

    Args:
        path: The final name. A link is followed, unless it is in the folder of a job.
        of_job: Whether to note the file in the journal of the job's folder that it is in, if it is in one: the job can
            then be removed again, and nothing else. Such a file stays inside that folder.

    Raises:
        OutputError: If the disk is full, or the place cannot be written to; what was at `path` is still there.
    """
    given = path
    try:
        path = Path(path) if of_job else Path(os.path.realpath(path))
        if not path.name or path.is_dir() or (path.exists() and not path.is_file()):
            raise OutputError(f"cannot write {given}: it is {_kind(path)}; choose another place with --out")
        partial = _partial(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            home = _home(path) if of_job else None
            yield partial
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            if home is not None:
                _note(path, home)  # first: a file that is not there yet does no harm in the journal
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null byte" not in str(error):
            raise
        raise OutputError(f"cannot write {given}: {_reason(error)}; choose another place with --out") from error


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


class Scratch:
    """A file without a name for what does not fit into memory: it is gone when nobody uses it any more.

    It lies where the environment variable TMPDIR says.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        self._end = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """Put something at the end; return where it begins and how many bytes it has.

        Raises:
            OutputError: If the disk is full.
        """
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise OutputError(f"cannot write to {where}: {_reason(error)}; set TMPDIR to a larger disk") from error
        self._end += len(data)
        return self._end - len(data), len(data)

    def read(self, offset: int, size: int) -> bytes:
        """What `add` has put there; several threads may ask at once."""
        return os.pread(self._file.fileno(), size, offset)


def read_part(path: str | Path, offset: int, size: int) -> bytes:
    """Read some bytes of a file.

    Raises:
        CorpusError: If it is missing, cannot be read, or ends before.
    """
    try:
        with open(path, "rb") as file:
            data = os.pread(file.fileno(), size, offset)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {_reason(error)}") from error
    if len(data) < size:
        raise CorpusError(f"{path} is shorter than it was: {size:,} bytes at {offset:,} are missing")
    return data


def note(path: Path) -> None:
    """Enter a file that something else has written into the journal of the job's folder that it is in, if any."""
    home = _home(path)
    if home is not None:
        _note(path, home)


@contextmanager
def written_by_others(folder: Path) -> Iterator[None]:
    """Let a library write into a folder, which is made; what it wrote belongs to the job that the folder is of.

    Raises:
        OutputError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except Exception as error:  # writers of weights have errors of their own, also for a full disk
        raise OutputError(f"cannot write to {folder}: {_reason(error)}; choose another place with --out") from error
    for file in sorted(folder.iterdir()):
        note(file)


def journal(folder: Path) -> list[str] | None:
    """Names of the files that a job wrote into its folder; `None` if the folder has no mark of ours.

    Raises:
        CorpusError: If the journal cannot be read.
    """
    path = folder / JOURNAL
    if not path.is_file():
        return None
    first, *names = read_text(path).split("\n")
    return [name for name in names if name] if first == FIRST_LINE else None


def remove_partials(folder: Path) -> None:
    """Remove what writers that were killed on this machine left in a folder; those still alive keep theirs."""
    for path in folder.rglob(".*.partial"):
        found = _PARTIAL.fullmatch(path.name)
        if found and found[1] == _host() and not _alive(int(found[2])):
            path.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """A name beside a file that no other process or thread writes to, and that is not too long where its is not."""
    name = path.name[:40] + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return path.with_name(f".{name}.{_host()}-{os.getpid()}-{threading.get_ident()}.partial")


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


def _home(path: Path) -> Path | None:
    """The folder of the job that a file is in.

    Raises:
        OutputError: If a link on the way to it leads out of that folder.
    """
    home = next((parent for parent in path.absolute().parents if journal(parent) is not None), None)
    if home is not None and not path.parent.resolve().is_relative_to(home.resolve()):
        raise OutputError(f"cannot write {path}: a link leads out of {home}, the folder of the job; remove the link")
    return home


def _note(path: Path, home: Path) -> None:
    name = path.absolute().relative_to(home).as_posix()
    if name not in (journal(home) or ()):
        with open(home / JOURNAL, "a", encoding="utf-8") as file:
            file.write(f"{name}\n")


def _kind(path: Path) -> str:
    return "a folder" if not path.name or path.is_dir() else "no regular file"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
