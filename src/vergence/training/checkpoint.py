"""Checkpoints that survive a kill: tensors as safetensors, everything else as JSON in their header, nothing pickled.

The two latest are kept, so that one damaged file costs one epoch; and the best, where training is to end with it.
"""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from vergence import tensors as stored
from vergence.errors import ConfigError, CorpusError
from vergence.files import parse_json
from vergence.losses import process_rank
from vergence.terminal import printable

_KEPT = 2
_NAME = re.compile(r"epoch-(\d{6})\.safetensors")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training in one folder.

    Args:
        folder: Where they are; made when the first is saved.
    """

    folder: Path

    def save(
        self,
        epoch: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        about: Mapping[str, Any],
        *,
        best: int | None = None,
    ) -> None:
        """Save the state at the end of an epoch and keep the one before it, and the best; drop all others.

        Every process calls it, for shards are put together, and the first one writes.

        Args:
            epoch: Epochs done.
            modules: By name; their parameters and buffers.
            optimizers: By name; their state tensors are saved, their settings come from the configuration.
            about: Anything that JSON can say: the configuration, the history.
            best: Which epoch is to be kept as well.
        """
        tensors = {
            f"{name}:{key}": value for name, module in modules.items() for key, value in whole_state(module).items()
        }
        for name, optimizer in optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}:{index}:{key}": value for key, value in state.items() if value is not None}
        tensors = {key: _whole_tensor(value) for key, value in tensors.items()}
        if process_rank() > 0:
            return
        write_tensors(self._file(epoch), tensors, {"about": json.dumps(about)})
        for number, other in self._files():
            # a later one is damaged: this training went back behind it
            if not epoch - _KEPT < number <= epoch and number != best:
                other.unlink(missing_ok=True)

    def latest(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Read the newest whole checkpoint: epochs done, tensors and what was said about it.

        A damaged file is passed over with a warning of one line; `None` if none is left.
        """
        for epoch, path in self._files():
            try:
                tensors, said = stored.read_tensors(path)
                about = parse_json(said.get("about", ""), where="what it says about itself")
                if isinstance(about, dict):
                    return epoch, tensors, about
                raise CorpusError("it says nothing about itself")
            except CorpusError as error:
                message = f"{path} is damaged ({error}); going back to the checkpoint before it"
                warnings.warn(printable(message), stacklevel=2)
        return None

    def at(self, epoch: int) -> dict[str, Tensor]:
        """Read the tensors of one epoch.

        Raises:
            CorpusError: If they are missing or damaged.
        """
        return stored.read_tensors(self._file(epoch))[0]

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}.safetensors"

    def _files(self) -> list[tuple[int, Path]]:
        """Epoch and path of each, newest first."""
        found = [(match, path) for path in self.folder.glob("epoch-*") if (match := _NAME.fullmatch(path.name))]
        return sorted(((int(match[1]), path) for match, path in found), reverse=True)


def restore(
    tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> None:
    """Put the tensors of a checkpoint back in place, or each process's shard of them.

    Raises:
        ConfigError: If they belong to modules of another structure.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        owner, _, name = key.partition(":")
        parts.setdefault(owner, {})[name] = value
    try:
        for owner, module in modules.items():
            present = module.state_dict()
            module.load_state_dict(
                {name: _like(value, present.get(name)) for name, value in parts.get(owner, {}).items()}
            )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(f"the checkpoint is of another model ({reason}); train in another folder") from error
    for owner, optimizer in optimizers.items():
        fitted = [weight for group in optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts.get(owner, {}).items():
            index, _, key = name.partition(":")
            state.setdefault(int(index), {})[key] = _like(value, fitted[int(index)])
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and buffers, put together where processes hold shards: all must call it then."""
    return {name: _whole_tensor(value) for name, value in module.state_dict().items()}


def _whole_tensor(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _like(value: Tensor, present: Tensor | None) -> Tensor:
    """Shard a tensor as the one whose place it takes, or whose moment it is."""
    if isinstance(present, DTensor) and value.shape == present.shape:
        return distribute_tensor(value, present.device_mesh, present.placements)
    return value


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file of a job whole or not at all; tensors may share memory, as tied weights do."""
    stored.write_tensors(path, tensors, about, of_job=True)
