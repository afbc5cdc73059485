"""The one door to tensors on disk: safetensors, written whole; nothing is unpickled."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vergence.errors import CorpusError, OutputError
from vergence.files import whole


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: tensors by name, and what is said about them.

    Raises:
        CorpusError: If it is missing, no regular file, cut short or otherwise not whole; one line.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CorpusError(f"{path} {'is no file' if path.exists() else 'does not exist'}; name a .safetensors file")
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:  # a name that holds NUL is a ValueError
        raise CorpusError(f"{path} is broken, or no safetensors file ({_one_line(error)})") from error


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None, *, of_job: bool = False
) -> None:
    """Write a safetensors file whole or not at all; tensors may share memory, as tied weights do.

    Args:
        path: Where to.
        tensors: By name; they are left as they are.
        about: What to say about them: texts by name.
        of_job: As in `whole`.

    Raises:
        OutputError: If the disk is full, or the place cannot be written to.
    """
    owned = {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    with whole(path, of_job=of_job) as partial:
        try:
            save_file(owned, partial, dict(about) if about is not None else None)
        except SafetensorError as error:  # its writer has errors of its own, also for a full disk
            raise OutputError(f"cannot write {path}: {_one_line(error)}; choose another place with --out") from error


def _one_line(error: Exception) -> str:
    """What the operating system said, where it is in there."""
    text = " ".join(str(error).split())
    found = re.search(r"(?:I/O error: |: )?([A-Z][^:()]*) \(os error \d+\)", text)
    return found[1] if found else text
