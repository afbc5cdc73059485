"""The folder of a job: claimed once, written whole files only, resumed or replaced on request, never half of either."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vergence.errors import ConfigError
from vergence.training.checkpoint import write_text

_JOB = "job.json"  # says what the folder is for; without it a folder is not ours to change

WhenPresent = Literal["refuse", "resume", "overwrite"]


@dataclass(frozen=True)
class JobFolder:
    """A folder that belongs to one job.

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
            present: What to do if the folder is not empty: refuse it, resume the same job in it, or remove the job that
                is in it. A folder that holds anything but a job is refused in every case.

        Raises:
            ConfigError: If the folder cannot be used; one line that names the remedy. Nothing has been changed then.
        """
        try:
            occupied = path.exists() and any(path.iterdir())
            if occupied:
                _check_ours(path, job, present)
            if occupied and present == "overwrite":
                shutil.rmtree(path)
            path.mkdir(parents=True, exist_ok=True)
            for left_by_a_kill in path.rglob("*.partial"):
                left_by_a_kill.unlink(missing_ok=True)
            write_text(path / _JOB, json.dumps(job, indent=2) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot write to {path}: {reason}; choose another folder with --out") from error
        return cls(path)

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the job; `None` if it has not been written."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file whole or not at all."""
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, content: str) -> None:
        """Write a text file whole or not at all, in a sub-folder if its name says so."""
        write_text(self.path / name, content)


def _check_ours(path: Path, job: Mapping[str, Any], present: WhenPresent) -> None:
    """Refuse a folder that holds anything but a job, and one that holds a job which is not to be touched."""
    if not (path / _JOB).is_file():
        raise ConfigError(f"{path} is not empty and holds no job of this kind; choose another folder with --out")
    if present == "refuse":
        raise ConfigError(
            f"{path} holds a job already; pass --resume to continue it, --overwrite to replace it, "
            "or choose another folder with --out"
        )
    if present == "overwrite":
        return
    try:
        found = dict(json.loads((path / _JOB).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path / _JOB} is damaged ({error}); pass --overwrite to replace the job") from error
    wanted = json.loads(json.dumps(job))
    if found != wanted:
        differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise ConfigError(
            f"{path} holds a job with another {', '.join(differing)}; repeat its settings to resume it, "
            "pass --overwrite to replace it, or choose another folder with --out"
        )
