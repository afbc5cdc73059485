"""Runs of studies, stored by the digest of what they depend on; a study takes over what those beside it have done.

Every study's folder holds all of its own runs, so that any of them can be moved or removed without loss to another.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vergence.errors import CorpusError, VergenceError
from vergence.files import journal, note, read_bytes, write_bytes
from vergence.folders import JobFolder

_MOST = 1 << 30  # bytes of a file that a run left
_NOT_KEPT = "checkpoints"


def digest_of(key: Mapping[str, Any]) -> str:
    """A name for what a run depends on.

    Example:
        >>> digest_of({"seed": 0}) == digest_of({"seed": 0}) != digest_of({"seed": 1})
        True
    """
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class RunStore:
    """The runs of one study's folder, and of the other studies' folders beside it.

    Args:
        folder: The study's.
    """

    folder: JobFolder
    taken: dict[str, str] = field(default_factory=dict)
    """By digest, the folder that a run was taken over from."""

    def path(self, key: Mapping[str, Any]) -> Path:
        """Where a run is stored, done or not."""
        return self.folder.path / _where(key)

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """A finished run: the study's own, or another study's, which then becomes its own; `None` if there is none.

        Raises:
            CorpusError: If the study's own is damaged; says that removing it repeats what it holds.
        """
        done = self.folder.read_result(f"{_where(key)}/run.json")
        if done is not None:
            _require_files(self.path(key), done)
            return done
        return self._take_over(key)

    def put(self, key: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        """Store what came out of a run, with digests of the files that it left; checkpoints are removed."""
        where = _where(key)
        self.folder.remove(f"{where}/{_NOT_KEPT}")
        home = self.folder.path / where
        left = _files(home)
        for path in left:
            note(path)
        files = {path.relative_to(home).as_posix(): _digest(path) for path in left}
        done = {"key": dict(key), **content, "files": files}
        self.folder.write_result(f"{where}/run.json", done)
        return done

    def _take_over(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        where = _where(key)
        for other in self._others:
            try:
                done = JobFolder(other).read_result(f"{where}/run.json")
                if done is None or done.get("key") != json.loads(json.dumps(key)):
                    continue
                _require_files(other / where, done)
                for name in done["files"]:
                    write_bytes(self.path(key) / name, read_bytes(other / where / name, limit=_MOST), of_job=True)
            except (CorpusError, OSError, KeyError, TypeError):
                continue  # damaged, or none of ours: it is run anew
            self.folder.write_result(f"{where}/run.json", done)
            self.taken[digest_of(key)] = other.name
            return done
        return None

    @cached_property
    def _others(self) -> tuple[Path, ...]:
        """Folders of studies beside this one that we wrote."""
        return tuple(_studies_beside(self.folder.path))


def _studies_beside(home: Path) -> Iterator[Path]:
    try:
        beside = sorted(path for path in home.resolve().parent.iterdir() if path.is_dir())
    except OSError:
        return
    for path in beside:
        try:
            ours = path != home.resolve() and journal(path) is not None and (path / "runs").is_dir()
            if ours and path.stat().st_uid == os.geteuid():
                yield path
        except (OSError, VergenceError):
            continue


def _where(key: Mapping[str, Any]) -> str:
    return f"runs/{digest_of(key)}"


def _files(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    found = (path for path in sorted(home.rglob("*")) if path.is_file() and not path.name.endswith(".partial"))
    return [path for path in found if path.relative_to(home).parts[0] not in {_NOT_KEPT, "run.json"}]


def _require_files(home: Path, done: Mapping[str, Any]) -> None:
    for name, said in done["files"].items():
        inside = (home / name).resolve().is_relative_to(home.resolve())
        if not inside or not (home / name).is_file() or _digest(home / name) != said:
            raise CorpusError(
                f"{home / name} is missing or damaged: it is not what was written. "
                f"Remove {home / 'run.json'} and resume: the run is then done again"
            )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
