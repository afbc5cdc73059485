"""The folder of a job: claimed once, marked as ours, resumed or replaced on request; nobody else's file is removed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from vergence.errors import ConfigError, CorpusError, OutputError
from vergence.files import FIRST_LINE, JOURNAL, journal, read_json, remove_partials, write_json, write_text

_JOB = "job.json"  # says what the folder is for

WhenPresent = Literal["refuse", "resume", "overwrite"]


def when_present(*, resume: bool, overwrite: bool) -> WhenPresent:
    """What two flags of a command line say.

    Raises:
        ConfigError: If both are given.
    """
    if resume and overwrite:
        raise ConfigError("--resume keeps what is in the folder and --overwrite removes it; pass one of them")
    return "resume" if resume else "overwrite" if overwrite else "refuse"


@dataclass(frozen=True)
class JobFolder:
    """A folder that belongs to one job.

    A file `.vergence` in it marks it as ours and names every file that was written into it.

    Args:
        path: Where it is; use `claim` to make one.
    """

    path: Path

    @classmethod
    def claim(cls, path: Path, job: Mapping[str, Any], *, present: WhenPresent = "refuse") -> "JobFolder":
        """Make the folder, or take one that holds this job already.

        Args:
            path: Where results go.
            job: What identifies the job, as JSON can say it: its name, settings, seed.
            present: What to do if the folder is not empty: refuse it, resume the same job in it, or remove what the job
                that is in it has written. A folder that holds anything but a job is refused in every case.

        Raises:
            ConfigError: If the folder cannot be used; one line that names the remedy. Nothing has been changed then.
            CorpusError: If its mark cannot be read.
        """
        try:
            if path.exists() and any(path.iterdir()) and not _unbegun(path):
                _check_ours(path, job, present)
                if present == "overwrite":
                    _remove(path, journal(path) or ())
                    write_text(path / JOURNAL, f"{FIRST_LINE}\n")  # still marked, should what follows be cut short
                remove_partials(path)
            path.mkdir(parents=True, exist_ok=True)
            if journal(path) is None:
                write_text(path / JOURNAL, f"{FIRST_LINE}\n")
            write_json(path / _JOB, job, of_job=True)
        except ConfigError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"cannot write to {path}: {reason}; choose another folder with --out") from error
        return cls(path)

    @classmethod
    def join(cls, path: Path, job: Mapping[str, Any]) -> "JobFolder":
        """Make the folder together with other processes that do the same job, or take one that holds it already.

        Raises:
            ConfigError: As `claim` does for a job that is resumed.
            CorpusError: If its mark cannot be read.
        """
        made = path.with_name(f".{path.name}.{uuid4().hex}.claim")
        try:
            if not path.exists() or (path.is_dir() and not any(path.iterdir())):
                made.mkdir(parents=True)
                write_json(made / _JOB, job)
                write_text(made / JOURNAL, f"{FIRST_LINE}\n{_JOB}\n")
                with suppress(OSError):  # whoever else was first does the same job, or is found out below
                    os.rename(made, path)
        except OSError as error:
            raise OutputError(f"cannot write to {path}: {error.strerror}; choose another folder with --out") from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return cls.claim(path, job, present="resume")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the job; `None` if it has not been written.

        Raises:
            CorpusError: If it is damaged; says that removing it repeats what it holds.
        """
        path = self.path / name
        if not os.path.exists(path):
            return None
        try:
            return read_json(path)
        except CorpusError as error:
            raise CorpusError(f"{error}. Remove that file and resume: what it holds is then done again") from error

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file whole or not at all."""
        write_json(self.path / name, content, of_job=True)

    def write_text(self, name: str, content: str) -> None:
        """Write a text file whole or not at all, in a sub-folder if its name says so."""
        write_text(self.path / name, content, of_job=True)

    def read_result(self, name: str) -> dict[str, Any] | None:
        """Read what `write_result` wrote; `None` if it has not been written.

        Raises:
            CorpusError: If it is not what was written; says that removing it repeats what it holds.
        """
        content = self.read_json(name)
        if content is None:
            return None
        said = content.pop("digest", None) if isinstance(content, dict) else None
        if said is None or said != _digest(content):
            raise CorpusError(
                f"{self.path / name} is damaged: it is not what was written. "
                "Remove that file and resume: what it holds is then done again"
            )
        result: dict[str, Any] = content
        return result

    def write_result(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file with a digest, so that whoever reads it again need not check what is in it."""
        self.write_json(name, {**content, "digest": _digest(content)})

    def remove(self, name: str) -> None:
        """Remove what the job has written in a sub-folder; whatever else is there stays."""
        _remove(self.path, [file for file in journal(self.path) or () if file.startswith(f"{name}/")])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _unbegun(path: Path) -> bool:
    """Whether a job was cut short between its mark and what says which job it is: nothing else is there."""
    names = journal(path)
    if names is None or not {_JOB}.issuperset(names):
        return False
    remove_partials(path)
    return [entry.name for entry in path.iterdir()] == [JOURNAL]


def _check_ours(path: Path, job: Mapping[str, Any], present: WhenPresent) -> None:
    """Refuse a folder that holds anything but a job, and one that holds a job which is not to be touched."""
    marked = journal(path) is not None
    found = _job_in(path)
    if not marked and "job" not in (found or {}):
        raise ConfigError(f"{path} is not empty and holds no job of this kind; choose another folder with --out")
    if present == "overwrite" and not marked:
        raise ConfigError(
            f"{path} holds a job but no mark {JOURNAL}, which says what the job has written, so nothing in it is "
            "removed; remove the folder yourself, or choose another with --out"
        )
    replace = "pass --overwrite to replace it, " if marked else ""
    if present == "refuse":
        raise ConfigError(
            f"{path} holds a job already; pass --resume to continue it, {replace}or choose another folder with --out"
        )
    if present == "overwrite":
        return
    if found is None:
        raise ConfigError(f"{path / _JOB} is missing or damaged; pass --overwrite to replace the job")
    wanted = json.loads(json.dumps(job))
    if found != wanted:
        differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise ConfigError(
            f"{path} holds a job with another {', '.join(differing)}; repeat its settings to resume it, "
            f"{replace}or choose another folder with --out"
        )


def _job_in(path: Path) -> dict[str, Any] | None:
    """What a folder says that it is for, if it says so."""
    try:
        found = read_json(path / _JOB)
    except CorpusError:
        return None
    return found if isinstance(found, dict) else None


def _remove(home: Path, names: Iterable[str]) -> None:
    """Remove files by name, and folders that are then empty; nothing that is or leads outside, whatever a name says."""
    root = home.resolve()
    inside = [file for name in names if (file := home / name).parent.resolve().is_relative_to(root)]
    for file in inside:
        if file.is_file() or file.is_symlink():
            file.unlink()
    for folder in sorted({parent for file in inside for parent in file.parents}, key=lambda p: -len(p.parts)):
        ours = folder != home and folder.is_relative_to(home) and ".." not in folder.parts and not folder.is_symlink()
        if ours and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
