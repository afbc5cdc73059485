"""Files out of public packages: fetched by the user's own package manager, read in memory, never unpacked to disk.

Package managers check what they download against their indexes; whoever calls this checks the files wanted again.
"""

import gzip
import lzma
import os
import posixpath
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from vergence.errors import CorpusError
from vergence.files import read_bytes, write_bytes
from vergence.terminal import say

_MOST_PACKAGE = 1 << 27  # bytes of a package
_MOST_MEMBER = 1 << 27  # bytes of a file in one
_MOST_UNPACKED = 1 << 28  # bytes up to the last of the files wanted
_PATIENCE = 900  # seconds for a download
_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, OverflowError,
    RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A package of npm, of Debian and its kin, or of Python.

    Args:
        manager: `npm`, `apt` or `pip`.
        name: What the manager's command calls it, with the version for npm and pip.
        inside: Pattern of the archive inside it that holds the files; of none if empty.
    """

    manager: str
    name: str
    inside: str = ""


_COMMANDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "npm": ("npm", "pack", "--ignore-scripts", "--loglevel=error"),
        "apt": ("apt-get", "download", "--quiet=2"),
        # wheels alone: to read what a source package holds, pip would run it
        "pip": (
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--disable-pip-version-check",
            "-q",
        ),
    }
)
_SUFFIXES = ".tgz", ".deb", ".whl"
_COMPLAINTS = "E: ", "npm error ", "npm ERR! ", "ERROR: "  # how the line begins that says what is wrong
_CURES: Mapping[str, str] = MappingProxyType(
    {
        "npm": "check the network",
        "apt": "check the network, or run apt-get update",
        "pip": "check the network and the index that pip uses",
    }
)


def caches() -> Path:
    """The folder in which fetched things are kept: `vergence` in the folder of caches that XDG_CACHE_HOME names."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(given) if os.path.isabs(given) else Path.home() / ".cache"  # as the XDG specification has it
    return home / "vergence"


def fetch_package(package: Package) -> bytes:
    """Download a package into a temporary folder and read it whole.

    Raises:
        CorpusError: If the manager is missing or fails; one line.
    """
    with TemporaryDirectory(prefix="vergence-") as folder:
        return _download(package, Path(folder))


def keep_package(package: Package, file: str) -> Path:
    """The file of a package in the cache, fetched if it is not there.

    Args:
        package: What to download.
        file: What to call it in `vergence/packages` in the folder of caches.

    Raises:
        CorpusError: If the manager is missing or fails; one line.
    """
    path = caches() / "packages" / file
    if not path.is_file():
        say(f"Fetching the {package.manager} package {package.name} (once, to {path})", err=True)
        write_bytes(path, fetch_package(package))
    return path


def fetch_files(package: Package, paths: Iterable[str]) -> dict[str, bytes]:
    """Download a package into a temporary folder and read files of it.

    Args:
        package: What to download.
        paths: Patterns of the files wanted.

    Returns:
        The content of each, by pattern.

    Raises:
        CorpusError: If the manager is missing or fails, or the package is damaged or lacks a file; one line.
    """
    data = fetch_package(package)
    if package.inside:
        data = read_members(data, [package.inside], where=package.name)[package.inside]
    return read_members(data, paths, where=package.name)


def read_members(data: bytes, paths: Iterable[str], *, where: str) -> dict[str, bytes]:
    """Read files of an archive.

    Args:
        data: A .deb file, a wheel, or a tar file, plain or packed by gzip, xz or zstd.
        paths: Patterns of paths. Only regular files are found: links, devices and folders are passed over, and so is
            all that is not asked for, whatever its path.
        where: What to call it in messages.

    Returns:
        The content of the first file of each pattern.

    Raises:
        CorpusError: If it is damaged, holds more than it may, or lacks a file; one line.
    """
    wanted, found = set(paths), dict[str, bytes]()
    if data.startswith(b"PK\x03\x04"):
        return _of_wheel(data, wanted, where)
    with _members(data, where) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            for pattern in [one for one in wanted - set(found) if member.isreg() and fnmatchcase(path, one)]:
                found[pattern] = _content(archive, member)
            if len(found) == len(wanted):
                break
    return _complete(found, wanted, where)


def read_folder(data: bytes, folder: str, *, where: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read all files of a folder in an archive.

    Args:
        data: As for `read_members`.
        folder: Its path in the archive, without a slash at the end.
        where: What to call it in messages.

    Returns:
        The content of each regular file, and what each link leads to, both by path from the folder; what a link leads
        to may be anything, also outside of it.

    Raises:
        CorpusError: If it is damaged, holds more than it may, or has no such folder; one line.
    """
    files, links = dict[str, bytes](), dict[str, str]()
    with _members(data, where) as archive:
        for member in archive:
            path = _within(member.name, folder)
            if not path:
                continue
            if member.isreg():
                files[path] = _content(archive, member)
            elif member.issym():
                links[path] = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
            elif member.islnk():
                links[path] = _within(member.linkname, folder)
    if not files:
        raise CorpusError(f"{where}: holds no files in {folder}")
    return files, links


def _of_wheel(data: bytes, wanted: set[str], where: str) -> dict[str, bytes]:
    """Files of a zip archive, by pattern, of the lengths that it states, and no longer."""
    found = dict[str, bytes]()
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            for member in archive.infolist():
                for pattern in [one for one in wanted - set(found) if fnmatchcase(member.filename, one)]:
                    if member.file_size > _MOST_MEMBER:
                        raise ValueError(f"{member.filename} has more than {_MOST_MEMBER:,} bytes")
                    found[pattern] = archive.read(member)
    except _ERRORS as error:
        raise CorpusError(f"{where}: no whole package ({_short(error)})") from error
    return _complete(found, wanted, where)


def _complete(found: dict[str, bytes], wanted: set[str], where: str) -> dict[str, bytes]:
    for pattern in sorted(wanted - set(found)):
        raise CorpusError(f"{where}: holds no file {pattern}")
    return found


@contextmanager
def _members(data: bytes, where: str) -> Iterator[tarfile.TarFile]:
    """The tar file in an archive.

    Raises:
        CorpusError: If anything that is read of it is damaged.
    """
    try:
        with tarfile.open(fileobj=_unpacked(data), mode="r|") as archive:
            yield archive
    except _ERRORS as error:
        raise CorpusError(f"{where}: no whole package ({_short(error)})") from error


def _within(name: str, folder: str) -> str:
    """The path from a folder to something in it; empty if it is not."""
    path = posixpath.normpath(name)
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else ""


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > _MOST_MEMBER:
        raise ValueError(f"{member.name} has more than {_MOST_MEMBER:,} bytes")
    content = archive.extractfile(member)
    return content.read() if content else b""


def _download(package: Package, folder: Path) -> bytes:
    command = [*_COMMANDS[package.manager], package.name]
    failed = f"{command[0]} could not download {package.name}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError as error:
        raise CorpusError(f"{command[0]}, which downloads {package.name}, is not installed; install it") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CorpusError(f"{failed} ({_short(error)}); {_CURES[package.manager]}") from error
    files = [path for path in folder.iterdir() if path.suffix in _SUFFIXES]
    if done.returncode or len(files) != 1:
        said = done.stderr.decode(errors="replace").splitlines()
        reason = next((line for line in said if line.startswith(_COMPLAINTS)), "no reason given")
        raise CorpusError(f"{failed} ({reason[:200].strip()}); {_CURES[package.manager]}")
    return read_bytes(files[0], limit=_MOST_PACKAGE)


def _unpacked(data: bytes) -> Any:
    """The tar file in an archive, as a stream that ends with an error where it has too much."""
    if data.startswith(b"!<arch>\n"):
        data = _ar_member(data, b"data.tar")
    stream: Any = BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=stream)
    elif data.startswith(b"\xfd7zXZ\0"):
        stream = lzma.LZMAFile(stream)  # noqa: SIM115 - as long as the tar file
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        stream = pa.CompressedInputStream(pa.py_buffer(data), "zstd")
    return _Bounded(stream)


class _Bounded:
    """A stream of bounded length."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, _MOST_UNPACKED

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(min(size, 1 << 20))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {_MOST_UNPACKED:,} bytes")
        return data


def _ar_member(data: bytes, name: bytes) -> bytes:
    """The content of the first member of an `ar` archive whose name begins so."""
    at = 8
    while at + 60 <= len(data):
        size = int(data[at + 48 : at + 58])
        if data[at + 58 : at + 60] != b"`\n" or not 0 <= size <= len(data) - at - 60:
            raise ValueError(f"the member at byte {at} is cut short")
        if data[at : at + 16].startswith(name):
            return data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise ValueError(f"has no {name.decode()}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
