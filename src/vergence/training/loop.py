"""The training loop, on Hugging Face accelerate.

The order of each epoch comes from a generator of its own, split from the caller's before training starts. So the state
at the end of an epoch is the weights and the optimiser's moments alone, and a resumed training is the uninterrupted
one, bit for bit on one machine.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vergence.checks import one_of
from vergence.encoders import DualEncoder
from vergence.errors import ConfigError, MissingExtraError, ShapeError
from vergence.losses import LossParts, Objective, WeightedTerm
from vergence.random import spawn
from vergence.training.checkpoint import Checkpoints, restore, write_text
from vergence.training.config import TrainConfig
from vergence.views import ViewPair

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """What callbacks are told: how far the training is, the encoder, and the epoch's mean of every term."""

    epoch: int
    epochs: int
    encoder: DualEncoder
    losses: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The fitted encoder, one row of mean losses for each epoch, and from which epoch it was resumed."""

    encoder: DualEncoder
    history: pd.DataFrame
    resumed_from: int


def train(
    encoder: DualEncoder,
    views: ViewPair,
    objective: Objective,
    config: TrainConfig,
    *,
    generator: torch.Generator,
    device: str = "cpu",
    out: Path | None = None,
    resume: bool = False,
    augment: Augment | None = None,
    callbacks: Sequence[Callable[[EpochEnd], None]] = (),
    progress: Progress | None = None,
    label: str = "training",
) -> TrainResult:
    """Fit a dual encoder to paired views.

    Args:
        encoder: Fitted in place.
        views: The pairs to train on.
        objective: What to minimise; what it learns, such as a temperature, is fitted too.
        config: Settings.
        generator: Source of all randomness: order, augmentation, dropout.
        device: "cpu", or "auto" for what accelerate finds.
        out: Folder for checkpoints and `history.jsonl`; nothing is written if `None`.
        resume: Continue from the newest checkpoint in `out`, if there is one; without, a folder with one is refused.
        augment: Changes a batch of images; is given a generator.
        callbacks: Called at the end of every epoch, with the encoder in evaluation mode.
        progress: A running progress display to add a bar to; one of its own if `None`.
        label: What to call the bar.

    Returns:
        The encoder, in evaluation mode, and its history.

    Raises:
        ConfigError: If there are fewer pairs than a batch, training diverges, `out` holds another training, or the
            device is neither of the two.
        MissingExtraError: If the tracker is not installed.

    Example:
        >>> from vergence.losses import WeightedTerm, info_nce
        >>> from vergence.random import generator
        >>> x = torch.randn(64, 8, generator=generator(0))
        >>> result = train(
        ...     DualEncoder(nn.Linear(8, 2), nn.Linear(8, 2)),
        ...     ViewPair(image=x, text=x),
        ...     Objective({"contrast": WeightedTerm(info_nce)}),
        ...     TrainConfig(epochs=3, batch_size=16),
        ...     generator=generator(1),
        ... )
        >>> list(result.history.columns)
        ['epoch', 'rate', 'total', 'contrast']
    """
    one_of("device", device, ("cpu", "auto"))
    steps = config.steps_per_epoch(len(views))
    accelerator = _accelerator(config, device, out)
    optimizer = torch.optim.AdamW(_parameter_groups(encoder, objective, config.weight_decay), lr=config.learning_rate)
    modules: dict[str, nn.Module] = {"encoder": encoder, "objective": objective}
    checkpoints = Checkpoints(out / "checkpoints") if out else None
    streams = spawn(generator, config.epochs)
    about = _about(config, objective, pairs=len(views), seed=streams[0].initial_seed())
    done, history = _started(checkpoints, modules, optimizer, about, resume=resume) if checkpoints else (0, [])
    order = _EpochOrder(len(views), config.batch_size)
    loader = DataLoader(_Rows(views), batch_sampler=order, collate_fn=lambda batch: batch)
    model, learned, optimizer, loader = accelerator.prepare(encoder, objective, optimizer, loader)
    with ExitStack() as stack:
        stack.callback(accelerator.end_training)
        display = progress or stack.enter_context(_display())
        bar = display.add_task(label, total=config.epochs * steps, completed=done * steps)
        if progress:
            stack.callback(progress.remove_task, bar)
        for epoch, epoch_generator in enumerate(streams):
            if epoch < done:
                continue
            order.generator, augmentation, dropout = spawn(epoch_generator, 3)
            sums: dict[str, float] = {}
            model.train()
            learned.train()
            with torch.random.fork_rng():
                torch.manual_seed(dropout.initial_seed())
                for step, (image, text) in enumerate(loader, start=epoch * steps):
                    share = step / (config.epochs * steps)
                    _set_rate(optimizer, config.rate_at(share))
                    z_image, z_text = model(augment(image, augmentation) if augment else image, text)
                    parts = _loss(learned, z_image, z_text, share)
                    _descend(parts, accelerator, optimizer, config.max_grad_norm)
                    for name, value in parts.to_floats().items():
                        sums[name] = sums.get(name, 0.0) + value / steps
                    display.advance(bar)
            model.eval()
            _refuse_broken_weights(modules)
            history.append({"epoch": epoch + 1, "rate": config.rate_at((epoch + 1) / config.epochs), **sums})
            accelerator.log(sums, step=epoch + 1)
            if checkpoints and out:
                write_text(out / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history))
                checkpoints.save(epoch + 1, modules, optimizer, {**about, "history": history})
            for callback in callbacks:
                callback(EpochEnd(epoch=epoch + 1, epochs=config.epochs, encoder=encoder, losses=sums))
    encoder.eval()
    return TrainResult(encoder=encoder, history=pd.DataFrame(history), resumed_from=done)


class _EpochOrder:
    """Batches of row numbers in the order that the present generator draws; the remainder is left out."""

    def __init__(self, n: int, batch_size: int) -> None:
        self.n, self.batch_size, self.drop_last = n, batch_size, True
        self.generator = torch.Generator()

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.n, generator=self.generator)
        yield from order[: len(self) * self.batch_size].reshape(len(self), self.batch_size).tolist()

    def __len__(self) -> int:
        return self.n // self.batch_size


class _Rows(Dataset[tuple[Tensor, Tensor]]):
    """Paired views as a data set whose batches are taken at once, not row by row."""

    def __init__(self, views: ViewPair) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        batch = self.views.take(rows)
        return batch.image, batch.text


def _accelerator(config: TrainConfig, device: str, out: Path | None) -> Accelerator:
    if config.tracker and not out:
        raise ConfigError(f"tracker {config.tracker!r} needs a folder to write to; pass out")
    if config.tracker == "tensorboard":
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("tensorboard", extra="tensorboard") from error
    accelerator = Accelerator(cpu=device == "cpu", log_with=config.tracker, project_dir=out)
    if config.tracker:
        accelerator.init_trackers("tensorboard", config=asdict(config))
    return accelerator


def _parameter_groups(encoder: nn.Module, objective: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels of the encoder only: not on biases, scales or what the objective learns."""
    matrices = [weight for weight in encoder.parameters() if weight.ndim >= 2]
    others = [weight for weight in encoder.parameters() if weight.ndim < 2] + list(objective.parameters())
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _about(config: TrainConfig, objective: Objective, *, pairs: int, seed: int) -> dict[str, object]:
    """What a checkpoint must agree in for a resumed training to be the uninterrupted one, as far as JSON can say it."""
    terms = cast(Mapping[str, WeightedTerm], objective.terms)
    weights = {f"weight of {name}": float(term.weight_at(0.0)) for name, term in terms.items()}
    return {**asdict(config), **weights, "number of pairs": pairs, "generator's first split": seed}


def _started(
    checkpoints: Checkpoints,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    about: dict[str, object],
    *,
    resume: bool,
) -> tuple[int, list[dict[str, float]]]:
    """Epochs done and their history: none, or those of the checkpoint that is resumed."""
    found = checkpoints.latest()
    if found is None:
        return 0, []
    if not resume:
        raise ConfigError(f"{checkpoints.folder} holds a training; pass resume=True to continue it, or another folder")
    epoch, tensors, said = found
    history = said.pop("history")
    other = [key for key in {**said, **about} if key not in said or key not in about or said[key] != about[key]]
    if other:
        differences = ", ".join(f"{key} was {said.get(key)!r}, is {about.get(key)!r}" for key in other)
        raise ConfigError(
            f"{checkpoints.folder} holds a training with other settings: {differences}. "
            "Use the same settings or another folder"
        )
    restore(tensors, modules, optimizer)
    return epoch, history


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _loss(objective: nn.Module, z_image: Tensor, z_text: Tensor, share: float) -> LossParts:
    try:
        parts: LossParts = objective(z_image, z_text, progress=share)
    except ShapeError as error:
        if z_image.isfinite().all() and z_text.isfinite().all():
            raise
        raise _diverged(str(error)) from error
    if not parts.total.isfinite():
        raise _diverged(f"the loss is {parts.to_floats()}")
    return parts


def _refuse_broken_weights(modules: Mapping[str, nn.Module]) -> None:
    """A finite loss can have an infinite gradient: without this, a checkpoint of such weights would be saved."""
    for module in modules.values():
        for name, weight in module.named_parameters():
            if not weight.isfinite().all():
                raise _diverged(f"weights of {name} are NaN or infinite")


def _diverged(what: str) -> ConfigError:
    return ConfigError(f"training diverged: {what}; lower learning_rate, and check that the views hold no NaN")


def _descend(
    parts: LossParts, accelerator: Accelerator, optimizer: torch.optim.Optimizer, max_grad_norm: float | None
) -> None:
    accelerator.backward(parts.total)
    if max_grad_norm is not None:
        accelerator.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()


def _display() -> Progress:
    """A bar on the terminal, with the time left; nothing where errors go to a file."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)
