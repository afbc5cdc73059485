"""The training loop, on Hugging Face accelerate.

The order of each epoch comes from a generator of its own, split from the caller's before training starts. So the state
at the end of an epoch is the weights and the optimiser's moments alone, and a resumed training is the uninterrupted
one, bit for bit on one machine.

Several processes, as `torchrun` starts them, take one training's batches apart and come to its weights: each encodes
its part of a batch, all get all representations, each evaluates its share of the objective, and gradients are added.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
import torch
import torch.distributed as dist
from accelerate import Accelerator
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from vergence.checks import one_of
from vergence.encoders import DualEncoder
from vergence.errors import ConfigError, MissingExtraError
from vergence.files import note, write_text
from vergence.losses import Objective, WeightedTerm, process_count, process_rank
from vergence.random import spawn
from vergence.terminal import bars
from vergence.training.checkpoint import Checkpoints, restore
from vergence.training.config import TrainConfig
from vergence.training.optimizers import make_optimizers, set_rate
from vergence.training.processes import Batches, join_processes, of_each_process, own_generator
from vergence.training.step import Step, diverged
from vergence.views import Views

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
    """The fitted encoder, one row of mean losses for each epoch, from which epoch it was resumed, and whose it has."""

    encoder: DualEncoder
    history: pd.DataFrame
    resumed_from: int
    epoch: int


def train(
    encoder: DualEncoder,
    views: Views,
    objective: Objective,
    config: TrainConfig,
    *,
    generator: torch.Generator,
    device: str = "cpu",
    out: Path | None = None,
    resume: bool = False,
    sharded: bool = False,
    augment: Augment | None = None,
    evaluate: Callable[[EpochEnd], Mapping[str, float]] | None = None,
    callbacks: Sequence[Callable[[EpochEnd], None]] = (),
    progress: Progress | None = None,
    label: str = "training",
    about_data: Mapping[str, object] | None = None,
) -> TrainResult:
    """Fit a dual encoder to paired views, on this process or on all that `torchrun` has started.

    Args:
        encoder: Fitted in place.
        views: The pairs to train on, as tensors (`ViewPair`) or decoded when they are needed (`LazyViews`).
        objective: What to minimise; what it learns, such as a temperature, is fitted too. On several processes, the
            result is that of one: losses and gradients are those of the batch of all processes, as long as encoders
            treat items one by one or use `Standardize`; a batch norm's statistics are each process's own.
        config: Settings.
        generator: Source of all randomness: order, augmentation, dropout.
        device: "cpu", or "auto" for what accelerate finds.
        out: Folder for checkpoints and `history.jsonl`; nothing is written if `None`.
        resume: Continue from the newest checkpoint in `out`, if there is one; without, a folder with one is refused.
        sharded: Whether each of several processes has views of its own, in any number, instead of all the same.
        augment: Changes a batch of images; is given a generator. Each process draws its own augmentation and dropout.
        evaluate: Measures the encoder at the end of every epoch, in evaluation mode: metrics by name, which enter the
            history and can end the training early. Every process calls it.
        callbacks: Called at the end of every epoch, once it is saved, with the encoder in evaluation mode; on the first
            process only.
        progress: A running progress display to add a bar to; one of its own if `None`.
        label: What to call the bar.
        about_data: What else to say of the pairs, as JSON can: such as what was left out. It stands in the first line
            of `history.jsonl` and in the attributes of the history.

    Returns:
        The encoder, in evaluation mode, and its history.

    Raises:
        ConfigError: If there are fewer pairs than a batch, training diverges, `out` holds another training, the device
            is neither of the two, or a metric is called as another column of the history is.
        MissingExtraError: If the tracker is not installed.

    Example:
        >>> from vergence.losses import WeightedTerm, info_nce
        >>> from vergence.random import generator
        >>> from vergence.views import ViewPair
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
    if out is None and config.early_stop and config.early_stop.restore_best:
        raise ConfigError(
            "early_stop.restore_best goes back to a checkpoint, for which there must be a folder; pass out"
        )
    with ExitStack() as stack:
        accelerator = _accelerator(config, device, out, stack)
        batches = Batches.plan(len(views), config, sharded=sharded, device=accelerator.device)
        _start_trackers(accelerator, config, out, stack)
        step = _prepared(encoder, objective, config, accelerator, stack)
        modules: dict[str, nn.Module] = {"encoder": encoder, "objective": objective}
        checkpoints = Checkpoints(out / "checkpoints") if out else None
        streams = spawn(generator, config.epochs)
        about = _about(config, objective, pairs=batches.total, seed=streams[0].initial_seed())
        done, history = started(checkpoints, modules, step.optimizers, about, resume=resume) if checkpoints else (0, [])
        _refuse_other_epochs(of_each_process(done, device=accelerator.device))
        shown = progress or stack.enter_context(display(shown=accelerator.is_main_process))
        steps = len(batches.sizes) // config.accumulation
        bar = shown.add_task(label, total=config.epochs * steps, completed=done * steps)
        if progress:
            stack.callback(progress.remove_task, bar)
        for epoch, epoch_generator in enumerate(streams):
            if epoch < done or (config.early_stop and history and config.early_stop(history)):
                continue
            encoder.train()
            objective.train()
            with torch.random.fork_rng():
                losses = _epoch(
                    step,
                    views=views,
                    batches=batches,
                    epoch=epoch,
                    generator=epoch_generator,
                    augment=augment,
                    advance=partial(shown.advance, bar),
                )
            encoder.eval()
            refuse_broken_weights(modules)
            end = EpochEnd(epoch=epoch + 1, epochs=config.epochs, encoder=encoder, losses=losses)
            metrics = dict(evaluate(end)) if evaluate else {}
            row = {"epoch": epoch + 1, "rate": config.rate_at((epoch + 1) / config.epochs), **losses}
            history.append(_agreed(_joined(row, metrics), accelerator.device))
            accelerator.log({**losses, **metrics}, step=epoch + 1)
            if checkpoints and out:
                if accelerator.is_main_process:
                    write_history(out, history, about_data)
                about_now = {**about, "history": history}
                checkpoints.save(epoch + 1, modules, step.optimizers, about_now, best=_best(config, history))
            for callback in callbacks if accelerator.is_main_process else ():
                callback(end)
        last = _best(config, history) or len(history)
        if checkpoints and last < len(history):
            restore(checkpoints.at(last), modules, {})
        encoder.eval()
    table = pd.DataFrame(history)
    table.attrs.update(about_data or {})
    return TrainResult(encoder=encoder, history=table, resumed_from=done, epoch=last)


def _epoch(
    step: Step,
    *,
    views: Views,
    batches: Batches,
    epoch: int,
    generator: torch.Generator,
    augment: Augment | None,
    advance: Callable[[], None],
) -> dict[str, float]:
    """Fit to every batch of an epoch; return the mean of the total and of every term."""
    config, device = step.config, step.accelerator.device
    batches.generator, augmentation, dropout, noise = spawn(generator, 4)
    augmentation = own_generator(augmentation)
    torch.manual_seed(own_generator(dropout).initial_seed())
    steps = len(batches.sizes) // config.accumulation
    sums: dict[str, float] = {}
    wanted = (rows for rows, _ in batches)
    for number, batch in enumerate(views.batches(wanted)):
        progress = (epoch * steps + number // config.accumulation) / (config.epochs * steps)
        last = (number + 1) % config.accumulation == 0
        image = augment(batch.image, augmentation) if augment else batch.image
        found = step.add_gradient(
            image.to(device),
            batch.text.to(device),
            batches.sizes[number],
            last=last,
            progress=progress,
            generator=noise,
        )
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value / len(batches.sizes)
        if last:
            set_rate(step.optimizers, config.rate_at(progress))
            step.descend()
            advance()
    return sums


def _accelerator(config: TrainConfig, device: str, out: Path | None, stack: ExitStack) -> Accelerator:
    """Join the processes, if there are several, and make the accelerator."""
    if config.tracker and not out:
        raise ConfigError(f"tracker {config.tracker!r} needs a folder to write to; pass out")
    if config.tracker == "tensorboard":
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("tensorboard", extra="tensorboard") from error
    stack.enter_context(join_processes(device))
    precision = "bf16" if config.precision == "bf16" else "no"
    return Accelerator(cpu=device == "cpu", mixed_precision=precision, log_with=config.tracker, project_dir=out)


def _start_trackers(accelerator: Accelerator, config: TrainConfig, out: Path | None, stack: ExitStack) -> None:
    if config.tracker and out:
        logs = out / config.tracker
        before = set(logs.rglob("*"))
        stack.callback(_note_new, logs, before)
        said = {
            name: value if isinstance(value, (int, float)) else str(value) for name, value in asdict(config).items()
        }
        accelerator.init_trackers(config.tracker, config=said)
        for tracker in accelerator.trackers:
            stack.callback(tracker.finish)
        _note_new(logs, before)  # a run that is killed has noted them, too


def _note_new(folder: Path, before: set[Path]) -> None:
    """Enter what a tracker has written into the journal of the run."""
    if process_rank() == 0:
        for path in sorted(set(folder.rglob("*")) - before):
            if path.is_file():
                note(path)


def _prepared(
    encoder: DualEncoder, objective: Objective, config: TrainConfig, accelerator: Accelerator, stack: ExitStack
) -> Step:
    """Bring encoder and objective to the device and to all processes, and make their optimisers."""
    if config.parallel == "fsdp" and process_count() > 1:
        encoder.to(accelerator.device)
        for weight in encoder.parameters():
            weight.data = weight.data.contiguous()  # channels-last kernels cannot be sharded
        mesh = init_device_mesh(accelerator.device.type, (process_count(),))
        for tower in {id(tower): tower for tower in encoder.children()}.values():
            fully_shard(tower, mesh=mesh)
        model: nn.Module = encoder
    else:
        model = _copied(encoder, accelerator)
    learned = _copied(objective, accelerator)
    for module in (encoder, objective):  # mixed precision patches what the caller keeps
        stack.callback(vars(module).pop, "forward", None)
        stack.callback(vars(module).pop, "_original_forward", None)
    return Step(
        encoder=encoder,
        objective=objective,
        model=model,
        learned=learned,
        optimizers=make_optimizers(encoder, objective, config),
        accelerator=accelerator,
        config=config,
    )


def _copied(module: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Prepare a module; each process has a copy, and gradients are averaged where there are any."""
    fitted = any(weight.requires_grad for weight in module.parameters())
    prepared: nn.Module = accelerator.prepare_model(module, evaluation_mode=not fitted)
    return prepared


def _joined(row: dict[str, float], metrics: dict[str, float]) -> dict[str, float]:
    for name in metrics:
        if name in row:
            raise ConfigError(f"evaluate must not name a metric {name!r}, a column of the history; choose another name")
    return row | metrics


def _agreed(row: dict[str, float], device: torch.device) -> dict[str, float]:
    """Take the first process's numbers everywhere, so that all decide alike."""
    if process_count() == 1:
        return row
    values = torch.tensor(list(row.values()), dtype=torch.float64, device=device)
    dist.broadcast(values, 0)
    return {**dict(zip(row, values.tolist(), strict=True)), "epoch": row["epoch"]}


def _refuse_other_epochs(done: list[int]) -> None:
    if len(set(done)) > 1:
        raise ConfigError(
            f"every process must see the same checkpoints; they are {', '.join(map(str, done))} epochs in. "
            "Use a folder that all share"
        )


def _about(config: TrainConfig, objective: Objective, *, pairs: int, seed: int) -> dict[str, object]:
    """What a checkpoint must agree in for a resumed training to be the uninterrupted one, as far as JSON can say it."""
    terms = cast(Mapping[str, WeightedTerm], objective.terms)
    weights = {f"weight of {name}": float(term.weight_at(0.0)) for name, term in terms.items()}
    return {**asdict(config), **weights, "number of pairs": pairs, "generator's first split": seed}


def started(
    checkpoints: Checkpoints,
    modules: dict[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
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
    restore(tensors, modules, optimizers)
    return epoch, history


def _best(config: TrainConfig, history: Sequence[Mapping[str, float]]) -> int | None:
    """The epoch that the training is to end with, as far as it has come; `None` if with the last."""
    stop = config.early_stop
    return stop.best(history) or None if stop and stop.restore_best else None


def write_history(out: Path, history: Sequence[Mapping[str, object]], about_data: Mapping[str, object] | None) -> None:
    """Write a line for each epoch; the first also says what else is known of the pairs."""
    first, *rest = history
    lines = [{**first, **(about_data or {})}, *rest]
    write_text(out / "history.jsonl", "".join(json.dumps(line) + "\n" for line in lines), of_job=True)


def refuse_broken_weights(modules: Mapping[str, nn.Module]) -> None:
    """A finite loss can have an infinite gradient: without this, a checkpoint of such weights would be saved."""
    for module in modules.values():
        for name, weight in module.named_parameters():
            local = weight.to_local() if isinstance(weight, DTensor) else weight
            if not local.isfinite().all():
                raise diverged(f"weights of {name} are NaN or infinite")


def display(*, shown: bool) -> Progress:
    """A bar on the terminal, with the time left; nothing where errors go to a file."""
    return bars(MofNCompleteColumn(), TimeRemainingColumn(compact=True), shown=shown)
