"""The folder of a job: claimed once, marked as ours, resumed or replaced on request; nobody else's file is removed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vergence.errors import ConfigError, CorpusError, OutputError
from vergence.files import JOURNAL, read_json, read_text, remove_partials, write_json, write_text

_JOB = "job.json"  # says what the folder is for
_FIRST = "vergence job 1"  # first line of the journal

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
        """
        try:
            if path.exists() and any(path.iterdir()):
                _check_ours(path, job, present)
                if present == "overwrite":
                    _remove_written(path)
                remove_partials(path)
            path.mkdir(parents=True, exist_ok=True)
            if not (path / JOURNAL).exists():
                write_text(path / JOURNAL, f"{_FIRST}\n")
            write_json(path / _JOB, job, of_job=True)
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigError) and not isinstance(error, OutputError):
                raise
            reason = getattr(error.__cause__ or error, "strerror", None) or str(error)
            raise OutputError(f"cannot write to {path}: {reason}; choose another folder with --out") from error
        return cls(path)

    def read_json(self, name: str, *, keys: Iterable[str] = ()) -> Any:
        """Read a JSON file of the job; `None` if it has not been written.

        Args:
            name: Of the file.
            keys: What it must have.

        Raises:
            CorpusError: If it is damaged; says that removing it repeats what it holds.
        """
        path = self.path / name
        if not path.exists():
            return None
        try:
            content = read_json(path)
        except CorpusError as error:
            raise CorpusError(f"{error}. Remove that file and resume: what it holds is then done again") from error
        if missing := [key for key in keys if not isinstance(content, dict) or key not in content]:
            raise CorpusError(
                f"{path} is damaged: it lacks {', '.join(missing)}. Remove it and resume: what it holds is done again"
            )
        return content

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file whole or not at all."""
        write_json(self.path / name, content, of_job=True)

    def write_text(self, name: str, content: str) -> None:
        """Write a text file whole or not at all, in a sub-folder if its name says so."""
        write_text(self.path / name, content, of_job=True)


def _check_ours(path: Path, job: Mapping[str, Any], present: WhenPresent) -> None:
    """Refuse a folder that holds anything but a job, and one that holds a job which is not to be touched."""
    marked = _is_marked(path)
    if not marked and not (path / _JOB).is_file():
        raise ConfigError(f"{path} is not empty and holds no job of this kind; choose another folder with --out")
    if present == "refuse":
        raise ConfigError(
            f"{path} holds a job already; pass --resume to continue it, --overwrite to replace it, "
            "or choose another folder with --out"
        )
    if present == "overwrite":
        if not marked:
            raise ConfigError(
                f"{path} holds a job.json but not the mark {JOURNAL} of a job of ours, so nothing in it is removed; "
                "remove the folder yourself, or choose another with --out"
            )
        return
    try:
        found = dict(read_json(path / _JOB))
    except (CorpusError, ValueError, TypeError) as error:
        raise ConfigError(f"{path / _JOB} is damaged ({error}); pass --overwrite to replace the job") from error
    wanted = json.loads(json.dumps(job))
    if found != wanted:
        differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise ConfigError(
            f"{path} holds a job with another {', '.join(differing)}; repeat its settings to resume it, "
            "pass --overwrite to replace it, or choose another folder with --out"
        )


def _is_marked(path: Path) -> bool:
    journal = path / JOURNAL
    return journal.is_file() and read_text(journal).startswith(f"{_FIRST}\n")


def _remove_written(path: Path) -> None:
    """Remove the files that the journal names, and folders that are then empty; whatever else is there stays."""
    names = read_text(path / JOURNAL).splitlines()[1:]
    home = path.resolve()
    inside = [file for name in dict.fromkeys(names) if (file := path / name).parent.resolve().is_relative_to(home)]
    for file in inside:
        if file.is_file() or file.is_symlink():
            file.unlink()
    for folder in sorted({parent for file in inside for parent in file.parents}, key=lambda p: -len(p.parts)):
        if folder != path and folder.is_relative_to(path) and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    (path / JOURNAL).unlink()
